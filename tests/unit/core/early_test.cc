#include "unit/core/pair.hh"

#include <gtest/gtest.h>

// What is said before a link is welcomed, and what still comes on one that was replaced.

namespace holdfast {
namespace {

using namespace test;

// A session in which both programs have said something, which has all arrived.
class EarlyTest : public testing::Test
{
protected:
  explicit EarlyTest( test::Setup setup = {} ) : pair( setup )
  {
    pair.connect();
    app = pair.open();
    app->to_write = "user";
    pair.run();
    pair.target().to_write = "login:";
    pair.run();
    EXPECT_EQ( pair.target().read, "user" );
    EXPECT_EQ( app->read, "login:" );
  }
  void finish()
  {
    app->ends = true;
    pair.target().ends = true;
    pair.run();
    EXPECT_TRUE( pair.faults.empty() );
    EXPECT_TRUE( pair.all_back() );
  }

  Pair pair;
  Program* app;
};

TEST_F( EarlyTest, WhatWasTypedInAnOutageArrivesWithTheHello )
{
  pair.cut();
  app->to_write = "ls\n";
  pair.run();
  pair.say_hello( true );
  pair.hello_heard();
  pair.step();
  pair.step();
  EXPECT_EQ( pair.target().read, "userls\n" ); // the opener has not heard of a welcome yet
  pair.welcome_heard();
  pair.run();
  EXPECT_EQ( pair.target().read, "userls\n" );
  finish();
}

TEST_F( EarlyTest, WhatTheTargetSaidMeanwhileComesWithTheWelcome )
{
  pair.cut();
  pair.target().to_write = "mail";
  pair.run();
  pair.say_hello( true );
  pair.hello_heard();
  pair.step();
  pair.step(); // the welcome, and what follows it, are under way
  pair.welcome_heard();
  pair.up_most = 0; // nothing more of ours gets there
  pair.step();
  pair.step();
  EXPECT_EQ( app->read, "login:mail" );
  pair.up_most = std::string::npos;
  finish();
}

TEST_F( EarlyTest, AHelloThatComesToNothingChangesNothing )
{
  app->to_write = "one";
  pair.step();
  pair.say_hello( true );
  pair.run();
  app->to_write = "two";
  pair.run();
  EXPECT_EQ( pair.target().read, "useronetwo" );
  pair.connect(); // and another link than that one takes over
  app->to_write = "three";
  pair.run();
  EXPECT_EQ( pair.target().read, "useronetwothree" );
  finish();
}

TEST_F( EarlyTest, ManyBytesWaitUntilThePeerSaysFromWhereItWantsThem )
{
  pair.cut();
  app->to_write = stream( 0, 5000, 7 );
  pair.run();
  pair.say_hello( true );
  pair.hello_heard();
  pair.step();
  EXPECT_EQ( pair.target().read, "user" );
  pair.welcome_heard();
  pair.run();
  EXPECT_EQ( pair.target().read, "user" + stream( 0, 5000, 7 ) );
  finish();
}

// -- a planned move -------------------------------------------------------------------------------------------

// What arrives is read a step later, so there is always some under way.
class LateTest : public EarlyTest
{
protected:
  LateTest() : EarlyTest( test::Setup { .in_place = false } ) {}
};

TEST_F( LateTest, APlannedMoveLosesNothingAndNobodyHasToWait )
{
  const std::string up = stream( 0, 300'000, 1 );
  const std::string down = stream( 0, 300'000, 2 );
  app->to_write = up;
  pair.target().to_write = down;
  pair.up_most = pair.down_most = pair.late_most = 20'000; // more than a frame
  for ( int i = 0; i < 10; ++i ) {
    pair.step();
  }
  pair.say_hello( false );
  pair.step();
  std::size_t read = pair.target().read.size();
  pair.hello_heard();
  for ( int i = 0; i < 3; ++i ) { // acknowledgements come on the new link, when the welcome is there
    pair.step();
    EXPECT_GT( pair.target().read.size(), read ) << "on the old link, in step " << i;
    read = pair.target().read.size();
  }
  const std::size_t before = app->read.size();
  pair.welcome_heard();
  for ( int i = 0; i < 10; ++i ) { // what was under way comes again first
    pair.step();
  }
  EXPECT_GT( app->read.size(), before );
  pair.run();
  EXPECT_EQ( pair.target().read, "user" + up );
  EXPECT_EQ( app->read, "login:" + down );
  finish();
}

TEST_F( EarlyTest, WhatComesLateOnTheOldLinkIsThereOnce )
{
  app->to_write = "late";
  pair.late_most = pair.up_most = 0;
  pair.step();
  pair.say_hello( false );
  pair.hello_heard();
  pair.welcome_heard();
  pair.up_most = std::string::npos;
  pair.run();
  EXPECT_EQ( pair.target().read, "userlate" );
  pair.late_most = std::string::npos;
  app->to_write = "r";
  pair.run();
  EXPECT_EQ( pair.target().read, "userlater" );
  finish();
}

// An open that comes late is said again on the new link. What follows it on the old one must not make the number
// one that was seen already: the session would be refused.
TEST_F( EarlyTest, ASessionThatWasOpenedOnTheOldLinkIsOpenedOnTheNewOne )
{
  pair.up_most = pair.late_most = 0;
  Program* const second = pair.open();
  second->to_write = "second";
  pair.step();
  pair.say_hello( true );
  pair.hello_heard();
  pair.late_most = std::string::npos;
  pair.step();
  EXPECT_FALSE( pair.reached( 2 ) );
  pair.up_most = std::string::npos;
  pair.welcome_heard();
  pair.run();
  ASSERT_TRUE( pair.reached( 2 ) );
  EXPECT_EQ( pair.target( 2 ).read, "second" );
  EXPECT_FALSE( second->saw_reset );
}

// A window full of bytes was all that was ever heard of the session, and it came late. On the link after next the
// session was opened once more, which acknowledges nothing, and what had been acknowledged on the lost one was not
// said again: the peer waited for that, and a program that only reads for the peer. Found by tests/fuzz.
TEST_F( EarlyTest, WhatCameLateIsAcknowledgedOnTheLinkAfterNextAsWell )
{
  const std::string much = stream( 0, 200'000, 1 );
  pair.down_most = pair.late_most = 0;
  pair.capacity = much.size();
  Program* const second = pair.open();
  second->to_write = "question";
  pair.steps( 3 );
  pair.target( 2 ).to_write = much;
  pair.step();
  pair.say_hello( false );
  pair.hello_heard();
  pair.welcome_heard();
  pair.late_most = std::string::npos;
  pair.up_most = 0; // the new link is soon lost, with all that was said there
  pair.steps( 50 );
  EXPECT_EQ( second->read.size(), 65'536U );
  pair.up_most = pair.down_most = std::string::npos;
  pair.connect();
  pair.run();
  EXPECT_TRUE( second->read == much );
  second->ends = pair.target( 2 ).ends = true;
  finish();
}

TEST_F( EarlyTest, OnAReplacedLinkOnlyBytesAndAcknowledgementsCount )
{
  const std::array<std::byte, 8> far_ahead {};
  const std::array reason { std::byte { 1 } };
  const auto late = [&]( FrameType type, std::span<const std::byte> payload ) {
    return pair.acceptor.tunnel.receive_late(
      { .header = { .type = type, .session = type == FrameType::goodbye ? 0U : 1U }, .payload = payload } );
  };
  EXPECT_FALSE( late( FrameType::resume, far_ahead ) );
  EXPECT_FALSE( late( FrameType::reset, reason ) );
  EXPECT_FALSE( late( FrameType::closed, {} ) );
  EXPECT_FALSE( late( FrameType::goodbye, reason ) );
  EXPECT_FALSE( late( FrameType::opened, {} ) ); // a fault on the link that carries the tunnel
  EXPECT_FALSE( pair.acceptor.tunnel.goodbye() );
  app->to_write = "still here";
  pair.run();
  EXPECT_EQ( pair.target().read, "userstill here" );
  finish();
}

// What was let go is asked for on the new link; until it comes there, bytes under way there lie beyond it, and are
// no fault. Once late bytes on the old link that filled the hole in part made them one (simulation, seed
// 3476835796363).
TEST( Inflow, LateBytesDoNotHideThatOthersWereAskedFor )
{
  TestMemory memory { 64, 2, 1, 1 };
  InflowRecord record;
  Inflow inflow { memory.memory().inflow, record, { .window_initial = 65536, .window_max = 65536 } };
  const std::string all = stream( 0, 40'000, 5 );
  ASSERT_FALSE( inflow.place( 0, raw( all ).first( 40'000 ) ) ); // there is not so much room
  ASSERT_TRUE( inflow.hungry() );
  const auto received = static_cast<std::size_t>( inflow.next() );
  inflow.consume( received, Time { 1h } );
  ASSERT_TRUE( inflow.replay_due() );
  inflow.replay_asked();
  ASSERT_FALSE( inflow.place_late( received, raw( all ).subspan( received, 10 ) ) );
  EXPECT_EQ( inflow.next(), received + 10 );
  EXPECT_FALSE( inflow.place( 39'000, raw( all ).subspan( 39'000, 10 ) ) ); // said before our question was heard
  EXPECT_FALSE( inflow.place( received, raw( all ).subspan( received, 100 ) ) );
  EXPECT_EQ( inflow.next(), received + 100 );
  EXPECT_EQ( inflow.place( 39'000, raw( all ).subspan( 39'000, 10 ) ), Fault::gap );
}

TEST( Tunnel, WhoWaitsIsHeardBeforeAThousandWhoDoNotAndTheyAreHeardToo )
{
  Pair pair { { .slots = 1001, .far_slots = 1001 } };
  pair.connect();
  for ( int i = 0; i < 1000; ++i ) {
    pair.open()->to_write = "x";
  }
  pair.run();
  pair.target( 777 ).to_write = "some ";
  pair.run();
  pair.cut();
  pair.target( 777 ).to_write = "news";
  pair.run();
  pair.frames.clear();
  pair.say_hello( true );
  pair.hello_heard();
  pair.welcome_heard();
  pair.down_capacity = 1000; // so 25 positions of others would fit in a step
  for ( int i = 0; i < 5; ++i ) {
    pair.step();
  }
  EXPECT_EQ( pair.opener.legs.at( 777 ).program.read, "some news" );
  pair.down_capacity = std::string::npos;
  pair.run();
  EXPECT_EQ( pair.frames[FrameType::resume], 2000 );
  EXPECT_TRUE( pair.faults.empty() );
}

// -- windows -------------------------------------------------------------------------------------------------

class SmallWindowTest : public EarlyTest
{
protected:
  SmallWindowTest() : EarlyTest( test::Setup { .window = 10, .window_max = 10 } ) {}
};

// Once the positions said with the hello told a window of nothing, because nobody had looked since it was full; and
// no acknowledgement followed, for all had been acknowledged. The stream stood still for ever (simulation, seed
// 3993206820700465).
TEST_F( SmallWindowTest, TheWindowSaidWithAHelloIsWhatAnAcknowledgementWouldSay )
{
  app->takes = 0;
  pair.target().to_write = stream( 0, 100, 3 );
  pair.run();
  pair.cut();
  app->takes = std::string::npos;
  pair.run();
  pair.say_hello( false );
  pair.hello_heard();
  pair.step();
  pair.welcome_heard();
  pair.run();
  EXPECT_EQ( app->read, "login:" + stream( 0, 100, 3 ) );
  finish();
}

TEST_F( SmallWindowTest, WhatWasReadBetweenHelloAndWelcomeIsToldOnTheNewLink )
{
  app->takes = 0;
  pair.target().to_write = stream( 0, 100, 3 );
  pair.run();
  pair.say_hello( false ); // with a window that is full
  app->takes = std::string::npos;
  pair.run( 30ms ); // the old link still carries the news of what was read
  pair.hello_heard();
  pair.welcome_heard();
  pair.run();
  EXPECT_EQ( app->read, "login:" + stream( 0, 100, 3 ) );
  finish();
}

// What was said early goes by a window that an sproxy which was killed since does not remember (simulation, process
// seed 3227474878005374).
TEST_F( SmallWindowTest, EarlyBytesBeyondTheWindowAreLeftOutAndNoFault )
{
  const std::string beyond = stream( 0, 50, 4 );
  FrameHeader data { .type = FrameType::data, .length = 50, .session = 1, .sequence = 4 };
  EXPECT_EQ( pair.acceptor.tunnel.receive( { .header = data, .payload = raw( beyond ) } ), Fault::beyond_window );
  data.flags = FrameHeader::early;
  EXPECT_FALSE( pair.acceptor.tunnel.receive( { .header = data, .payload = raw( beyond ) } ) );
  pair.acceptor.deliver_fresh( pair.now );
  pair.run();
  EXPECT_EQ( pair.target().read, "user" );
  finish();
}

} // namespace
} // namespace holdfast
