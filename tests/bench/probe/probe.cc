// bench_probe: what a relay costs at least. Two in a row stand where cproxy and sproxy would.
//
//   bench_probe copy PORT TARGET        only copies: reads from one side, writes to the other
//   bench_probe near PORT FAR           with frames and retention, and nothing else: no sessions, no heartbeats, no
//   bench_probe far PORT TARGET         TLS, one link for each connection; lost when the link is lost
//
// TARGET and FAR are ports of 127.0.0.1. Says "listening on ADDR:PORT" and serves until it is killed.

#include "net/error.hh"
#include "net/listener.hh"
#include "net/loop.hh"
#include "net/signals.hh"
#include "net/socket.hh"
#include "net/tls.hh"
#include "probe/copy.hh"
#include "probe/framed.hh"
#include "probe/sealed.hh"
#include "tool.hh"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <charconv>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace holdfast {
namespace {

// -- the program -------------------------------------------------------------------------------------------------

std::uint16_t port_in( const char* text )
{
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars( text, text + std::strlen( text ), port );
  if ( error != std::errc {} or *end != '\0' ) {
    throw StartupError( fmt::format( "'{}' is not a port", text ) );
  }
  return port;
}

// Makes the two ends of a relay.
using MakePair = std::function<std::unique_ptr<Pair>( Loop& loop, Fd accepted, Fd connected )>;

template<class Kind>
std::unique_ptr<Pair> straight( Loop& loop, Fd accepted, Fd connected )
{
  return std::make_unique<Kind>( loop, std::move( accepted ), std::move( connected ) );
}

MakePair sealing( TlsContext::Role role )
{
  const std::shared_ptr<EVP_PKEY> key { ::EVP_PKEY_Q_keygen( nullptr, nullptr, "ED25519" ), ::EVP_PKEY_free };
  const auto anybody = []( const Digest& ) { return std::optional<std::string> {}; };
  const auto context = std::make_shared<TlsContext>( role, *key, anybody );
  const bool near = role == TlsContext::Role::client;
  return [key, context, near]( Loop& loop, Fd accepted, Fd connected ) -> std::unique_ptr<Pair> {
    Fd& local = near ? accepted : connected;
    Fd& link = near ? connected : accepted;
    return std::make_unique<Sealed>( loop, std::move( local ), context->wire( std::move( link ) ) );
  };
}

// Nothing: there is no such role.
MakePair pairs_of( const std::string& role )
{
  const std::map<std::string, std::function<MakePair()>> roles {
    { "copy", [] { return straight<Copy>; } },
    { "near", [] { return straight<Framed>; } },
    { "far",
      [] {
        return []( Loop& loop, Fd accepted, Fd connected ) {
          return straight<Framed>( loop, std::move( connected ), std::move( accepted ) );
        };
      } },
    { "tls-near", [] { return sealing( TlsContext::Role::client ); } },
    { "tls-far", [] { return sealing( TlsContext::Role::server ); } },
  };
  const auto found = roles.find( role );
  return found == roles.end() ? MakePair {} : found->second();
}

int run( int argc, char** argv )
{
  const MakePair make = argc == 4 ? pairs_of( argv[1] ) : MakePair {};
  if ( not make ) {
    fmt::print( stderr, "usage: bench_probe copy|near|far|tls-near|tls-far PORT PORT-TO\n" );
    return 2;
  }
  const auto to = literal_address( "127.0.0.1", port_in( argv[3] ) );
  raise_descriptor_limit();
  Loop loop;
  const Signals signals { loop };
  std::vector<std::unique_ptr<Pair>> pairs;
  const Listener listener { loop,
                            listen_for( "127.0.0.1", port_in( argv[2] ) ),
                            [&]( Fd socket, const Address& ) {
                              Connecting connecting = connect_to( *to );
                              if ( connecting.fd ) {
                                prepare_leg( socket.get() );
                                prepare_leg( connecting.fd.get() );
                                pairs.push_back( make( loop, std::move( socket ), std::move( connecting.fd ) ) );
                              }
                            },
                            []( int error ) { fail( "cannot accept", error ); } };
  fmt::print( "listening on {}\n", listener.address().text() );
  std::fflush( stdout );
  while ( signals.stops() == 0 ) {
    loop.wait( never );
    std::erase_if( pairs, []( const auto& pair ) { return pair->over(); } );
  }
  return 0;
}

} // namespace
} // namespace holdfast

int main( int argc, char** argv )
{
  return holdfast::run_tool( "bench_probe", holdfast::run, argc, argv );
}
