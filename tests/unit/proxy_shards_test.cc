#include "proxy/shards.hh"

#include "net/ledger.hh"
#include "net/tls.hh"
#include "proxy/cproxy.hh"
#include "proxy/openssl_crypto.hh"
#include "unit/conversations.hh"
#include "unit/net_tls_ends.hh"
#include "unit/process.hh"

#include <gtest/gtest.h>

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

// An sproxy of three threads and several cproxies, all in this process: what ThreadSanitizer is to see. Programs
// check every byte while links are cut.

namespace holdfast {
namespace {

using namespace std::chrono_literals;
using namespace test;

template<class Config>
void set( Config& config, std::uint16_t port )
{
  config.bind = "127.0.0.1";
  config.port = port;
  config.memory = { .sessions = 200, .memory = 32U << 20U };
}

// Runs a proxy in a thread of its own until this object ends.
class Running
{
public:
  // `serve` makes the proxy, and takes turns until it is told that this was all.
  explicit Running( std::function<void( const std::atomic<bool>& ends )> serve )
    : thread_( [this, its = std::move( serve )] { its( ends_ ); } )
  {}
  ~Running()
  {
    ends_ = true;
    thread_.join();
  }

private:
  std::atomic<bool> ends_ = false;
  std::thread thread_;
};

template<class Proxy>
void take_turns( Loop& loop, Proxy& proxy, const std::atomic<bool>& ends )
{
  while ( not ends ) {
    loop.wait( std::min( proxy.deadline(), loop.now() + Duration { 20ms } ) );
    proxy.turn();
  }
}

// The links of all clients, so that they can be cut.
class Links
{
public:
  void made( int socket )
  {
    const std::scoped_lock lock { mutex_ };
    sockets_.emplace_back( ::dup( socket ) );
  }
  void cut()
  {
    const std::scoped_lock lock { mutex_ };
    for ( const Fd& socket : sockets_ ) {
      ::shutdown( socket.get(), SHUT_RDWR );
    }
    sockets_.clear();
  }

private:
  std::mutex mutex_ {};
  std::vector<Fd> sockets_ {};
};

// An sproxy with its target, and clients with a key, or an instance, each.
class World
{
public:
  World( std::size_t threads, std::size_t clients, bool insecure )
  {
    target.start();
    sproxy_ = std::make_unique<Running>( [this, threads, insecure]( const std::atomic<bool>& ends ) {
      SproxyConfig config;
      set( config, link_port );
      config.target = { "127.0.0.1", target.port };
      const auto log = make_log( "sproxy", log_level() );
      const TlsContext tls { TlsContext::Role::server, server_key_.get(), &welcome };
      std::vector<std::unique_ptr<Loop>> loops;
      std::vector<Loop*> all;
      for ( std::size_t i = 0; i < threads; ++i ) {
        all.push_back( loops.emplace_back( std::make_unique<Loop>() ).get() );
      }
      Shards shards { all, [&]( std::size_t shard, const Siblings* siblings ) {
                       return std::make_unique<Sproxy>(
                         *all[shard],
                         config,
                         crypto_,
                         [&]( Fd fd ) {
                           return insecure ? clear_wire( std::move( fd ) ) : tls.wire( std::move( fd ) );
                         },
                         *log,
                         Predecessor {},
                         nullptr,
                         siblings );
                     } };
      shards.start( [this]( const Sproxy& ) { ++begun; } );
      take_turns( *all.front(), shards, ends );
      if ( stops ) {
        shards.stop();
        while ( not shards.stopped() ) {
          all.front()->wait( shards.deadline() );
          shards.turn();
        }
      }
    } );
    for ( std::size_t i = 0; i < clients; ++i ) {
      app_ports.push_back( free_port() );
      const std::uint16_t app_port = app_ports.back();
      cproxies_.push_back(
        std::make_unique<Running>( [this, i, app_port, insecure]( const std::atomic<bool>& ends ) {
          CproxyConfig config;
          set( config, app_port );
          config.sproxy = { "127.0.0.1", link_port };
          config.instance = Id { static_cast<std::byte>( i + 1 ) };
          const auto log = make_log( "cproxy", log_level() );
          const Key key;
          const TlsContext tls { TlsContext::Role::client, key.get(), &welcome };
          Loop loop;
          Cproxy cproxy { loop,
                          config,
                          crypto_,
                          [&]( Fd fd ) {
                            links.made( fd.get() );
                            return insecure ? clear_wire( std::move( fd ) ) : tls.wire( std::move( fd ) );
                          },
                          []( const Digest& ) {},
                          *log };
          take_turns( loop, cproxy, ends );
        } ) );
    }
    wait_until_listening();
  }

