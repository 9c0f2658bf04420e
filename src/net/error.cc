#include "net/error.hh"

#include <fmt/format.h>

#include <system_error>

namespace holdfast {

void fail( std::string_view what, int error )
{
  throw StartupError( fmt::format( "{}: {}", what, error_text( error ) ) );
}

std::string error_text( int error )
{
  return std::generic_category().message( error );
}

bool is_networks_mood( int error )
{
  // accept(2) and connect(2) list most of these; the first seconds after a wake or a move show the others.
  switch ( error ) {
    case ECONNABORTED:
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
    case ETIMEDOUT:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENETDOWN:
    case ENETRESET:
    case ENETUNREACH:
    case EADDRNOTAVAIL:
    case ENONET:
    case ENOPROTOOPT:
    case EPROTO:
    case EPROTOTYPE:
    case EOPNOTSUPP:
    case EACCES:
    case EPERM: return true; // EPERM, EACCES: a firewall rule on this machine answered
    default: return false;
  }
}

} // namespace holdfast
