#include "core/turns.hh"

#include "unit/core/support.hh"

#include <gtest/gtest.h>

#include <deque>

namespace holdfast {
namespace {

using namespace test;
using namespace std::chrono_literals;

// Some sessions of a target's side, on a new link.
struct Some
{
  TestMemory memory { 8, 8, 8 };
  std::deque<Session> sessions {};
  Turns turns {};
  Time now { 1h };

  // One that has as many bytes to say.
  Session& one( std::size_t bytes )
  {
    Session& session = sessions.emplace_back( Side::acceptor,
                                              sessions.size() + 1,
                                              *memory.slots().take(),
                                              memory.memory(),
                                              SessionLimits { .outflow = { 65536 }, .inflow = { 1000, 65536 } },
                                              1000 );
    EXPECT_EQ( write_into( session.outflow(), stream( 0, bytes ) ), bytes );
    return session;
  }
  Session& on_a_new_link( std::size_t bytes )
  {
    Session& session = one( bytes );
    session.voice().new_link( 1000 );
    turns.begin( session );
    return session;
  }
  // One of whose peer's bytes one was delivered: it has an acknowledgement to say, which can wait.
  Session& one_with_news()
  {
    Session& session = one( 0 );
    const Frame data { { .type = FrameType::data, .window = 1000, .session = session.id() }, raw( "k" ) };
    EXPECT_EQ( session.receive( data ), std::nullopt );
    session.inflow().consume( 1, now );
    return session;
  }
};

TEST( Turns, WhoWaitsSpeaksBetweenThoseWhoOnlyIntroduceThemselves )
{
  Some some;
  Session& idle = some.on_a_new_link( 0 );
  Session& first = some.on_a_new_link( 10 );
  Session& also_idle = some.on_a_new_link( 0 );
  Session& second = some.on_a_new_link( 10 );
  Session& third = some.on_a_new_link( 10 );
  for ( const Session* const expected : { &first, &idle, &second, &also_idle, &third } ) {
    EXPECT_EQ( some.turns.next(), expected );
  }
  EXPECT_TRUE( some.turns.empty() );
  EXPECT_EQ( some.turns.next(), nullptr );
}

TEST( Turns, WhoOnlyIntroducesHimselfHasNoOtherTurnUntilThereIsMore )
{
  Some some;
  Session& session = some.on_a_new_link( 0 );
  some.turns.look( session, some.now );
  EXPECT_FALSE( some.turns.has_turn( session ) );
  EXPECT_TRUE( some.turns.has( session ) );
  ASSERT_EQ( write_into( session.outflow(), "more" ), 4U );
  some.turns.look( session, some.now );
  EXPECT_TRUE( some.turns.has_turn( session ) );
  EXPECT_EQ( some.turns.size(), 2U );
}

TEST( Turns, TheyAreTakenInTheOrderTheyWereGiven )
{
  Some some;
  Session& first = some.one( 1 );
  Session& second = some.one( 1 );
  Session& late = some.one( 1 );
  for ( Session* const session : { &first, &second, &first } ) {
    some.turns.give( *session );
  }
  some.turns.give_first( late );
  for ( const Session* const expected : { &late, &first, &second } ) {
    EXPECT_EQ( some.turns.next(), expected );
  }
  EXPECT_FALSE( some.turns.has( first ) );
}

TEST( Turns, WhatCanWaitDoesSoForAMoment )
{
  Some some;
  Session& one = some.one_with_news();
  Session& other = some.one_with_news();
  EXPECT_EQ( some.turns.deadline(), never );
  some.turns.look( one, some.now );
  some.turns.look( other, some.now + 5ms );
  EXPECT_TRUE( some.turns.empty() );
  EXPECT_EQ( some.turns.deadline(), some.now + 20ms ) << "the first one's";
  EXPECT_EQ( some.turns.overdue( some.now + 19ms ), nullptr );
  other.reset( ResetReason::by_program ); // and says no more of this kind
  EXPECT_EQ( some.turns.overdue( some.now + 20ms ), &one );
  EXPECT_EQ( some.turns.overdue( some.now + 20ms ), &other );
  EXPECT_EQ( some.turns.overdue( some.now + 20ms ), nullptr );
  EXPECT_EQ( some.turns.deadline(), never );
  EXPECT_TRUE( some.turns.has_turn( one ) );
  EXPECT_FALSE( some.turns.has( other ) );
}

TEST( Turns, OnAnotherLinkNobodyHasOneButWhatWaitsGoesOnWaiting )
{
  Some some;
  Session& waits = some.one_with_news();
  some.turns.look( waits, some.now );
  some.on_a_new_link( 0 );
  some.on_a_new_link( 1 );
  some.turns.clear();
  EXPECT_TRUE( some.turns.empty() );
  EXPECT_EQ( some.turns.size(), 1U );
  EXPECT_EQ( some.turns.overdue( some.now + 20ms ), &waits );
}

} // namespace
} // namespace holdfast
