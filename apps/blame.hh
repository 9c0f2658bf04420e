#pragma once

#include "keeper/register.hh"

#include <array>
#include <csignal>
#include <cstdint>

// Which of several threads has crashed. A session that is served in crash after crash is closed in the end
// (state/arena.hh), and those that other threads served at that moment have nothing to do with it. So a thread that
// makes a mistake writes down which memory it serves; then the mistake takes its course.
namespace holdfast::program {

// NOLINTBEGIN(cppcoreguidelines-avoid-non-const-global-variables): what a signal handler can reach
inline volatile std::uint64_t* crashed_memory = nullptr; // in the register
inline thread_local volatile std::uint64_t served_memory = 0;
// NOLINTEND(cppcoreguidelines-avoid-non-const-global-variables)

inline void write_down( int signal, siginfo_t* about, void* /*context*/ )
{
  if ( crashed_memory != nullptr ) {
    *crashed_memory = served_memory;
  }
  if ( about->si_code <= 0 ) { // sent, be it by abort(3): else the same instruction makes the same mistake again
    ::raise( signal );         // now that it means the end
  }
}

// Before any thread.
inline void write_down_crashes( Register& shared )
{
  crashed_memory = &shared.crashed_memory;
  struct sigaction action
  {};
  action.sa_sigaction = write_down;
  action.sa_flags = SA_SIGINFO | static_cast<int>( SA_RESETHAND );
  for ( const int mistake : { SIGSEGV, SIGABRT, SIGBUS, SIGILL, SIGFPE } ) {
    ::sigaction( mistake, &action, nullptr );
  }
}

} // namespace holdfast::program
