#pragma once

#include <chrono>

namespace holdfast {

// Time as the core sees it: a number that somebody else reads from a clock and passes down. The shell reads
// CLOCK_BOOTTIME (it goes on during suspend, and nobody can set it; clock_gettime(2)) once a turn; the simulation
// counts for itself. The core never asks what time it is.
struct BootClock
{
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<BootClock>;
  static constexpr bool is_steady = true;
};

using Duration = BootClock::duration;
using Time = BootClock::time_point;

inline constexpr Time never = Time::max(); // the deadline of somebody who waits for nothing

} // namespace holdfast
