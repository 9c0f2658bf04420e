#pragma once

#include "core/frame.hh"
#include "core/time.hh"

#include <algorithm>
#include <optional>

namespace holdfast {

// The heartbeat of one link: when to send ours, whether the peer has fallen silent, and how long a round trip
// takes. Other code never touches a timer: it reports what happened.
//
// Any byte received is a sign of life. Silence is measured against the interval the peer announced, for it alone
// knows how often it speaks. Suspicion is not a verdict: it only says that another link would be welcome.
//
// A heartbeat carries the sender's clock (sequence), the last clock reading it heard from the peer
// (acknowledgement) and how long ago it heard it (window), all in microseconds, so every heartbeat measures a round
// trip without an answer having to be sent for it (as RTCP does with LSR and DLSR, RFC 3550 section 6.4.1).
class Pulse
{
public:
  struct Config
  {
    Duration beat = std::chrono::milliseconds { 100 }; // ours
    unsigned misses = 3;                               // beats of the peer's missed before we suspect
    Duration patience = std::chrono::seconds { 30 }; // silence after which a link that nobody replaced is given up
  };

  Pulse( Config config, Time now );

  void peer_beats_every( Duration beat ) { peer_beat_ = beat; }
  void heard( Time now ) { heard_ = now; }
  // Our own process was late by `lateness` (stopped, suspended, a busy machine): that time says nothing about the
  // peer.
  void excuse( Duration lateness, Time now ) { heard_ = std::min( heard_ + lateness, now ); }
  void heartbeat_heard( const FrameHeader& header, Time now );

  [[nodiscard]] bool beat_due( Time now ) const { return now >= next_beat_; }
  [[nodiscard]] FrameHeader beat( Time now ); // the heartbeat to send

  [[nodiscard]] bool suspicious( Time now ) const { return now - heard_ > silence_max(); }
  // Silent for so long that the link is worth nothing any more, even if there is no other one.
  [[nodiscard]] bool hopeless( Time now ) const
  {
    return now - heard_ > std::max( config_.patience, 3 * silence_max() );
  }
  [[nodiscard]] Duration silence( Time now ) const { return now - heard_; }
  [[nodiscard]] Duration round_trip() const { return round_trip_; } // smoothed; 0 before the first measurement

  [[nodiscard]] Time next_beat() const { return next_beat_; }
  // When suspicion begins (or began), should nothing be heard until then.
  [[nodiscard]] Time suspicion() const { return heard_ + silence_max() + std::chrono::nanoseconds { 1 }; }
  // When to look at the link again though nothing arrives: to beat, if it can be written to, or to suspect. Within
  // a beat in any case: only who looks often knows how much of a silence he slept through (excuse()).
  [[nodiscard]] Time next_look( Time now, bool writable ) const
  {
    const Time beat = writable ? next_beat_ : now + config_.beat;
    return suspicion() > now ? std::min( beat, suspicion() ) : beat;
  }

private:
  [[nodiscard]] Duration silence_max() const { return peer_beat_ * config_.misses; }

  Config config_;
  Duration peer_beat_;
  Time heard_;
  Time next_beat_;
  Duration round_trip_ {};
  std::uint64_t peer_stamp_ = 0; // the peer's clock as last heard, microseconds
  std::optional<Time> peer_stamp_heard_ {};
};

} // namespace holdfast
