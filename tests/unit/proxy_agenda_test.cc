#include "proxy/agenda.hh"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <vector>

namespace holdfast {
namespace {

using namespace std::chrono_literals;
using Items = std::vector<const Agenda::Item*>;

class AgendaTest : public testing::Test
{
protected:
  // Who has something to do in this turn, each of whom does nothing but to be taken.
  Items turn()
  {
    Items taken;
    agenda.begin( now );
    while ( const Agenda::Item* const item = agenda.next() ) {
      taken.push_back( item );
    }
    return taken;
  }

  Time now = Time {} + 1h;
  Agenda agenda;
  Agenda::Item a { agenda };
  Agenda::Item b { agenda };
};

TEST_F( AgendaTest, WhoIsNeitherTouchedNorDueIsNotLookedAt )
{
  EXPECT_EQ( agenda.deadline( now ), never );
  agenda.put_off( a, now + 1s );
  EXPECT_EQ( agenda.deadline( now ), now + 1s );
  EXPECT_EQ( turn(), Items {} );
}

TEST_F( AgendaTest, WhoIsTouchedTwiceComesOnce )
{
  b.touch();
  a.touch();
  b.touch();
  EXPECT_EQ( agenda.deadline( now ), now );
  EXPECT_EQ( turn(), ( Items { &b, &a } ) );
  EXPECT_EQ( turn(), Items {} );
}

TEST_F( AgendaTest, ADeadlineComesOnceAndTheLastOneCounts )
{
  agenda.put_off( a, now + 3s );
  agenda.put_off( a, now + 1s );
  agenda.put_off( b, now + 2s );
  now += 1s;
  EXPECT_EQ( turn(), Items { &a } );
  now += 1s;
  EXPECT_EQ( turn(), Items { &b } );
  now += 1s;
  EXPECT_EQ( turn(), Items {} );
}

TEST_F( AgendaTest, WhoWasTouchedIsNotDueAsWell )
{
  agenda.put_off( a, now );
  a.touch();
  EXPECT_EQ( turn(), Items { &a } );
  EXPECT_EQ( agenda.deadline( now ), never );
}

// Somebody who always has more to do would keep the loop from its events for ever.
TEST_F( AgendaTest, WhoIsPutOffToNowComesInTheNextTurn )
{
  a.touch();
  agenda.begin( now );
  ASSERT_EQ( agenda.next(), &a );
  agenda.put_off( a, now );
  EXPECT_EQ( agenda.next(), nullptr );
  EXPECT_EQ( turn(), Items { &a } );
}

// A turn that got long leaves the rest to the next one; there nobody may come before them.
TEST_F( AgendaTest, WhoWasNotTakenIsFirstInTheNextTurn )
{
  a.touch();
  b.touch();
  agenda.begin( now );
  ASSERT_EQ( agenda.next(), &a );
  agenda.put_off( a, now );
  EXPECT_EQ( agenda.deadline( now ), now );
  EXPECT_EQ( turn(), ( Items { &b, &a } ) );
}

TEST_F( AgendaTest, WhoIsGoneIsNotLookedAt )
{
  auto touched = std::make_unique<Agenda::Item>( agenda );
  auto due = std::make_unique<Agenda::Item>( agenda );
  touched->touch();
  agenda.put_off( *due, now );
  touched.reset();
  due.reset();
  EXPECT_EQ( turn(), Items {} );
  EXPECT_EQ( agenda.deadline( now ), never );
}

} // namespace
} // namespace holdfast
