#include "proxy/ways.hh"

#include <gtest/gtest.h>

namespace holdfast {
namespace {

std::vector<Address> addresses( std::initializer_list<const char*> hosts )
{
  std::vector<Address> all;
  for ( const char* host : hosts ) {
    all.push_back( *literal_address( host, 5000 ) );
  }
  return all;
}

TEST( Ways, TheFamiliesTakeTurnsAndThePreferredOneBegins )
{
  EXPECT_EQ( interleaved( addresses( { "2001:db8::1", "2001:db8::2", "2001:db8::3", "192.0.2.1" } ) ),
             addresses( { "2001:db8::1", "192.0.2.1", "2001:db8::2", "2001:db8::3" } ) );
  EXPECT_EQ( interleaved( addresses( { "192.0.2.1", "192.0.2.2" } ) ), addresses( { "192.0.2.1", "192.0.2.2" } ) );
  EXPECT_TRUE( interleaved( {} ).empty() );
}

TEST( Ways, EachAddressHasItsTurnInARound )
{
  Ways ways;
  const auto all = addresses( { "2001:db8::1", "192.0.2.1", "192.0.2.2" } );
  ways.resolved( all );
  for ( int round = 0; round < 2; ++round ) {
    for ( std::size_t i = 0; i < all.size(); ++i ) {
      EXPECT_EQ( ways.next(), all[i] );
      EXPECT_EQ( ways.untried(), all.size() - 1 - i );
    }
  }
}

TEST( Ways, TheAddressThatWorkedBeginsTheNextRound )
{
  Ways ways;
  const auto all = addresses( { "2001:db8::1", "192.0.2.1" } );
  ways.resolved( all );
  ways.worked( all[1] );
  EXPECT_EQ( ways.next(), all[1] );
  EXPECT_EQ( ways.next(), all[0] );
  ways.resolved( addresses( { "192.0.2.9" } ) );
  EXPECT_EQ( ways.next(), addresses( { "192.0.2.9" } )[0] ) << "unless the name stands for others now";
}

TEST( Ways, ToOurselvesThereIsNoDetour )
{
  Ways ways;
  const auto here = addresses( { "127.0.0.1" } );
  EXPECT_EQ( ways.to( here[0] ).size(), 1U );
}

} // namespace
} // namespace holdfast
