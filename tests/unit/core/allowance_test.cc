#include "core/allowance.hh"

#include <gtest/gtest.h>

namespace holdfast {
namespace {

using namespace std::chrono_literals;

const Time start = Time { 3h };

TEST( Allowance, AFewAtOnceAndThenOneEverySoOften )
{
  Allowance allowance { { .at_once = 3, .every = 20ms } };
  EXPECT_TRUE( allowance.take( start ) );
  EXPECT_TRUE( allowance.take( start ) );
  EXPECT_TRUE( allowance.take( start ) );
  EXPECT_FALSE( allowance.take( start ) );
  EXPECT_EQ( allowance.next(), start + 20ms );
  EXPECT_FALSE( allowance.take( start + 19ms ) );
  EXPECT_TRUE( allowance.take( start + 20ms ) );
  EXPECT_FALSE( allowance.take( start + 20ms ) );
}

TEST( Allowance, WhoIsAlwaysThereGetsOneEverySoOften )
{
  Allowance allowance { { .at_once = 3, .every = 20ms } };
  int taken = 0;
  for ( Time now = start; now < start + 10s; now += 1ms ) {
    taken += allowance.take( now ) ? 1 : 0;
  }
  EXPECT_EQ( taken, 3 + 10000 / 20 - 1 );
}

TEST( Allowance, RestIsNotSavedUpForEver )
{
  Allowance allowance { { .at_once = 2, .every = 20ms } };
  EXPECT_TRUE( allowance.take( start ) );
  EXPECT_TRUE( allowance.take( start + 1h ) );
  EXPECT_TRUE( allowance.take( start + 1h ) );
  EXPECT_FALSE( allowance.take( start + 1h ) );
}

} // namespace
} // namespace holdfast
