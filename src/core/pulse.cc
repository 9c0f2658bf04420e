#include "core/pulse.hh"

#include <bit>
#include <limits>

namespace holdfast {

namespace {

using namespace std::chrono_literals;

constexpr Duration quiet_after = 60s;
constexpr int beats_per_step = 32; // so the interval is between 1/16 and 1/32 of how long it has been quiet since
constexpr std::uint8_t step_bits = 0x1f; // of the flags
constexpr Duration interval_max = 1h;    // longer ones are not believed
constexpr Duration absence_min = 1s;
constexpr Duration sleep_min = 5s; // no machine is as busy as that: it was stopped or suspended
constexpr Duration least_period = std::chrono::seconds { 10 };
constexpr std::uint64_t round_trip_max_us = 60'000'000; // beyond it somebody's stamps are wrong

std::uint64_t stamp( Time now )
{
  return static_cast<std::uint64_t>(
    std::chrono::duration_cast<std::chrono::microseconds>( now.time_since_epoch() ).count() );
}

// beat * 2^step, but the peer's step may be anything.
Duration stretched( Duration beat, unsigned step )
{
  return beat > interval_max / ( std::int64_t { 1 } << step ) ? std::max( beat, interval_max )
                                                              : beat * ( std::int64_t { 1 } << step );
}

unsigned steps_up_to( Duration idle, Duration beat )
{
  const auto width = static_cast<unsigned>( std::bit_width( static_cast<std::uint64_t>( idle / beat ) ) );
  return std::min<unsigned>( std::max( width, 1U ) - 1, step_bits );
}

} // namespace

Pulse::Pulse( Config config, Time now )
  : config_( config )
  , step_max_( steps_up_to( config.idle, config.beat ) )
  , peer_beat_( config.beat )
  , heard_( now )
  , seen_( now )
  , awaited_( now )
  , active_( now )
  , next_beat_( now + config.beat )
{}

// -- the pace ----------------------------------------------------------------------------------------------------

unsigned Pulse::step( Time now ) const
{
  const Duration quiet = now - active_ - quiet_after;
  if ( quiet <= 0s ) {
    return 0;
  }
  const auto steps = std::bit_width( static_cast<std::uint64_t>( quiet / ( beats_per_step * config_.beat ) ) );
  return std::min( static_cast<unsigned>( steps ), step_max_ );
}

void Pulse::carried( Time now )
{
  active_ = now;
  gap_from_.reset(); // a heartbeat waits its turn behind what sessions say: that is not the path's jitter
  if ( step_ > 0 or peer_step_ > 0 ) {
    wake( now );
    peer_step_ = 0; // so will the peer
  }
}

void Pulse::wake( Time now )
{
  if ( not suspicious( now ) ) { // else it is under suspicion already, and stays so
    awaited_ = now + std::max( round_trip_, last_round_trip_ );
  }
  active_ = now;
  step_ = 0;
  next_beat_ = now;
  waking_ = stamp( now );
}

FrameHeader Pulse::beat( Time now )
{
  step_ = step( now );
  next_beat_ = now + stretched( config_.beat, step_ );
  FrameHeader header;
  header.type = FrameType::heartbeat;
  header.flags = static_cast<std::uint8_t>( step_ );
  header.sequence = stamp( now );
  if ( peer_stamp_heard_ ) {
    const auto held = std::chrono::duration_cast<std::chrono::microseconds>( now - *peer_stamp_heard_ ).count();
    header.acknowledgement = peer_stamp_;
    header.window
      = static_cast<std::uint32_t>( std::min<std::int64_t>( held, std::numeric_limits<std::uint32_t>::max() ) );
  }
  return header;
}

Time Pulse::next_look( Time now, bool writable ) const
{
  const Time within = now + std::min( stretched( config_.beat, step_ ), judged_interval() );
  const Time beat = writable ? std::min( next_beat_, within ) : within;
  return suspicion() > now ? std::min( beat, suspicion() ) : beat;
}

// -- silence -----------------------------------------------------------------------------------------------------

void Pulse::excuse( Duration lateness, Time now )
{
  heard_ = std::min( heard_ + lateness, now );
  seen_ = std::min( seen_ + lateness, now );
  only_bytes_count_ = only_bytes_count_ or ( lateness > absence_min and peer_step_ == 0 );
  awaited_ = std::min( awaited_ + lateness, std::max( awaited_, now ) );
  if ( lateness >= sleep_min ) {
    wake( now );
  }
}

Duration Pulse::peer_interval() const
{
  return stretched( peer_beat_, peer_step_ );
}

Duration Pulse::judged_interval() const
{
  return waking_ ? peer_beat_ : peer_interval();
}

Duration Pulse::allowance() const
{
  return std::min( 4 * deviation_, peer_beat_ * config_.misses );
}

Time Pulse::suspicion() const
{
  const Time from = std::max( heard_, awaited_ );
  const Time seen = std::min( seen_, from + std::max( stall_max, peer_interval() * config_.misses ) );
  const Time sign = only_bytes_count_ ? from : std::max( from, seen );
  return sign + judged_interval() * config_.misses + allowance() + rest_due_ + 1ns;
}

bool Pulse::hopeless( Time now ) const
{
  return now - std::max( heard_, awaited_ ) > std::max( config_.patience, 3 * peer_interval() * config_.misses );
}

// -- heartbeats heard --------------------------------------------------------------------------------------------

void Pulse::heartbeat_heard( const FrameHeader& header, Time now )
{
  if ( waking_ and header.acknowledgement > *waking_ ) { // it has heard that we woke up, and what came before
    waking_.reset();
  }
  measure_gap( header.flags & step_bits, now );
  if ( not waking_ ) {
    peer_step_ = header.flags & step_bits;
  }
  peer_stamp_ = header.sequence;
  peer_stamp_heard_ = now;
  measure_round_trip( header, now );
}

// The mean deviation, as RFC 6298 smooths RTTVAR, but over 16 beats, since there are many: a fifth of a second now
// and then is remembered for two seconds.
void Pulse::measure_gap( unsigned peer_step, Time now )
{
  if ( gap_from_ ) {
    const Duration off = std::chrono::abs( now - *gap_from_ - peer_beat_ );
    deviation_ += ( std::min( off, peer_beat_ * config_.misses ) - deviation_ ) / 16;
  }
  gap_from_ = peer_step == 0 ? std::optional { now } : std::nullopt;
}

// Smoothed as RFC 6298 does SRTT.
void Pulse::measure_round_trip( const FrameHeader& header, Time now )
{
  if ( header.acknowledgement == 0 ) {
    return; // it has heard none of ours yet
  }
  const std::uint64_t elapsed = stamp( now ) - header.acknowledgement;
  if ( elapsed - header.window
       > round_trip_max_us ) { // if it lies, one of the differences wraps to something absurd
    return;
  }
  last_round_trip_ = std::chrono::microseconds { elapsed - header.window };
  note_least( now );
  round_trip_ = round_trip_ == Duration {} ? last_round_trip_ : ( 7 * round_trip_ + last_round_trip_ ) / 8;
}

// The path may have become longer: so a least one counts for two periods at most.
void Pulse::note_least( Time now )
{
  if ( now >= least_until_ ) {
    least_before_ = round_trip_ == Duration {} ? last_round_trip_ : least_;
    least_ = last_round_trip_;
    least_until_ = now + least_period;
  }
  least_ = std::min( least_, last_round_trip_ );
}

} // namespace holdfast
