#pragma once

#include "net/loop.hh"
#include "net/signals.hh"
#include "program.hh"
#include "proxy/config.hh"

#include <CLI/CLI.hpp>

#include <sys/resource.h>

#include <cmath>
#include <map>
#include <optional>
#include <string>

// The options of cproxy and sproxy, as a person writes them, and what becomes of them.
namespace holdfast::program {

// What both have.
struct ProxyOptions
{
  std::string bind {};
  unsigned port = 0;
  bool raw = false;
  double heartbeat_ms = 100;
  unsigned misses = 3;
  std::uint64_t window = 16U << 20U;
  std::uint64_t memory = 256U << 20U;
  double keep_ms = 24.0 * 3600 * 1000;
  std::uint64_t max_sessions = 10000;
  std::string log_level = "info";
};

struct CproxyOptions : ProxyOptions
{
  std::string host {}; // where sproxy is
  unsigned far_port = 0;
  std::string state_folder {};
};

struct SproxyOptions : ProxyOptions
{
  HostPort target {};
  bool single = false;
};

// How a person writes a quantity, and what we make of it: a plain number.
struct Unit
{
  CLI::Validator transform;
  std::string example; // "a duration such as 100ms"
};

// "100ms", "2s", "1.5h": to milliseconds.
inline Unit duration()
{
  const std::map<std::string, double> units { { "us", 1e-3 }, { "ms", 1 },    { "s", 1e3 },   { "min", 6e4 },
                                              { "m", 6e4 },   { "h", 3.6e6 }, { "d", 8.64e7 } };
  return { CLI::AsNumberWithUnit( units, CLI::AsNumberWithUnit::UNIT_REQUIRED ),
           "a duration with a unit, such as 100ms, 2s or 24h" };
}

// "64MiB", "16k", "1000000": to bytes. All prefixes are powers of 1024.
inline Unit size()
{
  return { CLI::AsSizeValue( false ), "a size, such as 64MiB or 500k" };
}

inline Unit plain()
{
  return { CLI::Validator {}, "a number" };
}

// A quantity between two bounds, which are told in `words`.
inline CLI::Validator between( double low, double high, std::string words, Unit unit = plain() )
{
  const auto check = [low, high, words = std::move( words ), unit = std::move( unit )]( std::string& text ) {
    const std::string written = text;
    double value = 0;
    try {
      if ( not unit.transform( text ).empty() or not CLI::detail::lexical_cast( text, value ) ) {
        return "'" + written + "' is not " + unit.example;
      }
    } catch ( const CLI::ValidationError& ) { // how CLI11's units refuse
      return "'" + written + "' is not " + unit.example;
    }
    return value >= low and value <= high ? std::string {} : "'" + written + "' is not between " + words;
  };
  return CLI::Validator { check, "" };
}

inline std::string is_address_to_bind( const std::string& text )
{
  const bool good = text == "*" or literal_address( text, 0 ).has_value();
  return good ? std::string {} : "'" + text + "' is not an IPv4 or IPv6 address, nor *";
}

inline void add_proxy_options( CLI::App& app, ProxyOptions& options )
{
  app.add_option( "--bind", options.bind, "Listen on this address only; * for all of both families" )
    ->type_name( "ADDR" )
    ->check( CLI::Validator { is_address_to_bind, "" } )
    ->capture_default_str();
  app.add_flag( "--raw", options.raw, "Relay bytes as they are, without the protocol: nothing survives a move" );
  app.add_option( "--heartbeat", options.heartbeat_ms, "Say that we are here this often (default 100ms)" )
    ->transform( between( 1, 3.6e6, "1ms and 1h", duration() ) )
    ->type_name( "DURATION" );
  app.add_option( "--misses", options.misses, "Heartbeats of the other side to miss before a link is suspected" )
    ->check( between( 1, 1000, "1 and 1000" ) )
    ->type_name( "N" )
    ->capture_default_str();
  app.add_option( "--window", options.window, "Most bytes under way per session and direction (default 16MiB)" )
    ->transform( between( 16384, 1U << 30U, "16KiB and 1GiB", size() ) )
    ->type_name( "SIZE" );
  app.add_option( "--memory", options.memory, "Most bytes retained for all sessions together (default 256MiB)" )
    ->transform( between( 1048576, 1099511627776, "1MiB and 1TiB", size() ) )
    ->type_name( "SIZE" );
  app.add_option( "--keep", options.keep_ms, "Keep sessions for so long without any link (default 24h)" )
    ->transform( between( 0, 365 * 8.64e7, "0s and 365d", duration() ) )
    ->type_name( "DURATION" );
  app.add_option( "--max-sessions", options.max_sessions, "Most sessions at the same time" )
    ->check( between( 1, 1000000, "1 and 1000000" ) )
    ->type_name( "N" )
    ->capture_default_str();
  app.add_option( "--log-level", options.log_level, "trace, debug, info, warn, error or off" )
    ->check( CLI::IsMember( { "trace", "debug", "info", "warn", "error", "off" } ).description( "" ) )
    ->type_name( "LEVEL" )
    ->capture_default_str();
}

// Take the command line apart, as parse() does.
inline std::optional<int> parse_cproxy( int argc, const char* const* argv, CproxyOptions& options )
{
  options.bind = "127.0.0.1";
  CLI::App app { "cproxy: keeps the TCP sessions of this machine's programs alive while its address changes.\n"
                 "Programs connect to LPORT here; sproxy on SIP connects them to their target.",
                 "cproxy" };
  app.add_option( "LPORT", options.port, "Port for the programs" )
    ->required()
    ->check( between( 0, 65535, "0 and 65535" ) )
    ->type_name( "PORT" );
  app.add_option( "SIP", options.host, "Where sproxy runs: a name, an IPv4 or an IPv6 address" )
    ->required()
    ->check( CLI::Validator { is_not_empty, "" } )
    ->type_name( "HOST" );
  app.add_option( "SPORT", options.far_port, "sproxy's port" )
    ->required()
    ->check( between( 1, 65535, "1 and 65535" ) )
    ->type_name( "PORT" );
  add_proxy_options( app, options );
  app
    .add_option(
      "--state-dir", options.state_folder, "Where to keep who we are (default $XDG_STATE_HOME/holdfast)" )
    ->type_name( "DIR" );
  app.footer( "Example: cproxy 2323 server.example.org 5000, then telnet localhost 2323.\n"
              "Exit status: 0 stopped by SIGINT or SIGTERM, 1 trouble (said in one line), 2 wrong options." );
  return parse( app, argc, argv );
}

inline std::optional<int> parse_sproxy( int argc, const char* const* argv, SproxyOptions& options )
{
  options.bind = "*";
  std::string target = "127.0.0.1:23";
  CLI::App app {
    "sproxy: the far end of cproxy. Connects the sessions that cproxies bring to the target, and keeps them\n"
    "while their machines move or are away.",
    "sproxy"
  };
  app.add_option( "SPORT", options.port, "Port for the cproxies" )
    ->required()
    ->check( between( 0, 65535, "0 and 65535" ) )
    ->type_name( "PORT" );
  app.add_option( "--target", target, "Connect sessions to this" )->type_name( "HOST:PORT" )->capture_default_str();
  app.add_flag( "--single", options.single, "One session at a time: a new one closes the one before" );
  add_proxy_options( app, options );
  app.footer( "Example: sproxy 5000 --target 127.0.0.1:22\n"
              "Exit status: 0 stopped by SIGINT or SIGTERM, 1 trouble (said in one line), 2 wrong options." );
  if ( const auto status = parse( app, argc, argv ) ) {
    return *status;
  }
  const auto address = parse_host_port( target );
  if ( not address ) {
    say(
      "sproxy", "--target: '{}' is not HOST:PORT, such as 127.0.0.1:23 or [::1]:23 (see sproxy --help)", target );
    return status_usage;
  }
  options.target = *address;
  return std::nullopt;
}

inline void apply( const ProxyOptions& options, ProxyConfig& config )
{
  const auto from_ms = []( double ms ) { return Duration { std::llround( ms * 1e6 ) }; };
  config.bind = options.bind;
  config.port = static_cast<std::uint16_t>( options.port );
  config.pulse = { .beat = from_ms( options.heartbeat_ms ), .misses = options.misses };
  config.window = options.window;
  config.memory = { .sessions = options.max_sessions, .memory = options.memory };
  config.keep = from_ms( options.keep_ms );
  config.pulse.patience = std::min( config.pulse.patience, config.keep );
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
