#include "core/voice.hh"

#include "unit/core/support.hh"

#include <gtest/gtest.h>

namespace holdfast {
namespace {

using namespace test;
using namespace std::chrono_literals;

using Types = std::vector<FrameType>;

// The voice of a session of which there is nothing else but what it refers to.
struct Speaker
{
  explicit Speaker( Side side ) : voice( side, record, outflow, inflow ) { record.session = 1; }

  TestMemory memory { 8, 8, 1 };
  SessionRecord record {};
  Outflow outflow { memory.outflow(), record.outflow, { 65536 }, 1000 };
  Inflow inflow { memory.inflow(), record.inflow, { 1000, 65536 } };
  Voice voice;
  std::vector<FrameHeader> headers {}; // of what it has said

  // Frames, one by one, until it has nothing to say.
  Types says()
  {
    Types types;
    for ( Bytes rest; voice.has_something_to_say(); ) {
      FrameBatch batch;
      batch.start( rest );
      voice.speak( batch, Time { 1h }, 1ms );
      headers.push_back( std::get<FrameHeader>( decode( raw( gathered( batch ) ).first<FrameHeader::size>() ) ) );
      types.push_back( headers.back().type );
      batch.finish( batch.bytes() );
    }
    return types;
  }
};

TEST( Voice, OpensThenSaysItsBytesAndTheirEnd )
{
  Speaker app { Side::opener };
  ASSERT_EQ( write_into( app.outflow, "hello" ), 5U );
  app.outflow.end();
  EXPECT_EQ( app.says(), ( Types { FrameType::open, FrameType::data, FrameType::end } ) );
  EXPECT_EQ( app.record.named, 1U );
  app.voice.new_link( 1000 );
  EXPECT_EQ( app.says(), ( Types { FrameType::open, FrameType::data, FrameType::end } ) ) << "nobody has answered";
}

TEST( Voice, WhoIsKnownSaysWhereToGoOnAndWaitsForTheAnswer )
{
  Speaker app { Side::opener };
  app.record.known = 1;
  ASSERT_EQ( write_into( app.outflow, "hello" ), 5U );
  EXPECT_EQ( app.says(), Types { FrameType::resume } );
  app.voice.peer_asked();
  EXPECT_EQ( app.says(), Types { FrameType::data } );
}

TEST( Voice, ThatTheTargetIsThereIsSaidOnceOnEachLink )
{
  Speaker target { Side::acceptor };
  target.record.known = 1;
  target.voice.peer_introduced();
  EXPECT_EQ( target.says(), Types {} );
  target.record.connected = 1;
  EXPECT_EQ( target.says(), Types { FrameType::opened } );
  target.voice.new_link( 1000 );
  EXPECT_EQ( target.says(), Types { FrameType::resume } );
  EXPECT_EQ( target.headers.back().flags, FrameHeader::connected );
}

TEST( Voice, AnAcknowledgementCanWaitUnlessItIsWorthAFrame )
{
  Speaker target { Side::acceptor };
  target.record.known = 1;
  target.voice.peer_introduced();
  EXPECT_FALSE( target.voice.something_can_wait() );
  ASSERT_EQ( target.inflow.place( 0, raw( stream( 0, 250 ) ) ), std::nullopt );
  target.inflow.consume( 1, Time { 1h } );
  EXPECT_TRUE( target.voice.something_can_wait() );
  EXPECT_FALSE( target.voice.has_something_to_say() );
  target.inflow.consume( 249, Time { 1h } );
  EXPECT_EQ( target.says(), Types { FrameType::ack } );
  EXPECT_FALSE( target.voice.something_can_wait() );
}

TEST( Voice, WhatWasSaidWithAHelloCountsOnThatLinkAlone )
{
  for ( const std::uint64_t hello : { 7U, 8U } ) {
    Speaker app { Side::opener };
    app.record.known = 1;
    ASSERT_EQ( write_into( app.outflow, "ls" ), 2U );
    Bytes early;
    app.voice.speak_early( early, 7, true, Time { 1h }, 1ms );
    EXPECT_EQ( early.size(), 2 * FrameHeader::size + sizeof( Position ) + 2 );
    app.voice.new_link( 1000, hello );
    EXPECT_EQ( app.voice.introduced(), hello == 7 );
    EXPECT_EQ( app.says(), hello == 7 ? Types {} : Types { FrameType::resume } );
  }
}

TEST( Voice, NothingIsSaidEarlyOfASessionThatIsUnknownOrBrokenOff )
{
  Bytes early;
  Speaker fresh { Side::opener };
  fresh.voice.speak_early( early, 7, true, Time { 1h }, 1ms );
  Speaker reset { Side::opener };
  reset.record.known = 1;
  reset.record.reset_ours = 1;
  reset.voice.speak_early( early, 7, true, Time { 1h }, 1ms );
  EXPECT_TRUE( early.empty() );
}

TEST( Voice, WithoutAPeerThereIsNothingToSay )
{
  Speaker closed { Side::opener };
  closed.voice.peer_closed();
  EXPECT_EQ( closed.says(), Types {} );
  Speaker reset { Side::opener };
  reset.record.reset_theirs = 1;
  EXPECT_EQ( reset.says(), Types {} );
  Speaker never_named { Side::opener };
  never_named.record.reset_ours = 1;
  EXPECT_EQ( never_named.says(), Types {} );
}

} // namespace
} // namespace holdfast
