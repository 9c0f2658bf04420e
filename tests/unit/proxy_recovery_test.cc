#include "net/fault_point.hh"
#include "proxy/cproxy.hh"
#include "proxy/openssl_crypto.hh"
#include "proxy/shards.hh"
#include "proxy/sproxy.hh"
#include "unit/conversations.hh"
#include "unit/keeper.hh"

#include <gtest/gtest.h>

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

// A whole cproxy and a whole sproxy, each the worker of a keeper. They are killed while programs talk through them;
// the programs, which check every byte, must not notice.

namespace holdfast {
namespace {

using namespace std::chrono_literals;
using namespace test;

// A fault in one of the two, in the process of that generation; 0: in each.
struct Fault
{
  bool near = true;
  std::string where {};
  int generation = 1;
};

// The chain: programs, cproxy, sproxy, target. Keepers are made before any thread.
struct Chain
{
  Chain() : Chain( Fault {} ) {}
  explicit Chain( Fault fault, std::size_t threads_of_sproxy = 1 )
    : fault_( std::move( fault ) ), threads_( threads_of_sproxy )
  {
    target.start();
  }

  EchoTarget target {};
  std::uint16_t app_port = free_port();
  std::uint16_t link_port = free_port();

private:
  Fault fault_;
  std::size_t threads_;

  template<class Proxy>
  static void run( Loop& loop, Proxy& proxy, Keeper::Board& board )
  {
    for ( ;; ) {
      loop.wait( proxy.deadline() );
      proxy.turn();
      board.turns = true;
    }
  }
  void prepare( bool is_near, const Keeper::Board& board ) const
  {
    if ( is_near == fault_.near and not fault_.where.empty()
         and ( fault_.generation == 0 or board.generation == fault_.generation ) ) {
      ::setenv( "HOLDFAST_FAULT", fault_.where.c_str(), 1 );
    }
  }
  template<class Config>
  static void set( Config& config, std::uint16_t port )
  {
    config.bind = "127.0.0.1";
    config.port = port;
    config.memory = { .sessions = 200, .memory = 32U << 20U };
  }

public:
  Keeper far { [this]( Keeper::Board& board, Predecessor predecessor ) {
    prepare( false, board );
    SproxyConfig config;
    set( config, link_port );
    config.target = { "127.0.0.1", target.port };
    const auto log = make_log( "sproxy", log_level() );
    const OpensslCrypto crypto;
    std::vector<std::unique_ptr<Loop>> loops;
    std::vector<Loop*> all;
    while ( all.size() < threads_ ) {
      all.push_back( loops.emplace_back( std::make_unique<Loop>() ).get() );
    }
    auto parts = parts_of( std::move( predecessor ), threads_, 0 );
    Shards shards {
      all,
      [&]( std::size_t shard, const Siblings* siblings ) {
        return std::make_unique<Sproxy>(
          *all[shard], config, crypto, clear_wire, *log, std::move( parts[shard] ), nullptr, siblings );
      }
    };
    shards.start( []( const Sproxy& ) {} );
    run( all.front()[0], shards, board );
  } };
  Keeper near { [this]( Keeper::Board& board, Predecessor predecessor ) {
    prepare( true, board );
    CproxyConfig config;
    set( config, app_port );
    config.sproxy = { "127.0.0.1", link_port };
    const auto log = make_log( "cproxy", log_level() );
    const OpensslCrypto crypto;
    Loop loop;
    Cproxy cproxy { loop, config, crypto, clear_wire, []( const Digest& ) {}, *log, std::move( predecessor ) };
    run( loop, cproxy, board );
  } };

