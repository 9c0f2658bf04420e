#include "core/redial.hh"

#include <gtest/gtest.h>

namespace holdfast {
namespace {

using namespace std::chrono_literals;

const Time start = Time { 3h };

TEST( Redial, NobodyDialsUntilALinkIsNeeded )
{
  const Redial redial { {} };
  EXPECT_EQ( redial.next(), never );
}

TEST( Redial, TheFirstDialIsAtOnceAndThePaceIsSteady )
{
  Redial redial { {} };
  redial.need( start );
  EXPECT_EQ( redial.next(), start );
  for ( Time now = start; now <= start + 75s; now = redial.next() ) {
    redial.dialled( now, 0 );
    EXPECT_EQ( redial.next(), now + 250ms );
  }
}

TEST( Redial, LaterItBecomesSlowerUpToALimit )
{
  Redial redial { {} };
  redial.need( start );
  Time now = start + 76s;
  Duration last = 250ms;
  for ( int i = 0; i < 20; ++i ) {
    redial.dialled( now, 0 );
    const Duration pace = redial.next() - now;
    EXPECT_EQ( pace, std::min<Duration>( last * 3 / 2, 5s ) );
    last = pace;
    now = redial.next();
  }
  EXPECT_EQ( last, 5s );
  redial.need( now );
  redial.dialled( now, 0 );
  EXPECT_EQ( redial.next(), now + 250ms ) << "another need is as urgent as the first";
}

TEST( Redial, ChanceSpreadsTheDialsByUpToAQuarter )
{
  for ( std::uint64_t random = 0; random < 1000; ++random ) {
    Redial redial { {} };
    redial.need( start );
    redial.dialled( start, random );
    EXPECT_GE( redial.next(), start + 250ms );
    EXPECT_LT( redial.next(), start + Duration { 250ms } * 5 / 4 );
  }
}

TEST( Redial, APeerMayAskForPeace )
{
  Redial redial { {} };
  redial.need( start );
  redial.not_before( start + 7s );
  EXPECT_EQ( redial.next(), start + 7s );
  redial.not_before( start + 1s );
  EXPECT_EQ( redial.next(), start + 7s ) << "and does not get less of it by asking again";
}

TEST( Redial, APeerThatAskedForPeaceGetsItThoughOurNetworkChanges )
{
  Redial redial { {} };
  redial.need( start );
  redial.not_before( start + 7s );
  redial.hurry( start + 1s );
  EXPECT_EQ( redial.next(), start + 7s );
  redial.hint( start + 1s );
  EXPECT_EQ( redial.next(), start + 7s );
  redial.found( start + 2s );
  redial.need( start + 3s );
  EXPECT_EQ( redial.next(), start + 3s ) << "until there was a link again";
}

TEST( Redial, AChangeOfOurNetworkBeginsAnew )
{
  Redial redial { {} };
  redial.need( start );
  for ( Time now = start; now <= start + 600s; now = redial.next() ) {
    redial.dialled( now, 0 );
  }
  const Time now = start + 600s;
  redial.hurry( now );
  EXPECT_EQ( redial.next(), now );
  redial.dialled( now, 0 );
  EXPECT_EQ( redial.next(), now + 250ms );
}

TEST( Redial, AHintIsWorthOneDialAtTheFirstPace )
{
  Redial redial { {} };
  redial.need( start );
  Time now = start;
  while ( now <= start + 600s ) {
    redial.dialled( now, 0 );
    redial.hint( now + 10ms );
    EXPECT_LE( redial.next(), now + 250ms );
    now = redial.next();
  }
  redial.dialled( now, 0 );
  EXPECT_EQ( redial.next(), now + 5s ) << "and the pace goes on becoming slower";
  redial.hint( now + 1s );
  EXPECT_EQ( redial.next(), now + 1s );
}

TEST( Redial, LinkAfterLinkThatIsLostAtOnceIsNotWorthHurrying )
{
  Redial redial { {} };
  Time now = start;
  const auto waits_after_a_life_of = [&]( Duration life ) {
    redial.found( now );
    now += life;
    redial.need( now );
    return redial.next() - now;
  };
  redial.need( now );
  for ( int i = 0; i < 3; ++i ) {
    EXPECT_EQ( waits_after_a_life_of( 10ms ), 0ms ) << "three times may be bad luck";
  }
  EXPECT_EQ( waits_after_a_life_of( 10ms ), 250ms );
  EXPECT_EQ( waits_after_a_life_of( 10ms ), 500ms );
  for ( int i = 0; i < 50; ++i ) {
    EXPECT_LE( waits_after_a_life_of( 999ms ), 5s );
  }
  EXPECT_EQ( waits_after_a_life_of( 10ms ), 5s );
  EXPECT_EQ( waits_after_a_life_of( 1s ), 0ms ) << "one that lived makes up for all";
  EXPECT_EQ( waits_after_a_life_of( 10ms ), 0ms );
}

} // namespace
} // namespace holdfast
