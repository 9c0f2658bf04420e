#pragma once

#include "core/time.hh"

#include <algorithm>
#include <cstdint>
#include <optional>

namespace holdfast {

// When cproxy dials next while it has no link it trusts. A connection attempt that was sent into a black hole is
// not heard of again for seconds (the SYN's timer doubles: 1, 2, 4 s), so a new one is begun at a steady pace
// beside those under way: every 250 ms (RFC 8305 section 5) for more than a minute, slower later, so that an
// unreachable sproxy is not besieged for days. `random` (any number) spreads the later ones. When our own network
// changes, everything begins again: the reason why nothing came through may be gone.
//
// The first dial comes at once; but if link after link is lost right after it was found, somebody on the way breaks
// them, and coming again at once would only be a hundred links a second.
class Redial
{
public:
  struct Config
  {
    Duration pace = std::chrono::milliseconds { 250 };
    Duration eager_for = std::chrono::seconds { 75 }; // an outage of a minute ends as fast as a short one
    Duration pace_max = std::chrono::seconds { 5 };
    Duration short_life = std::chrono::seconds { 1 }; // of a link,
    unsigned short_lives_free = 3;                    // so many of which in a row are bad luck
  };

  explicit Redial( Config config ) : config_( config ) {}

  // A link is needed (again).
  void need( Time now )
  {
    since_ = now;
    pace_ = config_.pace;
    short_lives_ = found_ and now - *found_ < config_.short_life ? short_lives_ + 1 : 0;
    found_.reset();
    next_ = std::max( now, peace_until_ );
    if ( short_lives_ > config_.short_lives_free ) {
      const unsigned doubled = std::min( short_lives_ - config_.short_lives_free - 1, 10U );
      next_ += std::min( config_.pace * ( 1U << doubled ), config_.pace_max );
    }
  }
  void found( Time now )
  {
    found_ = now;
    peace_until_ = {};
  }
  // The peer asked to be left alone for so long.
  void not_before( Time at )
  {
    peace_until_ = std::max( peace_until_, at );
    next_ = std::max( next_, at );
  }
  // Our own network changed: the next dial is due now and the pace is that of the beginning, whatever was before. A
  // peer that asked for peace gets it all the same.
  void hurry( Time now )
  {
    since_ = now;
    pace_ = config_.pace;
    short_lives_ = 0;
    next_ = std::max( now, peace_until_ );
  }
  // Something changed that probably does not concern us: one dial at the pace of the beginning, if that is sooner.
  void hint( Time now )
  {
    next_ = std::max( std::min( next_, std::max( now, dialled_ + config_.pace ) ), peace_until_ );
  }
  // The dial just begun has come to nothing already, and there is another address to try (RFC 8305, section 5).
  void failed_at_once( Time now ) { next_ = std::max( now, peace_until_ ); }
  [[nodiscard]] Time next() const { return next_; }
  void dialled( Time now, std::uint64_t random )
  {
    if ( now - since_ > config_.eager_for ) {
      pace_ = std::min( pace_ * 3 / 2, config_.pace_max );
    }
    dialled_ = now;
    const auto jitter = static_cast<std::int64_t>( random % 256 ); // up to a quarter more
    next_ = now + pace_ + pace_ * jitter / 1024;
  }

private:
  Config config_;
  Time since_ {};
  std::optional<Time> found_ {}; // the link there is
  unsigned short_lives_ = 0;     // of links in a row
  Time next_ = never;
  Time dialled_ {};
  Time peace_until_ {};
  Duration pace_ {};
};

} // namespace holdfast
