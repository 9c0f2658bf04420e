#include "net/routes.hh"

#include <ifaddrs.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <string_view>

namespace holdfast {

namespace {

constexpr std::size_t answer_max = 4096;       // a route has a few hundred bytes, one with 64 ways 2 KiB
constexpr unsigned has_carrier = 1U << 16U;    // IFF_LOWER_UP, which net/if.h does not have (netdevice(7))
constexpr unsigned answers_read_at_once = 100; // late ones to earlier questions, of which there should be none

// IPv4 inside IPv6, as sockets for both families have it, is IPv4; port 0.
Address bindable( const Address& address )
{
  if ( address.family() == AF_INET ) {
    sockaddr_in in {};
    std::memcpy( &in, &address.storage, sizeof in );
    in.sin_port = 0;
    Address plain;
    std::memcpy( &plain.storage, &in, sizeof in );
    plain.length = sizeof in;
    return plain;
  }
  sockaddr_in6 in6 {};
  std::memcpy( &in6, &address.storage, sizeof in6 );
  if ( IN6_IS_ADDR_V4MAPPED( &in6.sin6_addr ) ) {
    sockaddr_in in {};
    in.sin_family = AF_INET;
    std::memcpy( &in.sin_addr, &in6.sin6_addr.s6_addr[12], sizeof in.sin_addr );
    Address plain;
    std::memcpy( &plain.storage, &in, sizeof in );
    plain.length = sizeof in;
    return plain;
  }
  in6.sin6_port = 0;
  Address plain = address;
  std::memcpy( &plain.storage, &in6, sizeof in6 );
  return plain;
}

} // namespace

Routes::Routes() : socket_( ::socket( AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE ) ) {}

std::optional<Route> Routes::to( const Address& address )
{
  return ask( address, 0 );
}

bool Routes::lead_through( unsigned interface, const Address& address )
{
  return ask( address, interface ).has_value();
}

std::optional<Route> Routes::ask( const Address& address, unsigned interface )
{
  const auto question = route_question( address, interface, ++number_ );
  sockaddr_nl kernel {};
  kernel.nl_family = AF_NETLINK;
  const auto sent = ::sendto( socket_.get(),
                              question.data(),
                              question.size(),
                              MSG_DONTWAIT,
                              reinterpret_cast<const sockaddr*>( &kernel ),
                              sizeof kernel );
  if ( sent < 0 ) {
    return std::nullopt;
  }
  std::array<std::byte, answer_max> answer;
  for ( unsigned i = 0; i < answers_read_at_once; ++i ) {
    const auto got = ::recv( socket_.get(), answer.data(), answer.size(), MSG_DONTWAIT );
    if ( got < 0 ) {
      return std::nullopt;
    }
    const auto datagram = std::span { answer }.first( static_cast<std::size_t>( got ) );
    if ( number_of_answer( datagram ) == number_ ) {
      return route_in( datagram );
    }
  }
  return std::nullopt;
}

bool is_local( const Address& address )
{
  const Address ours = bindable( address );
  const Fd trial { ::socket( ours.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0 ) };
  return not trial or ::bind( trial.get(), ours.raw(), ours.length ) == 0 or errno != EADDRNOTAVAIL;
}

std::vector<Interface> usable_interfaces()
{
  ifaddrs* list = nullptr;
  if ( ::getifaddrs( &list ) != 0 ) {
    return {};
  }
  const std::unique_ptr<ifaddrs, decltype( &::freeifaddrs )> owner { list, ::freeifaddrs };
  constexpr unsigned wanted = static_cast<unsigned>( IFF_UP ) | static_cast<unsigned>( IFF_RUNNING ) | has_carrier;
  std::map<std::string_view, unsigned> indexes; // if_nametoindex(3) asks with ioctl(2), which the sandbox refuses
  for ( const ifaddrs* each = list; each != nullptr; each = each->ifa_next ) {
    if ( each->ifa_addr != nullptr and each->ifa_addr->sa_family == AF_PACKET ) {
      sockaddr_ll link {};
      std::memcpy( &link, each->ifa_addr, sizeof link );
      indexes[each->ifa_name] = static_cast<unsigned>( link.sll_ifindex );
    }
  }
  std::vector<Interface> interfaces;
  for ( const ifaddrs* each = list; each != nullptr; each = each->ifa_next ) {
    const int family = each->ifa_addr == nullptr ? AF_UNSPEC : each->ifa_addr->sa_family;
    if ( ( family == AF_INET or family == AF_INET6 ) and ( each->ifa_flags & wanted ) == wanted
         and ( each->ifa_flags & static_cast<unsigned>( IFF_LOOPBACK ) ) == 0 ) {
      interfaces.push_back( { .index = indexes[each->ifa_name], .family = family } );
    }
  }
  std::ranges::sort( interfaces );
  interfaces.erase( std::unique( interfaces.begin(), interfaces.end() ), interfaces.end() );
  return interfaces;
}

} // namespace holdfast
