#pragma once

#include "core/settling.hh"
#include "net/network_news.hh"
#include "net/routes.hh"
#include "proxy/link_leg.hh"
#include "proxy/log.hh"

namespace holdfast {

// Watches the way that cproxy's link goes: says when there is news of the network, whether the link's own address
// is still ours, and when the kernel has come to prefer another way, for long enough to be tried.
class PathWatch
{
public:
  PathWatch( Loop& loop, Log& log );

  // To be asked once a turn: whether it is time to look.
  [[nodiscard]] bool news( Time now ) { return news_.due( now ); }

  // This link carries the tunnel from now on. `interface`: it was made to go through this one; 0: as the kernel
  // preferred.
  void link_found( const LinkLeg& link, unsigned interface, Time now );
  // How things are now, for this link.
  void look( const LinkLeg& link, Time now );
  // Another way is preferred, and has been for long enough. Asked once, it counts as tried.
  [[nodiscard]] bool is_time_for_another( const LinkLeg& link, Time now );

  // With or without a link.
  [[nodiscard]] Time deadline( bool linked ) const
  {
    return linked ? std::min( news_.deadline(), settling_.due() ) : news_.deadline();
  }

private:
  [[nodiscard]] bool prefers_another( const LinkLeg& link );

  NetworkNews news_;
  Routes routes_ {};
  Settling settling_ { {} };
  unsigned interface_ = 0; // of the link; 0: unknown
};

// One line for a person if news cannot be had.
void tell_if_deaf( const NetworkNews& news, Log& log );

} // namespace holdfast
