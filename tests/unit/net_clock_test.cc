#include "net/clock.hh"

#include <gtest/gtest.h>

namespace holdfast {
namespace {

using namespace std::chrono_literals;

// The two clocks of a machine that was started long ago and has slept a day since.
const Time boottime = Time { 100h };
const Time monotonic = Time { 76h };

TEST( SleepGauge, TimeThatBothClocksSawIsNoSleep )
{
  SleepGauge gauge { boottime, monotonic };
  EXPECT_EQ( gauge.slept( boottime + 1ms, monotonic + 1ms ), 0s );
  EXPECT_EQ( gauge.slept( boottime + 1h, monotonic + 1h ), 0s ) << "stopped for an hour";
}

TEST( SleepGauge, TimeThatOneClockDidNotSeeIsSleepAndIsToldOnce )
{
  SleepGauge gauge { boottime, monotonic };
  EXPECT_EQ( gauge.slept( boottime + 8h, monotonic + 10ms ), 8h - 10ms );
  EXPECT_EQ( gauge.slept( boottime + 8h + 1s, monotonic + 10ms + 1s ), 0s );
  EXPECT_EQ( gauge.slept( boottime + 9h + 1s, monotonic + 10ms + 1s ), 1h );
}

TEST( SleepGauge, BeingInterruptedBetweenTheTwoClocksIsNoSleep )
{
  SleepGauge gauge { boottime, monotonic };
  EXPECT_EQ( gauge.slept( boottime, monotonic + 100ms ), 0s );
  EXPECT_EQ( gauge.slept( boottime + 1s, monotonic + 1s ), 0s );
}

} // namespace
} // namespace holdfast
