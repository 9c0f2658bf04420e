#pragma once

#include "core/time.hh"

#include <ctime>

namespace holdfast {

// CLOCK_BOOTTIME: counts on during suspend, never stepped (clock_gettime(2)).
inline Time read_clock()
{
  timespec now {};
  ::clock_gettime( CLOCK_BOOTTIME, &now );
  return Time { std::chrono::seconds { now.tv_sec } + std::chrono::nanoseconds { now.tv_nsec } };
}

} // namespace holdfast
