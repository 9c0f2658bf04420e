#include "keeper/standard_error.hh"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace holdfast {

StandardError::StandardError()
{
  struct stat about
  {};
  if ( ::fstat( STDERR_FILENO, &about ) == 0 and ( S_ISFIFO( about.st_mode ) or S_ISCHR( about.st_mode ) ) ) {
    own_ = ::open( "/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC );
  }
}

StandardError::~StandardError()
{
  if ( own_ >= 0 ) {
    ::close( own_ );
  }
}

ssize_t StandardError::write( const char* text, std::size_t size ) const
{
  if ( own_ >= 0 ) {
    return ::write( own_, text, size );
  }
  const ssize_t sent = ::send( STDERR_FILENO, text, size, MSG_DONTWAIT | MSG_NOSIGNAL );
  if ( sent >= 0 or errno != ENOTSOCK ) {
    return sent;
  }
  pollfd room { .fd = STDERR_FILENO, .events = POLLOUT, .revents = 0 };
  return ::poll( &room, 1, 0 ) == 1 ? ::write( STDERR_FILENO, text, size ) : -1;
}

} // namespace holdfast
