#pragma once

#include "keeper/register.hh"
#include "keeper/standard_error.hh"
#include "net/congestion.hh"
#include "net/error.hh"
#include "net/left.hh"
#include "net/loop.hh"
#include "net/service_manager.hh"
#include "net/signals.hh"
#include "program.hh"
#include "proxy/config.hh"
#include "proxy/inheritance.hh"
#include "proxy/log.hh"
#include "state/arena.hh"

#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

// What a proxy does as the worker of a keeper.
namespace holdfast::program {

// Runs the body of a worker. What it throws ends it with one line, as in run_main(). But whoever cannot take over
// has sessions to lose, so he does not wait until somebody takes that line: the next one may succeed.
template<typename Body>
int run_worker( const char* name, Body body ) noexcept
{
  try {
    return body();
  } catch ( const std::exception& trouble ) {
    std::array<char, 1024> line {};
    const int size = std::snprintf( line.data(), line.size(), "%s: %s\n", name, trouble.what() );
    const std::size_t most = line.size() - 1;
    static_cast<void>( StandardError().write( line.data(), std::min( static_cast<std::size_t>( size ), most ) ) );
    return status_trouble;
  }
}

// Each session needs a descriptor: take as many as we may have.
inline void raise_descriptor_limit()
{
  rlimit limit {};
  if ( ::getrlimit( RLIMIT_NOFILE, &limit ) == 0 ) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit( RLIMIT_NOFILE, &limit ); // with fewer, the proxy says so when it runs out
  }
}

// What the environment says, if anything. We have one thread.
inline std::string_view environment( const char* name )
{
  const char* const value = std::getenv( name ); // NOLINT(concurrency-mt-unsafe)
  return value == nullptr ? std::string_view {} : value;
}

// 0 if it is no number.
inline int number_in_environment( const char* name )
{
  const std::string_view text = environment( name );
  int number = 0;
  const auto [end, error] = std::from_chars( text.data(), text.data() + text.size(), number );
  return error == std::errc {} and end == text.data() + text.size() ? number : 0;
}

// How many descriptors a service manager has given to our keeper, from 3 on (sd_listen_fds(3)). They are for its
// first worker; a later one finds them among all others.
inline int given_descriptors( const Register& shared )
{
  const bool are_ours = shared.generation == 1 and number_in_environment( "LISTEN_PID" ) == shared.keeper;
  return are_ours ? std::max( 0, number_in_environment( "LISTEN_FDS" ) ) : 0;
}

// What the worker before us left open, be it that the service manager kept it; nothing if we are the first one. Ask
// before anything else is opened.
inline std::optional<Left> left_by_predecessor( const Register& shared )
{
  if ( shared.generation > 1 ) {
    return std::optional<Left> { std::in_place, shared.own_descriptors };
  }
  if ( const int given = given_descriptors( shared ); given > 0 ) {
    return std::optional<Left> { std::in_place, shared.own_descriptors, given };
  }
  return std::nullopt;
}

// Whoever started us, if that is somebody who wants to hear of us (NOTIFY_SOCKET).
inline std::unique_ptr<ServiceManager> service_manager( Loop& loop, const Register& shared, Log& log )
{
  const std::string_view socket = environment( "NOTIFY_SOCKET" );
  if ( socket.empty() ) {
    return nullptr;
  }
  std::vector<std::string> stored;
  if ( given_descriptors( shared ) > 0 ) {
    std::istringstream names { std::string { environment( "LISTEN_FDNAMES" ) } };
    for ( std::string name; std::getline( names, name, ':' ); ) {
      stored.push_back( name );
    }
  }
  const auto trouble = [&log]( int error ) {
    log.warn( "the service manager does not hear us ({}): what it keeps may be out of date", error_text( error ) );
  };
  return std::make_unique<ServiceManager>(
    loop, ServiceManager::Config { std::string { socket }, std::move( stored ), trouble } );
}

// Whether the worker before us made a mistake, and was not killed by somebody who meant it.
inline bool predecessor_crashed( const Register& shared )
{
  constexpr std::array mistakes { SIGSEGV, SIGABRT, SIGBUS, SIGILL, SIGFPE, SIGSYS };
  return WIFSIGNALED( shared.last_status )
         and std::ranges::find( mistakes, WTERMSIG( shared.last_status ) ) != mistakes.end();
}

// What it left to us, who listen at that address from now on, as long as we may do so everywhere: what else it left
// is read without any rights. `left` must outlive it. Throws StartupError.
inline Predecessor predecessor( std::optional<Left>& left,
                                const Register& shared,
                                std::string_view host,
                                std::uint16_t port )
{
  Left nothing;
  return { .left = left ? &*left : nullptr,
           .crashed = predecessor_crashed( shared ),
           .listeners = take_or_make_listeners( left ? *left : nothing, host, port ) };
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

// Whether links can have the congestion control that was asked for. Only the first worker insists on it: for a
// later one, should root have changed its mind meanwhile, it is better to go on without it than to lose sessions.
// Throws StartupError.
inline void check_congestion( const ProxyConfig& config, const Register& shared )
{
  if ( not config.congestion.empty() and shared.generation == 1 ) {
    require_congestion_control( config.congestion );
  }
}

// We listen: from now on a crash is survived.
inline void say_ready( Register& shared, ServiceManager* manager )
{
  shared.up = shared.generation;
  shared.ready = 1;
  if ( manager != nullptr ) {
    manager->say( "READY=1" );
  }
}

// A proxy is something with turn(), deadline(), stop() and stopped(). Returns when it is stopped by a signal; a
// second signal does not wait for the farewell.
template<class Proxy>
void run( Loop& loop, const Signals& signals, Proxy& proxy, ServiceManager* manager )
{
  bool stopping = false;
  while ( not proxy.stopped() and signals.stops() < 2 ) {
    loop.wait( proxy.deadline() );
    if ( signals.stops() > 0 and not stopping ) {
      stopping = true;
      if ( manager != nullptr ) {
        manager->say( "STOPPING=1" );
      }
      proxy.stop();
    }
    proxy.turn();
  }
}

} // namespace holdfast::program
