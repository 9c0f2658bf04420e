#include "core/settling.hh"

#include <gtest/gtest.h>

namespace holdfast {
namespace {

using namespace std::chrono_literals;

const Time start = Time { 3h };

// How often another way is tried while the kernel's preference flaps. Each try moves the link to what is preferred.
int tries( Duration period, Duration lasting )
{
  Settling settling { {} };
  int tries = 0;
  bool link_on_second = false;
  for ( Time now = start; now < start + lasting; now += 10ms ) {
    const bool prefers_second = ( now - start ) / period % 2 == 0;
    settling.prefers_another( prefers_second != link_on_second, now );
    if ( now >= settling.due() ) {
      settling.tried( now );
      link_on_second = prefers_second;
      ++tries;
    }
  }
  return tries;
}

TEST( Settling, NobodyTriesWhatIsNotPreferred )
{
  Settling settling { {} };
  EXPECT_EQ( settling.due(), never );
  settling.prefers_another( false, start );
  EXPECT_EQ( settling.due(), never );
}

TEST( Settling, AFirstChangeIsTriedAfterAMoment )
{
  Settling settling { {} };
  settling.prefers_another( true, start );
  EXPECT_EQ( settling.due(), start + 50ms );
  settling.prefers_another( true, start + 40ms );
  EXPECT_EQ( settling.due(), start + 50ms ) << "looking again does not put it off";
}

TEST( Settling, WhatIsTakenBackInThatMomentIsNotTried )
{
  Settling settling { {} };
  settling.prefers_another( true, start );
  settling.prefers_another( false, start + 40ms );
  EXPECT_EQ( settling.due(), never );
}

TEST( Settling, AWayThatLeadsNowhereIsTriedMoreAndMoreSeldom )
{
  Settling settling { {} };
  settling.prefers_another( true, start );
  Time now = settling.due();
  for ( const Duration pause : { 1s, 2s, 4s, 8s, 16s, 30s, 30s, 30s } ) {
    settling.tried( now );
    settling.prefers_another( true, now + 1ms );
    EXPECT_EQ( settling.due(), now + pause );
    now = settling.due();
  }
}

TEST( Settling, AFlappingRouteMovesNothingOnceOrNowAndThen )
{
  EXPECT_EQ( tries( 40ms, 60s ), 0 ) << "faster than it is looked at";
  EXPECT_LE( tries( 100ms, 60s ), 1 );
  EXPECT_LE( tries( 500ms, 60s ), 1 );
  EXPECT_LE( tries( 3s, 60s ), 3 );
}

TEST( Settling, AfterAMinuteOfCalmAChangeIsTheFirstAgain )
{
  Settling settling { {} };
  settling.prefers_another( true, start );
  settling.tried( start + 50ms );
  settling.prefers_another( false, start + 60ms );
  settling.prefers_another( true, start + 59s );
  EXPECT_EQ( settling.due(), start + 60s );
  settling.prefers_another( false, start + 59s );
  settling.prefers_another( true, start + 61s );
  EXPECT_EQ( settling.due(), start + 61s + 50ms );
  settling.tried( start + 62s );
  settling.prefers_another( true, start + 62s );
  EXPECT_EQ( settling.due(), start + 63s ) << "and so are the pauses";
}

} // namespace
} // namespace holdfast
