#include "core/session.hh"

#include "unit/core/support.hh"

#include <gtest/gtest.h>

// One session, on its own: what its tunnel's order of events hides. Most of its life is told in tunnel_test.cc.

namespace holdfast {
namespace {

using namespace test;
using namespace std::chrono_literals;

struct Alone
{
  TestMemory memory { 8, 8, 2 };
  Session session { Side::acceptor,
                    1,
                    *memory.slots().take(),
                    memory.memory(),
                    { .outflow = { 65536 }, .inflow = { 1000, 65536 } },
                    1000 };
  FrameBatch batch {};
  Bytes rest {};

  Verdict hear( FrameHeader header ) { return session.receive( Frame { header, {} } ); }
  void speak()
  {
    batch.start( rest );
    session.speak( batch, Time { 1h }, 1ms );
    said += batch.empty() ? 0 : 1;
    batch.finish( batch.bytes() );
  }
  int said = 0; // frames
};

TEST( Session, IsNotOverBeforeItSpokeOnTheLinkThatTookOver )
{
  // Both streams have ended and all is acknowledged; our last acknowledgement was lost with its link. On the next
  // one the peer expects to hear of the session: it would wait for ever if we forgot it now.
  Alone one;
  one.session.outflow().end();
  one.speak();
  ASSERT_EQ( one.hear( { .type = FrameType::end, .window = 1000, .session = 1 } ), std::nullopt );
  one.session.inflow().consume_end();
  one.speak();
  one.session.release();
  EXPECT_FALSE( one.session.over() ) << "our end is not acknowledged yet";

  one.session.new_link( 1000 );
  ASSERT_EQ( one.hear( { .type = FrameType::ack, .window = 1000, .session = 1, .acknowledgement = 1 } ),
             std::nullopt );
  ASSERT_TRUE( one.session.complete() );
  EXPECT_FALSE( one.session.over() );
  one.speak(); // resume, which says what was delivered
  EXPECT_TRUE( one.session.over() );
}

TEST( Session, TakesNoFrameThatIsNotForSessions )
{
  Alone one;
  for ( const FrameType type :
        { FrameType::hello, FrameType::welcome, FrameType::heartbeat, FrameType::goodbye } ) {
    EXPECT_EQ( one.hear( { .type = type, .session = 1 } ), Fault::out_of_order ) << name( type );
  }
}

TEST( Session, SaysAResetOncePerLink )
{
  Alone one;
  one.session.reset( ResetReason::refused );
  one.speak();
  EXPECT_EQ( one.said, 1 );
  EXPECT_FALSE( one.session.has_something_to_say() );
  one.speak();
  EXPECT_EQ( one.said, 1 );
  one.session.new_link( 1000 );
  one.speak();
  EXPECT_EQ( one.said, 2 );
}

TEST( Session, IsCompleteWhenBothStreamsAre )
{
  Alone one;
  EXPECT_FALSE( one.session.complete() );
  one.session.outflow().end();
  one.speak();
  ASSERT_EQ( one.hear( { .type = FrameType::ack, .window = 1000, .session = 1, .acknowledgement = 1 } ),
             std::nullopt );
  EXPECT_FALSE( one.session.complete() ) << "only ours is";
  ASSERT_EQ( one.hear( { .type = FrameType::end, .window = 1000, .session = 1, .acknowledgement = 1 } ),
             std::nullopt );
  EXPECT_FALSE( one.session.complete() ) << "the program has not heard of it";
  one.session.inflow().consume_end();
  EXPECT_TRUE( one.session.complete() );
}

TEST( Session, IsNotOverBeforeItToldThatThePeersEndWasDelivered )
{
  Alone one;
  one.session.outflow().end();
  one.speak();
  ASSERT_EQ( one.hear( { .type = FrameType::end, .window = 1000, .session = 1, .acknowledgement = 1 } ),
             std::nullopt );
  one.session.inflow().consume_end();
  one.session.release();
  ASSERT_TRUE( one.session.complete() );
  EXPECT_FALSE( one.session.over() );
  one.speak();
  EXPECT_TRUE( one.session.over() );
}

TEST( Session, KeepsNothingThatThePeerSaidBeforeItHeardOfOurReset )
{
  Alone one;
  one.session.reset( ResetReason::by_program );
  const Frame data { { .type = FrameType::data, .window = 1000, .session = 1 }, raw( "nobody reads this" ) };
  EXPECT_EQ( one.session.receive( data ), std::nullopt );
  EXPECT_TRUE( one.session.inflow().empty() );
  EXPECT_EQ( one.memory.inflow().used(), 0U );
}

TEST( Session, AsksOnceForBytesThatFoundNoMemory )
{
  Alone one;
  Pool& pool = one.memory.inflow();
  std::vector<Pool::Index> others;
  for ( Pool::Index chunk = pool.take(); chunk != Pool::none; chunk = pool.take() ) {
    others.push_back( chunk );
  }
  const Frame data { { .type = FrameType::data, .window = 1000, .session = 1 }, raw( "no room for this" ) };
  EXPECT_EQ( one.session.receive( data ), std::nullopt );
  EXPECT_FALSE( one.session.has_something_to_say() );
  for ( const Pool::Index chunk : others ) {
    pool.give( chunk );
  }
  EXPECT_TRUE( one.session.has_something_to_say() );
  one.speak();
  EXPECT_EQ( one.said, 1 );
  EXPECT_FALSE( one.session.has_something_to_say() ) << "it waits for them now";
}

} // namespace
} // namespace holdfast
