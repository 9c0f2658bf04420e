#pragma once

#include "keeper/register.hh"
#include "net/loop.hh"
#include "net/signals.hh"

#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

// What a proxy does as the worker of a keeper.
namespace holdfast::program {

// The listening socket of the worker before would be in our way. What it left is closed.
inline void forget_descriptors( const Register& shared )
{
  if ( shared.generation == 1 ) {
    return;
  }
  std::vector<int> open; // first all of them: the list itself is read through one
  for ( const auto& entry : std::filesystem::directory_iterator { "/proc/self/fd" } ) {
    open.push_back( std::stoi( entry.path().filename() ) );
  }
  for ( const int fd : open ) {
    if ( fd > STDERR_FILENO and not shared.is_keepers( fd ) ) {
      ::close( fd );
    }
  }
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
