#include "core/pulse.hh"

#include <algorithm>
#include <limits>

namespace holdfast {

namespace {

std::uint64_t stamp( Time now )
{
  return static_cast<std::uint64_t>(
    std::chrono::duration_cast<std::chrono::microseconds>( now.time_since_epoch() ).count() );
}

constexpr std::uint64_t round_trip_max_us = 60'000'000; // beyond it somebody's stamps are wrong

} // namespace

Pulse::Pulse( Config config, Time now )
  : config_( config ), peer_beat_( config.beat ), heard_( now ), next_beat_( now + config.beat )
{}

void Pulse::heartbeat_heard( const FrameHeader& header, Time now )
{
  peer_stamp_ = header.sequence;
  peer_stamp_heard_ = now;
  if ( header.acknowledgement == 0 ) {
    return; // it has heard none of ours yet
  }
  const std::uint64_t elapsed = stamp( now ) - header.acknowledgement;
  if ( elapsed - header.window
       > round_trip_max_us ) { // if it lies, one of the differences wraps to something absurd
    return;
  }
  const Duration sample = std::chrono::microseconds { elapsed - header.window };
  round_trip_ = round_trip_ == Duration {} ? sample : ( 7 * round_trip_ + sample ) / 8; // RFC 6298's SRTT
}

FrameHeader Pulse::beat( Time now )
{
  next_beat_ = now + config_.beat;
  FrameHeader header;
  header.type = FrameType::heartbeat;
  header.sequence = stamp( now );
  if ( peer_stamp_heard_ ) {
    const auto held = std::chrono::duration_cast<std::chrono::microseconds>( now - *peer_stamp_heard_ ).count();
    header.acknowledgement = peer_stamp_;
    header.window
      = static_cast<std::uint32_t>( std::min<std::int64_t>( held, std::numeric_limits<std::uint32_t>::max() ) );
  }
  return header;
}

} // namespace holdfast
