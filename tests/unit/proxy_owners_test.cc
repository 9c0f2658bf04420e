#include "proxy/owners.hh"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

// Who of the shards has what of whom.

namespace holdfast {
namespace {

Owners::Who somebody( unsigned number )
{
  Digest identity {};
  identity[0] = std::byte { 1 };
  identity[1] = static_cast<std::byte>( number );
  return Owners::who( identity, {} );
}

TEST( Owners, AClientIsHisKeyAndOnlyWithoutOneHisInstance )
{
  const Digest key { std::byte { 1 } };
  const Id one { std::byte { 1 } };
  const Id another { std::byte { 2 } };
  EXPECT_EQ( Owners::who( key, one ), Owners::who( key, another ) ) << "what one key may have is counted together";
  EXPECT_NE( Owners::who( {}, one ), Owners::who( {}, another ) );
  EXPECT_NE( Owners::who( {}, one ), Owners::who( key, one ) );
}

TEST( Owners, ClientsAreSpreadEvenlyAndTheDoorIsTheLast )
{
  Owners owners { 3 };
  std::vector<Owners::Claim> claims;
  std::vector<Owners::Shard> chosen;
  for ( unsigned i = 0; i < 6; ++i ) {
    claims.push_back( owners.claim( somebody( i ) ) );
    chosen.push_back( claims.back().shard() );
  }
  EXPECT_EQ( chosen, ( std::vector<Owners::Shard> { 2, 1, 0, 2, 1, 0 } ) );
  claims.erase( claims.begin() + 1 );
  EXPECT_EQ( owners.claim( somebody( 7 ) ).shard(), 1U ) << "where somebody has left there is room";
}

TEST( Owners, WhoHasManyTunnelsFillsItsShardAndOthersComeElsewhere )
{
  Owners owners { 2 };
  std::vector<Owners::Claim> tunnels;
  while ( tunnels.size() < 10 ) {
    tunnels.push_back( owners.claim( somebody( 0 ) ) );
  }
  std::vector<Owners::Claim> others;
  for ( unsigned i = 1; i < 10; ++i ) {
    others.push_back( owners.claim( somebody( i ) ) );
    EXPECT_EQ( others.back().shard(), 0U );
  }
}

TEST( Owners, AClientStaysWhereHeHasSomething )
{
  Owners owners { 2 };
  auto link = owners.claim( somebody( 1 ) );
  const auto other = owners.claim( somebody( 2 ) );
  auto tunnel = owners.claim( somebody( 1 ), link.shard() );
  link = {};
  EXPECT_EQ( owners.claim( somebody( 1 ) ).shard(), 1U );
  tunnel = owners.claim( somebody( 1 ), 0 );
  EXPECT_EQ( tunnel.shard(), 1U ) << "also when somebody else says that he has something of him";
  tunnel = {};
  EXPECT_EQ( owners.claim( somebody( 3 ), 0 ).shard(), 0U );
  EXPECT_EQ( owners.claim( somebody( 1 ) ).shard(), 1U ) << "nothing is left of him: anybody's";
}

TEST( Owners, AClaimThatWentSomewhereElseIsOne )
{
  Owners owners { 2 };
  auto claim = owners.claim( somebody( 1 ) );
  auto moved = std::move( claim );
  EXPECT_FALSE( claim ); // NOLINT(bugprone-use-after-move): it says so
  EXPECT_TRUE( moved );
  claim = std::move( moved );
  EXPECT_EQ( claim.shard(), 1U );
  claim = {};
  const auto next = owners.claim( somebody( 2 ) );
  EXPECT_EQ( next.shard(), 1U ) << "nobody has anything in it any more";
}

// Under ThreadSanitizer this is the test of the mutex.
TEST( Owners, AnyThreadMayMakeClaimsAndGiveThemUp )
{
  Owners owners { 4 };
  const auto kept = owners.claim( somebody( 0 ) );
  std::vector<std::thread> threads;
  for ( unsigned t = 0; t < 4; ++t ) {
    threads.emplace_back( [&owners, &kept] {
      for ( unsigned i = 0; i < 2000; ++i ) {
        const auto first = owners.claim( somebody( i % 8 ) );
        const auto second = owners.claim( somebody( i % 8 ), i % 4 );
        EXPECT_EQ( first.shard(), second.shard() );
        EXPECT_EQ( owners.claim( somebody( 0 ) ).shard(), kept.shard() );
      }
    } );
  }
  for ( std::thread& thread : threads ) {
    thread.join();
  }
  std::vector<Owners::Claim> claims;
  std::vector<Owners::Shard> chosen;
  for ( unsigned i = 1; i < 4; ++i ) {
    claims.push_back( owners.claim( somebody( i ) ) );
    chosen.push_back( claims.back().shard() );
  }
  EXPECT_EQ( chosen, ( std::vector<Owners::Shard> { 2, 1, 0 } ) ) << "the counts are right again";
}

} // namespace
} // namespace holdfast
