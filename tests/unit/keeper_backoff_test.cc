#include "keeper/backoff.hh"

#include <gtest/gtest.h>

namespace holdfast {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST( Backoff, AnswersASingleDeathAtOnce )
{
  Backoff backoff;
  EXPECT_EQ( backoff.died( seconds { 60 } ), milliseconds { 0 } );
  EXPECT_EQ( backoff.died( milliseconds { 3 } ), milliseconds { 0 } );
}

TEST( Backoff, GrowsWithEachWorkerThatDiesYoungUpToACeiling )
{
  Backoff backoff;
  for ( const int wait : { 0, 10, 100, 1000, 3000, 3000, 3000 } ) {
    EXPECT_EQ( backoff.died( milliseconds { 1 } ), milliseconds { wait } );
  }
  EXPECT_EQ( backoff.hasty(), 7U );
}

TEST( Backoff, StartsAgainAfterAWorkerThatLivedForAWhile )
{
  Backoff backoff;
  for ( int i = 0; i < 5; ++i ) {
    static_cast<void>( backoff.died( milliseconds { 1 } ) );
  }
  EXPECT_EQ( backoff.died( Backoff::young ), milliseconds { 0 } );
  EXPECT_EQ( backoff.hasty(), 0U );
  EXPECT_EQ( backoff.died( milliseconds { 1 } ), milliseconds { 0 } );
}

} // namespace
} // namespace holdfast
