#include "core/bulk_lane.hh"

#include "unit/core/pair.hh"

#include <gtest/gtest.h>

// Stories of two tunnels that have a second link, for bulk, beside the one that carries them.

namespace holdfast {
namespace {

using namespace test;

constexpr BulkMeter::Limits anything { .least = 0, .span = 1ms }; // is bulk

// One session, of which everything counts as bulk and goes on the bulk link, both ways.
struct BulkPair : Pair
{
  explicit BulkPair( Setup setup = {} ) : Pair( with_anything( setup ) )
  {
    connect();
    app = open();
    app->to_write = "up";
    run();
    target().to_write = "down";
    run();
    join();
    touch();
    run();
  }
  // Somebody looks at how much they carry.
  void touch()
  {
    for ( End* end : { &opener, &acceptor } ) {
      if ( Session* const session = end->legs.at( 1 ).session ) {
        end->tunnel.touch( *session );
      }
    }
  }
  Outflow& app_outflow() { return opener.legs.at( 1 ).session->outflow(); }

  Program* app = nullptr;

private:
  static Setup with_anything( Setup setup )
  {
    setup.bulk = anything;
    return setup;
  }
};

void expect_good( BulkPair& pair )
{
  EXPECT_TRUE( pair.faults.empty() ) << describe( pair.faults.front() );
  EXPECT_FALSE( pair.app->saw_reset );
  EXPECT_FALSE( pair.target().saw_reset );
}

void expect_a_good_end( BulkPair& pair )
{
  pair.app->ends = true;
  pair.target().ends = true;
  pair.run();
  EXPECT_TRUE( pair.app->saw_end );
  EXPECT_TRUE( pair.target().saw_end );
  EXPECT_EQ( pair.app->ends_seen + pair.target().ends_seen, 2 );
  expect_good( pair );
  EXPECT_TRUE( pair.all_back() );
}

// -- what goes where ---------------------------------------------------------------------------------------------

TEST( BulkLane, DataAndEndsGoOnTheBulkLinkAndAllElseOnTheOther )
{
  BulkPair pair;
  pair.bulk_frames.clear();
  pair.frames.clear();
  const std::string there = stream( 0, 300'000, 1 );
  const std::string back = stream( 0, 300'000, 2 );
  pair.app->to_write = there;
  pair.target().to_write = back;
  pair.run();
  EXPECT_TRUE( pair.target().read == "up" + there );
  EXPECT_TRUE( pair.app->read == "down" + back );
  EXPECT_EQ( pair.frames[FrameType::data], 0U );
  EXPECT_GT( pair.frames[FrameType::ack], 0U );
  expect_a_good_end( pair );
  EXPECT_EQ( pair.bulk_frames[FrameType::end], 2U );
  pair.bulk_frames.erase( FrameType::data );
  pair.bulk_frames.erase( FrameType::end );
  EXPECT_TRUE( pair.bulk_frames.empty() );
}

TEST( BulkLane, WhoCarriesLittleStaysOnTheLink )
{
  Pair pair;
  pair.connect();
  Program& app = *pair.open();
  pair.join();
  for ( int i = 0; i < 1000; ++i ) {
    app.to_write += 'k';
    pair.step( 10ms );
  }
  pair.run();
  EXPECT_EQ( pair.target().read, std::string( 1000, 'k' ) );
  EXPECT_TRUE( pair.bulk_frames.empty() );
}

TEST( BulkLane, AKeystrokeDoesNotWaitForABulkLinkThatHasStopped )
{
  Pair pair { { .bulk = { .least = 1000, .span = 100ms } } };
  pair.connect();
  Program& app = *pair.open();
  pair.join();
  for ( int i = 0; i < 10; ++i ) {
    app.to_write += stream( 0, 10'000, 1 );
    pair.step( 50ms );
  }
  ASSERT_GT( pair.bulk_frames[FrameType::data], 0U );
  pair.bulk_up_most = 0;
  app.to_write += stream( 0, 500'000, 1 );
  Program& typed = *pair.open();
  typed.to_write = "k";
  pair.steps( 3 );
  EXPECT_EQ( pair.target( 2 ).read, "k" );
}

TEST( BulkLane, AStreamThatCarriesLittleAgainComesBack )
{
  Pair pair { { .bulk = { .least = 1000, .span = 100ms } } };
  pair.connect();
  Program& app = *pair.open();
  pair.join();
  const auto types = [&]( std::size_t each ) {
    for ( int i = 0; i < 20; ++i ) {
      app.to_write += std::string( each, 'x' );
      pair.step( 50ms );
    }
    const std::size_t said = std::exchange( pair.bulk_frames, {} )[FrameType::data];
    return said;
  };
  EXPECT_GT( types( 5000 ), 0U );
  static_cast<void>( types( 1 ) );
  EXPECT_EQ( types( 1 ), 0U );
  EXPECT_TRUE( pair.faults.empty() );
}

TEST( BulkLane, ALinkIsWantedWhileSomebodyCarriesMuchBesideAnother )
{
  Pair pair;
  EXPECT_FALSE( pair.opener.tunnel.wants_bulk_link( pair.now ) );
  pair.connect();
  Program& app = *pair.open();
  const auto copy = [&] {
    for ( int i = 0; i < 200; ++i ) {
      app.to_write += std::string( 1000, 'x' );
      pair.step( 10ms );
    }
  };
  copy();
  EXPECT_FALSE( pair.opener.tunnel.wants_bulk_link( pair.now ) ) << "nobody else would be held up";
  pair.open();
  copy();
  EXPECT_TRUE( pair.opener.tunnel.wants_bulk_link( pair.now ) );
  EXPECT_TRUE( pair.acceptor.tunnel.wants_bulk_link( pair.now ) ) << "the other direction counts as well";
  pair.cut();
  EXPECT_FALSE( pair.opener.tunnel.wants_bulk_link( pair.now ) ) << "there is no link to be beside";
  pair.connect();
  pair.run();
  pair.now += 3s;
  EXPECT_FALSE( pair.opener.tunnel.wants_bulk_link( pair.now ) ) << "that was a while ago";
}

// Nobody waits there for a keystroke: several frames in a turn, and then it is the next one's.
TEST( BulkLane, SessionsTakeTurnsOfSeveralFrames )
{
  Pair pair { { .near_chunks = 256, .window = 1U << 20U, .bulk = anything } };
  pair.connect();
  Program& first = *pair.open();
  Program& second = *pair.open();
  first.to_write = second.to_write = "x";
  pair.run();
  pair.join();
  first.to_write = second.to_write = "y";
  pair.run();
  first.to_write = second.to_write = stream( 0, 600'000 );
  for ( int i = 0; i < 10; ++i ) {
    pair.opener.turn( pair.now );
  }
  FrameBatch batch;
  std::vector<std::pair<SessionId, std::size_t>> turns; // who, and how many bytes
  FrameReader reader { FrameType::hello };
  const std::string hello = greeting( FrameType::hello );
  reader.feed( raw( hello ) );
  static_cast<void>( reader.next() );
  reader.done();
  for ( int i = 0; i < 8; ++i ) {
    Bytes rest;
    batch.start( rest );
    pair.opener.tunnel.bulk().transmit( batch, pair.now, 10ms );
    const std::string said = gathered( batch );
    batch.finish( batch.bytes() );
    reader.feed( raw( said ) );
    while ( const auto frame = reader.next() ) {
      if ( turns.empty() or turns.back().first != frame->header.session ) {
        turns.emplace_back( frame->header.session, 0 );
      }
      turns.back().second += frame->header.length;
    }
    reader.done();
  }
  ASSERT_GE( turns.size(), 4U ) << "both are heard";
  turns.pop_back();
  for ( const auto& [session, bytes] : turns ) {
    EXPECT_GT( bytes, FrameHeader::payload_max );
    EXPECT_LE( bytes, 4 * FrameHeader::payload_max );
  }
}

// -- moving there ------------------------------------------------------------------------------------------------

TEST( BulkLane, AStreamMovesWhenAllThatWasSaidIsDelivered )
{
  Pair pair { { .bulk = anything } };
  pair.connect();
  Program& app = *pair.open();
  app.to_write = "first";
  pair.run();
  pair.up_most = 0; // the network stops
  app.to_write = "second";
  pair.step();
  pair.step();
  pair.join();
  app.to_write = "third";
  pair.run( 100ms );
  EXPECT_EQ( pair.bulk_frames[FrameType::data], 0U );
  EXPECT_EQ( pair.target().read, "first" );
  pair.up_most = std::string::npos;
  pair.run( 100ms );
  EXPECT_EQ( pair.target().read, "firstsecondthird" );
  EXPECT_EQ( pair.bulk_frames[FrameType::data], 1U );
  EXPECT_TRUE( pair.faults.empty() );
}

// Somebody whose memory was short asked for bytes again, and what was said behind them was still under way: then
// nothing but acknowledged bytes counted as said, and the stream moved. What was under way came later, with a gap,
// and an honest peer lost its link for that. Seed 8452 of the simulation.
TEST( BulkLane, AStreamThatWasAskedForAgainDoesNotMoveBeforeWhatIsUnderWay )
{
  Pair pair { { .far_chunks = 2, .in_place = false, .bulk = anything } };
  pair.connect();
  Program& app = *pair.open();
  app.to_write = "x";
  pair.run();
  pair.target().takes = 0;
  const std::string much = stream( 0, 60'000, 1 );
  app.to_write = much;
  pair.up_most = 54'000;
  pair.step();
  pair.up_most = 0; // the rest is under way
  pair.steps( 5 );
  pair.join();
  pair.target().takes = std::string::npos;
  pair.bulk_up_most = 17'000; // a frame
  for ( int i = 0; i < 200 and pair.bulk_frames[FrameType::data] == 0; ++i ) {
    pair.step();
  }
  ASSERT_GT( pair.frames[FrameType::resume], 0U ) << "memory was not short";
  EXPECT_EQ( pair.bulk_frames[FrameType::data], 0U ) << "it has overtaken what is under way";
  pair.bulk_up_most = 0;
  pair.up_most = std::string::npos;
  pair.steps( 5 );
  pair.bulk_up_most = std::string::npos;
  pair.run();
  EXPECT_TRUE( pair.faults.empty() ) << describe( pair.faults.front() );
  EXPECT_TRUE( pair.target().read == "x" + much );
  app.to_write = "y";
  pair.run();
  EXPECT_GT( pair.bulk_frames[FrameType::data], 0U ) << "and then it moved";
}

// A stream that waits to move says again what the peer had to let go: else it would wait for ever.
TEST( BulkLane, AStreamThatWaitsToMoveSaysAgainWhatIsAskedFor )
{
  Pair pair { { .far_chunks = 2, .in_place = false, .bulk = anything } };
  pair.connect();
  Program& app = *pair.open();
  app.to_write = "x";
  pair.run();
  pair.join();
  pair.target().takes = 0;
  const std::string much = stream( 0, 60'000, 1 );
  app.to_write = much;
  pair.run( 300ms );
  pair.target().takes = std::string::npos;
  pair.run();
  EXPECT_TRUE( pair.faults.empty() );
  EXPECT_TRUE( pair.target().read == "x" + much );
}

// -- the bulk link is lost ---------------------------------------------------------------------------------------

TEST( BulkLane, WhatIsLostWithTheBulkLinkIsSaidAgainOnTheOther )
{
  BulkPair pair;
  const std::string there = stream( 0, 100'000, 1 );
  const std::string back = stream( 0, 100'000, 2 );
  pair.bulk_up_most = 10'000;
  pair.bulk_down_most = 7'000;
  pair.app->to_write = there;
  pair.target().to_write = back;
  pair.steps( 4 );
  ASSERT_GT( pair.app->read.size(), 4U );
  ASSERT_LT( pair.app->read.size(), 90'000U );
  pair.cut_bulk();
  pair.run();
  EXPECT_TRUE( pair.target().read == "up" + there );
  EXPECT_TRUE( pair.app->read == "down" + back );
  expect_a_good_end( pair );
}

TEST( BulkLane, AnEndThatIsLostWithTheBulkLinkIsSaidAgain )
{
  BulkPair pair;
  pair.bulk_up_most = pair.bulk_down_most = 0;
  pair.app->ends = pair.target().ends = true;
  pair.steps( 5 );
  EXPECT_FALSE( pair.app->saw_end );
  pair.cut_bulk();
  expect_a_good_end( pair );
}

// One side gives it up, and the other one still hears what was under way: that comes twice, and out of order with
// what is said again.
TEST( BulkLane, WhatStillArrivesOnALostBulkLinkComesTwice )
{
  BulkPair pair;
  const std::string there = stream( 0, 60'000, 1 );
  pair.bulk_up_most = 0;
  pair.app->to_write = there;
  pair.steps( 3 );
  pair.opener.tunnel.detach_bulk();
  pair.up_most = 5'000;
  pair.steps( 4 );
  pair.bulk_up_most = 9'000;
  pair.steps( 20 );
  pair.cut_bulk();
  pair.up_most = std::string::npos;
  pair.run();
  EXPECT_TRUE( pair.target().read == "up" + there );
  expect_a_good_end( pair );
}

// The same with bytes that were let go: what is said again fills the hole, and then what lies far behind it arrives
// on the bulk link. That is nobody's mistake.
TEST( BulkLane, WhatLiesBehindAHoleMayStillArriveOnALostBulkLink )
{
  BulkPair pair { { .far_chunks = 2, .in_place = false } };
  pair.target().takes = 0;
  const std::string there = stream( 0, 60'000, 1 );
  pair.app->to_write = there;
  pair.bulk_up_most = 50'000;
  pair.step();
  pair.bulk_up_most = 0; // the rest is under way
  pair.steps( 3 );
  pair.opener.tunnel.detach_bulk();
  pair.target().takes = std::string::npos;
  pair.up_most = 3'000; // of what is said again
  for ( int i = 0; i < 100 and pair.target().read.size() < 34'000; ++i ) {
    pair.step();
  }
  ASSERT_GT( pair.target().read.size(), 33'000U );
  ASSERT_LT( pair.target().read.size(), 45'000U );
  pair.bulk_up_most = std::string::npos;
  pair.step();
  EXPECT_TRUE( pair.faults.empty() ) << describe( pair.faults.front() );
  pair.up_most = std::string::npos;
  pair.run();
  EXPECT_TRUE( pair.target().read == "up" + there );
  expect_a_good_end( pair );
}

// An acknowledgement on the bulk link may be lost with it, or be late: it must come on the other one as well.
TEST( BulkLane, AcknowledgementsDoNotWaitForTheBulkLink )
{
  BulkPair pair;
  pair.bulk_down_most = 0;
  pair.app->to_write = "a question";
  pair.steps( 1 );
  pair.target().to_write = "the answer";
  pair.steps( 40 ); // milliseconds, more than an acknowledgement waits for data to ride on
  EXPECT_EQ( pair.target().read, "upa question" );
  EXPECT_EQ( pair.app->read, "down" );
  EXPECT_EQ( pair.app_outflow().acknowledged(), 12U );
}

TEST( BulkLane, AStreamGoesToTheNextBulkLinkAsWell )
{
  BulkPair pair;
  std::string there;
  for ( int i = 0; i < 20; ++i ) {
    const std::string more = stream( 0, 30'000, static_cast<std::uint64_t>( i ) );
    there += more;
    pair.app->to_write += more;
    pair.bulk_up_most = 11'000;
    pair.steps( 3 );
    pair.join();
    pair.steps( 2 );
  }
  pair.bulk_up_most = std::string::npos;
  pair.bulk_frames.clear();
  pair.run();
  EXPECT_TRUE( pair.target().read == "up" + there );
  pair.app->to_write = "z";
  pair.run();
  EXPECT_GT( pair.bulk_frames[FrameType::data], 0U );
  expect_a_good_end( pair );
}

TEST( BulkLane, ANewLinkEndsIt )
{
  BulkPair pair;
  const std::string there = stream( 0, 100'000, 1 );
  pair.bulk_up_most = 10'000;
  pair.app->to_write = there;
  pair.steps( 3 );
  const auto said = pair.bulk_frames;
  pair.connect();
  EXPECT_FALSE( pair.opener.tunnel.bulk().wants_to_transmit() );
  pair.run();
  EXPECT_TRUE( pair.target().read == "up" + there );
  EXPECT_EQ( pair.bulk_frames, said );
  expect_a_good_end( pair );
}

TEST( BulkLane, AMoveOfTheTunnelThatOneSideHearsOfFirst )
{
  BulkPair pair;
  const std::string there = stream( 0, 100'000, 1 );
  const std::string back = stream( 0, 100'000, 2 );
  pair.bulk_up_most = pair.bulk_down_most = 10'000;
  pair.app->to_write = there;
  pair.target().to_write = back;
  pair.steps( 3 );
  pair.say_hello( true );
  pair.hello_heard();
  pair.steps( 5 );
  pair.welcome_heard();
  pair.run();
  EXPECT_TRUE( pair.target().read == "up" + there );
  EXPECT_TRUE( pair.app->read == "down" + back );
  expect_a_good_end( pair );
}

TEST( BulkLane, AResetEndsASessionThatIsThere )
{
  BulkPair pair;
  pair.bulk_up_most = pair.bulk_down_most = 0;
  pair.app->to_write = stream( 0, 100'000, 1 );
  pair.target().to_write = stream( 0, 100'000, 2 );
  pair.steps( 3 );
  pair.app->resets = true;
  pair.steps( 5 );
  EXPECT_EQ( pair.target().saw_reset, ResetReason::by_program );
  pair.bulk_up_most = pair.bulk_down_most = std::string::npos; // for nobody
  pair.run();
  EXPECT_TRUE( pair.faults.empty() );
  EXPECT_TRUE( pair.all_back() );
}

// A window full of bytes on the bulk link was all that was ever heard of the session. On the next link it was
// opened again, which acknowledges nothing; the peer waited for that, and the program for the peer. Found by
// tests/fuzz.
TEST( BulkLane, WhatCameThereFirstIsAcknowledgedOnTheNextLinkAsWell )
{
  BulkPair pair;
  const std::string much = stream( 0, 200'000, 1 );
  pair.down_most = 0;
  Program& second = *pair.open();
  second.to_write = "question";
  pair.steps( 5 );
  pair.target( 2 ).to_write = much;
  pair.up_most = 0; // what acknowledges it is lost with the link
  pair.steps( 50 );
  EXPECT_EQ( second.read.size(), 65'536U );
  pair.up_most = pair.down_most = std::string::npos;
  pair.connect();
  pair.run();
  EXPECT_TRUE( second.read == much );
  second.ends = pair.target( 2 ).ends = true;
  expect_a_good_end( pair );
}

// -- a peer that makes mistakes ----------------------------------------------------------------------------------

TEST( BulkLane, NothingButDataAndEndsMayComeThere )
{
  for ( std::uint8_t type = 1; type <= 12; ++type ) {
    const auto header = FrameHeader { .type = static_cast<FrameType>( type ), .session = 1 };
    if ( header.type == FrameType::data or header.type == FrameType::end ) {
      continue;
    }
    BulkPair pair;
    const std::array payload { std::byte { 1 }, std::byte {}, std::byte {}, std::byte {},
                               std::byte {},    std::byte {}, std::byte {}, std::byte {} };
    EXPECT_EQ( pair.acceptor.tunnel.receive_bulk( Frame { header, payload } ), Fault::out_of_order )
      << name( header.type );
    EXPECT_FALSE( pair.acceptor.tunnel.goodbye() );
  }
}

TEST( BulkLane, WhatIsForNobodyIsIgnored )
{
  BulkPair pair;
  for ( const FrameType type : { FrameType::data, FrameType::end } ) {
    EXPECT_EQ( pair.acceptor.tunnel.receive_bulk( Frame { { .type = type, .session = 77 }, {} } ), std::nullopt );
  }
  EXPECT_EQ( pair.acceptor.tunnel.sessions(), 1U );
  EXPECT_FALSE( pair.acceptor.tunnel.wants_to_transmit() ) << "and not answered";
}

TEST( BulkLane, PositionsAreCheckedThereAsWell )
{
  const auto verdict = []( FrameHeader header, std::string_view payload ) {
    BulkPair pair { { .window = 1000 } };
    header.session = 1;
    header.length = static_cast<std::uint16_t>( payload.size() );
    return pair.acceptor.tunnel.receive_bulk( Frame { header, raw( payload ) } );
  };
  EXPECT_EQ( verdict( { .type = FrameType::data, .sequence = 2, .acknowledgement = 5 }, "x" ),
             Fault::ahead_of_sent );
  EXPECT_EQ( verdict( { .type = FrameType::end, .sequence = 1 }, {} ), Fault::after_end );
  EXPECT_EQ( verdict( { .type = FrameType::data, .sequence = 2 }, std::string( 65'535, 'x' ) ),
             Fault::beyond_window );
}

} // namespace
} // namespace holdfast
