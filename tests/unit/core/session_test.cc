#include "core/bytes.hh"
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
  Voice& voice { session.voice() };
  FrameBatch batch {};
  Bytes rest {};

  Verdict hear( FrameHeader header ) { return session.receive( Frame { header, {} } ); }
  void speak()
  {
    batch.start( rest );
    voice.speak( batch, Time { 1h }, 1ms );
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

  one.voice.new_link( 1000 );
  ASSERT_EQ( one.hear( { .type = FrameType::ack, .window = 1000, .session = 1, .acknowledgement = 1 } ),
             std::nullopt );
  ASSERT_TRUE( one.session.complete() );
  EXPECT_FALSE( one.session.over() );
  one.speak(); // resume, which says what was delivered
  EXPECT_TRUE( one.session.over() );
}

// What was rewound by a resume in the middle of a link counted as never said, and the stream went on the bulk link
// at once. There it overtook what was still under way on this one, which then left a gap, and the link was dropped.
TEST( Session, ChangesLinksOnlyWhenAllThatWasEverSaidIsDelivered )
{
  Alone one;
  const auto hear = [&]( FrameType type, Position delivered, std::string_view payload = {} ) {
    const FrameHeader header { .type = type, .window = 65536, .session = 1, .acknowledgement = delivered };
    ASSERT_EQ( one.session.receive( Frame { header, raw( payload ) } ), std::nullopt );
  };
  const auto say = [&]( std::size_t bytes ) {
    ASSERT_EQ( write_into( one.session.outflow(), stream( 0, bytes ) ), bytes );
    while ( one.voice.has_something_to_say() ) {
      one.speak();
    }
  };
  one.voice.measure( Time { 1h }, {} );
  hear( FrameType::ack, 0 );
  say( 40000 );
  hear( FrameType::ack, 40000 );
  ASSERT_TRUE( one.voice.measure( Time { 1h } + BulkMeter::Limits {}.span, {} ) );

  say( 3000 );
  Bytes next( sizeof( Position ) ); // 41,000: the peer had no memory for what follows
  ByteWriter { next }.number( Position { 41000 } );
  hear( FrameType::resume, 41000, text( next ) );
  one.voice.choose_link();
  EXPECT_FALSE( one.voice.bulk_due() ) << "what was said from there on may still be under way";
  EXPECT_TRUE( one.voice.has_something_to_say() );
  one.speak();
  one.voice.choose_link();
  EXPECT_FALSE( one.voice.has_something_to_say() );
  hear( FrameType::ack, 43000 );
  one.voice.choose_link();
  ASSERT_EQ( write_into( one.session.outflow(), "and the rest" ), 12U );
  EXPECT_TRUE( one.voice.bulk_due() );
}

// A process died, and the next one offered less; an offer of the first came on the link that was replaced, after
// that, and counted: what went by it was a mistake of ours to the second. Process seed 2717985488765161.
TEST( Session, AnOfferOnALinkThatWasReplacedIsNone )
{
  Alone one;
  ASSERT_EQ( one.hear( { .type = FrameType::ack, .window = 100, .session = 1 } ), std::nullopt );
  ASSERT_EQ( write_into( one.session.outflow(), stream( 0, 5000 ) ), 5000U );
  while ( one.voice.has_something_to_say() ) {
    one.speak();
  }
  const Position offered = one.session.outflow().sent();
  ASSERT_LT( offered, 5000U );
  const FrameHeader late { .type = FrameType::ack, .window = 5000, .session = 1, .acknowledgement = 50 };
  ASSERT_EQ( one.session.receive( Frame { late, {} }, Session::Link::replaced ), std::nullopt );
  EXPECT_EQ( one.session.outflow().acknowledged(), 50U );
  EXPECT_FALSE( one.voice.has_something_to_say() );
  EXPECT_EQ( one.session.outflow().sent(), offered );
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
  EXPECT_FALSE( one.voice.has_something_to_say() );
  one.speak();
  EXPECT_EQ( one.said, 1 );
  one.voice.new_link( 1000 );
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
  EXPECT_FALSE( one.voice.has_something_to_say() );
  for ( const Pool::Index chunk : others ) {
    pool.give( chunk );
  }
  EXPECT_TRUE( one.voice.has_something_to_say() );
  one.speak();
  EXPECT_EQ( one.said, 1 );
  EXPECT_FALSE( one.voice.has_something_to_say() ) << "it waits for them now";
}

} // namespace
} // namespace holdfast
