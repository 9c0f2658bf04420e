#include "core/outflow.hh"

#include "unit/core/support.hh"

#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <string>

namespace holdfast {
namespace {

using namespace test;

constexpr std::size_t C = Pool::chunk_size;

// An outflow with memory of its own, driven with strings.
struct Source
{
  explicit Source( std::size_t window = 100,
                   Pool::Index chunks = 64,
                   Position begin = 0,
                   std::size_t most = 1U << 20U )
    : pool( chunks ), record { .kept = { .begin = begin, .end = begin } }, out( *pool, record, { most }, window )
  {}

  // The local program writes; returns how much was taken.
  std::size_t write( std::string_view bytes ) { return write_into( out, bytes ); }
  // What the link would carry now.
  std::string send( std::size_t most = std::string::npos )
  {
    std::string sent;
    while ( sent.size() < most ) {
      const auto piece = out.readable();
      if ( piece.empty() ) {
        break;
      }
      const std::size_t n = std::min( piece.size(), most - sent.size() );
      sent += text( piece.first( n ) );
      out.consume( n );
    }
    return sent;
  }
  bool send_end()
  {
    const bool due = out.end_due();
    if ( due ) {
      out.consume_end();
    }
    return due;
  }

  TestPool pool;
  OutflowRecord record;
  Outflow out;
};

TEST( Outflow, KeepsBytesUntilTheyAreDelivered )
{
  Source source;
  EXPECT_EQ( source.write( "hello there" ), 11U );
  EXPECT_EQ( source.send(), "hello there" );
  EXPECT_EQ( source.out.retained(), 11U ); // sent is not delivered
  EXPECT_EQ( source.out.acknowledge( 6, 100 ), std::nullopt );
  EXPECT_EQ( source.out.retained(), 5U );
  EXPECT_EQ( source.out.acknowledge( 11, 100 ), std::nullopt );
  EXPECT_EQ( source.out.retained(), 0U );
  EXPECT_EQ( source.pool->used(), 0U );
}

TEST( Outflow, SendsNoMoreThanThePeerTakes )
{
  Source source { 5 };
  source.write( "hello there" );
  EXPECT_EQ( source.send(), "hello" );
  EXPECT_FALSE( source.out.something_due() );
  EXPECT_EQ( source.out.acknowledge( 2, 6 ), std::nullopt );
  EXPECT_TRUE( source.out.something_due() );
  EXPECT_EQ( source.send(), " th" );
}

TEST( Outflow, NothingIsTakenBackByOldNews )
{
  Source source { 5 };
  source.write( "hello there" );
  source.send();
  EXPECT_EQ( source.out.acknowledge( 5, 6 ), std::nullopt );
  EXPECT_EQ( source.send(), " there" );
  EXPECT_EQ( source.out.acknowledge( 3, 2 ), std::nullopt ); // it was sent before
  EXPECT_EQ( source.out.acknowledged(), 5U );
  EXPECT_EQ( source.out.retained(), 6U );
  EXPECT_EQ( source.out.acknowledge( 11, 0 ), std::nullopt );
  EXPECT_EQ( source.out.retained(), 0U );
}

TEST( Outflow, TakesALittleMoreThanTheWindowAndThenHoldsTheProgramBack )
{
  Source source { 1000 };
  EXPECT_EQ( source.out.room(), 1000 + Outflow::Limits::ahead );
  source.write( stream( 0, 2000 ) );
  EXPECT_EQ( source.out.room(), Outflow::Limits::ahead - 1000 );
  while ( source.write( stream( 0, C ) ) > 0 ) {
  }
  EXPECT_EQ( source.out.room(), 0U );
  EXPECT_EQ( source.out.retained(), 1000 + Outflow::Limits::ahead );
  // writable() once handed out an empty slice here, which a shell would take for the end of the program's stream.
  std::array<std::span<std::byte>, 4> slices;
  EXPECT_EQ( source.out.writable( slices ), 0U );
}

TEST( Outflow, RetainsNoMoreThanItsOwnLimitWhateverThePeerOffers )
{
  Source source { 4U << 20U, 512, 0, 100000 };
  EXPECT_EQ( source.out.room(), 100000 + Outflow::Limits::ahead );
}

TEST( Outflow, ThePoolsEndHoldsTheProgramBack )
{
  Source source { 1U << 20U, 4 };
  EXPECT_EQ( source.write( stream( 0, 10 * C ) ), 2 * C ); // its share
  EXPECT_GT( source.out.room(), 0U );
  EXPECT_EQ( source.write( "x" ), 0U );
  source.send( C );
  EXPECT_EQ( source.out.acknowledge( C, 1U << 20U ), std::nullopt );
  EXPECT_EQ( source.write( stream( 2 * C, C ) ), C );
}

// -- the end of the stream ---------------------------------------------------------------------------------------

TEST( Outflow, TheEndIsAPositionOfItsOwn )
{
  Source source;
  source.write( "bye" );
  source.out.end();
  EXPECT_EQ( source.out.room(), 0U );
  EXPECT_FALSE( source.out.end_due() ) << "not before the bytes";
  source.send();
  EXPECT_TRUE( source.out.something_due() );
  EXPECT_TRUE( source.send_end() );
  EXPECT_EQ( source.out.sent(), 4U );
  EXPECT_FALSE( source.out.something_due() );
  EXPECT_EQ( source.out.acknowledge( 3, 100 ), std::nullopt );
  EXPECT_FALSE( source.out.finished() ) << "the bytes were delivered, the end was not";
  EXPECT_EQ( source.out.acknowledged(), 3U );
  EXPECT_EQ( source.out.acknowledge( 4, 100 ), std::nullopt );
  EXPECT_TRUE( source.out.finished() );
  EXPECT_EQ( source.out.acknowledged(), 4U );
  EXPECT_FALSE( source.out.something_due() );
  EXPECT_EQ( source.pool->used(), 0U );
}

TEST( Outflow, TheEndNeedsNoWindow )
{
  Source source { 3 };
  source.write( "bye" );
  source.out.end();
  EXPECT_EQ( source.send(), "bye" );
  EXPECT_TRUE( source.send_end() );
}

TEST( Outflow, AnEmptyStreamHasAnEnd )
{
  Source source { 0 };
  source.out.end();
  EXPECT_TRUE( source.send_end() );
  EXPECT_EQ( source.out.acknowledge( 1, 0 ), std::nullopt );
  EXPECT_TRUE( source.out.finished() );
}

TEST( Outflow, TheEndIsSaidAgainOnAnotherLink )
{
  Source source;
  source.write( "bye" );
  source.out.end();
  source.send();
  source.send_end();
  source.out.rewind();
  EXPECT_EQ( source.send(), "bye" );
  EXPECT_TRUE( source.send_end() );
  // And alone, when only the end was lost.
  EXPECT_EQ( source.out.replay_from( 3, 3, 100 ), std::nullopt );
  EXPECT_EQ( source.send(), "" );
  EXPECT_TRUE( source.send_end() );
  // And not at all, when the peer has it but has not delivered it.
  EXPECT_EQ( source.out.replay_from( 4, 3, 100 ), std::nullopt );
  EXPECT_FALSE( source.out.something_due() );
  EXPECT_FALSE( source.out.finished() );
}

// -- replay ------------------------------------------------------------------------------------------------------

TEST( Outflow, ReplaysFromEveryPointThatThePeerMayAskFor )
{
  const std::string bytes = stream( 0, 300 );
  for ( Position delivered = 0; delivered <= 300; delivered += 7 ) {
    for ( Position next = delivered; next <= 300; next += 11 ) {
      Source source { 1000 };
      source.write( bytes );
      EXPECT_EQ( source.send(), bytes );
      source.out.rewind();
      ASSERT_EQ( source.out.replay_from( next, delivered, 1000 ), std::nullopt );
      EXPECT_EQ( source.out.acknowledged(), delivered );
      EXPECT_EQ( source.send(), bytes.substr( next ) );
    }
  }
}

TEST( Outflow, WhatWasAcknowledgedMeanwhileIsNotReplayed )
{
  Source source;
  source.write( stream( 0, 100 ) );
  source.send();
  EXPECT_EQ( source.out.acknowledge( 60, 100 ), std::nullopt );
  EXPECT_EQ( source.out.replay_from( 20, 10, 100 ), std::nullopt ); // an old question
  EXPECT_EQ( source.out.sent(), 60U );
  EXPECT_EQ( source.send(), stream( 60, 40 ) );
}

TEST( Outflow, AnAcknowledgementMayOvertakeAReplay )
{
  Source source;
  source.write( stream( 0, 100 ) );
  source.send();
  source.out.rewind();
  source.send( 10 );
  EXPECT_EQ( source.out.acknowledge( 70, 100 ), std::nullopt ); // it had more than we thought
  EXPECT_EQ( source.send(), stream( 70, 30 ) );
}

TEST( Outflow, AReplayMayOfferLessThanBefore )
{
  Source source { 1000 };
  source.write( stream( 0, 500 ) );
  source.send();
  EXPECT_EQ( source.out.replay_from( 100, 100, 50 ), std::nullopt );
  EXPECT_EQ( source.send(), stream( 100, 50 ) );
  EXPECT_EQ( source.out.acknowledge( 150, 1000 ), std::nullopt );
  EXPECT_EQ( source.send(), stream( 150, 350 ) );
}

TEST( Outflow, TheFirstWindowMayBecomeKnownLater )
{
  Source source { 0 };
  EXPECT_EQ( source.out.room(), Outflow::Limits::ahead );
  source.write( "typed while there was no link" );
  EXPECT_EQ( source.send(), "" );
  source.out.welcome( 5 );
  EXPECT_EQ( source.send(), "typed" );
  source.out.welcome( 2 ); // another link, whose peer has offered more already
  EXPECT_EQ( source.send(), "" );
  EXPECT_EQ( source.out.acknowledge( 5, 5 ), std::nullopt );
  EXPECT_EQ( source.send(), " whil" );
}

// -- a hostile peer ----------------------------------------------------------------------------------------------

TEST( Outflow, RefusesAPeerThatAcknowledgesWhatWasNeverSent )
{
  for ( const Position lie : { Position { 6 }, Position { 11 }, Position { 12 }, position_limit - 1 } ) {
    Source source { 5 };
    source.write( "hello there" );
    source.send(); // five of them
    EXPECT_EQ( source.out.acknowledge( lie, 0xffffffff ), Fault::ahead_of_sent );
    EXPECT_EQ( source.out.replay_from( lie, 0, 0xffffffff ), Fault::ahead_of_sent );
    EXPECT_EQ( source.out.replay_from( 5, lie, 0xffffffff ), Fault::ahead_of_sent );
    EXPECT_EQ( source.out.acknowledged(), 0U ) << "and believes nothing else it said";
    EXPECT_EQ( source.send(), "" );
    EXPECT_EQ( source.out.retained(), 11U );
  }
}

TEST( Outflow, RefusesAnEndThatWasNeverSent )
{
  Source source;
  source.write( "bye" );
  source.out.end();
  source.send();
  EXPECT_EQ( source.out.acknowledge( 4, 0 ), Fault::ahead_of_sent );
  source.send_end();
  EXPECT_EQ( source.out.acknowledge( 5, 0 ), Fault::ahead_of_sent );
  EXPECT_EQ( source.out.acknowledge( 4, 0 ), std::nullopt );
  EXPECT_EQ( source.out.acknowledge( 4, 0 ), std::nullopt );
}

TEST( Outflow, RefusesAReplayThatBeginsBeforeWhatWasDelivered )
{
  Source source;
  source.write( "hello" );
  source.send();
  EXPECT_EQ( source.out.replay_from( 2, 3, 100 ), Fault::ahead_of_sent );
}

TEST( Outflow, WhatWasSentOnAnEarlierLinkMayBeAcknowledgedOnThisOne )
{
  Source source;
  source.write( "hello" );
  source.send();
  source.out.rewind();
  EXPECT_EQ( source.out.sent(), 0U );
  EXPECT_EQ( source.out.acknowledge( 5, 100 ), std::nullopt );
  EXPECT_EQ( source.out.retained(), 0U );
}

TEST( Outflow, WorksUpToTheTopOfAllPositions )
{
  const Position begin = position_limit - 100;
  Source source { 0xffffffff, 64, begin };
  source.write( stream( begin, 50 ) );
  source.out.end();
  EXPECT_EQ( source.send(), stream( begin, 50 ) );
  EXPECT_TRUE( source.send_end() );
  EXPECT_EQ( source.out.acknowledge( begin + 20, 0xffffffff ), std::nullopt );
  EXPECT_EQ( source.out.replay_from( begin + 30, begin + 25, 0xffffffff ), std::nullopt );
  EXPECT_EQ( source.send(), stream( begin + 30, 20 ) );
  EXPECT_TRUE( source.send_end() );
  EXPECT_EQ( source.out.acknowledge( begin + 51, 0xffffffff ), std::nullopt );
  EXPECT_TRUE( source.out.finished() );
}

TEST( Outflow, WhatWasBrokenOffHoldsNoMemory )
{
  Source source { 1U << 20U };
  source.write( stream( 0, 3 * C ) );
  source.send( C );
  source.out.abandon();
  EXPECT_EQ( source.pool->used(), 0U );
  EXPECT_EQ( source.send(), "" );
}

// Against something stupid: the whole stream as a string, and a peer that has received some prefix of it.
TEST( Outflow, WhateverThePeerAsksForItGetsTheSameStream )
{
  for ( std::uint64_t seed = 1; seed <= 60; ++seed ) {
    Chance chance { seed };
    const Position begin = seed % 5 == 0 ? position_limit - ( 1U << 20U ) : 0;
    const std::size_t most = chance.between( 1, 4 * C );
    Source source { chance.between( 0, most ), static_cast<Pool::Index>( chance.between( 2, 12 ) ), begin, most };
    const std::string all = stream( begin, 20 * C, seed );
    std::size_t written = 0;
    std::size_t received = 0;  // by the peer
    std::size_t delivered = 0; // there
    std::size_t wire = 0;      // position of the next byte sent, relative to begin
    bool end_received = false;
    for ( int step = 0; step < 4000 and not source.out.finished(); ++step ) {
      const Position end_delivered = end_received and delivered == all.size() ? 1 : 0;
      switch ( chance.below( 6 ) ) {
        case 0: written += source.write( std::string_view { all }.substr( written, chance.below( 2 * C ) ) ); break;
        case 1:
        case 2: {
          wire = std::min( all.size(), static_cast<std::size_t>( source.out.sent() - begin ) );
          const std::string bytes = source.send( chance.below( 2 * C ) );
          ASSERT_TRUE( bytes == all.substr( wire, bytes.size() ) ) << "seed " << seed;
          ASSERT_LE( wire, received ) << "a gap; seed " << seed;
          received = std::max( received, wire + bytes.size() );
          break;
        }
        case 3:
          delivered += chance.below( received - delivered + 1 );
          ASSERT_EQ( source.out.acknowledge( begin + delivered + end_delivered, chance.below( most + 1 ) ),
                     std::nullopt );
          break;
        case 4:
          if ( chance.once_in( 3 ) ) { // the peer loses what it has not delivered, or another link takes over
            source.out.rewind();
            received = delivered + chance.below( received - delivered + 1 );
            end_received = end_delivered != 0;
            ASSERT_EQ( source.out.replay_from( begin + received + end_delivered,
                                               begin + delivered + end_delivered,
                                               chance.between( 1, most ) ),
                       std::nullopt );
          }
          break;
        default:
          if ( written == all.size() and not source.out.ended() ) {
            source.out.end();
          }
          if ( source.send_end() ) {
            ASSERT_EQ( received, all.size() );
            end_received = true;
          }
      }
      ASSERT_LE( source.out.retained(), most + Outflow::Limits::ahead );
    }
    while ( not source.out.finished() ) { // and now all goes well
      written += source.write( std::string_view { all }.substr( written ) );
      if ( written == all.size() ) {
        source.out.end();
      }
      ASSERT_LE( source.out.sent() - begin, received + ( end_received ? 1 : 0 ) );
      const std::string bytes = source.send();
      received
        = std::max( received, std::min( all.size(), static_cast<std::size_t>( source.out.sent() - begin ) ) );
      end_received = source.send_end() or end_received;
      delivered = std::min( received, all.size() );
      ASSERT_EQ( source.out.acknowledge( begin + delivered + ( end_received ? 1 : 0 ), most ), std::nullopt );
    }
    EXPECT_EQ( source.pool->used(), 0U );
  }
}

TEST( Outflow, AnOfferStandsWhenOlderNewsComesAfterIt )
{
  Source source { 5 };
  source.write( "hello there" );
  EXPECT_EQ( source.send(), "hello" );
  EXPECT_EQ( source.out.acknowledge( 5, 6 ), std::nullopt );
  EXPECT_EQ( source.out.acknowledge( 3, 2 ), std::nullopt );
  EXPECT_EQ( source.send(), " there" );
}

TEST( Outflow, ThePlaceOfTheReaderIsForgottenWhenThePeerAsksForAnother )
{
  const std::string bytes = stream( 0, 3 * C );
  Source source { 4 * C };
  ASSERT_EQ( source.write( bytes ), bytes.size() );
  EXPECT_EQ( source.send(), bytes );
  source.out.rewind();
  EXPECT_EQ( source.send( 10 ), bytes.substr( 0, 10 ) ); // now its place is in the first chunk,
  EXPECT_EQ( source.out.replay_from( C + 100, 0, 4 * C ), std::nullopt );
  EXPECT_EQ( source.out.acknowledge( C + 50, 4 * C ),
             std::nullopt ); // which is gone when it reads on in the second
  EXPECT_EQ( source.send(), bytes.substr( C + 100 ) );
}

} // namespace
} // namespace holdfast
