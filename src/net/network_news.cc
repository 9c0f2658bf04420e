#include "net/network_news.hh"

#include "net/error.hh"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>

namespace holdfast {

namespace {

using namespace std::chrono_literals;

// An address that is replaced makes about ten messages, which may wake us one by one; the last of them, a route, is
// the one that counts and must not wait.
constexpr Allowance::Config looks { .at_once = 16, .every = 20ms };
constexpr int messages_max = 4096; // more than the receive buffer has room for

constexpr unsigned groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV4_RULE
                            | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE;

} // namespace

NetworkNews::NetworkNews( Loop& loop )
  : loop_( loop )
  , socket_( ::socket( AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE ) )
  , looks_( looks )
{
  sockaddr_nl address {};
  address.nl_family = AF_NETLINK;
  address.nl_groups = groups;
  if ( not socket_ or ::bind( socket_.get(), reinterpret_cast<sockaddr*>( &address ), sizeof address ) != 0 ) {
    problem_ = error_text( errno );
    return;
  }
  // IPv6's rules have no bit of their own above.
  const int rules_v6 = RTNLGRP_IPV6_RULE;
  ::setsockopt( socket_.get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &rules_v6, sizeof rules_v6 );
  // When messages are lost there are others that wait, which is all that we want to know.
  const int quietly = 1;
  ::setsockopt( socket_.get(), SOL_NETLINK, NETLINK_NO_ENOBUFS, &quietly, sizeof quietly );
  loop_.watch( *this, socket_.get() );
}

NetworkNews::~NetworkNews()
{
  loop_.unwatch( *this ); // before the descriptor closes
}

bool NetworkNews::due( Time now )
{
  if ( not told_ or not looks_.take( now ) ) {
    return false;
  }
  forget_messages(); // before the look: what comes after is news again
  told_ = false;
  loop_.touch( *this );
  return true;
}

void NetworkNews::forget_messages()
{
  char nothing = 0;
  for ( int i = 0; i < messages_max; ++i ) {
    const auto got = ::recv( socket_.get(), &nothing, sizeof nothing, MSG_DONTWAIT | MSG_TRUNC );
    if ( got < 0 and errno != EINTR and errno != ENOBUFS ) {
      return;
    }
  }
}

std::uint32_t NetworkNews::interest() const
{
  return told_ ? 0U : std::uint32_t { EPOLLIN };
}

void NetworkNews::ready( std::uint32_t /*events*/ )
{
  told_ = true;
}

} // namespace holdfast
