#include "core/pulse.hh"

#include <gtest/gtest.h>

#include <limits>
#include <map>

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
  // Stopped for three seconds, right after that.
  EXPECT_TRUE( pulse.suspicious( start + 3s + 60ms ) );
  pulse.excuse( 3s, start + 3s + 60ms );
  EXPECT_FALSE( pulse.suspicious( start + 3s + 60ms ) );
  EXPECT_FALSE( pulse.suspicious( start + 3s + 350ms ) );
  EXPECT_TRUE( pulse.suspicious( start + 3s + 351ms ) ) << "but no more than the time we were late";
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

TEST( Pulse, TheLeastRoundTripIsThatOfTheLastWhile )
{
  Machines machines;
  EXPECT_EQ( machines.here.round_trips().least, 0s );
  Time now = start;
  machines.exchange( now += 100ms, 5ms, 0ms, 5ms );
  EXPECT_EQ( machines.here.round_trips().least, 10ms ) << "the only one";
  for ( int i = 0; i < 95; ++i ) {
    machines.exchange( now += 100ms, 50ms, 0ms, 50ms );
    EXPECT_EQ( machines.here.round_trips().least, 10ms ) << "what waits in the way makes no path longer";
  }
  machines.exchange( now += 100ms, 2ms, 0ms, 2ms );
  EXPECT_EQ( machines.here.round_trips().least, 4ms );
  for ( int i = 0; i < 100; ++i ) {
    machines.exchange( now += 100ms, 50ms, 0ms, 50ms );
    EXPECT_EQ( machines.here.round_trips().least, 4ms );
  }
  for ( int i = 0; i < 110; ++i ) {
    machines.exchange( now += 100ms, 50ms, 0ms, 50ms );
  }
  EXPECT_EQ( machines.here.round_trips().least, 100ms ) << "but a longer path does";
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

// -- the pace ----------------------------------------------------------------------------------------------------

TEST( Pulse, BeatsFastForAMinuteAfterTheLastFrameOfASession )
{
  Pulse pulse { {}, start };
  pulse.carried( start + 10min ); // whatever went before
  for ( Time now = start + 10min; now <= start + 11min + 3s; now += 100ms ) {
    EXPECT_EQ( pulse.beat( now ).flags, 0U );
    EXPECT_EQ( pulse.next_beat(), now + 100ms );
  }
}

TEST( Pulse, BeatsMoreAndMoreRarelyWhenNothingHappens )
{
  Pulse pulse { { .idle = 30s }, start };
  struct Pace
  {
    unsigned flags;
    Duration interval;
  };
  for ( const auto& [quiet, pace] : std::initializer_list<std::pair<Duration, Pace>> {
          { 60s + 3199ms, { 0, 100ms } },
          { 60s + 3200ms, { 1, 200ms } },
          { 60s + 6399ms, { 1, 200ms } },
          { 60s + 6400ms, { 2, 400ms } },
          { 60s + 12'800ms, { 3, 800ms } },
          { 60s + 409'599ms, { 7, 12'800ms } },
          { 60s + 409'600ms, { 8, 25'600ms } },
          { 60s + 819'200ms, { 8, 25'600ms } }, // 51.2 s would be more than 30
          { 24h, { 8, 25'600ms } },
        } ) {
    EXPECT_EQ( pulse.beat( start + quiet ).flags, pace.flags ) << quiet.count();
    EXPECT_EQ( pulse.next_beat(), start + quiet + pace.interval ) << quiet.count();
    pulse.heartbeat_heard( { .type = FrameType::heartbeat, .flags = 0x1f, .sequence = 1 }, start + quiet );
    EXPECT_EQ( pulse.next_look( start + quiet, false ), start + quiet + pace.interval )
      << "and is not looked at more often than that";
  }
}

TEST( Pulse, NoBeatTakesLongerThanAnHour )
{
  for ( const Duration beat : std::initializer_list<Duration> { 1ms, 70ms, 1s, 1min, 1h } ) {
    Pulse pulse { { .beat = beat, .idle = 1h }, start };
    const auto last = pulse.beat( start + 365 * 24h );
    const Duration interval = pulse.next_beat() - ( start + 365 * 24h );
    EXPECT_LE( interval, 1h );
    EXPECT_GT( 2 * interval, Duration { 1h } );
    EXPECT_EQ( interval, beat * ( 1 << last.flags ) );
  }
}

TEST( Pulse, WhoeverWantsItSteadyGetsItSteady )
{
  for ( const Duration idle : std::initializer_list<Duration> { 100ms, 199ms, 10ms, 0ms } ) {
    Pulse pulse { { .beat = 100ms, .idle = idle }, start };
    EXPECT_EQ( pulse.beat( start + 24h ).flags, 0U ) << idle.count();
    EXPECT_EQ( pulse.next_beat(), start + 24h + 100ms );
  }
}

FrameHeader heartbeat( unsigned flags )
{
  return { .type = FrameType::heartbeat, .flags = static_cast<std::uint8_t>( flags ), .sequence = 1 };
}

// So many, each so long after the one before. Returns when the last one came.
Time heartbeats_heard( Pulse& pulse, Time now, int count, Duration apart, unsigned flags = 0 )
{
  for ( int i = 0; i < count; ++i ) {
    pulse.heartbeat_heard( heartbeat( flags ), now += apart );
  }
  return now;
}

TEST( Pulse, SilenceIsMeasuredAgainstThePaceThatThePeerAnnounced )
{
  Pulse pulse { {}, start };
  pulse.heard( start );
  pulse.heartbeat_heard( heartbeat( 8 ), start );
  EXPECT_FALSE( pulse.suspicious( start + 76'800ms ) );
  EXPECT_TRUE( pulse.suspicious( start + 76'801ms ) );
  EXPECT_FALSE( pulse.hopeless( start + 230'400ms ) );
  EXPECT_TRUE( pulse.hopeless( start + 230'401ms ) );
  pulse.heartbeat_heard( heartbeat( 0 ), start );
  EXPECT_TRUE( pulse.suspicious( start + 301ms ) );
}

TEST( Pulse, APaceThatCannotBeIsTakenForAnHour )
{
  for ( const Duration beat : std::initializer_list<Duration> { 1ms, 100ms, 1h } ) {
    Pulse pulse { { .misses = 1000 }, start };
    pulse.peer_beats_every( beat );
    pulse.heartbeat_heard( heartbeat( 0xff ), start ); // unknown flags are ignored, and the step is 31
    const Duration limit = 1000 * 1h;
    EXPECT_FALSE( pulse.suspicious( start + limit ) );
    EXPECT_TRUE( pulse.suspicious( start + limit + 1ns ) );
    EXPECT_FALSE( pulse.hopeless( start + 3 * limit ) );
    EXPECT_TRUE( pulse.hopeless( start + 3 * limit + 1ns ) );
  }
}

// A machine that was stopped for seconds, and its path away meanwhile: the kernel's acknowledgements come at once,
// and the peer's bytes when its timer has run out (handover benchmark: 3.3 s instead of 0.4).
TEST( Pulse, AfterAnAbsenceTheKernelsWordDoesNotCountBeforeBytesHaveCome )
{
  Pulse pulse { {}, start };
  const Time back = start + 4s;
  pulse.excuse( 4s, back );
  pulse.seen( back + 290ms );
  EXPECT_FALSE( pulse.suspicious( back + 290ms ) );
  EXPECT_TRUE( pulse.suspicious( back + 310ms ) );

  pulse.heard( back + 310ms );
  pulse.seen( back + 600ms );
  EXPECT_FALSE( pulse.suspicious( back + 700ms ) );
}

// -- back to fast ------------------------------------------------------------------------------------------------

// A link with a way of 25 ms that has been quiet for an hour, and two machines that know nothing else of each
// other.
struct QuietLink
{
  static constexpr Duration way = 25ms;
  Pulse here { {}, start };
  Pulse there { {}, start };
  Time now = start;

  QuietLink()
  {
    struct UnderWay
    {
      Pulse* to;
      FrameHeader heartbeat;
    };
    std::multimap<Time, UnderWay> under_way;
    for ( Time next = now; next < start + 1h; ) {
      now = next;
      if ( here.beat_due( now ) ) {
        under_way.emplace( now + way, UnderWay { &there, here.beat( now ) } );
      }
      if ( there.beat_due( now ) ) {
        under_way.emplace( now + way, UnderWay { &here, there.beat( now ) } );
      }
      next = std::min( here.next_beat(), there.next_beat() );
      while ( not under_way.empty() and under_way.begin()->first <= next ) {
        const auto first = under_way.extract( under_way.begin() );
        arrives( *first.mapped().to, first.mapped().heartbeat, first.key() );
      }
    }
    EXPECT_EQ( here.round_trip(), 2 * way );
  }

  static void arrives( Pulse& pulse, const FrameHeader& heartbeat, Time now )
  {
    pulse.heard( now );
    pulse.heartbeat_heard( heartbeat, now );
  }
};

TEST( Pulse, AfterAQuietHourTheFirstByteMakesBothFast )
{
  QuietLink link;
  const Time now = link.now + 10s;
  EXPECT_FALSE( link.here.beat_due( now ) ) << "the next one is due in a quarter of a minute";
  link.here.carried( now );
  EXPECT_TRUE( link.here.beat_due( now ) ) << "they beat at once";
  EXPECT_EQ( link.here.beat( now ).flags, 0U );
  EXPECT_EQ( link.here.next_beat(), now + 100ms );
  link.there.heard( now + 25ms );
  link.there.carried( now + 25ms );
  EXPECT_TRUE( link.there.beat_due( now + 25ms ) );
  EXPECT_EQ( link.there.beat( now + 25ms ).flags, 0U );
  EXPECT_EQ( link.there.next_beat(), now + 125ms );
}

TEST( Pulse, AFirstByteThatIsLostIsNoticedWithinThreeFastBeatsAndARoundTrip )
{
  QuietLink link;
  const Time now = link.now + 10s;
  link.here.carried( now );
  EXPECT_FALSE( link.here.suspicious( now ) );
  EXPECT_FALSE( link.here.suspicious( now + 50ms + 300ms ) ) << "a round trip, and three beats";
  EXPECT_TRUE( link.here.suspicious( now + 50ms + 301ms ) );
  EXPECT_FALSE( link.here.hopeless( now + 50ms + 30s ) ) << "this is counted from then on, too";
  EXPECT_TRUE( link.here.hopeless( now + 51ms + 30s ) );
}

TEST( Pulse, AWakingPeersSlowBeatsThatWereUnderWayDoNotCount )
{
  QuietLink link;
  const Time now = link.now + 10s;
  link.here.carried( now );
  const auto first = link.here.beat( now );
  FrameHeader slow = heartbeat( 8 );
  link.arrives( link.here, slow, now + 20ms ); // said before it could know
  EXPECT_TRUE( link.here.suspicious( now + 351ms ) );
  // It has heard the heartbeat of the moment, but perhaps not the frame behind it, and says that it stays slow.
  slow.acknowledgement = first.sequence;
  link.arrives( link.here, slow, now + 50ms );
  EXPECT_TRUE( link.here.suspicious( now + 351ms ) );
  // Now it must know, and what it says counts again.
  slow.acknowledgement = link.here.beat( now + 100ms ).sequence;
  link.arrives( link.here, slow, now + 150ms );
  EXPECT_FALSE( link.here.suspicious( now + 76s ) );
}

TEST( Pulse, WhoGoesOnTypingDoesNotPutOffSuspicion )
{
  QuietLink link;
  const Time now = link.now + 10s;
  for ( Duration at = 0s; at < 2min; at += 50ms ) {
    link.here.carried( now + at );
    if ( link.here.beat_due( now + at ) ) {
      EXPECT_EQ( link.here.beat( now + at ).flags, 0U );
    }
    EXPECT_EQ( link.here.suspicious( now + at ), at > 350ms ) << at.count();
  }
}

TEST( Pulse, OneThatIsUnderSuspicionGainsNothingByANewByte )
{
  Pulse pulse { {}, start };
  Time now = start;
  for ( ; now < start + 10min; now += 100ms ) { // the peer has died, and nothing was said for long
    if ( pulse.beat_due( now ) ) {
      (void)pulse.beat( now );
    }
  }
  EXPECT_TRUE( pulse.suspicious( now ) );
  pulse.carried( now );
  EXPECT_TRUE( pulse.suspicious( now ) );
  EXPECT_TRUE( pulse.hopeless( now ) );
  EXPECT_TRUE( pulse.beat_due( now ) );
}

TEST( Pulse, ThePeerMayBeSlowALittleEarlierThanWe )
{
  QuietLink link;
  Time now = link.now;
  link.here.carried( now );
  (void)link.here.beat( now );
  FrameHeader fast = heartbeat( 0 );
  fast.acknowledgement = link.here.beat( now + 100ms ).sequence;
  link.arrives( link.here, fast, now += 150ms );
  link.arrives( link.here, heartbeat( 1 ), now += 100ms );
  EXPECT_FALSE( link.here.suspicious( now + 600ms ) ) << "it said so";
  EXPECT_TRUE( link.here.suspicious( now + 700ms ) );
  link.here.carried( now += 150ms ); // and then one that we say brings it back
  EXPECT_TRUE( link.here.beat_due( now ) );
  EXPECT_TRUE( link.here.suspicious( now + 351ms + link.here.allowance() ) );
}

TEST( Pulse, WhoSleptLooksAtOnceWhetherThePathIsStillThere )
{
  QuietLink link;
  // Suspended a second after the last beat, for an hour.
  const Time due = link.here.next_beat();
  const Time awake = link.now + 1h;
  link.here.excuse( awake - due, awake );
  EXPECT_TRUE( link.here.beat_due( awake ) );
  EXPECT_FALSE( link.here.suspicious( awake + 350ms ) );
  EXPECT_TRUE( link.here.suspicious( awake + 351ms ) );
  EXPECT_FALSE( link.here.hopeless( awake + 200s ) ) << "the peer is as slow as it said";
  // The peer sleeps on, but its kernel acknowledges our beats.
  for ( Duration at = 50ms; at < 20s; at += 100ms ) {
    link.here.seen( awake + at );
    EXPECT_FALSE( link.here.suspicious( awake + at + 99ms ) );
  }
  // Then it says something, and that it beats rarely, and that is all right.
  FrameHeader slow = heartbeat( 8 );
  (void)link.here.beat( awake );
  slow.acknowledgement = link.here.beat( awake + 100ms ).sequence;
  link.arrives( link.here, slow, awake + 20s );
  EXPECT_FALSE( link.here.suspicious( awake + 20s + 76s ) );
}

TEST( Pulse, ABusyMachineDoesNotKeepAQuietLinkAwake )
{
  QuietLink link;
  for ( int i = 0; i < 100; ++i ) {
    link.here.excuse( 1s, link.now );
    EXPECT_FALSE( link.here.beat_due( link.now ) );
  }
}

TEST( Pulse, ASleepIsNotAQuietTime )
{
  Pulse pulse { {}, start };
  pulse.heard( start + 95ms );
  const Time awake = start + 1h; // the lid was closed in the middle of typing
  pulse.excuse( awake - pulse.next_look( start + 95ms, true ), awake );
  EXPECT_EQ( pulse.beat( awake ).flags, 0U );
  EXPECT_EQ( pulse.next_beat(), awake + 100ms );
  EXPECT_FALSE( pulse.suspicious( awake + 300ms ) );
  EXPECT_TRUE( pulse.suspicious( awake + 301ms ) );
}

TEST( Pulse, WhoIsSlowHimselfStillLooksOftenAtOneWhoIsFast )
{
  Pulse pulse { {}, start };
  const Time now = start + 1h;
  pulse.heard( now );
  (void)pulse.beat( now );
  EXPECT_EQ( pulse.next_beat(), now + 25'600ms );
  const Time due = pulse.next_look( now, true );
  EXPECT_EQ( due, now + 100ms ) << "it has not announced that it is slow, too";
  pulse.excuse( 3s, due + 3s ); // we were stopped
  EXPECT_FALSE( pulse.suspicious( due + 3s + 199ms ) );
}

// -- what the kernel sees ----------------------------------------------------------------------------------------

TEST( Pulse, ASegmentThatTheKernelSawPutsOffSuspicionButNotForEver )
{
  Pulse pulse { { .patience = 30s }, start };
  for ( Duration at = 300ms; at <= 9900ms; at += 300ms ) {
    EXPECT_TRUE( pulse.suspicious( start + at + 1ms ) );
    pulse.seen( start + at );
    EXPECT_FALSE( pulse.suspicious( start + at + 300ms ) );
  }
  pulse.seen( start + 1s );
  EXPECT_FALSE( pulse.suspicious( start + 10'200ms ) ) << "what was seen before is no news";
  pulse.seen( start + 20s );
  EXPECT_FALSE( pulse.suspicious( start + 10'300ms ) );
  EXPECT_TRUE( pulse.suspicious( start + 10'301ms ) ) << "a process that was stopped has a kernel that goes on";
  EXPECT_FALSE( pulse.hopeless( start + 30s ) );
  EXPECT_TRUE( pulse.hopeless( start + 30'001ms ) );
  EXPECT_EQ( pulse.silence( start + 30s ), 30s );
}

TEST( Pulse, AKernelWhosePeerShouldHaveWokenUpIsNotBelievedForLong )
{
  QuietLink link; // three slow beats would be 77 s
  const Time now = link.now + 10s;
  link.here.carried( now );
  link.here.seen( now + 20s );
  EXPECT_FALSE( link.here.suspicious( now + 50ms + 10'300ms ) );
  EXPECT_TRUE( link.here.suspicious( now + 50ms + 10'301ms ) );
}

TEST( Pulse, OurOwnLatenessExcusesWhatTheKernelSawAsWell )
{
  Pulse pulse { {}, start };
  pulse.seen( start + 250ms );
  pulse.excuse( 1s, start + 1s + 400ms );
  EXPECT_FALSE( pulse.suspicious( start + 1s + 550ms ) );
  EXPECT_TRUE( pulse.suspicious( start + 1s + 551ms ) );
}

// A new link on a path of 600 ms: ten segments come at once, the last of them breaks off in the middle of a frame,
// and the next ones come a round trip later. It was once suspected after 300 ms, over and over.
TEST( Pulse, TheRestOfAFrameMayTakeARoundTrip )
{
  Pulse pulse { {}, start };
  pulse.heard( start + 100ms );
  ASSERT_TRUE( pulse.suspicious( start + 401ms ) );
  pulse.awaits_rest( 600ms );
  EXPECT_FALSE( pulse.suspicious( start + 1s ) );
  EXPECT_TRUE( pulse.suspicious( start + 1001ms ) );
  pulse.heard( start + 700ms ); // some of it: all that counts begins anew
  EXPECT_FALSE( pulse.suspicious( start + 1s ) );
  EXPECT_TRUE( pulse.suspicious( start + 1001ms ) );
  pulse.awaits_rest( 1h );
  EXPECT_TRUE( pulse.suspicious( start + 11'001ms ) ) << "no path takes so long";
}

// -- jitter ------------------------------------------------------------------------------------------------------

TEST( Pulse, ACleanPathGetsNoTimeAsAPresent )
{
  Pulse pulse { {}, start };
  for ( int i = 1; i <= 1000; ++i ) {
    pulse.heartbeat_heard( heartbeat( 0 ), start + i * 100ms + ( i % 2 ) * 1ms );
  }
  EXPECT_GT( pulse.allowance(), 3ms );
  EXPECT_LE( pulse.allowance(), 4ms );
}

TEST( Pulse, AnUnsteadyPathGetsTimeAndLosesItAgain )
{
  Pulse pulse { {}, start };
  Time now = start;
  for ( int i = 0; i < 100; ++i ) {
    pulse.heartbeat_heard( heartbeat( 0 ), now += ( i % 2 == 0 ? 160ms : 40ms ) );
  }
  EXPECT_NEAR( static_cast<double>( pulse.allowance().count() ), 4 * 60e6, 2e6 );
  pulse.heard( now );
  EXPECT_FALSE( pulse.suspicious( now + 300ms + 235ms ) );
  EXPECT_TRUE( pulse.suspicious( now + 300ms + 245ms ) );
  heartbeats_heard( pulse, now, 50, 100ms ); // five seconds
  EXPECT_LT( pulse.allowance(), 12ms );
}

TEST( Pulse, ThePatienceWithAnUnsteadyPathHasABound )
{
  Pulse pulse { {}, start };
  Time now = start;
  now = heartbeats_heard( pulse, now, 100, 10h );
  EXPECT_EQ( pulse.allowance(), 300ms );
  heartbeats_heard( pulse, now, 100, 100ms );
  EXPECT_LT( pulse.allowance(), 3ms ) << "and what took hours is forgotten as soon as everything else";
}

TEST( Pulse, HeartbeatsThatWaitBehindDataSayNothingAboutThePath )
{
  Pulse pulse { {}, start };
  Time now = start;
  for ( int i = 0; i < 100; ++i ) {
    pulse.heartbeat_heard( heartbeat( 0 ), now += 3s );
    pulse.carried( now + 1s );
  }
  EXPECT_EQ( pulse.allowance(), 0s );
}

TEST( Pulse, HeartbeatsThatAreSlowOnPurposeSayNothingAboutThePath )
{
  Pulse pulse { {}, start };
  Time now = start;
  now = heartbeats_heard( pulse, now, 100, 500ms, 3 );
  EXPECT_EQ( pulse.allowance(), 0s );
  pulse.heartbeat_heard( heartbeat( 0 ), now += 500ms );
  EXPECT_EQ( pulse.allowance(), 0s ) << "this one came when the one before had said";
}

} // namespace
} // namespace holdfast
