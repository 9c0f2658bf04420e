#pragma once

#include "core/time.hh"

#include <algorithm>
#include <optional>

namespace holdfast {

// When to try the way that the kernel prefers now, while the link still works on another one. A network that comes
// up changes several times in a moment (address, route, a better route), so the preference must have stood for a
// while: 50 ms the first time. Who tried a moment ago waits longer, twice as long each time, so that a route that
// flaps does not carry the link back and forth, and a preferred way that leads nowhere is tried twice a minute.
class Settling
{
public:
  struct Config
  {
    Duration first = std::chrono::milliseconds { 50 };
    Duration again = std::chrono::seconds { 1 };
    Duration again_max = std::chrono::seconds { 30 };
    Duration calm = std::chrono::seconds { 60 }; // without a try, after which the next change is the first again
  };

  explicit Settling( Config config ) : config_( config ) {}

  // Whether the kernel would now take another way than the link's.
  void prefers_another( bool another, Time now )
  {
    if ( not another ) {
      since_.reset();
    } else if ( not since_ ) {
      since_ = now;
    }
  }
  // When to try it.
  [[nodiscard]] Time due() const { return since_ ? *since_ + patience( *since_ ) : never; }
  // It is being tried.
  void tried( Time now )
  {
    const bool is_first = not tried_ or now - *tried_ >= config_.calm;
    again_ = is_first ? config_.again : std::min( again_ * 2, config_.again_max );
    tried_ = now;
    since_ = now;
  }

private:
  [[nodiscard]] Duration patience( Time since ) const
  {
    const bool is_first = not tried_ or since - *tried_ >= config_.calm;
    return is_first ? config_.first : again_;
  }

  Config config_;
  std::optional<Time> since_ {}; // another way is preferred, or was tried and still is
  std::optional<Time> tried_ {};
  Duration again_ {};
};

} // namespace holdfast