  [[nodiscard]] bool started() const { return far.wait_for( 1 ) and near.wait_for( 1 ); }
};

void kill_workers_while_programs_talk( const Chain& chain )
{
  ASSERT_TRUE( chain.started() );
  constexpr std::size_t programs = 6;
  constexpr std::size_t rounds = 16;
  Conversations all { chain.app_port, programs, 3U << 20U, rounds };
  std::minstd_rand chance { 1 };
  int kills = 0;
  // On a machine so busy that the programs get nowhere between two kills, they come to an end without any more.
  const auto peace = std::chrono::steady_clock::now() + std::chrono::seconds { 30 };
  for ( ; all.done < programs * rounds and std::chrono::steady_clock::now() < peace; ++kills ) {
    const Keeper& victim = chance() % 2 == 0 ? chain.near : chain.far;
    std::this_thread::sleep_for( std::chrono::milliseconds { 5 + chance() % 60 } );
    victim.kill_worker();
    if ( chance() % 4 == 0 ) { // both at once, or one of them while it recovers
      ( chance() % 2 == 0 ? chain.near : chain.far ).kill_worker();
      continue;
    }
    ASSERT_TRUE( victim.wait_for( victim.board().generation ) );
  }
  all.join();
  EXPECT_GT( kills, 10 );
}

TEST( ProxyRecovery, NobodyNoticesThatAWorkerIsKilled )
{
  kill_workers_while_programs_talk( Chain {} );
}

TEST( ProxyRecovery, NobodyNoticesThatAWorkerWithSeveralThreadsIsKilled )
{
  kill_workers_while_programs_talk( Chain { {}, 3 } );
}

TEST( ProxyRecovery, NobodyIsToBlameForACrashInWhichNobodyWasServed )
{
  Chain chain;
  ASSERT_TRUE( chain.started() );
  const Fd idle = dial( chain.app_port );
  EXPECT_TRUE( says( idle, 'a' ) );
  for ( int i = 0; i < 3; ++i ) {
    for ( const Keeper* victim : { &chain.near, &chain.far } ) {
      const int generation = victim->board().generation;
      std::this_thread::sleep_for( 50ms ); // all is said
      victim->kill_worker( SIGABRT );
      ASSERT_TRUE( victim->wait_for( generation + 1 ) );
    }
  }
  EXPECT_TRUE( says( idle, 'b' ) );
}

TEST( ProxyRecovery, AProgramThatResetsIsSeenToHaveReset )
{
  Chain chain;
  ASSERT_TRUE( chain.started() );
  Fd app = dial( chain.app_port );
  EXPECT_TRUE( says( app, 'a' ) );
  const int generation = chain.near.board().generation;
  ::kill( chain.near.board().worker, SIGSTOP ); // so that it is reset while nobody looks
  close_with_reset( app );
  chain.near.kill_worker();
  ASSERT_TRUE( chain.near.wait_for( generation + 1 ) );
  for ( int i = 0; i < 20000 and chain.target.resets == 0; ++i ) {
    std::this_thread::sleep_for( 1ms );
  }
  EXPECT_EQ( chain.target.resets, 1 );
}

#ifdef HOLDFAST_FAULTS

struct Place
{
  FaultPoint point;
  bool near;
  int generation = 1;
};

// A place of a proxy that carries sessions which end in order, and where a reset is carried.
class FaultPoints : public testing::TestWithParam<Place>
{};
class FaultPointsOfResets : public testing::TestWithParam<Place>
{};

std::string name_of( const testing::TestParamInfo<Place>& about )
{
  return std::string { name_of( about.param.point ) } + ( about.param.near ? "_near_" : "_far_" )
         + std::to_string( about.param.generation );
}

// A session whose bytes make the process crash, again and again.
TEST( ProxyRecovery, ASessionThatIsServedInTwoCrashesIsClosedAndTheOthersGoOn )
{
  Chain chain { { .near = true, .where = "received:1:abort", .generation = 0 } };
  ASSERT_TRUE( chain.started() );
  const Fd harmless = dial( chain.app_port ); // says nothing, so nothing is received from it
  const Fd killer = dial( chain.app_port );
  const std::array said { std::byte { 'x' } };
  for ( int crashes = 1; crashes <= 2; ++crashes ) {
    EXPECT_TRUE( write_all( killer.get(), said ) );
    ASSERT_TRUE( chain.near.wait_for( crashes + 1 ) );
  }
  std::array<std::byte, 100> heard {};
  ssize_t n = 0;
  do { // the bytes that made it crash have been taken all the same, and may have come back before the end
    n = ::recv( killer.get(), heard.data(), heard.size(), 0 );
  } while ( n > 0 );
  EXPECT_EQ( n, -1 );
  EXPECT_EQ( errno, ECONNRESET );
  pollfd one { .fd = harmless.get(), .events = POLLIN, .revents = 0 };
  EXPECT_EQ( ::poll( &one, 1, 300 ), 0 ) << "it is still there";
  EXPECT_EQ( chain.near.board().generation, 3 );
}

// Each window between a system call and its book-keeping, for the first time, the second, ... that it is passed; of
// an sproxy with several threads, by one of them.
void expect_not_noticed( const Place& place, std::size_t threads_of_sproxy )
{
  SCOPED_TRACE( threads_of_sproxy );
  for ( const int nth : { 1, 2, 5 } ) {
    SCOPED_TRACE( nth );
    Chain chain { { .near = place.near,
                    .where = std::string { name_of( place.point ) } + ":" + std::to_string( nth ),
                    .generation = place.generation },
                  threads_of_sproxy };
    const Keeper& victim = place.near ? chain.near : chain.far;
    ASSERT_TRUE( chain.near.wait_for( 1 ) );
    Conversations all { chain.app_port, 5, place.generation == 1 ? 200000U : 4000000U, 2 };
    bool is_in_the_middle = true;
    if ( place.generation == 2 ) {
      while ( all.begun < 5 ) {
        std::this_thread::sleep_for( 1ms );
      }
      is_in_the_middle = all.done < 2 * 5; // else we were asleep for so long that nobody has anything to resume
      victim.kill_worker();
    }
    all.join();
    EXPECT_TRUE( nth > 1 or not is_in_the_middle or victim.wait_for( place.generation + 1 ) ) << "it never came by";
  }
}

TEST_P( FaultPoints, AreNotNoticed )
{
  expect_not_noticed( GetParam(), 1 );
  if ( not GetParam().near ) {
    expect_not_noticed( GetParam(), 3 );
  }
}

// A program that resets, before or after we have died of it, is seen to have reset at the other end; a target, too.
TEST_P( FaultPointsOfResets, AreNotNoticed )
{
  const Place place = GetParam();
  const bool target_resets = place.near == ( place.point == FaultPoint::broken_off );
  Chain chain { { .near = place.near, .where = std::string { name_of( place.point ) } } };
  ASSERT_TRUE( chain.started() );
  const Fd bystander = dial( chain.app_port );
  EXPECT_TRUE( says( bystander, 'a' ) );
  Fd app = dial( chain.app_port );
  EXPECT_TRUE( says( app, 'b' ) );
  if ( target_resets ) {
    chain.target.resets_all = true;
    EXPECT_FALSE( says( app, 'c' ) );
    EXPECT_EQ( errno, ECONNRESET );
    chain.target.resets_all = false;
  } else {
    close_with_reset( app );
    for ( int i = 0; i < 10000 and chain.target.resets == 0; ++i ) {
      std::this_thread::sleep_for( 1ms );
    }
    EXPECT_EQ( chain.target.resets, 1 );
  }
  EXPECT_TRUE( ( place.near ? chain.near : chain.far ).wait_for( 2 ) ) << "it never came by";
  EXPECT_TRUE( says( bystander, 'd' ) );
}

constexpr std::array places {
  Place { FaultPoint::accepted, true },       Place { FaultPoint::accepted, false },
  Place { FaultPoint::opened, true },         Place { FaultPoint::known, true },
  Place { FaultPoint::known, false },         Place { FaultPoint::dialled, false },
  Place { FaultPoint::connected, false },     Place { FaultPoint::received, true },
  Place { FaultPoint::received, false },      Place { FaultPoint::received_end, true },
  Place { FaultPoint::received_end, false },  Place { FaultPoint::sent, true },
  Place { FaultPoint::sent, false },          Place { FaultPoint::sent_end, true },
  Place { FaultPoint::sent_end, false },      Place { FaultPoint::released, true },
  Place { FaultPoint::released, false },      Place { FaultPoint::closed, true },
  Place { FaultPoint::closed, false },        Place { FaultPoint::said_hello, true, 2 },
  Place { FaultPoint::welcomed, true },       Place { FaultPoint::welcomed, false },
  Place { FaultPoint::welcomed, true, 2 },    Place { FaultPoint::mended, true, 2 },
  Place { FaultPoint::mended, false, 2 },     Place { FaultPoint::taken_over, true, 2 },
  Place { FaultPoint::taken_over, false, 2 },
};

constexpr std::array places_of_resets {
  Place { FaultPoint::failed, true },
  Place { FaultPoint::failed, false },
  Place { FaultPoint::broken_off, true },
  Place { FaultPoint::broken_off, false },
};

INSTANTIATE_TEST_SUITE_P( All, FaultPoints, testing::ValuesIn( places ), name_of );
INSTANTIATE_TEST_SUITE_P( All, FaultPointsOfResets, testing::ValuesIn( places_of_resets ), name_of );

// Whoever adds one is told here that it has no test yet.
TEST( ProxyRecovery, EveryFaultPointIsHit )
{
  for ( int number = 0; not name_of( FaultPoint { number } ).empty(); ++number ) {
    const auto is_it = [number]( const Place& place ) { return place.point == FaultPoint { number }; };
    EXPECT_TRUE( std::ranges::any_of( places, is_it ) or std::ranges::any_of( places_of_resets, is_it ) )
      << name_of( FaultPoint { number } );
  }
}

#endif

} // namespace
} // namespace holdfast
