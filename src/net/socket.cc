#include "net/socket.hh"

#include "net/error.hh"

#include <fmt/format.h>

#include <linux/tcp.h> // glibc's tcp_info ends before the rate
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>

#include <algorithm>
#include <ratio>

namespace holdfast {

namespace {

void set_option( int fd, int level, int name, int value )
{
  // Every option set here only tunes; a kernel that lacks one serves just as correctly.
  ::setsockopt( fd, level, name, &value, sizeof value );
}

Transfer transferred( ssize_t n, bool receiving )
{
  if ( n > 0 ) {
    return { .kind = Transfer::Kind::moved, .count = static_cast<std::size_t>( n ) };
  }
  if ( n == 0 ) {
    return { .kind = receiving ? Transfer::Kind::ended : Transfer::Kind::would_block };
  }
  if ( errno == EAGAIN or errno == EWOULDBLOCK ) {
    return { .kind = Transfer::Kind::would_block };
  }
  return { .kind = Transfer::Kind::failed, .error = errno };
}

Address address_of( int fd, int ( *ask )( int, sockaddr*, socklen_t* ) )
{
  Address address;
  address.length = sizeof address.storage;
  if ( ask( fd, address.raw(), &address.length ) != 0 ) {
    return {};
  }
  return address;
}

// The text of an errno in `error`, or a listening socket.
Fd try_listen( const Address& address, bool both_families, int& error )
{
  Fd fd { ::socket( address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0 ) };
  if ( not fd ) {
    error = errno;
    return {};
  }
  set_option( fd.get(), SOL_SOCKET, SO_REUSEADDR, 1 );
  if ( address.family() == AF_INET6 ) {
    set_option( fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, both_families ? 0 : 1 );
  }
  if ( ::bind( fd.get(), address.raw(), address.length ) != 0 or ::listen( fd.get(), SOMAXCONN ) != 0 ) {
    error = errno;
    return {};
  }
  error = 0;
  return fd;
}

} // namespace

Transfer receive( int fd, std::span<const iovec> into )
{
  msghdr message {};
  message.msg_iov = const_cast<iovec*>( into.data() ); // recvmsg(2) does not write to it
  message.msg_iovlen = into.size();
  ssize_t n = 0;
  do {
    n = ::recvmsg( fd, &message, MSG_DONTWAIT );
  } while ( n < 0 and errno == EINTR );
  return transferred( n, true );
}

Transfer receive( int fd, std::span<std::byte> into )
{
  const iovec one { into.data(), into.size() };
  return receive( fd, std::span { &one, 1 } );
}

Transfer send( int fd, std::span<const iovec> from )
{
  msghdr message {};
  message.msg_iov = const_cast<iovec*>( from.data() ); // sendmsg(2) does not write to it
  message.msg_iovlen = from.size();
  ssize_t n = 0;
  do {
    n = ::sendmsg( fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL );
  } while ( n < 0 and errno == EINTR );
  return transferred( n, false );
}

Transfer send( int fd, std::span<const std::byte> from )
{
  const iovec one { const_cast<std::byte*>( from.data() ), from.size() };
  return send( fd, std::span { &one, 1 } );
}

Fd listen_on( const Address& address )
{
  int error = 0;
  Fd fd = try_listen( address, false, error );
  if ( not fd ) {
    fail( fmt::format( "cannot listen on {}", address.text() ), error );
  }
  return fd;
}

std::vector<Fd> listen_for( std::string_view host, std::uint16_t port )
{
  std::vector<Fd> listeners;
  if ( host.empty() or host == "*" ) {
    int error = 0;
    Fd fd = try_listen( any_address( AF_INET6, port ), true, error );
    if ( not fd and ( error == EAFNOSUPPORT or error == EADDRNOTAVAIL ) ) { // a machine without IPv6
      fd = try_listen( any_address( AF_INET, port ), false, error );
    }
    if ( not fd ) {
      fail( fmt::format( "cannot listen on port {}", port ), error );
    }
    listeners.push_back( std::move( fd ) );
    return listeners;
  }
  const auto address = literal_address( host, port );
  if ( not address ) {
    throw StartupError(
      fmt::format( "cannot listen on '{}': not an IPv4 or IPv6 address (use * for every address)", host ) );
  }
  listeners.push_back( listen_on( *address ) );
  return listeners;
}

bool listens_for( int fd, std::string_view host, std::uint16_t port )
{
  const Address address = local_address( fd );
  if ( port != 0 and port_of( address ) != port ) {
    return false;
  }
  if ( host.empty() or host == "*" ) {
    return is_any( address );
  }
  const auto wanted = literal_address( host, 0 );
  return wanted and bytes_of( *wanted ) == bytes_of( address ) and wanted->family() == address.family();
}

bool is_accepted_by( const Address& local, const Address& listener )
{
  return port_of( local ) == port_of( listener )
         and ( is_any( listener ) or bytes_of( local ) == bytes_of( listener ) );
}

Accepted accept_from( int listener )
{
  for ( ;; ) {
    Accepted accepted;
    accepted.peer.length = sizeof accepted.peer.storage;
    accepted.fd
      = Fd { ::accept4( listener, accepted.peer.raw(), &accepted.peer.length, SOCK_NONBLOCK | SOCK_CLOEXEC ) };
    if ( accepted.fd ) {
      return accepted;
    }
    if ( errno == EAGAIN or errno == EWOULDBLOCK ) {
      return {};
    }
    // accept(2): errors of the new connection itself are reported here; the next one may be fine.
    if ( errno == EINTR or is_networks_mood( errno ) ) {
      continue;
    }
    return { .exhausted = true, .error = errno }; // EMFILE, ENFILE, ENOBUFS, ENOMEM
  }
}

bool is_among_the_last( int fd, int spare )
{
  rlimit limit {};
  if ( ::getrlimit( RLIMIT_NOFILE, &limit ) != 0 ) {
    return false;
  }
  const rlim_t kept = std::min( static_cast<rlim_t>( spare ), limit.rlim_cur / 4 );
  return static_cast<rlim_t>( fd ) >= limit.rlim_cur - kept;
}

Connecting connect_to( const Address& address, int spare, unsigned interface )
{
  Fd fd { ::socket( address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0 ) };
  if ( not fd ) {
    return { .error = errno };
  }
  if ( spare > 0 and is_among_the_last( fd.get(), spare ) ) {
    return { .error = EMFILE };
  }
  const int bound = static_cast<int>( interface );
  if ( interface != 0 and ::setsockopt( fd.get(), SOL_SOCKET, SO_BINDTOIFINDEX, &bound, sizeof bound ) != 0 ) {
    return { .error = errno };
  }
  if ( ::connect( fd.get(), address.raw(), address.length ) != 0 and errno != EINPROGRESS and errno != EINTR ) {
    return { .error = errno };
  }
  return { .fd = std::move( fd ) };
}

int outcome_of_connect( int fd, const Address& address )
{
  return ::connect( fd, address.raw(), address.length ) == 0 or errno == EISCONN ? 0 : errno;
}

bool has_left( int fd )
{
  pollfd one { .fd = fd, .events = POLLRDHUP, .revents = 0 };
  return ::poll( &one, 1, 0 ) == 1;
}

int pending_error( int fd )
{
  int error = 0;
  socklen_t length = sizeof error;
  if ( ::getsockopt( fd, SOL_SOCKET, SO_ERROR, &error, &length ) != 0 ) {
    return errno;
  }
  return error;
}

namespace {

// After acknowledgements that were held up and came in a burst the kernel measures far too much, but never more
// than a congestion window is in flight in a round trip.
std::uint64_t delivered_per_second( const tcp_info& info )
{
  if ( info.tcpi_rtt == 0 ) {
    return info.tcpi_delivery_rate;
  }
  const std::uint64_t in_flight = std::uint64_t { info.tcpi_snd_cwnd } * info.tcpi_snd_mss;
  return std::min<std::uint64_t>( info.tcpi_delivery_rate, in_flight * std::micro::den / info.tcpi_rtt );
}

} // namespace

PathState path_state( int fd )
{
  tcp_info info {};
  socklen_t length = sizeof info;
  if ( ::getsockopt( fd, IPPROTO_TCP, TCP_INFO, &info, &length ) != 0 ) {
    return { .since_last_segment = std::chrono::hours { 24 }, .round_trip = {}, .rate = 0, .ran_dry = false };
  }
  return { .since_last_segment = std::chrono::milliseconds { info.tcpi_last_ack_recv },
           .round_trip = std::chrono::microseconds { info.tcpi_rtt },
           .rate = delivered_per_second( info ),
           .ran_dry = info.tcpi_delivery_rate_app_limited != 0 };
}

void prepare_leg( int fd )
{
  set_option( fd, IPPROTO_TCP, TCP_NODELAY, 1 );
  set_option( fd, SOL_SOCKET, SO_OOBINLINE, 1 );
  set_option( fd, SOL_SOCKET, SO_KEEPALIVE, 1 );
}

void prepare_link( int fd, int unsent )
{
  set_option( fd, IPPROTO_TCP, TCP_NODELAY, 1 );
  set_unsent_max( fd, unsent );
}

void set_unsent_max( int fd, int unsent )
{
  set_option( fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, unsent );
}

void close_with_reset( Fd& fd )
{
  reset_when_closed( fd.get(), true );
  const sockaddr nobody { .sa_family = AF_UNSPEC, .sa_data = {} };
  // Breaks it off although somebody has a copy (connect(2)).
  static_cast<void>( ::connect( fd.get(), &nobody, sizeof nobody ) );
  fd.reset();
}

void reset_when_closed( int fd, bool on )
{
  const linger at_once { .l_onoff = on ? 1 : 0, .l_linger = 0 };
  ::setsockopt( fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once );
}

void end_writing( int fd )
{
  ::shutdown( fd, SHUT_WR );
}

Address local_address( int fd )
{
  return address_of( fd, ::getsockname );
}

Address peer_address( int fd )
{
  return address_of( fd, ::getpeername );
}

} // namespace holdfast
