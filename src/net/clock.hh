#pragma once

#include "core/time.hh"

#include <ctime>
#include <utility>

namespace holdfast {

// CLOCK_BOOTTIME: counts on during suspend, never stepped (clock_gettime(2)).
inline Time read_clock()
{
  timespec now {};
  ::clock_gettime( CLOCK_BOOTTIME, &now );
  return Time { std::chrono::seconds { now.tv_sec } + std::chrono::nanoseconds { now.tv_nsec } };
}

// CLOCK_MONOTONIC: stands still during suspend.
inline Time read_monotonic_clock()
{
  timespec now {};
  ::clock_gettime( CLOCK_MONOTONIC, &now );
  return Time { std::chrono::seconds { now.tv_sec } + std::chrono::nanoseconds { now.tv_nsec } };
}

// Tells sleep from work: by how much more CLOCK_BOOTTIME went on than CLOCK_MONOTONIC, the machine was suspended. A
// process that was only stopped, or starved of processor time, sees both go on.
class SleepGauge
{
public:
  SleepGauge( Time boottime, Time monotonic ) : ahead_( boottime - monotonic ) {}

  // How long it slept since it was asked last. Less than `least` is the time between reading the two clocks.
  [[nodiscard]] Duration slept( Time boottime, Time monotonic )
  {
    constexpr Duration least = std::chrono::milliseconds { 500 };
    const Duration before = std::exchange( ahead_, boottime - monotonic );
    return ahead_ - before >= least ? ahead_ - before : Duration {};
  }

private:
  Duration ahead_;
};

} // namespace holdfast
