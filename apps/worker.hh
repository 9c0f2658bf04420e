#pragma once

#include "keeper/register.hh"
#include "net/left.hh"
#include "net/loop.hh"
#include "net/signals.hh"
#include "program.hh"
#include "state/arena.hh"

#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <optional>

// What a proxy does as the worker of a keeper.
namespace holdfast::program {

// What the worker before us left open; nothing if we are the first one. Ask before anything else is opened.
inline std::optional<Left> left_by_predecessor( const Register& shared )
{
  if ( shared.generation > 1 ) {
    return std::optional<Left> { std::in_place, shared.own_descriptors };
  }
  return std::nullopt;
}

// Whether the worker before us made a mistake, and was not killed by somebody who meant it.
inline bool predecessor_crashed( const Register& shared )
{
  constexpr std::array mistakes { SIGSEGV, SIGABRT, SIGBUS, SIGILL, SIGFPE, SIGSYS };
  return WIFSIGNALED( shared.last_status )
         and std::ranges::find( mistakes, WTERMSIG( shared.last_status ) ) != mistakes.end();
}

// Whether a worker of ours could go on with the memory that is open here, of workers of another version. A status
// for exit(3); why not has been said.
inline int check_state( const char* name, const Register& shared )
{
  return run_main( name, [&] {
    Left left { shared.own_descriptors };
    for ( const Fd& memory : left.take_memory( Arena::name ) ) {
      Arena::check( memory );
    }
    return 0;
  } );
}

// We listen: from now on a crash is survived.
inline void say_ready( Register& shared )
{
  shared.up = shared.generation;
  shared.ready = 1;
}

// A proxy is something with turn(), deadline(), stop() and stopped(). Returns when it is stopped by a signal; a
// second signal does not wait for the farewell.
template<class Proxy>
void run( Loop& loop, const Signals& signals, Proxy& proxy )
{
  bool stopping = false;
  while ( not proxy.stopped() and signals.stops() < 2 ) {
    loop.wait( proxy.deadline() );
    if ( signals.stops() > 0 and not stopping ) {
      stopping = true;
      proxy.stop();
    }
    proxy.turn();
  }
}

} // namespace holdfast::program
