// One direction of the emulated network, played with by hand: every time is an argument.

#include "wan/commands.hh"

#include <gmock/gmock.h>

namespace holdfast::wan {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const Time start { 100s };

Path::FrameBytes frame( std::size_t size, int mark = 0 )
{
  return Path::FrameBytes( size, static_cast<std::byte>( mark ) );
}

void enter( Path& path, Path::FrameBytes bytes, Time now )
{
  const std::size_t size = bytes.size();
  path.enter( std::move( bytes ), size, now );
}

// The marks of all frames that have left until `now`.
std::vector<int> marks( Path& path, Time now )
{
  std::vector<int> seen;
  while ( const auto left = path.leave( now ) ) {
    seen.push_back( std::to_integer<int>( left->front() ) );
  }
  return seen;
}

TEST( Path, DelaysEveryFrameByTheSameTime )
{
  Path path { 1 };
  path.conditions().delay = 50ms;
  enter( path, frame( 100, 1 ), start );
  enter( path, frame( 100, 2 ), start + 10ms );
  EXPECT_EQ( path.deadline(), start + 50ms );
  EXPECT_FALSE( path.leave( start + 50ms - 1ns ) );
  EXPECT_EQ( marks( path, start + 50ms ), std::vector { 1 } );
  EXPECT_EQ( path.deadline(), start + 60ms );
  EXPECT_EQ( marks( path, start + 60ms ), std::vector { 2 } );
  EXPECT_EQ( path.deadline(), never );
}

TEST( Path, LetsThroughWhatTheBottleneckLetsThrough )
{
  Path path { 1 };
  path.conditions().bytes_per_second = 1e6;
  path.conditions().delay = 5ms;
  for ( int i = 0; i < 10; ++i ) {
    enter( path, frame( 1000, i ), start ); // 1 ms each
  }
  EXPECT_EQ( path.queued( start ), 10000U );
  EXPECT_EQ( path.queued( start + 4ms ), 6000U );
  EXPECT_EQ( marks( path, start + 8ms ), ( std::vector { 0, 1, 2 } ) );
  EXPECT_EQ( marks( path, start + 15ms ).size(), 7U );
  enter( path, frame( 1000 ), start + 1s ); // the bottleneck saves nothing up
  enter( path, frame( 1000 ), start + 1s );
  EXPECT_EQ( marks( path, start + 1s + 6ms ).size(), 1U );
}

TEST( Path, LosesWhatItsQueueDoesNotHold )
{
  Path path { 1 };
  path.conditions().bytes_per_second = 1e6;
  path.conditions().queue = 2500;
  for ( int i = 0; i < 5; ++i ) {
    enter( path, frame( 1000, i ), start );
  }
  EXPECT_EQ( path.counters().overflowed, 3U );
  EXPECT_EQ( marks( path, start + 1s ), ( std::vector { 0, 1 } ) );
  enter( path, frame( 9000, 7 ), start + 1s ); // larger than the queue, but nobody waits
  EXPECT_EQ( marks( path, start + 2s ), std::vector { 7 } );
}

TEST( Path, LosesTheShareItIsToldTo )
{
  Path path { 1 };
  path.conditions().loss = 0.1;
  for ( int i = 0; i < 10000; ++i ) {
    enter( path, frame( 1 ), start );
  }
  EXPECT_NEAR( static_cast<double>( path.counters().lost ), 1000, 100 );
  EXPECT_EQ( marks( path, start ).size() + path.counters().lost, 10000U );
}

TEST( Path, JitterKeepsTheOrderUnlessItMayNot )
{
  for ( const bool reorder : { false, true } ) {
    Path path { 1 };
    path.conditions().jitter = 20ms;
    path.conditions().reorder = reorder;
    for ( int i = 0; i < 100; ++i ) {
      enter( path, frame( 1, i ), start + i * 1ms );
    }
    const auto seen = marks( path, start + 1s );
    ASSERT_EQ( seen.size(), 100U );
    EXPECT_EQ( std::ranges::is_sorted( seen ), not reorder );
  }
}

TEST( Path, ABlackHoleSwallowsWhatEntersAndNotWhatIsUnderWay )
{
  Path path { 1 };
  path.conditions().delay = 50ms;
  enter( path, frame( 1, 1 ), start );
  path.conditions().hole = true;
  enter( path, frame( 1, 2 ), start );
  path.conditions().hole = false;
  enter( path, frame( 1, 3 ), start );
  EXPECT_EQ( marks( path, start + 1s ), ( std::vector { 1, 3 } ) );
  EXPECT_EQ( path.counters().swallowed, 1U );
}

TEST( Path, AShorterDelayLetsNothingOvertake )
{
  Path path { 1 };
  path.conditions().delay = 50ms;
  enter( path, frame( 1, 1 ), start );
  path.conditions().delay = 1ms;
  enter( path, frame( 1, 2 ), start );
  EXPECT_FALSE( path.leave( start + 49ms ) );
  EXPECT_EQ( marks( path, start + 50ms ), ( std::vector { 1, 2 } ) );
}

TEST( Commands, ChangeOneDirectionOrBoth )
{
  Paths paths;
  EXPECT_EQ( obey( paths, "delay 50ms" ), "ok" );
  EXPECT_EQ( obey( paths, "ba delay 0.02s" ), "ok" );
  EXPECT_EQ( obey( paths, "ab rate 1gbit" ), "ok" );
  EXPECT_EQ( obey( paths, "both loss 1%" ), "ok" );
  EXPECT_EQ( obey( paths, "ab jitter 5ms reorder" ), "ok" );
  EXPECT_EQ( obey( paths, "queue 8MiB" ), "ok" );
  EXPECT_EQ( obey( paths, "ba hole on" ), "ok" );
  const Conditions& ab = paths.path[0].conditions();
  const Conditions& ba = paths.path[1].conditions();
  EXPECT_EQ( ab.delay, 50ms );
  EXPECT_EQ( ba.delay, 20ms );
  EXPECT_DOUBLE_EQ( ab.bytes_per_second, 125e6 );
  EXPECT_DOUBLE_EQ( ba.bytes_per_second, 0 );
  EXPECT_DOUBLE_EQ( ba.loss, 0.01 );
  EXPECT_EQ( ab.jitter, 5ms );
  EXPECT_TRUE( ab.reorder );
  EXPECT_EQ( ba.queue, 8U << 20U );
  EXPECT_FALSE( ab.hole );
  EXPECT_TRUE( ba.hole );
  EXPECT_EQ( obey( paths, "ab rate none" ), "ok" );
  EXPECT_DOUBLE_EQ( ab.bytes_per_second, 0 );
}

TEST( Commands, RefuseWhatMakesNoSense )
{
  Paths paths;
  for ( const char* line : { "",
                             "ab",
                             "delay",
                             "delay 50",
                             "delay -1ms",
                             "delay 5ms 5ms",
                             "loss 200%",
                             "loss nan",
                             "rate 0gbit",
                             "hole maybe",
                             "queue lots",
                             "fly me",
                             "stats now" } ) {
    EXPECT_THAT( obey( paths, line ), StartsWith( "error: " ) ) << line;
  }
}

TEST( Commands, TellWhatHappened )
{
  Paths paths;
  enter( paths.path[0], frame( 60 ), start );
  EXPECT_TRUE( paths.path[0].leave( start + 3us ) );
  EXPECT_THAT( obey( paths, "stats" ), HasSubstr( "ab entered=1 arrived=1 bytes=60 lost=0" ) );
  EXPECT_THAT( obey( paths, "stats" ), HasSubstr( "late_most_us=3" ) );
}

} // namespace
} // namespace holdfast::wan
