#pragma once

#include "net/fd.hh"
#include "net/netlink.hh"

#include <cstdint>
#include <optional>
#include <vector>

namespace holdfast {

// What the kernel answers about routes. Asked over rtnetlink(7), which answers before sendto(2) returns: nobody
// waits, and a question costs some microseconds. It takes no privilege. Where there is no netlink (a container may
// forbid it), nothing is known, which reads as no route.
class Routes
{
public:
  Routes();

  // The way that a connection to this address would take now.
  [[nodiscard]] std::optional<Route> to( const Address& address );
  // Whether the tables have a route to it through this interface, though another one may be better.
  [[nodiscard]] bool lead_through( unsigned interface, const Address& address );

private:
  [[nodiscard]] std::optional<Route> ask( const Address& address, unsigned interface );

  Fd socket_;
  std::uint32_t number_ = 0; // of the latest question
};

// False only if the kernel says that this is no address of this machine: bind(2) is refused with EADDRNOTAVAIL,
// whatever rules and tables routes come from. An IPv6 address that is still being checked for duplicates is not one
// yet.
[[nodiscard]] bool is_local( const Address& address );

// An interface that has an address of this family, is up and has a carrier; never the loopback.
struct Interface
{
  unsigned index = 0;
  int family = 0;
  auto operator<=>( const Interface& ) const = default;
};
// Sorted, each once.
[[nodiscard]] std::vector<Interface> usable_interfaces();

} // namespace holdfast
