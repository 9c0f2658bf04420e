#pragma once

#include "core/time.hh"

#include <algorithm>

namespace holdfast {

// How often something may be done that others cause: a few times at once, for the first ones should not wait, and
// then one more every so often (a token bucket).
class Allowance
{
public:
  struct Config
  {
    unsigned at_once;
    Duration every;
  };

  explicit Allowance( Config config ) : config_( config ) {}

  // Whether it may be done now; if so, that was one.
  [[nodiscard]] bool take( Time now )
  {
    if ( now < next() ) {
      return false;
    }
    paid_until_ = std::max( paid_until_, now ) + config_.every;
    return true;
  }
  // When it may be done next.
  [[nodiscard]] Time next() const { return paid_until_ - config_.every * ( config_.at_once - 1 ); }

private:
  Config config_;
  Time paid_until_ {}; // each one pays for a stretch of time; `at_once` of them may be ahead
};

} // namespace holdfast
