#include "net/clock.hh"
#include "proxy/cproxy.hh"
#include "proxy/openssl_crypto.hh"
#include "proxy/sproxy.hh"
#include "unit/keeper.hh"

#include <fmt/format.h>

#include <poll.h>
#include <sys/resource.h>

#include <cstdlib>
#include <deque>
#include <optional>
#include <utility>

// bench_recovery SESSIONS [ROUNDS]
//
// How long the links of so many sessions are away when a worker is killed: cproxy and sproxy on the loopback
// interface, each session with bytes in its memory that nobody has acknowledged. From the death of the worker to
// its successor's first turn, when cproxy has begun to dial, and sproxy to accept.

namespace holdfast {
namespace {

using test::Keeper;
using namespace std::chrono_literals;

std::uint16_t port_of_listener( const Fd& fd )
{
  return static_cast<std::uint16_t>( std::stoi( local_address( fd.get() ).text().substr( 10 ) ) );
}

std::uint16_t free_port()
{
  return port_of_listener( listen_on( *literal_address( "127.0.0.1", 0 ) ) );
}

std::int64_t processor_ns()
{
  timespec taken {};
  ::clock_gettime( CLOCK_PROCESS_CPUTIME_ID, &taken );
  return taken.tv_sec * std::int64_t { 1000000000 } + taken.tv_nsec;
}

template<class Proxy>
void run( Loop& loop, Proxy& proxy, Keeper::Board& board )
{
  for ( ;; ) {
    loop.wait( proxy.deadline() );
    proxy.turn();
    if ( not board.turns ) {
      board.processor_ns = processor_ns();
      board.turned_ns = read_clock().time_since_epoch().count();
      board.turns = true;
    }
  }
}

template<class Config>
void set( Config& config, std::uint16_t port, std::size_t sessions )
{
  config.bind = "127.0.0.1";
  config.port = port;
  config.memory = { .sessions = sessions + 100, .memory = 512U << 20U };
}

// Accepts, and holds what it has accepted.
void hold( const Fd& listener )
{
  std::deque<Fd> held;
  for ( ;; ) {
    pollfd one { .fd = listener.get(), .events = POLLIN, .revents = 0 };
    ::poll( &one, 1, -1 );
    for ( Accepted got = accept_from( listener.get() ); got.fd; got = accept_from( listener.get() ) ) {
      held.push_back( std::move( got.fd ) );
    }
  }
}

std::deque<Fd> dial( std::uint16_t port, std::size_t count )
{
  const Address address = *literal_address( "127.0.0.1", port );
  const std::array<std::byte, 100> bytes {};
  std::deque<Fd> apps;
  for ( std::size_t i = 0; i < count; ++i ) {
    Fd fd { ::socket( AF_INET, SOCK_STREAM, 0 ) };
    while ( ::connect( fd.get(), address.raw(), address.length ) != 0 ) {
      std::this_thread::sleep_for( 1ms );
    }
    static_cast<void>( send( fd.get(), bytes ) );
    apps.push_back( std::move( fd ) );
  }
  return apps;
}

double died_to_turn_ms( const Keeper& keeper )
{
  const int generation = keeper.board().generation;
  const auto died = read_clock().time_since_epoch().count();
  keeper.kill_worker();
  if ( not keeper.wait_for( generation + 1 ) ) {
    return -1;
  }
  return static_cast<double>( keeper.board().turned_ns - died ) / 1e6;
}

int measure( std::size_t sessions, int rounds )
{
  rlimit limit {};
  ::getrlimit( RLIMIT_NOFILE, &limit );
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit( RLIMIT_NOFILE, &limit );

  const std::uint16_t app_port = free_port();
  const std::uint16_t link_port = free_port();
  const Fd target = listen_on( *literal_address( "127.0.0.1", 0 ) );
  const std::uint16_t target_port = port_of_listener( target );
  const pid_t holder = test::start_process( [&] {
    ::prctl( PR_SET_PDEATHSIG, SIGKILL );
    hold( target );
  } );
  const auto log_level = std::getenv( "HOLDFAST_TEST_LOG" ) == nullptr ? "off" : "info";
  Keeper far { [&]( Keeper::Board& board, Predecessor predecessor ) {
    SproxyConfig config;
    set( config, link_port, sessions );
    config.target = { "127.0.0.1", target_port };
    const auto log = make_log( "sproxy", log_level );
    const OpensslCrypto crypto;
    Loop loop;
    Sproxy sproxy { loop, config, crypto, clear_wire, *log, std::move( predecessor ) };
    run( loop, sproxy, board );
  } };
  Keeper near { [&]( Keeper::Board& board, Predecessor predecessor ) {
    CproxyConfig config;
    set( config, app_port, sessions );
    config.sproxy = { "127.0.0.1", link_port };
    const auto log = make_log( "cproxy", log_level );
    const OpensslCrypto crypto;
    Loop loop;
    Cproxy cproxy { loop, config, crypto, clear_wire, []( const Digest& ) {}, *log, std::move( predecessor ) };
    run( loop, cproxy, board );
  } };
  if ( not far.wait_for( 1 ) or not near.wait_for( 1 ) ) {
    return 1;
  }
  const auto apps = dial( app_port, sessions );
  std::this_thread::sleep_for( 2s + std::chrono::milliseconds { sessions / 5 } ); // all targets have been dialled
  for ( int round = 0; round < rounds; ++round ) {
    const double of_cproxy = died_to_turn_ms( near );
    std::this_thread::sleep_for( 1s );
    const double of_sproxy = died_to_turn_ms( far );
    std::this_thread::sleep_for( 1s );
    fmt::print(
      "{} sessions: cproxy back after {:.1f} ms ({:.1f} of a processor), sproxy after {:.1f} ms ({:.1f})\n",
      sessions,
      of_cproxy,
      static_cast<double>( near.board().processor_ns ) / 1e6,
      of_sproxy,
      static_cast<double>( far.board().processor_ns ) / 1e6 );
  }
  ::kill( holder, SIGKILL );
  test::end_of( holder );
  return 0;
}

} // namespace
} // namespace holdfast

int main( int argc, char** argv )
{
  const std::size_t sessions = argc > 1 ? std::strtoul( argv[1], nullptr, 10 ) : 1000;
  const int rounds = argc > 2 ? std::atoi( argv[2] ) : 5;
  return holdfast::measure( sessions, rounds );
}
