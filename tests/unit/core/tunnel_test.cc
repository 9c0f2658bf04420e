#include "core/tunnel.hh"

#include "unit/core/pair.hh"

#include <gtest/gtest.h>

#include <functional>

// Stories of sessions, from an app through two tunnels to a target and back.

namespace holdfast {
namespace {

using namespace test;

void expect_all_back( Pair& pair )
{
  EXPECT_TRUE( pair.all_back() ) << "sessions " << pair.opener.tunnel.sessions() << " and "
                                 << pair.acceptor.tunnel.sessions() << ", chunks "
                                 << pair.near_memory().outflow().used() << " " << pair.near_memory().inflow().used()
                                 << " " << pair.far_memory().outflow().used() << " "
                                 << pair.far_memory().inflow().used();
  EXPECT_TRUE( pair.faults.empty() ) << describe( pair.faults.front() );
}

// Both programs end what is still open, and everything goes away.
void expect_a_good_end( Pair& pair, Program& app, Program& target )
{
  app.ends = true;
  target.ends = true;
  pair.run();
  EXPECT_TRUE( app.saw_end );
  EXPECT_TRUE( target.saw_end );
  EXPECT_FALSE( app.saw_reset );
  EXPECT_FALSE( target.saw_reset );
  expect_all_back( pair );
}

// -- the usual life ----------------------------------------------------------------------------------------------

TEST( Tunnel, CarriesASessionFromBeginningToEnd )
{
  Pair pair;
  pair.connect();
  Program& app = *pair.open();
  app.to_write = "ping";
  pair.run();
  EXPECT_EQ( pair.target().read, "ping" );
  pair.target().to_write = "pong";
  pair.run();
  EXPECT_EQ( app.read, "pong" );
  EXPECT_FALSE( app.saw_end );
  expect_a_good_end( pair, app, pair.target() );
}

TEST( Tunnel, DataFollowsTheOpenWithoutWaiting )
{
  Pair pair;
  pair.acceptor.connects = false;
  pair.connect();
  pair.down_most = 0; // nothing comes back
  Program& app = *pair.open();
  app.to_write = "early";
  app.ends = true;
  pair.run( 100ms );
  ASSERT_TRUE( pair.reached( 1 ) );
  EXPECT_EQ( pair.target().read, "" ) << "the target is not connected yet";
  pair.acceptor.connected( 1 );
  pair.run( 100ms );
  EXPECT_EQ( pair.target().read, "early" );
  EXPECT_TRUE( pair.target().saw_end );
  pair.down_most = std::string::npos;
  pair.run();
  EXPECT_TRUE( pair.opener.legs.at( 1 ).session->connected() );
  expect_a_good_end( pair, app, pair.target() );
}

TEST( Tunnel, AnAppMayWriteBeforeThereIsAnyLink )
{
  Pair pair;
  Program& app = *pair.open();
  app.to_write = "typed in the train";
  pair.run( 1s );
  pair.connect();
  pair.run();
  EXPECT_EQ( pair.target().read, "typed in the train" );
  expect_a_good_end( pair, app, pair.target() );
}

TEST( Tunnel, ALargeStreamBothWaysThroughASmallLink )
{
  Pair pair;
  pair.capacity = 1000;
  pair.up_most = 333;
  pair.down_most = 777;
  pair.connect();
  Program& app = *pair.open();
  const std::string there = stream( 0, 300'000, 1 );
  const std::string back = stream( 0, 400'000, 2 );
  app.to_write = there;
  pair.run( 5ms );
  pair.target().to_write = back;
  pair.run();
  EXPECT_TRUE( pair.target().read == there );
  EXPECT_TRUE( app.read == back );
  expect_a_good_end( pair, app, pair.target() );
}

TEST( Tunnel, AnIdleSessionSaysNothing )
{
  Pair pair;
  pair.connect();
  Program& app = *pair.open();
  app.to_write = "x";
  pair.run();
  const auto before = pair.frames;
  EXPECT_TRUE( pair.opener.idle() );
  EXPECT_TRUE( pair.acceptor.idle() );
  for ( int i = 0; i < 1000; ++i ) {
    pair.step( 1s );
  }
  EXPECT_EQ( pair.frames, before );
  EXPECT_TRUE( pair.near_memory().outflow().used() == 0 and pair.far_memory().inflow().used() == 0 );
  expect_a_good_end( pair, app, pair.target() );
}

TEST( Tunnel, AnAcknowledgementWaitsALittleForDataToRideOn )
{
  Pair pair;
  pair.connect();
  Program& app = *pair.open();
  pair.run();
  app.to_write = "k";
  pair.step();
  pair.step();
  ASSERT_EQ( pair.target().read, "k" );
  pair.target().to_write = "k"; // the echo
  pair.run( 15ms );
  EXPECT_EQ( app.read, "k" );
  EXPECT_EQ( pair.frames[FrameType::ack], 0U ) << "the echo carried it";
  pair.run( 20ms );
  EXPECT_EQ( pair.frames[FrameType::ack], 1U ) << "and the echo's own went alone, later, but not much";
  expect_a_good_end( pair, app, pair.target() );
}

// -- half-close --------------------------------------------------------------------------------------------------

TEST( Tunnel, HalfCloseEachWayWithALostLinkInBetween )
{
  for ( const bool app_first : { true, false } ) {
    Pair pair;
    pair.connect();
    Program& app = *pair.open();
    pair.run();
    Program& first = app_first ? app : pair.target();
    Program& second = app_first ? pair.target() : app;
    first.to_write = "the question";
    first.ends = true;
    pair.run();
    EXPECT_EQ( second.read, "the question" );
    EXPECT_TRUE( second.saw_end );
    EXPECT_FALSE( first.saw_end );
    pair.cut();
    second.to_write = "the ";
    pair.run( 5s );
    pair.connect();
    pair.run();
    second.to_write = "answer";
    pair.run();
    EXPECT_EQ( first.read, "the answer" );
    EXPECT_FALSE( first.saw_end );
    expect_a_good_end( pair, app, pair.target() );
  }
}

TEST( Tunnel, TheEndIsLostWithItsLinkAndSaidAgain )
{
  Pair pair;
  pair.connect();
  Program& app = *pair.open();
  pair.run();
  app.to_write = "last words";
  app.ends = true;
  pair.up_most = 0;
  pair.run( 50ms );
  pair.up_most = std::string::npos;
  pair.connect();
  pair.run();
  EXPECT_EQ( pair.target().read, "last words" );
  EXPECT_TRUE( pair.target().saw_end );
  expect_a_good_end( pair, app, pair.target() );
}

// The link is lost after every possible number of bytes in one direction, and a new one carries on: whatever it was
// that did not arrive (an open, data, an end, the last acknowledgement), all comes to a good end.
TEST( Tunnel, TheLinkMayBeLostAtAnyByte )
{
  for ( const bool up : { true, false } ) {
    for ( std::size_t bytes = 0; bytes < 600; ++bytes ) {
      Pair pair;
      pair.connect();
      pair.capacity = 1U << 20U;
      std::size_t budget = bytes;
      Program& app = *pair.open();
      app.to_write = "the question";
      app.ends = true;
      for ( int i = 0; i < 400 and not pair.all_back(); ++i ) {
        std::size_t& most = up ? pair.up_most : pair.down_most;
        most = std::min<std::size_t>( budget, 16 );
        budget -= most;
        pair.step();
        if ( pair.reached( 1 ) and not pair.target().ends ) {
          pair.target().to_write = "the answer";
          pair.target().ends = true;
        }
      }
      pair.up_most = pair.down_most = std::string::npos;
      pair.connect();
      pair.step();
      if ( pair.reached( 1 ) and not pair.target().ends ) {
        pair.target().to_write = "the answer";
        pair.target().ends = true;
      }
      pair.run();
      ASSERT_TRUE( pair.reached( 1 ) );
      if ( not pair.target().ends ) {
        pair.target().to_write = "the answer";
        pair.target().ends = true;
        pair.run();
      }
      EXPECT_EQ( pair.target().read, "the question" );
      EXPECT_EQ( app.read, "the answer" );
      EXPECT_TRUE( app.saw_end and pair.target().saw_end );
      EXPECT_FALSE( app.saw_reset or pair.target().saw_reset ) << "after " << bytes << " bytes";
      expect_all_back( pair );
      if ( HasFailure() ) {
        return;
      }
    }
  }
}

TEST( Tunnel, TheLastAcknowledgementIsLostWithItsLink )
{
  Pair pair;
  pair.connect();
  Program& app = *pair.open();
  app.ends = true;
  pair.run();
  pair.up_most = 0;
  pair.target().ends = true;
  pair.run( 100ms );
  EXPECT_TRUE( app.saw_end );
  EXPECT_EQ( pair.opener.tunnel.sessions(), 0U ) << "nothing more can matter to the peer";
  EXPECT_EQ( pair.acceptor.tunnel.sessions(), 1U ) << "but the peer does not know that";
  pair.up_most = std::string::npos;
  pair.connect();
  pair.run();
  EXPECT_EQ( pair.frames[FrameType::closed], 1U );
  EXPECT_FALSE( pair.target().saw_reset );
  expect_all_back( pair );
}

// A whole window was delivered while there was no link. The resume on the next one told the position but offered no
// new window, and as there was no news any more the stream stood still for ever.
TEST( Tunnel, TheWindowOpensAgainAfterAMove )
{
  Pair pair { { .window = 1000, .window_max = 1000 } };
  pair.connect();
  Program& app = *pair.open();
  pair.run();
  app.takes = 0;
  pair.target().to_write = stream( 0, 5000 );
  pair.run( 100ms );
  pair.cut();
  app.takes = std::string::npos;
  pair.run( 100ms );
  EXPECT_EQ( app.read.size(), 1000U );
  pair.connect();
  pair.run();
  EXPECT_TRUE( app.read == stream( 0, 5000 ) );
  expect_a_good_end( pair, app, pair.target() );
}

// -- reset -------------------------------------------------------------------------------------------------------

TEST( Tunnel, AResetReachesTheOtherProgram )
{
  for ( const bool by_app : { true, false } ) {
    Pair pair;
    pair.connect();
    Program& app = *pair.open();
    app.to_write = "abc";
    pair.run();
    Program& one = by_app ? app : pair.target();
    Program& other = by_app ? pair.target() : app;
    one.resets = true;
    pair.run();
    EXPECT_EQ( other.saw_reset, ResetReason::by_program );
    EXPECT_FALSE( other.saw_end );
    EXPECT_TRUE( other.closed );
    expect_all_back( pair );
  }
}

TEST( Tunnel, AResetIsSaidAgainUntilItIsAnswered )
{
  for ( const bool by_app : { true, false } ) {
    Pair pair;
    pair.connect();
    Program& app = *pair.open();
    pair.run();
    pair.cut();
    ( by_app ? app : pair.target() ).resets = true;
    pair.run( 1s );
    for ( int i = 0; i < 3; ++i ) { // it gets through, but not its answer
      ( by_app ? pair.down_most : pair.up_most ) = 0;
      pair.connect();
      pair.run( 100ms );
      EXPECT_EQ( ( by_app ? pair.target() : app ).saw_reset, ResetReason::by_program );
      EXPECT_EQ( ( by_app ? pair.opener : pair.acceptor ).tunnel.sessions(), 1U );
    }
    EXPECT_EQ( pair.frames[FrameType::reset], 3U );
    pair.up_most = pair.down_most = std::string::npos;
    pair.connect();
    pair.run();
    expect_all_back( pair );
  }
}

TEST( Tunnel, ResetsMayCross )
{
  Pair pair;
  pair.connect();
  Program& app = *pair.open();
  pair.run();
  pair.up_most = pair.down_most = 0;
  app.resets = true;
  pair.target().resets = true;
  pair.run( 10ms );
  pair.up_most = pair.down_most = std::string::npos;
  pair.run();
  EXPECT_EQ( pair.frames[FrameType::reset], 2U );
  expect_all_back( pair );
}

TEST( Tunnel, AResetDoesNotWaitBehindDataThatNobodyReads )
{
  Pair pair;
  pair.connect();
  Program& app = *pair.open();
  app.to_write = stream( 0, 300'000 );
  pair.run( 2ms );
  ASSERT_TRUE( pair.reached( 1 ) );
  pair.target().takes = 0;
  pair.run( 1s );
  app.resets = true;
  pair.run();
  EXPECT_EQ( pair.target().saw_reset, ResetReason::by_program );
  expect_all_back( pair );
}

TEST( Tunnel, ASessionThatWasNeverNamedIsJustForgotten )
{
  Pair pair;
  Program& app = *pair.open();
  app.to_write = "x";
  pair.run( 10ms );
  app.resets = true;
  pair.run( 10ms );
  pair.connect();
  pair.run();
  EXPECT_TRUE( pair.frames.empty() );
  expect_all_back( pair );
  // And the next one is carried all the same.
  Program& next = *pair.open();
  next.to_write = "y";
  pair.run();
  EXPECT_EQ( pair.target( 2 ).read, "y" );
  expect_a_good_end( pair, next, pair.target( 2 ) );
}

TEST( Tunnel, ATargetThatCannotBeReachedIsReported )
{
  for ( const auto reason : { ResetReason::refused, ResetReason::timed_out, ResetReason::unreachable } ) {
    Pair pair;
    pair.acceptor.refuses = reason;
    pair.connect();
    Program& app = *pair.open();
    app.to_write = "hello?";
    pair.run();
    EXPECT_EQ( app.saw_reset, reason );
    expect_all_back( pair );
  }
}

// -- opens that are lost -----------------------------------------------------------------------------------------

TEST( Tunnel, AnOpenThatWasLostIsSaidAgain )
{
  Pair pair;
  pair.connect();
  pair.up_most = 0;
  Program& app = *pair.open();
  app.to_write = "hello";
  pair.run( 50ms );
  EXPECT_FALSE( pair.reached( 1 ) );
  pair.up_most = std::string::npos;
  pair.connect();
  pair.run();
  EXPECT_EQ( pair.target().read, "hello" );
  expect_a_good_end( pair, app, pair.target() );
}

TEST( Tunnel, AnOpenWhoseAnswerWasLostIsSaidAgainAndMakesNoSecondSession )
{
  Pair pair;
  pair.connect();
  pair.down_most = 0;
  Program& app = *pair.open();
  app.to_write = "hello";
  pair.run( 100ms );
  EXPECT_EQ( pair.target().read, "hello" );
  pair.target().to_write = "welcome";
  pair.run( 100ms );
  pair.connect();
  pair.run( 100ms );
  pair.down_most = std::string::npos;
  pair.connect();
  pair.run();
  EXPECT_EQ( pair.frames[FrameType::open], 3U );
  EXPECT_EQ( pair.acceptor.tunnel.sessions(), 1U );
  EXPECT_EQ( pair.target().read, "hello" );
  EXPECT_EQ( app.read, "welcome" );
  expect_a_good_end( pair, app, pair.target() );
}

TEST( Tunnel, ASessionThatThePeerHasSpokenOfIsResumedAndNotOpenedAgain )
{
  for ( const FrameType first : { FrameType::opened, FrameType::ack } ) {
    Pair pair;
    pair.acceptor.connects = first == FrameType::opened;
    pair.connect();
    Program& app = *pair.open();
    pair.run();
    if ( first == FrameType::ack ) {
      EXPECT_EQ( pair.opener.tunnel.receive( { { .type = FrameType::ack, .session = 1 }, {} } ), std::nullopt );
    }
    pair.connect();
    pair.run();
    EXPECT_EQ( pair.frames[FrameType::open], 1U );
    EXPECT_EQ( pair.frames[FrameType::resume], 2U );
    if ( first == FrameType::ack ) {
      pair.acceptor.connected( 1 );
    }
    expect_a_good_end( pair, app, pair.target() );
  }
}

// On the next link the same open overtakes what the acceptor was about to say about the session. The acceptor once
// took it for an introduction of both and said nothing: then nobody ever told the opener what had been delivered
// before.
TEST( Tunnel, AnOpenThatIsSaidAgainIsAnsweredWithWhatWasDelivered )
{
  Pair pair;
  pair.connect();
  pair.down_most = 0;
  Program& app = *pair.open();
  app.to_write = "hello";
  pair.run( 100ms );
  EXPECT_EQ( pair.target().read, "hello" );
  pair.down_capacity = 1; // the acceptor cannot speak yet
  pair.connect();
  pair.run( 100ms );
  pair.down_capacity = pair.down_most = std::string::npos;
  pair.run();
  EXPECT_EQ( pair.near_memory().outflow().used(), 0U ) << "delivered, and nobody said so";
  expect_a_good_end( pair, app, pair.target() );
}

TEST( Tunnel, SeveralOpensLostAtOnceAreSaidAgainInRisingOrder )
{
  for ( std::size_t lost = 0; lost < 10 * FrameHeader::size; lost += 7 ) {
    Pair pair;
    pair.connect();
    pair.up_most = 0;
    std::vector<Program*> apps;
    for ( int i = 0; i < 10; ++i ) {
      apps.push_back( pair.open() );
      apps.back()->to_write = std::to_string( i );
    }
    pair.run( 10ms );
    pair.up_most = lost;
    pair.down_most = 0;
    pair.step();
    pair.up_most = pair.down_most = std::string::npos;
    pair.connect();
    pair.run();
    for ( SessionId id = 1; id <= 10; ++id ) {
      ASSERT_TRUE( pair.reached( id ) );
      EXPECT_FALSE( apps[id - 1]->saw_reset ) << id;
      EXPECT_EQ( pair.target( id ).read, std::to_string( id - 1 ) );
      apps[id - 1]->ends = pair.target( id ).ends = true;
    }
    pair.run();
    expect_all_back( pair );
  }
}

// -- many sessions -----------------------------------------------------------------------------------------------

TEST( Tunnel, AFullWindowHoldsUpNobodyElse )
{
  Pair pair;
  pair.connect();
  Program& stalled = *pair.open();
  Program& flowing = *pair.open();
  pair.run();
  pair.target( 1 ).takes = 0;
  stalled.to_write = stream( 0, 500'000 );
  pair.run( 1s );
  EXPECT_EQ( pair.target( 1 ).read, "" );
  EXPECT_GT( stalled.to_write.size(), 300'000U ) << "it is held back";
  const std::string bytes = stream( 0, 500'000, 2 );
  flowing.to_write = bytes;
  pair.run( 5s );
  EXPECT_TRUE( pair.target( 2 ).read == bytes );
  EXPECT_TRUE( pair.faults.empty() );
  pair.target( 1 ).takes = std::string::npos;
  pair.run();
  EXPECT_TRUE( pair.target( 1 ).read == stream( 0, 500'000 ) );
  stalled.ends = pair.target( 1 ).ends = true;
  expect_a_good_end( pair, flowing, pair.target( 2 ) );
}

TEST( Tunnel, AKeystrokeDoesNotWaitForAnotherSessionsMegabytes )
{
  Pair pair;
  pair.capacity = 100'000;
  pair.up_most = 50'000;
  pair.connect();
  Program& bulk = *pair.open();
  Program& keys = *pair.open();
  pair.run();
  bulk.to_write = stream( 0, 3U << 20U );
  pair.run( 20ms );
  keys.to_write = "k";
  pair.run( 6ms ); // what was on the wire before it, and one frame of the other
  EXPECT_EQ( pair.target( 2 ).read, "k" );
  pair.run();
  bulk.ends = pair.target( 1 ).ends = true;
  expect_a_good_end( pair, keys, pair.target( 2 ) );
}

TEST( Tunnel, WhenAllSlotsAreTakenTheNextSessionIsRefused )
{
  Pair pair { { .far_slots = 2 } };
  pair.connect();
  std::vector<Program*> apps;
  for ( int i = 0; i < 3; ++i ) {
    apps.push_back( pair.open() );
  }
  pair.run();
  EXPECT_FALSE( apps[0]->saw_reset or apps[1]->saw_reset );
  EXPECT_EQ( apps[2]->saw_reset, ResetReason::limit );
  EXPECT_FALSE( pair.reached( 3 ) );
  apps[0]->resets = true;
  pair.run();
  Program& next = *pair.open();
  next.to_write = "room again";
  pair.run();
  EXPECT_EQ( pair.target( 4 ).read, "room again" );
  apps[1]->ends = pair.target( 2 ).ends = true;
  expect_a_good_end( pair, next, pair.target( 4 ) );
}

TEST( Tunnel, WhenOurOwnSlotsAreTakenNoSessionIsOpened )
{
  Pair pair { { .slots = 1 } };
  pair.connect();
  Program& app = *pair.open();
  EXPECT_EQ( pair.open(), nullptr );
  pair.run();
  expect_a_good_end( pair, app, pair.target() );
  Program* const next = pair.open();
  ASSERT_NE( next, nullptr );
  next->to_write = "x";
  pair.run();
  EXPECT_EQ( pair.target( 2 ).read, "x" ) << "and no number was used up in between";
}

TEST( Tunnel, BytesThatFoundNoMemoryAreAskedForAgain )
{
  Pair pair { { .near_chunks = 64, .far_chunks = 2, .window = 65536 } };
  pair.connect();
  Program& one = *pair.open();
  Program& two = *pair.open();
  pair.run();
  pair.target( 1 ).takes = 0;
  one.to_write = stream( 0, 100'000, 1 );
  two.to_write = stream( 0, 100'000, 2 );
  pair.run( 1s );
  EXPECT_TRUE( pair.target( 2 ).read == stream( 0, 100'000, 2 ) );
  pair.cut(); // and while bytes are asked for, the link is lost as well
  pair.run( 1s );
  pair.connect();
  pair.run( 1s );
  pair.target( 1 ).takes = 5000;
  pair.run();
  EXPECT_TRUE( pair.target( 1 ).read == stream( 0, 100'000, 1 ) );
  EXPECT_GT( pair.frames[FrameType::resume], 4U ) << "more than the move needed";
  one.ends = pair.target( 1 ).ends = true;
  expect_a_good_end( pair, two, pair.target( 2 ) );
}

TEST( Tunnel, AClientThatUsedUpItsMemoryWaitsAndLosesNothing )
{
  Quotas quotas { 4 };
  Pair pair { { .far_chunks = 64, .far_quotas = &quotas } };
  pair.connect();
  std::vector<Program*> apps;
  for ( std::uint64_t i = 1; i <= 6; ++i ) {
    apps.push_back( pair.open() );
    apps.back()->to_write = stream( 0, 200'000, i );
  }
  pair.run( 10ms );
  for ( std::uint64_t i = 1; i <= 6; ++i ) { // nobody reads, and all write
    pair.target( i ).takes = 0;
    pair.target( i ).to_write = stream( 0, 200'000, 10 + i );
    apps[i - 1]->takes = 0;
  }
  pair.run( 2s );
  EXPECT_LE( quotas.outflow.held, 4U );
  EXPECT_LE( quotas.inflow.held, 4U );
  EXPECT_EQ( pair.far_memory().inflow().used(), quotas.inflow.held );
  EXPECT_EQ( pair.far_memory().outflow().used(), quotas.outflow.held );
  EXPECT_EQ( quotas.inflow.held, 4U ) << "it has what it may have";
  for ( std::uint64_t i = 1; i <= 6; ++i ) {
    pair.target( i ).takes = apps[i - 1]->takes = std::string::npos;
  }
  pair.run();
  for ( std::uint64_t i = 1; i <= 6; ++i ) {
    EXPECT_TRUE( pair.target( i ).read == stream( 0, 200'000, i ) ) << i;
    EXPECT_TRUE( apps[i - 1]->read == stream( 0, 200'000, 10 + i ) ) << i;
    apps[i - 1]->ends = pair.target( i ).ends = true;
  }
  pair.run();
  expect_all_back( pair );
  EXPECT_EQ( quotas.inflow.held + quotas.outflow.held, 0U );
}

TEST( Tunnel, AMoveWithManySessionsLosesNothing )
{
  Pair pair { { .near_chunks = 512, .far_chunks = 512, .slots = 100, .far_slots = 100 } };
  pair.connect();
  std::vector<Program*> apps;
  for ( std::uint64_t i = 0; i < 100; ++i ) {
    apps.push_back( pair.open() );
    apps.back()->to_write = stream( 0, 3000, i );
  }
  pair.run( 3ms );
  pair.cut();
  pair.run( 1s );
  pair.connect();
  pair.run();
  for ( std::uint64_t i = 0; i < 100; ++i ) {
    EXPECT_TRUE( pair.target( i + 1 ).read == stream( 0, 3000, i ) ) << i;
    apps[i]->ends = pair.target( i + 1 ).ends = true;
  }
  pair.run();
  expect_all_back( pair );
}

TEST( Tunnel, GoodbyeTellsWhy )
{
  Pair pair;
  const std::array reason { static_cast<std::byte>( ResetReason::stopped ) };
  EXPECT_FALSE( pair.opener.tunnel.goodbye() );
  EXPECT_EQ( pair.opener.tunnel.receive( { { .type = FrameType::goodbye, .length = 1 }, reason } ), std::nullopt );
  EXPECT_EQ( pair.opener.tunnel.goodbye(), ResetReason::stopped );
}

TEST( Tunnel, WhenThePeerIsLostOnlySessionsItMayKnowOfEnd )
{
  Pair pair;
  pair.connect();
  Program& known = *pair.open();
  known.to_write = "x";
  pair.run();
  pair.cut();
  Program& fresh = *pair.open();
  fresh.to_write = "for the next one";
  pair.opener.tunnel.peer_lost( ResetReason::forgotten );
  pair.run( 100ms );
  EXPECT_EQ( known.saw_reset, ResetReason::forgotten );
  EXPECT_FALSE( fresh.saw_reset );
  EXPECT_EQ( pair.opener.tunnel.sessions(), 1U );

  Pair other; // another acceptor, which has seen nothing
  pair.acceptor.tunnel.for_each_session( [&]( Session& session ) {
    session.lost( ResetReason::superseded );
    pair.acceptor.tunnel.touch( session );
  } );
  pair.run( 100ms );
  pair.connect();
  pair.run();
  EXPECT_EQ( pair.target( 2 ).read, "for the next one" );
  expect_a_good_end( pair, fresh, pair.target( 2 ) );
}

// -- a hostile or confused peer ----------------------------------------------------------------------------------

// One tunnel, and a peer that is only frames.
struct Alone
{
  explicit Alone( Side side ) : end( side, memory, { .outflow = { 1U << 20U }, .inflow = { 1000, 1U << 20U } } )
  {
    end.tunnel.attach( 1000 );
  }
  Verdict receive( FrameHeader header, std::string_view payload = {} )
  {
    header.length = static_cast<std::uint16_t>( payload.size() );
    EXPECT_TRUE( std::holds_alternative<FrameHeader>( decode( encode( header ) ) ) )
      << "a reader would not let it pass";
    return end.tunnel.receive( { header, raw( payload ) } );
  }
  std::vector<std::pair<FrameHeader, std::string>> said()
  {
    end.turn( now += 1ms );
    Pipe pipe { FrameType::hello };
    pipe.wire = greeting( FrameType::hello );
    pipe.capacity = 1U << 30U;
    pipe.fill( batch, &end.tunnel, now );
    std::vector<std::pair<FrameHeader, std::string>> frames;
    EXPECT_EQ( pipe.deliver( std::string::npos,
                             [&]( const Frame& frame ) -> Verdict {
                               if ( frame.header.type != FrameType::hello ) {
                                 frames.emplace_back( frame.header, text( frame.payload ) );
                               }
                               return std::nullopt;
                             } ),
               std::nullopt );
    return frames;
  }
  std::vector<FrameType> types_said()
  {
    std::vector<FrameType> types;
    for ( const auto& [header, payload] : said() ) {
      types.push_back( header.type );
    }
    return types;
  }

  TestMemory memory { 16, 16, 4 };
  FrameBatch batch {};
  End end;
  Time now { 1h };
};

constexpr FrameHeader about( FrameType type, SessionId session )
{
  return { .type = type, .window = 1000, .session = session };
}

std::string position( Position at )
{
  std::string out( 8, '\0' );
  for ( std::size_t i = 0; i < 8; ++i ) {
    out[i] = static_cast<char>( at >> ( 56U - 8 * i ) );
  }
  return out;
}

using Types = std::vector<FrameType>;

TEST( Tunnel, SessionsThatItDoesNotHaveAreClosedOrIgnored )
{
  for ( const Side side : { Side::opener, Side::acceptor } ) {
    Alone alone { side };
    if ( side == Side::acceptor ) { // numbers up to 9 were used before
      EXPECT_EQ( alone.receive( about( FrameType::ack, 9 ) ), std::nullopt );
    }
    EXPECT_EQ( alone.receive( about( FrameType::data, 7 ), "x" ), std::nullopt );
    EXPECT_EQ( alone.receive( about( FrameType::ack, 7 ) ), std::nullopt );
    EXPECT_EQ( alone.receive( about( FrameType::end, 7 ) ), std::nullopt );
    EXPECT_EQ( alone.receive( about( FrameType::opened, 7 ) ), std::nullopt );
    EXPECT_EQ( alone.receive( about( FrameType::closed, 7 ) ), std::nullopt );
    EXPECT_TRUE( alone.said().empty() );
    EXPECT_EQ( alone.receive( about( FrameType::open, 7 ) ), std::nullopt );
    EXPECT_EQ( alone.receive( about( FrameType::resume, 7 ), position( 0 ) ), std::nullopt );
    EXPECT_EQ( alone.receive( about( FrameType::reset, 7 ), "\1" ), std::nullopt );
    EXPECT_EQ( alone.types_said(), ( Types { FrameType::closed, FrameType::closed, FrameType::closed } ) );
    EXPECT_EQ( alone.end.tunnel.sessions(), 0U );
  }
}

TEST( Tunnel, NoNumberIsTakenTwice )
{
  Alone alone { Side::acceptor };
  EXPECT_EQ( alone.receive( about( FrameType::open, 5 ) ), std::nullopt );
  EXPECT_EQ( alone.types_said(), Types { FrameType::opened } );
  EXPECT_EQ( alone.receive( about( FrameType::reset, 5 ), "\1" ), std::nullopt );
  EXPECT_EQ( alone.types_said(), Types { FrameType::closed } );
  EXPECT_EQ( alone.receive( about( FrameType::open, 5 ) ), std::nullopt );
  EXPECT_EQ( alone.receive( about( FrameType::open, 3 ) ), std::nullopt );
  EXPECT_EQ( alone.types_said(), ( Types { FrameType::closed, FrameType::closed } ) );
  EXPECT_EQ( alone.receive( about( FrameType::open, 6 ) ), std::nullopt );
  EXPECT_EQ( alone.end.tunnel.sessions(), 1U );
}

TEST( Tunnel, AFloodOfUnknownSessionsDropsTheLink )
{
  for ( const auto type : { FrameType::resume, FrameType::reset } ) {
    Alone alone { Side::opener };
    SessionId id = 1;
    const auto next
      = [&] { return alone.receive( about( type, id++ ), type == FrameType::reset ? "\1" : position( 0 ) ); };
    for ( int i = 0; i < 65536; ++i ) {
      ASSERT_EQ( next(), std::nullopt );
    }
    EXPECT_EQ( next(), Fault::too_many_unknown );
    alone.end.tunnel.attach( 1000 );
    EXPECT_TRUE( alone.said().empty() ) << "another link starts from nothing";
  }
}

TEST( Tunnel, AFloodOfResetsForOneSessionDropsTheLink )
{
  Alone alone { Side::acceptor };
  EXPECT_EQ( alone.receive( about( FrameType::open, 1 ) ), std::nullopt );
  Verdict fault;
  for ( int i = 0; i < 70000 and not fault; ++i ) {
    fault = alone.receive( about( FrameType::reset, 1 ), "\1" );
  }
  EXPECT_EQ( fault, Fault::too_many_unknown );
}

TEST( Tunnel, FramesThatMayNotComeAtThisPointDropTheLink )
{
  Alone opener { Side::opener };
  ASSERT_NE( opener.end.open(), nullptr );
  EXPECT_EQ( opener.receive( about( FrameType::open, 1 ) ), Fault::out_of_order );
  Alone acceptor { Side::acceptor };
  EXPECT_EQ( acceptor.receive( about( FrameType::open, 1 ) ), std::nullopt );
  EXPECT_EQ( acceptor.receive( about( FrameType::opened, 1 ) ), Fault::out_of_order );
  EXPECT_EQ( acceptor.receive( { .type = FrameType::heartbeat } ), Fault::out_of_order ) << "a link's business";
}

TEST( Tunnel, HostilePositionsDropTheLinkAndHurtNobody )
{
  const Position top = position_limit - 1;
  const std::vector<std::pair<Fault, std::function<Verdict( Alone& )>>> attacks {
    { Fault::ahead_of_sent,
      [&]( Alone& a ) { return a.receive( { .type = FrameType::ack, .session = 1, .acknowledgement = 6 } ); } },
    { Fault::ahead_of_sent,
      [&]( Alone& a ) { return a.receive( { .type = FrameType::ack, .session = 1, .acknowledgement = top } ); } },
    { Fault::ahead_of_sent,
      [&]( Alone& a ) {
        return a.receive( { .type = FrameType::data, .session = 1, .acknowledgement = top }, "x" );
      } },
    { Fault::ahead_of_sent,
      [&]( Alone& a ) { return a.receive( { .type = FrameType::end, .session = 1, .acknowledgement = top } ); } },
    { Fault::ahead_of_sent, [&]( Alone& a ) { return a.receive( about( FrameType::resume, 1 ), position( 6 ) ); } },
    { Fault::ahead_of_sent,
      [&]( Alone& a ) { return a.receive( about( FrameType::resume, 1 ), position( ~Position { 0 } ) ); } },
    { Fault::ahead_of_sent,
      [&]( Alone& a ) {
        return a.receive( { .type = FrameType::resume, .session = 1, .acknowledgement = 5 }, position( 4 ) );
      } },
    { Fault::gap,
      [&]( Alone& a ) { return a.receive( { .type = FrameType::data, .session = 1, .sequence = top }, "x" ); } },
    { Fault::gap,
      [&]( Alone& a ) { return a.receive( { .type = FrameType::end, .session = 1, .sequence = top } ); } },
    { Fault::beyond_window,
      [&]( Alone& a ) { return a.receive( about( FrameType::data, 1 ), std::string( 1001, 'x' ) ); } },
  };
  for ( const auto& [expected, attack] : attacks ) {
    Alone alone { Side::acceptor };
    EXPECT_EQ( alone.receive( about( FrameType::open, 1 ) ), std::nullopt );
    static_cast<void>( alone.said() );
    Program& target = alone.end.legs.at( 1 ).program;
    target.to_write = "hello";
    EXPECT_EQ( alone.types_said(), Types { FrameType::data } );
    EXPECT_EQ( attack( alone ), expected );
    // The session goes on, on another link.
    EXPECT_FALSE( target.saw_reset );
    alone.end.tunnel.attach( 1000 );
    EXPECT_EQ( alone.types_said(), ( Types { FrameType::resume } ) );
    EXPECT_EQ( alone.receive( about( FrameType::resume, 1 ), position( 0 ) ), std::nullopt );
    const auto again = alone.said();
    ASSERT_EQ( again.size(), 1U );
    EXPECT_EQ( again[0].second, "hello" );
  }
}

TEST( Tunnel, APeerThatLostWhatItAcknowledgedCostsTheSession )
{
  Alone alone { Side::acceptor };
  EXPECT_EQ( alone.receive( about( FrameType::open, 1 ) ), std::nullopt );
  static_cast<void>( alone.said() );
  alone.end.tunnel.attach( 1000 );
  EXPECT_EQ( alone.receive( { .type = FrameType::resume, .session = 1, .sequence = 1 }, position( 0 ) ),
             std::nullopt );
  EXPECT_EQ( alone.end.legs.at( 1 ).program.saw_reset, std::nullopt );
  const auto said = alone.said();
  ASSERT_EQ( said.size(), 1U );
  EXPECT_EQ( said[0].first.type, FrameType::reset );
  EXPECT_EQ( said[0].second[0], static_cast<char>( ResetReason::inconsistent ) );
  EXPECT_EQ( alone.end.legs.at( 1 ).program.saw_reset, ResetReason::inconsistent );
}

TEST( Tunnel, ASessionThatThePeerForgotIsBrokenOff )
{
  Alone alone { Side::opener };
  Program& app = *alone.end.open();
  EXPECT_EQ( alone.types_said(), Types { FrameType::open } );
  EXPECT_EQ( alone.receive( about( FrameType::closed, 1 ) ), std::nullopt );
  EXPECT_TRUE( alone.said().empty() );
  EXPECT_EQ( app.saw_reset, ResetReason::forgotten );
  EXPECT_TRUE( alone.memory.all_back() );
}

// A peer that has said its end and then claims that there is no such session has thrown away what the app still
// writes. The app was once left writing to nobody.
TEST( Tunnel, ASessionForgottenWhileOurStreamGoesOnIsBrokenOffToo )
{
  Alone alone { Side::opener };
  Program& app = *alone.end.open();
  app.to_write = "still writing";
  EXPECT_EQ( alone.types_said(), ( Types { FrameType::open, FrameType::data } ) );
  EXPECT_EQ( alone.receive( about( FrameType::end, 1 ) ), std::nullopt );
  EXPECT_EQ( alone.types_said(), Types { FrameType::ack } );
  EXPECT_TRUE( app.saw_end );
  EXPECT_EQ( alone.receive( about( FrameType::closed, 1 ) ), std::nullopt );
  EXPECT_TRUE( alone.said().empty() );
  EXPECT_EQ( app.saw_reset, ResetReason::forgotten );
  EXPECT_TRUE( alone.memory.all_back() );
}

TEST( Tunnel, GivesEverythingBackWhenItGoes )
{
  TestMemory memory { 16, 16, 4 };
  {
    End end { Side::opener, memory, { .outflow = { 100'000 }, .inflow = { 1000, 100'000 } } };
    end.open()->to_write = stream( 0, 50'000 );
    end.open()->to_write = "x";
    end.turn( Time { 1s } );
    EXPECT_GT( memory.outflow().used(), 2U );
    EXPECT_EQ( memory.slots().used(), 2U );
  }
  EXPECT_TRUE( memory.all_back() );
}

TEST( Tunnel, AnotherLinkMayLetAProgramWriteMore )
{
  // Its socket is looked at when its session is touched. The first window is news that nothing else would bring
  // before a round trip has passed.
  TestMemory memory { 16, 16, 4 };
  End end { Side::opener, memory, { .outflow = { 1U << 20U }, .inflow = { 1000, 1U << 20U } } };
  ASSERT_NE( end.open(), nullptr );
  Session& session = *end.legs.at( 1 ).session;
  end.turn( Time { 1h } );
  ASSERT_FALSE( end.tunnel.has_touched() );
  const std::size_t room = session.outflow().room();
  end.tunnel.attach( 5000 );
  EXPECT_EQ( session.outflow().room(), room + 5000 );
  EXPECT_EQ( end.tunnel.next_touched(), &session );
}

// What a session says on a new link, as sizes of its data frames.
std::vector<std::size_t> pieces_on_a_new_link( End& end )
{
  end.tunnel.attach( 1U << 20U );
  Pipe link { FrameType::hello };
  link.capacity = 1U << 20U;
  link.wire = greeting( FrameType::hello );
  FrameBatch batch;
  std::vector<std::size_t> sizes;
  for ( std::size_t before = 0; link.wire.size() != before; ) {
    before = link.wire.size();
    link.fill( batch, &end.tunnel, Time { 1h } );
    end.turn( Time { 1h } );
  }
  EXPECT_FALSE( link.deliver( std::string::npos, [&]( const Frame& frame ) {
    if ( frame.header.type == FrameType::data ) {
      sizes.push_back( frame.payload.size() );
    }
    return Verdict {};
  } ) );
  return sizes;
}

// TCP sends ten segments at once and the next ones a round trip later. A frame of 16 KiB would not be whole before.
TEST( Tunnel, TheFirstBytesOnALinkGoInPiecesOfASegmentsSize )
{
  TestMemory memory { 64, 16, 4 };
  End end { Side::opener, memory, { .outflow = { 1U << 20U }, .inflow = { 1000, 1U << 20U } } };
  Program& app = *end.open();
  app.to_write = stream( 0, 200'000 );
  end.turn( Time { 1h } );
  for ( int link = 0; link < 2; ++link ) { // on the second one the open is said again, and so is all behind it
    const auto sizes = pieces_on_a_new_link( end );
    std::size_t at = 0;
    for ( const std::size_t size : sizes ) {
      EXPECT_LE( size, at < 60'000 ? 1'368 : FrameHeader::payload_max ) << "at " << at;
      at += size;
    }
    EXPECT_EQ( at, 200'000 );
    EXPECT_LT( sizes.size(), 70 ) << "then they are large again";
  }
}

// -- bytes where they arrived -------------------------------------------------------------------------------------

TEST( Tunnel, ProgramsThatReadGetTheirBytesFromWhereTheyArrived )
{
  Pair pair;
  pair.connect();
  Program& app = *pair.open();
  pair.run();
  app.to_write = stream( 0, 300'000 );
  std::size_t most_used = 0;
  for ( int i = 0; i < 200 and pair.target().read.size() < 300'000; ++i ) {
    pair.step();
    most_used = std::max<std::size_t>( most_used, pair.far_memory().inflow().used() );
  }
  EXPECT_TRUE( pair.target().read == stream( 0, 300'000 ) );
  EXPECT_EQ( most_used, 0U );
}

TEST( Tunnel, OneThatDoesNotReadKeepsNobodyElsesBytesWhereTheyArrived )
{
  Pair pair;
  pair.connect();
  Program& slow = *pair.open();
  Program& quick = *pair.open();
  pair.run();
  pair.target( 1 ).takes = 0;
  slow.to_write = stream( 1, 20'000 );
  quick.to_write = stream( 2, 100'000 );
  pair.run( 50ms );
  EXPECT_TRUE( pair.target( 2 ).read == stream( 2, 100'000 ) );
  EXPECT_EQ( pair.target( 1 ).read, "" );
  EXPECT_GT( pair.far_memory().inflow().used(), 0U );
  pair.target( 1 ).takes = std::string::npos;
  pair.run();
  EXPECT_TRUE( pair.target( 1 ).read == stream( 1, 20'000 ) );
}

} // namespace
} // namespace holdfast
