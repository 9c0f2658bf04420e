#include "core/pulse.hh"

#include <gtest/gtest.h>

#include <limits>

namespace holdfast {
namespace {

using namespace std::chrono_literals;

const Time start = Time { 5h };

TEST( Pulse, BeatsAtItsOwnInterval )
{
  Pulse pulse { { .beat = 100ms, .misses = 3 }, start };
  EXPECT_FALSE( pulse.beat_due( start + 99ms ) );
  EXPECT_TRUE( pulse.beat_due( start + 100ms ) );
  EXPECT_EQ( pulse.next_beat(), start + 100ms );
  const auto beat = pulse.beat( start + 130ms ); // we were late
  EXPECT_EQ( beat.type, FrameType::heartbeat );
  EXPECT_EQ( beat.session, 0U );
  EXPECT_EQ( beat.sequence, 18'000'130'000U );
  EXPECT_EQ( beat.acknowledgement, 0U ) << "it has heard nothing yet";
  EXPECT_FALSE( pulse.beat_due( start + 229ms ) ) << "and does not hurry to make up for it";
  EXPECT_TRUE( pulse.beat_due( start + 230ms ) );
}

TEST( Pulse, ThreeMissesRaiseSuspicion )
{
  const Pulse pulse { { .beat = 100ms, .misses = 3 }, start };
  EXPECT_FALSE( pulse.suspicious( start + 300ms ) );
  EXPECT_TRUE( pulse.suspicious( start + 300ms + 1ns ) );
  EXPECT_EQ( pulse.suspicion(), start + 300ms + 1ns ) << "the very moment, so that a timer set for it is not early";
}

TEST( Pulse, TheNumberOfMissesIsAMatterOfTaste )
{
  const Pulse pulse { { .beat = 100ms, .misses = 5 }, start };
  EXPECT_FALSE( pulse.suspicious( start + 500ms ) );
  EXPECT_TRUE( pulse.suspicious( start + 501ms ) );
}

TEST( Pulse, SilenceIsMeasuredAgainstThePeersOwnInterval )
{
  Pulse pulse { { .beat = 100ms, .misses = 3 }, start };
  pulse.peer_beats_every( 10s );
  EXPECT_FALSE( pulse.suspicious( start + 30s ) );
  EXPECT_TRUE( pulse.suspicious( start + 30s + 1ms ) );
  EXPECT_EQ( pulse.next_beat(), start + 100ms ) << "ours is not the peer's";
}

TEST( Pulse, AnyByteIsASignOfLife )
{
  Pulse pulse { { .beat = 100ms, .misses = 3 }, start };
  for ( Duration at = 250ms; at < 10s; at += 250ms ) {
    EXPECT_FALSE( pulse.suspicious( start + at ) );
    pulse.heard( start + at ); // never a heartbeat, only a trickle
    EXPECT_EQ( pulse.silence( start + at ), 0s );
  }
  pulse.heard( start + 20s );
  EXPECT_FALSE( pulse.suspicious( start + 20s ) ) << "suspicion ends as soon as the peer speaks";
}

TEST( Pulse, OurOwnLatenessIsNotThePeersSilence )
{
  Pulse pulse { { .beat = 100ms, .misses = 3 }, start };
  pulse.heard( start + 50ms );
  // Suspended for an hour, right after that.
  EXPECT_TRUE( pulse.suspicious( start + 1h + 60ms ) );
  pulse.excuse( 1h, start + 1h + 60ms );
  EXPECT_FALSE( pulse.suspicious( start + 1h + 60ms ) );
  EXPECT_FALSE( pulse.suspicious( start + 1h + 350ms ) );
  EXPECT_TRUE( pulse.suspicious( start + 1h + 351ms ) ) << "but no more than the time we were late";
}

TEST( Pulse, ALinkThatNobodyReplacedIsGivenUpInTheEnd )
{
  Pulse pulse { { .beat = 100ms, .misses = 3, .patience = 30s }, start };
  EXPECT_FALSE( pulse.hopeless( start + 30s ) );
  EXPECT_TRUE( pulse.hopeless( start + 30s + 1ns ) );
  pulse.peer_beats_every( 1min );
  EXPECT_FALSE( pulse.hopeless( start + 9min ) ) << "a peer that speaks rarely is given longer";
  EXPECT_TRUE( pulse.hopeless( start + 9min + 1ns ) );
}

TEST( Pulse, AnExcuseNeverReachesIntoTheFuture )
{
  Pulse pulse { { .beat = 100ms, .misses = 3 }, start };
  pulse.heard( start + 1h ); // it spoke as soon as we were back, and only then we noticed how late we were
  pulse.excuse( 1h, start + 1h );
  EXPECT_EQ( pulse.silence( start + 1h ), 0s );
  EXPECT_TRUE( pulse.suspicious( start + 1h + 301ms ) );
}

// -- the round trip ----------------------------------------------------------------------------------------------

// Two pulses on two machines whose clocks have nothing to do with each other.
struct Machines
{
  Pulse here { {}, start };
  Pulse there { {}, start - 4h };
  static Time their_clock( Time ours ) { return ours - 4h; }

  // A heartbeat from us at `now`, and one from them that leaves `held` after it arrived.
  void exchange( Time now, Duration way_there, Duration held, Duration way_back )
  {
    there.heartbeat_heard( here.beat( now ), their_clock( now + way_there ) );
    const auto answer = there.beat( their_clock( now + way_there + held ) );
    here.heartbeat_heard( answer, now + way_there + held + way_back );
  }
};

TEST( Pulse, ARoundTripIsMeasuredWithoutAnAnswer )
{
  Machines machines;
  EXPECT_EQ( machines.here.round_trip(), 0s );
  machines.exchange( start + 100ms, 20ms, 73ms, 30ms );
  EXPECT_EQ( machines.here.round_trip(), 50ms );
  EXPECT_EQ( machines.there.round_trip(), 0s ) << "they have not been answered yet";
  machines.exchange( start + 300ms, 20ms, 1ms, 30ms );
  EXPECT_EQ( machines.there.round_trip(), 300ms - 73ms - 20ms - 100ms + 20ms - 77ms ) << "30 ms back, 20 ms there";
}

TEST( Pulse, OneLateHeartbeatDoesNotCountForMuch )
{
  Machines machines;
  Time now = start;
  for ( int i = 0; i < 20; ++i ) {
    machines.exchange( now += 100ms, 5ms, 0ms, 5ms );
  }
  EXPECT_EQ( machines.here.round_trip(), 10ms );
  machines.exchange( now += 100ms, 5ms, 0ms, 85ms );
  EXPECT_EQ( machines.here.round_trip(), 20ms ); // an eighth of it
  for ( int i = 0; i < 60; ++i ) {
    machines.exchange( now += 100ms, 100ms, 0ms, 100ms );
  }
  EXPECT_NEAR( static_cast<double>( machines.here.round_trip().count() ), 200e6, 1e6 ) << "but a longer path does";
}

TEST( Pulse, StampsThatCannotBeAreIgnored )
{
  Machines machines;
  machines.exchange( start + 100ms, 5ms, 0ms, 5ms );
  const auto now = start + 200ms;
  const std::uint64_t clock = 18'000'200'000;
  const std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
  for ( const auto& [echo, age] : { std::pair<std::uint64_t, std::uint32_t> { clock + 1, 0 }, // from the future
                                    { most, 0 },
                                    { 1, 0 }, // five hours ago
                                    { clock - 60'000'001, 0 },
                                    { clock - 10, 11 }, // held for longer than it exists
                                    { clock, 0xffffffff },
                                    { 0, 0 } } ) { // nothing to echo
    machines.here.heartbeat_heard(
      { .type = FrameType::heartbeat, .window = age, .sequence = most, .acknowledgement = echo }, now );
    EXPECT_EQ( machines.here.round_trip(), 10ms ) << echo << ' ' << age;
  }
  machines.here.heartbeat_heard( { .type = FrameType::heartbeat, .acknowledgement = clock - 60'000'000 }, now );
  EXPECT_GT( machines.here.round_trip(), 7s ) << "a minute is believed";
}

TEST( Pulse, AnEchoHeldForVeryLongIsStillAnEcho )
{
  Pulse pulse { { .beat = 2h, .misses = 3 }, start };
  pulse.heartbeat_heard( { .type = FrameType::heartbeat, .sequence = 42 }, start );
  const auto beat = pulse.beat( start + 2h );
  EXPECT_EQ( beat.acknowledgement, 42U );
  EXPECT_EQ( beat.window, std::numeric_limits<std::uint32_t>::max() ) << "7,200 seconds do not fit";
  EXPECT_EQ( pulse.beat( start + 71min ).window, 4'260'000'000U );
}

TEST( Pulse, IsLookedAtWithinABeatWhateverHappens )
{
  Pulse pulse { {}, start };
  EXPECT_EQ( pulse.next_look( start, true ), start + 100ms );
  // A link that takes no bytes has no beat to send. Were it looked at no sooner than suspicion, then a machine that
  // sleeps would wake up suspicious: all but the moment of waking would count as the peer's silence.
  EXPECT_EQ( pulse.next_look( start + 50ms, false ), start + 150ms );
  EXPECT_EQ( pulse.next_look( start + 250ms, false ), start + 300ms + 1ns );
  EXPECT_EQ( pulse.next_look( start + 400ms, false ), start + 500ms );

  const Time due = pulse.next_look( start, false );
  const Time awake = due + 1h;
  pulse.excuse( awake - due, awake );
  EXPECT_FALSE( pulse.suspicious( awake ) );
  EXPECT_FALSE( pulse.suspicious( awake + 199ms ) ) << "the peer gets the time to be heard";
}

} // namespace
} // namespace holdfast
