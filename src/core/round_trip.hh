#pragma once

#include "core/time.hh"

#include <chrono>

namespace holdfast {

// How long it takes to the other side and back; 0 before the first measurement. All that happens on the way counts:
// bytes that wait in front, and both sides' turns. The least of the last while is what remains when there is little
// of that.
struct RoundTrip
{
  template<class Rep, class Period>
  RoundTrip( std::chrono::duration<Rep, Period> one ) : RoundTrip( one, one )
  {}
  RoundTrip( Duration usual_one, Duration least_one ) : usual( usual_one ), least( least_one ) {}

  Duration usual {}; // smoothed
  Duration least {};
};

} // namespace holdfast
