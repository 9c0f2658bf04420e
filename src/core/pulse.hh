#pragma once

#include "core/frame.hh"
#include "core/round_trip.hh"
#include "core/time.hh"

#include <algorithm>
#include <optional>

namespace holdfast {

// The heartbeat of one link: when to send ours, whether the peer has fallen silent, and how long a round trip
// takes. Other code never touches a timer: it reports what happened.
//
// Any byte received is a sign of life. Silence is measured against the interval the peer announced, for it alone
// knows how often it speaks, plus what heartbeats are usually early or late by. Suspicion is not a verdict: it only
// says that another link would be welcome.
//
// The pace. While a frame of a session was sent or heard within the last minute, beats follow each other at the
// configured interval. Then they become rarer in steps of two, each after at least 16 beats of the one before, up
// to Config::idle; each heartbeat announces the step (flags: the next one follows within the interval times
// 2^step). With the first frame of a session both sides are back at the fast pace and beat at once, and who woke up
// expects to hear the peer from then on as if it had always been fast, a round trip later. So a first byte that is
// lost is noticed as soon as any other, however long the link was quiet.
//
// A heartbeat carries the sender's clock (sequence), the last clock reading it heard from the peer
// (acknowledgement) and how long ago it heard it (window), all in microseconds, so every heartbeat measures a round
// trip without an answer having to be sent for it (as RTCP does with LSR and DLSR, RFC 3550 section 6.4.1).
class Pulse
{
public:
  struct Config
  {
    Duration beat = std::chrono::milliseconds { 100 }; // ours, more than 0
    unsigned misses = 3;                               // beats of the peer's missed before we suspect
    Duration patience = std::chrono::seconds { 30 }; // silence after which a link that nobody replaced is given up
    Duration idle = std::chrono::seconds { 30 }; // no beat of a quiet link is longer; up to `beat`: none slows down
  };

  Pulse( Config config, Time now );

  void peer_beats_every( Duration beat ) { peer_beat_ = beat; }
  void heard( Time now )
  {
    heard_ = now;
    only_bytes_count_ = false;
    rest_due_ = {};
  }
  // The peer's kernel has let us hear from it, though no byte could be read: a lost segment holds up those behind
  // it for a round trip and more, but they arrive, and ours are acknowledged. It proves the path, not the peer: a
  // process that was stopped has a kernel that goes on. So it puts off suspicion for ten seconds at most (or as
  // long as the peer said that it would be silent), and makes nothing less hopeless. When we were not there for
  // more than a second, it does not count before bytes have come: what the peer said meanwhile should lie there by
  // now, and if it does not, its connection may wait for a timer that was doubled again and again.
  void seen( Time when ) { seen_ = std::max( seen_, when ); }
  // What was heard last is a part of something, and the rest is under way on a path that takes so long: the peer's
  // kernel sends it when ours has acknowledged what it sent before. On a new link it sends some ten segments at
  // once, then nothing for a round trip, whatever the peer says meanwhile. Counts until something is heard.
  void awaits_rest( Duration round_trip ) { rest_due_ = std::min( round_trip, stall_max ); }
  // Our own process was late by `lateness` (stopped, suspended, a busy machine): that time says nothing about the
  // peer. After a sleep the network may be another one, so the link wakes up.
  void excuse( Duration lateness, Time now );
  void heartbeat_heard( const FrameHeader& header, Time now );
  // A frame of a session was sent or heard.
  void carried( Time now );
  // Something is about to happen, or may have happened to the path: beats fast for at least a minute, at once, and
  // expects a sign of life from the peer or its kernel.
  void wake( Time now );

  [[nodiscard]] bool beat_due( Time now ) const { return now >= next_beat_; }
  [[nodiscard]] FrameHeader beat( Time now ); // the heartbeat to send

  [[nodiscard]] bool suspicious( Time now ) const { return now >= suspicion(); }
  // Silent for so long that the link is worth nothing any more, even if there is no other one.
  [[nodiscard]] bool hopeless( Time now ) const;
  [[nodiscard]] Duration silence( Time now ) const { return now - heard_; }
  [[nodiscard]] Duration round_trip() const { return round_trip_; } // smoothed; 0 before the first measurement
  // With the least one of the last ten to twenty seconds, or since then when there was none.
  [[nodiscard]] RoundTrip round_trips() const { return { round_trip_, std::min( least_, least_before_ ) }; }
  // What heartbeats are early or late by on their way, times four, but never more than doubles the misses.
  [[nodiscard]] Duration allowance() const;

  [[nodiscard]] Time next_beat() const { return next_beat_; }
  // When suspicion begins (or began), should nothing be heard or seen until then.
  [[nodiscard]] Time suspicion() const;
  // When to look at the link again though nothing arrives: to beat, if it can be written to, or to suspect. Within
  // a beat of whoever beats faster in any case: only who looks often knows how much of a silence he slept through
  // (excuse()).
  [[nodiscard]] Time next_look( Time now, bool writable ) const;

private:
  // No stream waits longer for a lost segment, even if it is lost again several times on a path of 600 ms.
  static constexpr Duration stall_max = std::chrono::seconds { 10 };

  [[nodiscard]] unsigned step( Time now ) const;
  [[nodiscard]] Duration peer_interval() const;   // as it last announced
  [[nodiscard]] Duration judged_interval() const; // that its silence is measured against
  void measure_gap( unsigned peer_step, Time now );
  void measure_round_trip( const FrameHeader& header, Time now );
  void note_least( Time now );

  Config config_;
  unsigned step_max_;
  Duration peer_beat_;
  unsigned peer_step_ = 0; // as it last announced, or 0 since a frame of a session woke us both
  Time heard_;
  Time seen_;
  bool only_bytes_count_ = false;
  Duration rest_due_ {}; // how long the rest of what was heard may take
  Time awaited_;         // when we last woke up, plus a round trip: no silence begins before
  Time active_;          // a frame of a session was sent or heard, or we woke up
  unsigned step_ = 0;    // of our last beat
  Time next_beat_;
  std::optional<std::uint64_t> waking_ {}; // our clock when we woke up, until the peer has heard a later reading
  Duration round_trip_ {};
  Duration last_round_trip_ {};
  Duration least_ {};               // of a period that is under way
  Duration least_before_ {};        // of the one before
  Time least_until_ {};             // when the period ends
  Duration deviation_ {};           // of the peer's beats at the fast pace, smoothed
  std::optional<Time> gap_from_ {}; // when a beat was heard that the next follows at the fast pace
  std::uint64_t peer_stamp_ = 0;    // the peer's clock as last heard, microseconds
  std::optional<Time> peer_stamp_heard_ {};
};

} // namespace holdfast
