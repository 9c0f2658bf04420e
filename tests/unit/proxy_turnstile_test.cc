#include "proxy/turnstile.hh"

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <set>

namespace holdfast {
namespace {

using namespace std::chrono_literals;

class TurnstileTest : public testing::Test
{
protected:
  Turnstile::Guest comes( const std::string& network )
  {
    turnstile.arrived( ++last, network );
    turnstile.knocked( last );
    return last;
  }

  Time now = Time {} + 1h;
  Turnstile turnstile { { .rate = 10, .burst = 3 }, 1, now };
  Turnstile::Guest last = 0;
};

TEST_F( TurnstileTest, NobodyGoesWhoHasNotKnocked )
{
  turnstile.arrived( 1, "a" );
  EXPECT_EQ( turnstile.next( now ), std::nullopt );
  EXPECT_EQ( turnstile.deadline(), never );
  turnstile.knocked( 1 );
  EXPECT_EQ( turnstile.next( now ), 1 );
  EXPECT_EQ( turnstile.next( now ), std::nullopt ); // each goes once
}

TEST_F( TurnstileTest, ACrowdDoesNotHoldUpSomebodyFromElsewhere )
{
  for ( int i = 0; i < 1000; ++i ) {
    comes( "crowd" );
  }
  const auto owner = comes( "elsewhere" );
  std::set<std::optional<Turnstile::Guest>> served;
  for ( int i = 0; i < 4; ++i ) { // three turns of the crowd's, and his
    served.insert( turnstile.next( now ) );
  }
  EXPECT_TRUE( served.contains( owner ) );
}

TEST_F( TurnstileTest, NoPlaceInACrowdIsTheBest )
{
  std::map<Turnstile::Guest, int> served; // by the order in which they came
  for ( int round = 0; round < 900; ++round, now += 1s ) {
    const auto first = comes( "crowd" );
    comes( "crowd" );
    comes( "crowd" );
    ++served[turnstile.next( now ).value() - first];
    for ( Turnstile::Guest guest = first; guest < first + 3; ++guest ) {
      turnstile.left( guest );
    }
  }
  for ( Turnstile::Guest place = 0; place < 3; ++place ) {
    EXPECT_NEAR( served[place], 300, 100 ) << place;
  }
}

TEST_F( TurnstileTest, WhoComesAgainAndAgainGetsThroughACrowdAtHisOwnAddress )
{
  // A flood of a thousand a second with ten turns a second, and an owner who dials four times a second, as cproxy
  // does. He and the flood come at the same moments, in the worst order for him.
  std::set<Turnstile::Guest> owners;
  bool served = false;
  for ( int ms = 0; ms < 120'000 and not served; ++ms, now += 1ms ) {
    if ( ms % 250 == 249 ) {
      owners.insert( comes( "cafe" ) );
    }
    comes( "cafe" );
    while ( const auto guest = turnstile.next( now ) ) {
      served = served or owners.contains( *guest );
      turnstile.left( *guest );
    }
    if ( last > 1000 ) { // the oldest are turned out, as when the place is full
      turnstile.left( turnstile.most_expendable() );
    }
  }
  EXPECT_TRUE( served );
}

TEST_F( TurnstileTest, OneNetworkGetsABurstAndThenItsRate )
{
  for ( int i = 0; i < 100; ++i ) {
    comes( "a" );
  }
  int turns = 0;
  while ( turnstile.next( now ) ) {
    ++turns;
  }
  EXPECT_EQ( turns, 3 );
  EXPECT_GT( turnstile.deadline(), now );
  EXPECT_LE( turnstile.deadline(), now + 101ms );

  turns = 0;
  for ( const Time end = now + 2s; now < end; now += 1ms ) {
    while ( turnstile.next( now ) ) {
      ++turns;
    }
  }
  EXPECT_NEAR( turns, 20, 1 );
}

TEST_F( TurnstileTest, TheDeadlineIsNeverTooEarly )
{
  for ( int i = 0; i < 10; ++i ) {
    comes( "a" );
  }
  for ( int i = 0; i < 3; ++i ) {
    EXPECT_TRUE( turnstile.next( now ) );
  }
  for ( int i = 0; i < 5; ++i ) {
    EXPECT_FALSE( turnstile.next( now ) );
    now = turnstile.deadline();
    EXPECT_TRUE( turnstile.next( now ) );
  }
}

TEST_F( TurnstileTest, FullMeansTheLargestCrowdsOldestGoes )
{
  const auto owner = comes( "owner" ); // was here first
  const auto oldest = comes( "crowd" );
  const auto next_oldest = comes( "crowd" );
  comes( "crowd" );
  EXPECT_EQ( turnstile.most_expendable(), oldest );
  turnstile.left( oldest );
  EXPECT_EQ( turnstile.most_expendable(), next_oldest );
  EXPECT_NE( turnstile.most_expendable(), owner );
}

// Somebody with a thousand addresses takes every place, each with another one. Then nobody has more than one, and
// the order of the addresses must not matter: the one that sorted first was turned out by the next arrival, always.
TEST_F( TurnstileTest, AThousandAddressesDoNotLockANewcomerOut )
{
  for ( int i = 1000; i < 2000; ++i ) {
    comes( "n" + std::to_string( i ) );
  }
  for ( const char* name : { "a", "n1500x", "z" } ) {
    const auto newcomer = comes( name );
    for ( int i = 2000; i < 2990; ++i ) {
      const auto out = turnstile.most_expendable();
      ASSERT_NE( out, newcomer ) << name << " after " << i - 2000;
      turnstile.left( out );
      comes( "n" + std::to_string( i ) + name );
    }
  }
}

// With addresses that rise one after another, somebody stayed ahead of a pointer that went round in their order;
// the owner's address was behind it, and he waited for ever.
TEST_F( TurnstileTest, AThousandAddressesDoNotRunAheadOfTheOwner )
{
  for ( int i = 10000; i < 11000; ++i ) {
    comes( "n" + std::to_string( i ) );
  }
  std::set<Turnstile::Guest> owners;
  bool served = false;
  for ( int ms = 0; ms < 60'000 and not served; ++ms, now += 1ms ) { // 1,000 come in a second, 200 are served
    turnstile.left( turnstile.most_expendable() );
    comes( "n" + std::to_string( 11000 + ms ) );
    if ( ms % 250 == 0 ) {
      owners.insert( comes( "a" ) );
    }
    if ( ms % 5 == 0 ) {
      const auto guest = turnstile.next( now ).value();
      served = owners.contains( guest );
      turnstile.left( guest );
      comes( "m" + std::to_string( ms ) );
    }
  }
  EXPECT_TRUE( served );
}

// A client dials again while it waits, and leaves all its connections but one when that one was served: those that
// it left would otherwise have used up the turns of the others at its address.
TEST_F( TurnstileTest, WhoCostNothingDoesNotUseUpATurnOfHisNetwork )
{
  for ( int i = 0; i < 100; ++i ) {
    const auto left_long_ago = comes( "a" );
    ASSERT_EQ( turnstile.next( now ), left_long_ago );
    turnstile.took_nothing( left_long_ago );
    turnstile.left( left_long_ago );
  }
  for ( int i = 0; i < 3; ++i ) {
    const auto served = comes( "a" );
    EXPECT_EQ( turnstile.next( now ), served );
  }
  comes( "a" );
  EXPECT_EQ( turnstile.next( now ), std::nullopt );
}

TEST_F( TurnstileTest, WhoLeftIsNotServed )
{
  turnstile.left( comes( "a" ) );
  EXPECT_EQ( turnstile.next( now ), std::nullopt );
}

TEST_F( TurnstileTest, ANetworkDoesNotGetANewBurstByLeaving )
{
  int turns = 0;
  for ( const Time end = now + 3s; now < end; now += 10ms ) { // beyond a sweep
    const auto guest = comes( "a" );
    turns += turnstile.next( now ) ? 1 : 0;
    turnstile.left( guest );
  }
  EXPECT_NEAR( turns, 3 + 30, 1 );
}

} // namespace
} // namespace holdfast
