#pragma once

#include "core/time.hh"
#include "core/types.hh"

#include <chrono>

namespace holdfast {

// Tells a stream that carries much without a pause from one that somebody types into.
class BulkMeter
{
public:
  // What much is. Below 1 Mbit/s, so that on a slow path half of it counts as well; a screen that is painted anew
  // is less.
  struct Limits
  {
    Position least = 32768; // bytes in each
    Duration span = std::chrono::milliseconds { 500 };
  };

  // How far the stream has come. Call it whenever that may have changed; it makes up its mind once a span.
  void look( Position position, Time now, Limits limits )
  {
    if ( now - since_ < limits.span ) {
      return;
    }
    const auto spans = static_cast<Position>( ( now - since_ ) / limits.span );
    is_bulk_ = since_ != Time {} and position - from_ >= spans * limits.least;
    from_ = position;
    since_ = now;
  }
  [[nodiscard]] bool is_bulk() const { return is_bulk_; }

private:
  Position from_ = 0;
  Time since_ {};
  bool is_bulk_ = false;
};

} // namespace holdfast
