#include "core/outflow.hh"

#include <algorithm>
#include <cassert>

namespace holdfast {

Outflow::Outflow( Pool& pool,
                  OutflowRecord& record,
                  Limits limits,
                  std::size_t window,
                  std::uint32_t owner,
                  Quota* quota )
  : record_( record )
  , kept_( pool, record.kept, owner, quota )
  , limits_( limits )
  , sent_( acknowledged() )
  , limit_( record.kept.begin + window )
{
  record.sent_most = std::max( record.sent_most, sent_ );
}

std::size_t Outflow::room() const
{
  if ( ended() ) {
    return 0;
  }
  const Position offered = limit_ > kept_.begin() ? limit_ - kept_.begin() : 0;
  const Position most = std::min<Position>( offered, limits_.window_max ) + Limits::ahead;
  return most > kept_.size() ? static_cast<std::size_t>( most - kept_.size() ) : 0;
}

std::size_t Outflow::writable( std::span<std::span<std::byte>> slices )
{
  return kept_.space( room(), slices );
}

std::span<const std::byte> Outflow::readable()
{
  if ( sent_ >= limit_ or sent_ >= kept_.end() ) {
    return {};
  }
  const auto piece = kept_.read( sent_, cursor_ );
  return piece.first( std::min<std::size_t>( piece.size(), static_cast<std::size_t>( limit_ - sent_ ) ) );
}

void Outflow::consume( std::size_t count )
{
  assert( count <= kept_.end() - sent_ );
  sent_ += count;
  record_.sent_most = std::max( record_.sent_most, sent_ );
}

void Outflow::consume_end()
{
  assert( end_due() );
  ++sent_;
  record_.sent_most = std::max( record_.sent_most, sent_ );
}

bool Outflow::something_due() const
{
  return end_due() or ( sent_ < kept_.end() and sent_ < limit_ );
}

std::span<const std::byte> Outflow::beginning() const
{
  const Position begin = kept_.begin();
  if ( begin == kept_.end() or begin >= limit_ ) {
    return {};
  }
  Chain::Cursor cursor {};
  const auto piece = kept_.read( begin, cursor );
  return piece.first( std::min<std::size_t>( piece.size(), static_cast<std::size_t>( limit_ - begin ) ) );
}

void Outflow::said_early( std::size_t count )
{
  assert( count <= kept_.size() );
  record_.sent_most = std::max( record_.sent_most, kept_.begin() + count );
}

void Outflow::rewind()
{
  sent_ = acknowledged();
}

void Outflow::abandon()
{
  sent_ = std::max( sent_, kept_.end() );
  record_.sent_most = std::max( record_.sent_most, sent_ ); // first: acknowledged is never beyond it
  kept_.restart( kept_.end() );
}

Verdict Outflow::acknowledge( Position delivered, std::size_t window )
{
  if ( delivered > record_.sent_most ) {
    return Fault::ahead_of_sent;
  }
  forget( delivered );
  limit_ = std::max( limit_, delivered + window );
  return std::nullopt;
}

Verdict Outflow::replay_from( Position next, Position delivered, std::size_t window )
{
  if ( next > record_.sent_most or delivered > next ) {
    return Fault::ahead_of_sent;
  }
  forget( delivered );
  // What it asks for may be older than what it has acknowledged since on another link: then go on from there.
  sent_ = std::max( next, acknowledged() );
  cursor_ = {};
  limit_ = std::max( delivered + window, kept_.begin() );
  return std::nullopt;
}

void Outflow::forget( Position delivered )
{
  if ( delivered > kept_.end() ) { // only the end itself lies beyond the last byte, and it was sent
    assert( ended() and delivered == kept_.end() + 1 );
    kept_.forget( kept_.end() );
    record_.end_acknowledged = 1;
  } else if ( delivered > kept_.begin() ) {
    kept_.forget( delivered );
  }
  // An acknowledgement may overtake a replay: what is delivered need not be sent again.
  if ( sent_ <= acknowledged() ) {
    rewind();
  }
}

} // namespace holdfast
