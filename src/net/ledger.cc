#include "net/ledger.hh"

#include <linux/sockios.h>
#include <linux/tcp.h> // glibc's tcp_info ends before the counts of bytes
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

namespace holdfast {

namespace {

constexpr int tries_max = 1000; // bytes go on arriving while we look; each look takes a microsecond

bool ask( int fd, tcp_info& info )
{
  socklen_t length = sizeof info;
  info = {};
  return ::getsockopt( fd, IPPROTO_TCP, TCP_INFO, &info, &length ) == 0;
}

bool has_error( int fd )
{
  pollfd one { .fd = fd, .events = 0, .revents = 0 }; // unlike SO_ERROR, it only looks
  return ::poll( &one, 1, 0 ) == 1 and ( one.revents & POLLERR ) != 0;
}

bool peer_has_ended( TcpState state )
{
  return state == TcpState::close_wait or state == TcpState::last_ack or state == TcpState::closing
         or state == TcpState::time_wait;
}

bool we_have_ended( TcpState state )
{
  return state == TcpState::fin_wait_1 or state == TcpState::fin_wait_2 or state == TcpState::closing
         or state == TcpState::last_ack or state == TcpState::time_wait;
}

// A connection that is closed does not say what its end was. If both streams ended, the ends of both are among the
// counts, and ours is acknowledged: only then did the kernel close it without an error.
//
// The counts could deceive us only by bytes that are not booked. But an error that was told, so that it does not
// show any more, was told by a later call, and all before that one is booked.
Audit audit_closed( const Counts& counts, std::uint64_t read, std::uint64_t written )
{
  if ( counts.error or counts.unacknowledged > 0 or written != 1 or read < 1 ) {
    return { .fate = Audit::Fate::failed };
  }
  return { .fate = Audit::Fate::goes_on, .read = read - 1 };
}

} // namespace

std::uint64_t inode_of( int fd )
{
  struct stat about
  {};
  return ::fstat( fd, &about ) == 0 ? about.st_ino : 0;
}

std::optional<Counts> counts_of( int fd )
{
  tcp_info before {};
  tcp_info after {};
  int unread = 0;
  int unacknowledged = 0;
  bool agree = false;
  for ( int i = 0; i < tries_max and not agree; ++i ) {
    if ( not ask( fd, before ) or ::ioctl( fd, SIOCINQ, &unread ) != 0
         or ::ioctl( fd, SIOCOUTQ, &unacknowledged ) != 0 or not ask( fd, after ) ) {
      return std::nullopt;
    }
    agree = before.tcpi_state == after.tcpi_state and before.tcpi_bytes_received == after.tcpi_bytes_received
            and before.tcpi_bytes_acked == after.tcpi_bytes_acked;
  }
  const auto state = static_cast<TcpState>( after.tcpi_state );
  const bool error = state == TcpState::closed and has_error( fd );
  return Counts {
    .state = state,
    .taken = static_cast<std::uint64_t>( after.tcpi_bytes_received ) - static_cast<std::uint64_t>( unread ),
    .given = static_cast<std::uint64_t>( after.tcpi_bytes_acked ) + static_cast<std::uint64_t>( unacknowledged ),
    .unacknowledged = static_cast<std::uint64_t>( unacknowledged ),
    .error = error
  };
}

std::optional<TcpState> tcp_state_of( int fd )
{
  tcp_info info {};
  return ask( fd, info ) ? std::optional { static_cast<TcpState>( info.tcpi_state ) } : std::nullopt;
}

std::uint64_t cookie_of( int fd )
{
  std::uint64_t cookie = 0;
  socklen_t length = sizeof cookie;
  return ::getsockopt( fd, SOL_SOCKET, SO_COOKIE, &cookie, &length ) == 0 ? cookie : 0;
}

bool counts_syn( int fd )
{
  tcp_info info {};
  return ask( fd, info ) and info.tcpi_bytes_acked == 1;
}

Audit audit( const Counts& counts, const Booked& booked )
{
  const std::uint64_t taken_least = booked.read;
  const std::uint64_t given_least = booked.written + ( booked.syn ? 1U : 0U );
  if ( counts.taken < taken_least or counts.given < given_least ) {
    return {};
  }
  const std::uint64_t read = counts.taken - taken_least;
  const std::uint64_t written = counts.given - given_least;
  if ( counts.state == TcpState::closed ) {
    return audit_closed( counts, read, written );
  }
  const bool their_end = peer_has_ended( counts.state );
  const bool our_end = we_have_ended( counts.state );
  const std::uint64_t ends_read = their_end ? 1 : 0;
  const std::uint64_t ends_written = our_end ? 1 : 0;
  if ( ( booked.read_end and not their_end ) or ( booked.wrote_end and not our_end ) or read < ends_read
       or written < ends_written ) {
    return {};
  }
  return { .fate = Audit::Fate::goes_on, .read = read - ends_read, .written = written - ends_written };
}

} // namespace holdfast
