#pragma once

#include "net/error.hh"
#include "net/fd.hh"
#include "options/say.hh"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <optional>

// What every main does in the same way.
namespace holdfast::program {

// Runs main's body. What it throws ends the program with one line: only starting up throws (net/error.hh).
template<typename Body>
int run_main( const char* name, Body body ) noexcept
{
  try {
    return body();
  } catch ( const std::exception& trouble ) {
    std::fprintf( stderr, "%s: %s\n", name, trouble.what() ); // unlike fmt, it cannot throw
    return status_trouble;
  }
}

// SIGINT and SIGTERM become something to read, in turn with everything else; SIGPIPE becomes EPIPE.
// Throws StartupError.
inline Fd stop_signals()
{
  struct sigaction ignored = {};
  ignored.sa_handler = SIG_IGN;
  ::sigaction( SIGPIPE, &ignored, nullptr );
  sigset_t signals {};
  ::sigemptyset( &signals );
  ::sigaddset( &signals, SIGINT );
  ::sigaddset( &signals, SIGTERM );
  ::pthread_sigmask( SIG_BLOCK, &signals, nullptr );
  Fd fd { ::signalfd( -1, &signals, SFD_CLOEXEC | SFD_NONBLOCK ) };
  if ( not fd ) {
    fail( "signalfd" );
  }
  return fd;
}

// Which signal came; nothing when none did.
inline std::optional<int> taken_signal( const Fd& signals )
{
  signalfd_siginfo info {};
  if ( ::read( signals.get(), &info, sizeof info ) != ssize_t { sizeof info } ) {
    return std::nullopt;
  }
  return static_cast<int>( info.ssi_signo );
}

// Whether epoll(7) can wait for it. Regular files and /dev/null it refuses: they are always ready.
inline bool can_be_waited_for( int fd )
{
  const Fd trial { ::epoll_create1( EPOLL_CLOEXEC ) };
  epoll_event event {};
  return trial and ::epoll_ctl( trial.get(), EPOLL_CTL_ADD, fd, &event ) == 0;
}

} // namespace holdfast::program
