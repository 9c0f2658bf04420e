#include "core/inflow.hh"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>

namespace holdfast {

namespace {

using namespace std::chrono_literals;

constexpr Duration rate_period_min = 10ms;         // shorter spans say more about scheduling than about the path
constexpr Duration turn_allowance = 2ms;           // what both sides' loops add to the round trip
constexpr std::size_t window_of_machine = 4194304; // 6 ms at 700 MB/s: a process waits so long for a processor
constexpr std::size_t bytes_per_ns = 2;            // no processor moves 2 GB/s through a proxy
constexpr std::size_t slices_max = 4;              // a data frame touches two chunks; the window may be cut small

} // namespace

Inflow::Inflow( Pool& pool, InflowRecord& record, Limits limits, Quota* quota, Fresh* fresh )
  : record_( record )
  , limits_( limits )
  , held_( pool, held_record_, 0, quota )
  , views_( fresh )
  , limit_( record.delivered + std::min( limits.window_initial, limits.window_max ) )
  , offered_most_( limit_ )
  , window_( std::min( limits.window_initial, limits.window_max ) )
  , told_( delivered() )
  , rate_from_( record.delivered )
{
  held_.restart( record.delivered );
  if ( finished() ) {
    end_ = record.delivered;
  }
}

Verdict Inflow::place( Position at, std::span<const std::byte> bytes )
{
  const Position received = this->received();
  const Position after = at + bytes.size();
  if ( end_ and after > *end_ ) {
    return Fault::after_end;
  }
  if ( after <= received ) {
    return std::nullopt; // all of it is here already
  }
  if ( at > received ) {
    return hole_ == Hole::none ? Verdict { Fault::gap } : std::nullopt;
  }
  if ( after > offered_most_ ) {
    return Fault::beyond_window;
  }
  hole_ = Hole::none;
  bytes = bytes.subspan( static_cast<std::size_t>( received - at ) );
  if ( views_ != nullptr and not views_->full() ) {
    views_->append( fresh_, bytes );
    limit_ = std::max( limit_, after ); // a peer that never heard of a smaller offer may be ahead of it
    return std::nullopt;
  }
  keep(); // they come first
  take( bytes );
  return std::nullopt;
}

void Inflow::keep()
{
  std::array<std::span<const std::byte>, slices_max> slices;
  while ( const std::size_t count = has_fresh() ? views_->peek( fresh_, slices ) : 0 ) {
    for ( const auto slice : std::span { slices }.first( count ) ) {
      views_->forget( fresh_, slice.size() );
      take( slice );
    }
  }
}

// Copies what follows what is held.
void Inflow::take( std::span<const std::byte> bytes )
{
  if ( hole_ == Hole::let_go ) {
    return; // what comes before was let go
  }
  std::array<std::span<std::byte>, slices_max> slices;
  const std::size_t count = held_.space( bytes.size(), slices );
  std::size_t placed = 0;
  for ( std::size_t i = 0; i < count; ++i ) {
    std::memcpy( slices[i].data(), bytes.data() + placed, slices[i].size() );
    placed += slices[i].size();
  }
  held_.commit( placed );
  limit_ = std::max( limit_, held_.end() );
  if ( placed < bytes.size() ) {
    hole_ = Hole::let_go;
  }
}

Verdict Inflow::place_end( Position at )
{
  if ( end_ ) {
    return *end_ == at ? std::nullopt : Verdict { Fault::after_end };
  }
  if ( at < received() ) {
    return Fault::after_end;
  }
  keep(); // only then it is known whether the end has all before it
  if ( at > held_.end() ) {
    return hole_ == Hole::none ? Verdict { Fault::gap } : std::nullopt;
  }
  hole_ = Hole::none;
  end_ = at;
  return std::nullopt;
}

Verdict Inflow::place_bulk( Position at, std::span<const std::byte> bytes )
{
  if ( hole_ == Hole::let_go ) {
    return std::nullopt; // it will be asked for
  }
  const Hole before = hole_;
  const Verdict verdict = place( at, bytes );
  hole_ = hole_ == Hole::none ? before : hole_;
  return verdict == Fault::gap ? std::nullopt : verdict;
}

Verdict Inflow::place_late( Position at, std::span<const std::byte> bytes )
{
  const Verdict verdict = place_bulk( at, bytes );
  keep();
  return verdict == Fault::beyond_window ? std::nullopt : verdict;
}

Verdict Inflow::place_end_late( Position at )
{
  const Verdict verdict = place_end( at );
  return verdict == Fault::gap ? std::nullopt : verdict;
}

void Inflow::consume( std::size_t count, Time now )
{
  assert( count <= held() );
  if ( rate_since_ == Time {} ) {
    rate_since_ = now;
  }
  record_.delivered += count;
  if ( record_.delivered <= held_.end() ) {
    held_.forget( record_.delivered );
  } else {
    views_->forget( fresh_, static_cast<std::size_t>( record_.delivered - held_.end() ) );
    held_.restart( record_.delivered );
  }
}

std::size_t Inflow::readable( std::span<std::span<const std::byte>> slices ) const
{
  std::size_t filled = held_.peek( slices );
  if ( has_fresh() ) {
    filled += views_->peek( fresh_, slices.subspan( filled ) );
  }
  return filled;
}

void Inflow::abandon()
{
  const Position received = this->received();
  if ( has_fresh() ) {
    views_->forget( fresh_, fresh_.bytes() );
  }
  held_.restart( received );
}

void Inflow::consume_end()
{
  assert( end_due() );
  record_.end_delivered = 1;
}

bool Inflow::urgent_news() const
{
  return news() and ( finished() or record_.delivered - told_ >= window_ / 4 );
}

void Inflow::prepare_news( Time now, RoundTrip round_trip )
{
  // The window is to cover twice what is delivered in a round trip: then the sender is held back by the path or by
  // the program, not by us. A program that stopped reading delivers nothing and gets no more. What the rate has
  // grown by counts four times on top: an offer needs a round trip until its bytes arrive, so that twice the rate
  // alone grows by only 1.4 each round trip and holds down TCP's slow start, which doubles (docs/bench.md has the
  // series).
  const Duration elapsed = now - rate_since_;
  if ( rate_since_ != Time {} and elapsed >= std::max( round_trip.usual, rate_period_min ) ) {
    const auto bytes = static_cast<double>( record_.delivered - rate_from_ );
    const double trips = static_cast<double>( elapsed.count() )
                         / static_cast<double>( ( round_trip.usual + turn_allowance ).count() );
    const double per_trip = bytes / trips;
    const double growth = std::max( per_trip - per_trip_, 0.0 );
    const double wanted = std::min( 2 * per_trip + 4 * growth, static_cast<double>( limits_.window_max ) );
    per_trip_ = per_trip;
    window_ = std::max( window_, std::min( static_cast<std::size_t>( wanted ), of_use( round_trip.least ) ) );
    rate_since_ = now;
    rate_from_ = record_.delivered;
  }
  limit_ = std::max( limit_, record_.delivered + window_ );
  offered_most_ = std::max( offered_most_, limit_ );
}

// A round trip that is long only because bytes wait in both processes and their kernels wants a larger window, and
// with that they wait longer: on a loopback it grew to 16 MiB, and every byte was read and wiped when it had left
// the cache. So no window is larger than what the fastest of machines can move in the time that the path itself
// takes, and some MiB for everything else.
std::size_t Inflow::of_use( Duration least )
{
  return window_of_machine + static_cast<std::size_t>( std::min( least, Duration { 1h } ).count() ) * bytes_per_ns;
}

bool Inflow::replay_due() const
{
  return hole_ == Hole::let_go and held_.size() == 0 and held_.share() > 0;
}

void Inflow::replay_asked()
{
  if ( hole_ != Hole::none ) {
    hole_ = Hole::asked;
    // Offer no more than there is room for now; it grows again with the rate.
    const std::size_t room = std::size_t { held_.share() } * Pool::chunk_size;
    window_ = std::max( held_.size() + std::min( std::max( room, Pool::chunk_size ), limits_.window_initial ),
                        Pool::chunk_size );
    window_ = std::min( window_, limits_.window_max );
    limit_ = std::max( record_.delivered + window_, held_.end() );
    offered_most_ = std::max( offered_most_, limit_ );
  }
}

} // namespace holdfast
