// bench_load: both ends of a measurement. One process is the target, others are the apps that talk to it, straight
// or through proxies:
//
//   bench_load target [--bind ADDR] [--port PORT]     says "listening on ADDR:PORT", then serves until it is killed
//   bench_load bulk HOST PORT --up --down ...         sessions with as many bytes as will go through
//   bench_load pingpong HOST PORT ...                 a message there and back, again and again
//   bench_load open HOST PORT --count N               new sessions: connect to first echoed byte
//   bench_load idle HOST PORT --count N               N sessions that do nothing until standard input ends
//
// The first byte of a session tells the target what to do: 'e' echo, 'u' take what comes, 'd' send, 'b' both. Every
// byte is compared with what it must be (Pattern). When the app has said that this was all, the target stops
// sending and reports, as text behind the pattern, how many bytes it took in each tenth of a second. So both
// directions are counted where the bytes arrive, and nothing but the measured bytes travels while they are
// measured.
//
// Results are one line of JSON on standard output.

#include "load/common.hh"
#include "tool.hh"

#include <CLI/CLI.hpp>

#include <cmath>

namespace holdfast {
namespace {

int run( int argc, char** argv )
{
  CLI::App app { "Both ends of a measurement: a target, and apps that talk to it.", "bench_load" };
  app.require_subcommand( 1 );
  load::Destination to;
  std::string bind = "127.0.0.1";
  double seconds = 1;
  std::size_t count = 100;
  std::size_t at_once = 1;
  std::size_t size = 1;
  load::Bulk bulk;
  const auto command = [&]( const char* name, const char* help ) {
    CLI::App* const sub = app.add_subcommand( name, help );
    sub->add_option( "HOST", to.host, "An address" )->required();
    sub->add_option( "PORT", to.port )->required();
    return sub;
  };
  auto* const be_target = app.add_subcommand( "target", "Serve what the other commands ask for" );
  be_target->add_option( "--bind", bind )->capture_default_str();
  be_target->add_option( "--port", to.port, "0: the system chooses" )->capture_default_str();
  auto* const be_bulk = command( "bulk", "As many bytes as will go through" );
  be_bulk->add_flag( "--up", bulk.up, "Towards the target" );
  be_bulk->add_flag( "--down", bulk.down, "From the target" );
  be_bulk->add_option( "--streams", bulk.streams, "Sessions at a time" )
    ->check( CLI::PositiveNumber )
    ->capture_default_str();
  be_bulk->add_option( "--seconds", seconds )->capture_default_str();
  auto* const be_pingpong = command( "pingpong", "A message there and back, again and again" );
  be_pingpong->add_option( "--seconds", seconds )->capture_default_str();
  be_pingpong->add_option( "--size", size, "Bytes of the message" )
    ->check( CLI::Range( std::size_t { 1 }, load::Pattern::period ) )
    ->capture_default_str();
  auto* const be_open = command( "open", "New sessions, each until its first echoed byte" );
  be_open->add_option( "--count", count )->check( CLI::PositiveNumber )->capture_default_str();
  be_open->add_option( "--at-once", at_once, "As many at a time" )
    ->check( CLI::PositiveNumber )
    ->capture_default_str();
  auto* const be_idle = command( "idle", "Many sessions that do nothing until standard input ends" );
  be_idle->add_option( "--count", count )->check( CLI::PositiveNumber )->capture_default_str();
  CLI11_PARSE( app, argc, argv );

  raise_descriptor_limit(); // with fewer than it takes, accept or connect says so
  const Duration time { std::llround( seconds * 1e9 ) };
  if ( be_target->parsed() ) {
    return load::serve( bind, to.port );
  }
  if ( be_bulk->parsed() ) {
    bulk.time = time;
    return load::carry( to, bulk );
  }
  if ( be_pingpong->parsed() ) {
    return load::pingpong( to, size, time );
  }
  return be_open->parsed() ? load::open_again_and_again( to, count, at_once ) : load::stay_idle( to, count );
}

} // namespace
} // namespace holdfast

int main( int argc, char** argv )
{
  return holdfast::run_tool( "bench_load", holdfast::run, argc, argv );
}
