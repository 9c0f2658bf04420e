#pragma once

#include <fcntl.h>
#include <unistd.h>

namespace holdfast::program {

// Descriptors 0, 1 and 2 exist from here on. Without this, a socket could become standard error in a program that
// was started with 2>&- and be sent our messages. Call it first of all.
inline void keep_standard_descriptors()
{
  int fd = 0;
  do {
    fd = ::open( "/dev/null", O_RDWR );
  } while ( fd >= 0 and fd <= STDERR_FILENO );
  if ( fd >= 0 ) {
    ::close( fd );
  }
}

} // namespace holdfast::program
