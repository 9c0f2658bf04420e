#include "net/signals.hh"

#include "net/error.hh"

#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>

namespace holdfast {

Signals::Signals( Loop& loop ) : loop_( loop )
{
  sigset_t set;
  ::sigemptyset( &set );
  ::sigaddset( &set, SIGINT );
  ::sigaddset( &set, SIGTERM );
  ::sigprocmask( SIG_BLOCK, &set, nullptr );
  std::signal( SIGPIPE, SIG_IGN );
  fd_ = Fd { ::signalfd( -1, &set, SFD_NONBLOCK | SFD_CLOEXEC ) };
  if ( not fd_ ) {
    fail( "signalfd" );
  }
  loop_.watch( *this, fd_.get() );
}

Signals::~Signals()
{
  loop_.unwatch( *this ); // before the descriptor closes
}

std::uint32_t Signals::interest() const
{
  return EPOLLIN;
}

void Signals::ready( std::uint32_t /*events*/ )
{
  signalfd_siginfo info {};
  while ( ::read( fd_.get(), &info, sizeof info ) == static_cast<ssize_t>( sizeof info ) ) {
    ++( static_cast<pid_t>( info.ssi_pid ) == ::getppid() ? stops_passed_on_ : stops_direct_ );
  }
}

} // namespace holdfast
