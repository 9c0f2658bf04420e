#pragma once

#include "core/time.hh"

#include <algorithm>
#include <cstdint>

namespace holdfast {

// When cproxy dials next while it has no link it trusts. A connection attempt that was sent into a black hole is
// not heard of again for seconds (the SYN's timer doubles: 1, 2, 4 s), so a new one is begun at a steady pace
// beside those under way: every 250 ms (RFC 8305 section 5) for the first half minute, slower later, so that an
// unreachable sproxy is not besieged for days. `random` (any number) spreads the later ones.
class Redial
{
public:
  struct Config
  {
    Duration pace = std::chrono::milliseconds { 250 };
    Duration eager_for = std::chrono::seconds { 30 };
    Duration pace_max = std::chrono::seconds { 5 };
  };

  explicit Redial( Config config ) : config_( config ) {}

  // A link is needed (again): dial at once.
  void need( Time now )
  {
    since_ = now;
    next_ = now;
    pace_ = config_.pace;
  }
  // The peer asked to be left alone for so long.
  void not_before( Time at ) { next_ = std::max( next_, at ); }
  [[nodiscard]] Time next() const { return next_; }
  void dialled( Time now, std::uint64_t random )
  {
    if ( now - since_ > config_.eager_for ) {
      pace_ = std::min( pace_ * 3 / 2, config_.pace_max );
    }
    const auto jitter = static_cast<std::int64_t>( random % 256 ); // up to a quarter more
    next_ = now + pace_ + pace_ * jitter / 1024;
  }

private:
  Config config_;
  Time since_ {};
  Time next_ = never;
  Duration pace_ {};
};

} // namespace holdfast
