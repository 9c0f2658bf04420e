#include "core/ramp.hh"

#include <gtest/gtest.h>

namespace holdfast {
namespace {

using namespace std::chrono_literals;

constexpr Allowance::Config three { .at_once = 3, .every = 10ms };
constexpr Time start { 1h };

// Three have come, so nobody else may at once.
Ramp full()
{
  Ramp ramp { three };
  for ( int i = 0; i < 3; ++i ) {
    ramp.let_in( start );
  }
  return ramp;
}

TEST( Ramp, AFewComeInAtOnce )
{
  Ramp ramp { three };
  for ( int i = 0; i < 3; ++i ) {
    EXPECT_EQ( ramp.wait( start ), 0ms );
    ramp.let_in( start );
  }
  EXPECT_GT( ramp.wait( start ), 0ms );
}

TEST( Ramp, TheOthersAreToldToComeOneAfterAnother )
{
  Ramp ramp = full();
  EXPECT_EQ( ramp.wait( start ), 10ms );
  ramp.put_off( start );
  EXPECT_EQ( ramp.wait( start ), 20ms );
  ramp.put_off( start );
  EXPECT_EQ( ramp.wait( start ), 30ms );
}

TEST( Ramp, WhoComesWhenHeWasToldComesIn )
{
  Ramp ramp = full();
  std::vector<Time> told;
  for ( int i = 0; i < 100; ++i ) {
    told.push_back( start + ramp.wait( start ) );
    ramp.put_off( start );
  }
  for ( const Time when : told ) {
    EXPECT_EQ( ramp.wait( when ), 0ms );
    ramp.let_in( when );
  }
}

TEST( Ramp, ADisturbedOneIsQuietAgainAfterAWhile )
{
  Ramp ramp = full();
  ramp.put_off( start );
  for ( int i = 0; i < 3; ++i ) {
    EXPECT_EQ( ramp.wait( start + 1s ), 0ms );
    ramp.let_in( start + 1s );
  }
  EXPECT_EQ( ramp.wait( start + 1s ), 10ms );
}

} // namespace
} // namespace holdfast
