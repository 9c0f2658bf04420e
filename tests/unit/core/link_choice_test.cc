#include "core/link_choice.hh"

#include "unit/core/support.hh"

#include <gtest/gtest.h>

namespace holdfast {
namespace {

using namespace test;
using namespace std::chrono_literals;

// The two streams of a session; one byte in a nanosecond is much.
struct Streams
{
  TestMemory memory { 8, 8, 1 };
  OutflowRecord sent {};
  InflowRecord heard {};
  Outflow outflow { memory.outflow(), sent, { 65536 }, 65536 };
  Inflow inflow { memory.inflow(), heard, { 65536, 65536 } };
  LinkChoice choice {};
  Time now { 1h };

  Streams() { look(); }
  bool look() { return choice.measure( outflow, inflow, now += 1ns, { .least = 1, .span = 1ns } ); }
  void say( std::size_t bytes )
  {
    EXPECT_EQ( write_into( outflow, stream( outflow.sent(), bytes ) ), bytes );
    outflow.consume( outflow.readable().size() );
  }
  void acknowledge() { EXPECT_EQ( outflow.acknowledge( outflow.sent(), 65536 ), std::nullopt ); }
  void choose() { choice.choose( outflow ); }
  // Much was said, and is acknowledged.
  void carry_much()
  {
    say( 10 );
    acknowledge();
    EXPECT_TRUE( look() );
  }
};

TEST( LinkChoice, AStreamThatCarriesLittleStaysOnTheLink )
{
  Streams streams;
  streams.say( 10 );
  EXPECT_FALSE( streams.look() );
  streams.choose();
  EXPECT_TRUE( streams.choice.on_link( streams.outflow ) );
  EXPECT_FALSE( streams.choice.on_bulk_link() );
}

TEST( LinkChoice, AStreamMovesWhenAllThatWasSaidIsDelivered )
{
  Streams streams;
  streams.carry_much();
  streams.say( 5 );
  streams.choose();
  EXPECT_FALSE( streams.choice.on_link( streams.outflow ) ) << "it waits";
  EXPECT_FALSE( streams.choice.on_bulk_link() );
  ASSERT_EQ( streams.outflow.replay_from( 12, 11, 65536 ), std::nullopt );
  streams.choose();
  EXPECT_TRUE( streams.choice.on_link( streams.outflow ) ) << "but with what it says again";
  streams.outflow.consume( 3 );
  streams.acknowledge();
  streams.choose();
  EXPECT_FALSE( streams.choice.on_link( streams.outflow ) );
  EXPECT_TRUE( streams.choice.on_bulk_link() );
}

TEST( LinkChoice, AStreamComesBackWhenItCarriesLittleAgain )
{
  Streams streams;
  streams.carry_much();
  streams.choose();
  streams.say( 1 );
  EXPECT_FALSE( streams.look() );
  streams.choose();
  EXPECT_TRUE( streams.choice.on_bulk_link() ) << "something is still under way there";
  streams.acknowledge();
  streams.choose();
  EXPECT_TRUE( streams.choice.on_link( streams.outflow ) );
}

TEST( LinkChoice, WhatWasSaidOnABulkLinkThatIsNoMoreIsSaidAgain )
{
  Streams streams;
  EXPECT_FALSE( streams.choice.leave_bulk_link( streams.outflow ) );
  streams.carry_much();
  streams.choose();
  streams.say( 5 );
  EXPECT_TRUE( streams.choice.leave_bulk_link( streams.outflow ) );
  EXPECT_EQ( streams.outflow.sent(), 10U );
  EXPECT_TRUE( streams.choice.on_link( streams.outflow ) );
}

TEST( LinkChoice, AStreamThatOnlyWaitedHasSaidNothingThere )
{
  Streams streams;
  streams.carry_much();
  streams.say( 5 );
  streams.choose();
  EXPECT_TRUE( streams.choice.leave_bulk_link( streams.outflow ) ) << "it may go on";
  EXPECT_EQ( streams.outflow.sent(), 15U );
  EXPECT_TRUE( streams.choice.on_link( streams.outflow ) );
}

TEST( LinkChoice, WhatComesIsMuchAsWellAndMovesNothingOfOurs )
{
  Streams streams;
  ASSERT_EQ( streams.inflow.place( 0, raw( "a lot" ) ), std::nullopt );
  streams.inflow.consume( 5, streams.now );
  EXPECT_TRUE( streams.look() );
  streams.choose();
  EXPECT_FALSE( streams.choice.on_bulk_link() );
}

} // namespace
} // namespace holdfast