  EchoTarget target {};
  std::uint16_t link_port = free_port();
  std::vector<std::uint16_t> app_ports {};
  Links links {};
  std::atomic<std::size_t> begun = 0; // threads
  std::atomic<bool> stops = false;    // in order, when all is done

  void end_sproxy() { sproxy_.reset(); }

private:
  void wait_until_listening() const
  {
    for ( const std::uint16_t port : app_ports ) {
      const Address address = *literal_address( "127.0.0.1", port );
      for ( int i = 0; i < 30000; ++i ) {
        const Fd fd { ::socket( AF_INET, SOCK_STREAM, 0 ) };
        if ( ::connect( fd.get(), address.raw(), address.length ) == 0 ) {
          break;
        }
        std::this_thread::sleep_for( 1ms );
      }
    }
  }

  const OpensslCrypto crypto_ {};
  const Key server_key_ {};
  std::unique_ptr<Running> sproxy_ {};
  std::vector<std::unique_ptr<Running>> cproxies_ {}; // end first
};

void converse_while_links_are_cut( World& world )
{
  std::vector<std::unique_ptr<Conversations>> all;
  for ( const std::uint16_t port : world.app_ports ) {
    all.push_back( std::make_unique<Conversations>( port, 2, 500000, 3 ) );
  }
  for ( int i = 0; i < 10; ++i ) {
    std::this_thread::sleep_for( 60ms );
    world.links.cut();
  }
  for ( const auto& each : all ) {
    each->join();
  }
}

TEST( Shards, NobodyNoticesThatLinksGoToOtherThreads )
{
  World world { 3, 5, false };
  converse_while_links_are_cut( world );
  EXPECT_EQ( world.begun, 3U );
}

TEST( Shards, NeitherOnLinksInTheClear )
{
  World world { 3, 5, true };
  converse_while_links_are_cut( world );
}

TEST( Shards, OneShardNeedsNoThread )
{
  World world { 1, 2, false };
  converse_while_links_are_cut( world );
  EXPECT_EQ( world.begun, 1U ) << "the caller's";
}

TEST( Shards, AStopEndsTheSessionsOfAll )
{
  auto world = std::make_unique<World>( 3, 4, false );
  std::vector<Fd> apps;
  for ( const std::uint16_t port : world->app_ports ) {
    apps.push_back( dial( port ) );
    EXPECT_TRUE( says( apps.back(), 'a' ) );
  }
  world->stops = true;
  std::thread ending { [&] { world->end_sproxy(); } };
  for ( const Fd& app : apps ) {
    std::byte none {};
    EXPECT_EQ( ::recv( app.get(), &none, 1, 0 ), -1 );
    EXPECT_EQ( errno, ECONNRESET );
  }
  ending.join();
}

// Runs in a process of its own, in which nothing else is open.
std::vector<bool> who_is_to_blame( bool crashed, bool is_known, std::size_t shards )
{
  ::close_range( 3, ~0U, 0 );
  std::vector<std::uint64_t> inodes;
  for ( int i = 0; i < 2; ++i ) { // as a process that died leaves them: no Fd closes them
    const int memory = ::memfd_create( Arena::name, 0 );
    inodes.push_back( inode_of( memory ) );
  }
  Left left { {} };
  EXPECT_EQ( left.count_memory( Arena::name ), 2U );
  std::vector<bool> blamed;
  for ( const Predecessor& part :
        parts_of( { .left = &left, .crashed = crashed }, shards, is_known ? inodes[1] : 0 ) ) {
    EXPECT_EQ( part.memory.size(), blamed.size() < 2 ? 1U : 0U ) << "each has its own, and the rest a new one";
    EXPECT_EQ( part.others_follow, blamed.size() + 1 < shards );
    blamed.push_back( part.crashed );
  }
  return blamed;
}

TEST( Shards, OnlyTheThreadThatCrashedIsToBlame )
{
  const auto expect = []( bool crashed, bool is_known, const std::vector<bool>& expected ) {
    in_a_process( [&] { EXPECT_EQ( who_is_to_blame( crashed, is_known, expected.size() ), expected ); } );
  };
  expect( true, true, { false, true } );
  expect( true, true, { false, true, false } );
  expect( true, false, { true, true, false } ); // it could not say which one
  expect( false, false, { false, false } );
}

} // namespace
} // namespace holdfast
