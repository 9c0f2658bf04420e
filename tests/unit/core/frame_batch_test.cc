#include "core/frame_batch.hh"

#include "unit/core/support.hh"

#include <gtest/gtest.h>

#include <memory>

namespace holdfast {
namespace {

using namespace test;

TEST( FrameBatch, GathersHeadersAndPayloadsInOrder )
{
  Bytes rest;
  const auto batch = std::make_unique<FrameBatch>();
  batch->start( rest );
  EXPECT_TRUE( batch->empty() );
  batch->put( { .type = FrameType::data, .session = 1 }, raw( "keystroke" ) );
  batch->put( { .type = FrameType::ack, .session = 2 } );
  batch->put_copy( { .type = FrameType::reset, .session = 3 }, raw( "\1" ) );
  const std::string expected = frame( { .type = FrameType::data, .session = 1 }, "keystroke" )
                               + frame( { .type = FrameType::ack, .session = 2 } )
                               + frame( { .type = FrameType::reset, .session = 3 }, "\1" );
  EXPECT_EQ( gathered( *batch ), expected );
  EXPECT_EQ( batch->bytes(), expected.size() );
  batch->finish( expected.size() );
  EXPECT_TRUE( rest.empty() );
}

TEST( FrameBatch, ThePayloadIsReferredToWhereItLies )
{
  Bytes rest;
  const std::string payload = "large";
  const auto batch = std::make_unique<FrameBatch>();
  batch->start( rest );
  batch->put( { .type = FrameType::data, .session = 1 }, raw( payload ) );
  EXPECT_EQ( batch->slices().back().data(), raw( payload ).data() );
  batch->finish( batch->bytes() );
}

// However little of each batch the socket takes, the same bytes go over the wire in the end.
TEST( FrameBatch, TheSocketMayTakeAnyPart )
{
  const auto batch = std::make_unique<FrameBatch>();
  const std::string expected = frame( { .type = FrameType::open, .session = 1 } )
                               + frame( { .type = FrameType::data, .session = 1 }, "first" )
                               + frame( { .type = FrameType::resume, .session = 2 }, "12345678" )
                               + frame( { .type = FrameType::data, .session = 1, .sequence = 5 }, "second" );
  const std::string more = frame( { .type = FrameType::end, .session = 1, .sequence = 11 } );
  for ( std::size_t first = 0; first <= expected.size(); ++first ) {
    Bytes rest;
    std::string wire;
    batch->start( rest );
    std::string one = "first";
    std::string two = "second";
    batch->put( { .type = FrameType::open, .session = 1 } );
    batch->put( { .type = FrameType::data, .session = 1 }, raw( one ) );
    batch->put_copy( { .type = FrameType::resume, .session = 2 }, raw( "12345678" ) );
    batch->put( { .type = FrameType::data, .session = 1, .sequence = 5 }, raw( two ) );
    wire += gathered( *batch ).substr( 0, first );
    batch->finish( first );
    one.assign( one.size(), '!' ); // the memory may be used for something else now
    two.assign( two.size(), '!' );
    EXPECT_EQ( rest.size(), expected.size() - first );

    // The next turn: the rest goes first; again only half of it is taken, and another frame is behind.
    batch->start( rest );
    batch->put( { .type = FrameType::end, .session = 1, .sequence = 11 } );
    const std::size_t second = batch->bytes() / 2;
    wire += gathered( *batch ).substr( 0, second );
    batch->finish( second );
    batch->start( rest );
    wire += gathered( *batch );
    batch->finish( batch->bytes() );
    EXPECT_EQ( wire, expected + more ) << "taken at first: " << first;
    EXPECT_TRUE( rest.empty() );
  }
}

TEST( FrameBatch, IsFullBeforeAnythingOverflows )
{
  const auto batch = std::make_unique<FrameBatch>();
  const std::string large( FrameHeader::payload_max, 'x' );
  const std::string small( FrameHeader::greeting_payload_max, 'y' );
  for ( const int kind : { 0, 1, 2, 3 } ) {
    Bytes rest;
    std::string expected;
    batch->start( rest );
    while ( not batch->full() ) {
      switch ( kind ) {
        case 0: batch->put( { .type = FrameType::ack, .session = 1 } ); break;
        case 1: batch->put( { .type = FrameType::data, .session = 1 }, raw( large ) ); break;
        case 2: batch->put_copy( { .type = FrameType::hello }, raw( small ) ); break;
        default: batch->put( { .type = FrameType::data, .session = 1 }, raw( "z" ) );
      }
    }
    EXPECT_LE( batch->slices().size(), FrameBatch::slices_max );
    EXPECT_LT( batch->bytes(), FrameBatch::bytes_max + FrameHeader::size + FrameHeader::payload_max );
    const std::string all = gathered( *batch );
    batch->finish( 0 );
    EXPECT_EQ( text( rest ), all ); // nothing was written over what came before it
    batch->start( rest );
    EXPECT_EQ( gathered( *batch ), all );
    batch->finish( all.size() );
  }
}

TEST( FrameBatch, IsFullWithAsMuchAsItWasAskedFor )
{
  const auto batch = std::make_unique<FrameBatch>();
  Bytes rest;
  batch->start( rest, 100 );
  EXPECT_EQ( batch->room(), 100U );
  batch->put( { .type = FrameType::data, .session = 1 }, raw( "twenty bytes and some" ) );
  EXPECT_EQ( batch->room(), 100 - FrameHeader::size - 21 );
  EXPECT_FALSE( batch->full() );
  batch->put( { .type = FrameType::data, .session = 1 }, raw( "twenty bytes and some" ) );
  EXPECT_TRUE( batch->full() ) << "the last one may go beyond";
  EXPECT_EQ( batch->room(), 0U );
  batch->finish( batch->bytes() );
  batch->start( rest );
  EXPECT_EQ( batch->room(), FrameBatch::bytes_max );
  batch->finish( 0 );
}

TEST( FrameBatch, AnIdleLinkHoldsNoMemory )
{
  const auto batch = std::make_unique<FrameBatch>();
  Bytes rest( 100000 );
  batch->start( rest );
  batch->finish( rest.size() );
  EXPECT_EQ( rest.capacity(), 0U );
}

TEST( FrameBatch, ABusyLinksRestsUseTheSameMemory )
{
  const auto batch = std::make_unique<FrameBatch>();
  const std::string payload( 10000, 'x' );
  const auto rest_of_a_turn = [&]( Bytes& rest ) {
    batch->start( rest );
    batch->put( { .type = FrameType::data, .session = 1 }, raw( payload ) );
    batch->finish( 32 );
    const auto* const memory = rest.data();
    batch->start( rest );
    batch->finish( batch->bytes() );
    EXPECT_EQ( rest.capacity(), 0U );
    return memory;
  };
  Bytes one;
  Bytes other;
  const auto* const memory = rest_of_a_turn( one );
  EXPECT_EQ( rest_of_a_turn( other ), memory ) << "the batch keeps it, not the link";
}

TEST( FrameBatch, WhenOnlyOneSliceIsLeftAFrameOfTwoHasNoRoom )
{
  const auto batch = std::make_unique<FrameBatch>();
  Bytes rest( 5 ); // one slice, and two for each frame after it: an odd number
  batch->start( rest );
  while ( not batch->full() ) {
    batch->put( { .type = FrameType::data, .session = 1 }, raw( "z" ) );
  }
  EXPECT_EQ( batch->slices().size(), FrameBatch::slices_max - 1 );
  batch->finish( batch->bytes() );
}

} // namespace
} // namespace holdfast
