#pragma once

#include "net/address.hh"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace holdfast {

// The one question that we ask the kernel about routes, and its answer, as bytes (rtnetlink(7), netlink(7)). No
// system call is made here, so the answer can be tested as what it is: bytes from outside.

// By which way packets to an address leave this machine.
struct Route
{
  Address source {};      // which of our addresses they carry; port 0
  unsigned interface = 0; // its index
  bool local = false;     // they do not leave: the address is ours
  bool operator==( const Route& ) const = default;
};

// RTM_GETROUTE: which route would a packet to this address take? With an interface: is there a route to it in the
// tables that leads through this one? (Without RTM_F_FIB_MATCH, IPv4 answers that question with yes whenever the
// interface exists: asked to use one that has no route, it takes every address for a neighbour there.)
// `number` comes back in the answer.
[[nodiscard]] std::vector<std::byte> route_question( const Address& to, unsigned interface, std::uint32_t number );

// The number of the question that this datagram answers; nothing if it is no whole netlink message.
[[nodiscard]] std::optional<std::uint32_t> number_of_answer( std::span<const std::byte> datagram );

// The route in it. Nothing when there is none: the kernel answered with an error, the route leads nowhere
// (unreachable, blackhole, prohibit, throw), or the bytes are not what they should be. A route that was asked for
// by interface may have neither source nor interface: several ways may share it (RTA_MULTIPATH).
[[nodiscard]] std::optional<Route> route_in( std::span<const std::byte> datagram );

} // namespace holdfast
