#include "net/tls.hh"
#include "tool.hh"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <openssl/evp.h>

#include <malloc.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>
#include <memory>
#include <string>
#include <vector>

// What one TLS link costs, without a network in between: CPU of both ends for a handshake, memory when it is open
// and silent, and memory of a stranger who stops in the middle. Both ends are in this process.

namespace {

using namespace holdfast;
using Microseconds = std::chrono::duration<double, std::micro>;

Microseconds cpu_time()
{
  timespec now {};
  ::clock_gettime( CLOCK_PROCESS_CPUTIME_ID, &now );
  return std::chrono::seconds { now.tv_sec } + std::chrono::nanoseconds { now.tv_nsec };
}

// In use, mappings of their own included (mallinfo(3)).
double heap_kib()
{
  const auto info = ::mallinfo2();
  return static_cast<double>( info.uordblks + info.hblkhd ) / 1024;
}

struct Link
{
  std::unique_ptr<Wire> client, server;
};

std::vector<Link> connect( const TlsContext& client, const TlsContext& server, std::size_t count )
{
  std::vector<Link> links( count );
  for ( Link& link : links ) {
    std::array<int, 2> fds {};
    if ( ::socketpair( AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds.data() ) != 0 ) {
      throw std::runtime_error( "no descriptors left: ulimit -n" );
    }
    link = { client.wire( Fd { fds[0] } ), server.wire( Fd { fds[1] } ) };
  }
  return links;
}

// Lets one end do what it can now; how long that took.
Microseconds step( Wire& wire )
{
  const auto before = cpu_time();
  if ( not wire.is_open() and not wire.open() ) {
    throw std::runtime_error( wire.problem() );
  }
  return cpu_time() - before;
}

template<class T>
std::string median( std::vector<T> values, std::string_view unit )
{
  std::ranges::sort( values );
  return fmt::format( "{:.0f} {} ({:.0f} to {:.0f})",
                      values[values.size() / 2],
                      unit,
                      values[values.size() / 20],
                      values[values.size() - 1 - values.size() / 20] );
}

void measure( std::size_t count )
{
  const auto new_key = [] {
    return std::unique_ptr<EVP_PKEY, decltype( &::EVP_PKEY_free )> {
      ::EVP_PKEY_Q_keygen( nullptr, nullptr, "ED25519" ), &::EVP_PKEY_free
    };
  };
  const auto client_key = new_key();
  const auto server_key = new_key();
  const auto welcome = []( const Digest& ) { return std::optional<std::string> {}; };
  const TlsContext client { TlsContext::Role::client, *client_key, welcome };
  const TlsContext server { TlsContext::Role::server, *server_key, welcome };
  for ( Link& link : connect( client, server, 1 ) ) { // what OpenSSL makes once
    for ( int i = 0; i < 3; ++i ) {
      step( *link.client );
      step( *link.server );
    }
  }

  auto links = connect( client, server, count );
  const double idle = heap_kib();
  std::vector<double> client_time;
  std::vector<double> server_time;
  for ( Link& link : links ) {
    auto taken = step( *link.client );
    server_time.push_back( step( *link.server ).count() );
    taken += step( *link.client );
    client_time.push_back( taken.count() );
  }
  const double halfway = heap_kib(); // clients are done, servers wait for their last flight
  for ( std::size_t i = 0; i < links.size(); ++i ) {
    server_time[i] += step( *links[i].server ).count();
    std::array<std::byte, 1> nothing {};
    static_cast<void>( links[i].server->receive( nothing ) );
    static_cast<void>( links[i].client->receive( nothing ) );
  }
  const double open = heap_kib();
  const auto each = [count]( double kib ) { return kib / static_cast<double>( count ); };
  fmt::print( "  handshake, CPU of cproxy       {}\n", median( client_time, "us" ) );
  fmt::print( "  handshake, CPU of sproxy       {}\n", median( server_time, "us" ) );
  fmt::print( "  memory of an open, silent link {:.1f} KiB for each end\n", each( open - idle ) / 2 );
  fmt::print( "  and before its last flight     {:.1f} KiB for sproxy\n",
              each( halfway - idle ) - each( open - idle ) / 2 );
}

int run( int argc, char** argv )
{
  std::size_t links = 500;
  CLI::App app { "bench_tls: what one TLS link costs", "bench_tls" };
  app.add_option( "--links", links, "How many to make" )->check( CLI::Range( 10, 5000 ) )->capture_default_str();
  CLI11_PARSE( app, argc, argv );
  measure( links );
  return 0;
}

} // namespace

int main( int argc, char** argv )
{
  return holdfast::run_tool( "bench_tls", run, argc, argv );
}
