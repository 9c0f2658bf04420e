#include "net/congestion.hh"

#include "net/error.hh"
#include "net/fd.hh"

#include <fmt/format.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <vector>

namespace holdfast {

namespace {

// The algorithms in one of the lists of sysctl net.ipv4.*; none if it cannot be read.
std::vector<std::string> algorithms( const char* file )
{
  std::ifstream list { file };
  return { std::istream_iterator<std::string> { list }, {} };
}

std::string in_a_row( const std::vector<std::string>& names )
{
  return fmt::format( "{}", fmt::join( names, " " ) );
}

} // namespace

int use_congestion_control( int fd, const std::string& name )
{
  const auto length = static_cast<socklen_t>( name.size() );
  return ::setsockopt( fd, IPPROTO_TCP, TCP_CONGESTION, name.c_str(), length ) == 0 ? 0 : errno;
}

// Root may use what others may not; but who gives up its rights is nobody any more when it makes the next link. So
// it is the list that counts.
void require_congestion_control( const std::string& name )
{
  const Fd trial { ::socket( AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0 ) };
  if ( not trial ) {
    fail( "socket" );
  }
  const int error = use_congestion_control( trial.get(), name );
  if ( error == ENOENT ) {
    throw StartupError( fmt::format(
      "--congestion: this kernel has no congestion control '{0}', only: {1} (if it is a module: modprobe tcp_{0})",
      name,
      in_a_row( algorithms( "/proc/sys/net/ipv4/tcp_available_congestion_control" ) ) ) );
  }
  if ( error != 0 and error != EPERM ) {
    fail( fmt::format( "--congestion: cannot use '{}'", name ), error );
  }
  std::vector<std::string> allowed = algorithms( "/proc/sys/net/ipv4/tcp_allowed_congestion_control" );
  const bool is_listed = std::ranges::find( allowed, name ) != allowed.end();
  if ( error == EPERM or ( not allowed.empty() and not is_listed ) ) {
    const std::string now = in_a_row( allowed );
    throw StartupError(
      fmt::format( "--congestion: this kernel has '{0}', but not for everybody, only: {1} (as root: "
                   "sysctl net.ipv4.tcp_allowed_congestion_control='{1} {0}')",
                   name,
                   now ) );
  }
}

} // namespace holdfast
