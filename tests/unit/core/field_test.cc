#include "unit/core/pair.hh"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

// Bugs that tools like ours have shipped, each told as a story that must end well here. The table in
// docs/testing.md says which project had which one; tests of one module alone stand with their module.

namespace holdfast {
namespace {

using namespace test;

void expect_all_back( Pair& pair )
{
  EXPECT_TRUE( pair.all_back() ) << "sessions " << pair.opener.tunnel.sessions() << " and "
                                 << pair.acceptor.tunnel.sessions();
  EXPECT_TRUE( pair.faults.empty() ) << describe( pair.faults.front() );
}

void expect_a_good_end( Pair& pair, Program& app, Program& target )
{
  app.ends = true;
  target.ends = true;
  pair.run();
  EXPECT_TRUE( app.saw_end and target.saw_end );
  EXPECT_FALSE( app.saw_reset or target.saw_reset );
  expect_all_back( pair );
}

Session& session_at( End& end, SessionId id = 1 )
{
  return *end.legs.at( id ).session;
}

// -- replay and accounting ---------------------------------------------------------------------------------------

// A server once told its position while bytes of the old connection were still on their way to the target: it told
// too little, and the target got those bytes twice.
TEST( FieldBugs, ResumeWhileOldBytesAreStillDraining )
{
  const std::string all = stream( 0, 200'000 );
  for ( const std::size_t drained : { std::size_t { 1 }, std::size_t { 777 }, Pool::chunk_size } ) {
    Pair pair;
    pair.connect();
    Program& app = *pair.open();
    pair.run();
    pair.target().takes = 0;
    app.to_write = all;
    pair.run( 50ms );
    ASSERT_GT( session_at( pair.acceptor ).inflow().held(), 30'000U )
      << "bytes of the old link wait for the target";
    pair.connect();
    pair.up_most = 100; // the resumes cross slowly, and meanwhile the target reads on
    pair.down_most = 10;
    pair.target().takes = drained;
    for ( int i = 0; i < 20; ++i ) {
      pair.step();
    }
    pair.up_most = pair.down_most = std::string::npos;
    pair.target().takes = std::string::npos;
    pair.run();
    EXPECT_TRUE( pair.target().read == all ) << drained;
    expect_a_good_end( pair, app, pair.target() );
  }
}

// Two sides that each wrote their whole replay before they read anything stood still for ever, as did two bounded
// queues that fed each other.
TEST( FieldBugs, BothEndsReplayMegabytesThroughALinkThatHoldsAlmostNothing )
{
  Pair pair { { .near_chunks = 512, .far_chunks = 512, .window = 1U << 20U, .window_max = 4U << 20U } };
  pair.connect();
  Program& app = *pair.open();
  pair.run();
  const std::string there = stream( 0, 1'000'000, 1 );
  const std::string back = stream( 0, 1'000'000, 2 );
  app.to_write = there;
  pair.target().to_write = back;
  pair.up_most = pair.down_most = 0; // all of it is lost with this link
  pair.capacity = 16U << 20U;
  pair.run( 50ms );
  EXPECT_EQ( session_at( pair.opener ).outflow().sent(), there.size() );
  EXPECT_EQ( session_at( pair.acceptor ).outflow().sent(), back.size() );
  pair.capacity = 512; // the kernel's buffers of the next one
  pair.up_most = pair.down_most = std::string::npos;
  pair.connect();
  pair.run( 60s );
  EXPECT_TRUE( pair.target().read == there );
  EXPECT_TRUE( app.read == back );
  expect_a_good_end( pair, app, pair.target() );
}

// While there is no link, both programs write far more than there is memory for. One tool trimmed its backlog by
// size, and the peer was "too far behind" for ever; another one grew; a third one died.
TEST( FieldBugs, AnOutageHoldsTheProgramsBackAndTrimsNothing )
{
  Pair pair { { .near_chunks = 32, .far_chunks = 32, .window_max = 200'000 } };
  pair.connect();
  Program& app = *pair.open();
  app.to_write = "x";
  pair.run();
  pair.cut();
  const std::string there = "x" + stream( 0, 3'000'000, 1 );
  const std::string back = stream( 0, 3'000'000, 2 );
  app.to_write = there.substr( 1 );
  pair.target().to_write = back;
  const auto a_second_passes = [&] {
    for ( int i = 0; i < 1000; ++i ) {
      pair.step();
    }
  };
  a_second_passes();
  const std::size_t most = Outflow::Limits::ahead + 200'000;
  for ( End* end : { &pair.opener, &pair.acceptor } ) {
    EXPECT_LE( session_at( *end ).outflow().retained(), most );
    EXPECT_EQ( session_at( *end ).outflow().room(), 0U ) << "the program is not read any more";
  }
  EXPECT_GT( app.to_write.size(), 2'000'000U );
  const std::size_t held = pair.near_memory().outflow().used();
  a_second_passes();
  EXPECT_EQ( pair.near_memory().outflow().used(), held ) << "and memory stays where it is";
  pair.connect();
  pair.run( 60s );
  EXPECT_TRUE( pair.target().read == there );
  EXPECT_TRUE( app.read == back );
  expect_a_good_end( pair, app, pair.target() );
}

// A counter that began at zero again after a resume delivered everything twice; two sides that counted different
// things drifted apart. Whenever all is quiet, both must have counted the same, and what the programs have.
TEST( FieldBugs, BothSidesCountTheSameAndNeverStartAgain )
{
  Chance chance { 11 };
  Pair pair { { .near_chunks = 8, .far_chunks = 8, .window = 20'000, .window_max = 60'000 } };
  pair.connect();
  Program& app = *pair.open();
  pair.run();
  Program& target = pair.target();
  std::string there;
  std::string back;
  for ( int move = 0; move < 60; ++move ) {
    const std::string more = stream( there.size(), chance.below( 90'000 ), 1 );
    const std::string echo = stream( back.size(), chance.below( 90'000 ), 2 );
    there += more;
    back += echo;
    app.to_write += more;
    target.to_write += echo;
    target.takes = chance.once_in( 3 ) ? chance.below( 2000 ) : std::string::npos; // bytes are let go, too
    pair.up_most = chance.between( 1, 40'000 );
    pair.down_most = chance.between( 1, 40'000 );
    const std::size_t steps = chance.between( 1, 40 );
    for ( std::size_t i = 0; i < steps; ++i ) {
      pair.step();
    }
    if ( chance.once_in( 2 ) ) {
      pair.cut();
      pair.step();
    }
    pair.connect();
    if ( chance.once_in( 4 ) ) { // let it come to rest
      target.takes = pair.up_most = pair.down_most = std::string::npos;
      pair.run();
      for ( auto [writer, reader, written] : { std::tuple { &pair.opener, &pair.acceptor, there.size() },
                                               std::tuple { &pair.acceptor, &pair.opener, back.size() } } ) {
        EXPECT_EQ( session_at( *writer ).outflow().acknowledged(), written );
        EXPECT_EQ( session_at( *writer ).outflow().sent(), written );
        EXPECT_EQ( session_at( *reader ).inflow().delivered(), written );
        EXPECT_EQ( session_at( *reader ).inflow().next(), written );
      }
      ASSERT_TRUE( target.read == there and app.read == back ) << "after move " << move;
    }
  }
  target.takes = pair.up_most = pair.down_most = std::string::npos;
  expect_a_good_end( pair, app, target );
  EXPECT_EQ( target.read.size(), there.size() );
}

// Entries of a queue were numbered when they were written to the socket, but a resume could come before: what had
// never been sent was dropped as acknowledged.
TEST( FieldBugs, WhatWasNeverSentIsNotTakenForAcknowledged )
{
  Pair pair;
  pair.connect();
  Program& app = *pair.open();
  app.to_write = "sent and delivered; ";
  pair.run();
  pair.cut();
  app.to_write = "read from the app, but never sent; ";
  pair.run( 50ms );
  EXPECT_EQ( app.to_write, "" );
  pair.connect();
  pair.up_most = 0;
  app.to_write = "and read before the peer has said anything on this link";
  pair.run( 50ms );
  EXPECT_EQ( app.to_write, "" );
  pair.up_most = std::string::npos;
  pair.run();
  EXPECT_EQ( pair.target().read,
             "sent and delivered; read from the app, but never sent; "
             "and read before the peer has said anything on this link" );
  expect_a_good_end( pair, app, pair.target() );
}

// One stream from its source to its sink, without a tunnel around it: it can begin at any position.
struct Stream
{
  explicit Stream( Position begin )
    : record { .kept = { .begin = begin, .end = begin } }
    , received { .delivered = begin }
    , out( *memory_out, record, { 1U << 20U }, 5000 )
    , in( *memory_in, received, { 5000, 1U << 20U } )
  {}

  void write( std::string_view bytes ) { ASSERT_EQ( write_into( out, bytes ), bytes.size() ); }
  // One frame arrives, or is lost. False when there is none to send.
  bool frame( std::size_t most, bool arrives )
  {
    if ( out.end_due() ) {
      const Position at = out.sent();
      out.consume_end();
      EXPECT_EQ( arrives ? in.place_end( at ) : Verdict {}, std::nullopt );
      return true;
    }
    const auto piece = out.readable();
    const std::size_t size = std::min( most, piece.size() );
    if ( size == 0 ) {
      return false;
    }
    EXPECT_EQ( arrives ? in.place( out.sent(), piece.first( size ) ) : Verdict {}, std::nullopt );
    out.consume( size );
    return true;
  }
  void read( Time now )
  {
    std::array<std::span<const std::byte>, 4> slices;
    while ( in.readable( slices ) > 0 ) {
      got += text( slices[0] );
      in.consume( slices[0].size(), now );
    }
    if ( in.end_due() ) {
      in.consume_end();
    }
  }
  void acknowledge( Time now )
  {
    in.prepare_news( now, 1ms );
    in.told();
    EXPECT_EQ( out.acknowledge( in.delivered(), in.window() ), std::nullopt );
  }
  void move()
  {
    out.rewind();
    EXPECT_EQ( out.replay_from( in.next(), in.delivered(), in.window() ), std::nullopt );
  }

  TestPool memory_out { 64 };
  TestPool memory_in { 64 };
  OutflowRecord record;
  InflowRecord received;
  Outflow out;
  Inflow in;
  std::string got {};
};

// Counters of 32 bits wrapped after 4 GB, message numbers of 16 bits after 65,536; rules with a modulo failed at
// the wrap. Ours have 64 bits and a limit of 2^62; streams that cross each of these places, with moves and losses,
// are like any other.
TEST( FieldBugs, CountersCrossEveryPlaceWhereOthersWrapped )
{
  constexpr std::size_t size = 60'000;
  for ( const Position place : { Position { 1 } << 15U,
                                 Position { 1 } << 16U,
                                 Position { 1 } << 24U,
                                 Position { 1 } << 31U,
                                 Position { 1 } << 32U,
                                 Position { 1 } << 33U,
                                 Position { 1 } << 53U,
                                 position_limit } ) {
    // Ends on the last position there may be, or begins before the place and ends behind it.
    const Position begin
      = place == position_limit ? place - size - 2 : place - std::min( place, Position { size / 2 } );
    Stream one { begin };
    Chance chance { place };
    const std::string all = stream( begin, size );
    Time now { 1h };
    for ( std::size_t written = 0; not one.out.finished(); now += 1ms ) {
      const std::size_t more = std::min( { size - written, chance.below( 4000 ), one.out.room() } );
      one.write( std::string_view { all }.substr( written, more ) );
      written += more;
      if ( written == size and not one.out.ended() ) {
        one.out.end();
      }
      bool lost = false;
      for ( std::size_t frames = chance.below( 5 ); frames > 0 and not lost; --frames ) {
        lost = chance.once_in( 8 );
        static_cast<void>( one.frame( chance.between( 1, 3000 ), not lost ) );
      }
      if ( chance.once_in( 2 ) ) {
        one.read( now );
      }
      if ( lost or chance.once_in( 10 ) ) {
        one.move();
      } else if ( chance.once_in( 2 ) ) {
        one.acknowledge( now );
      }
      ASSERT_LT( now, Time { 1h } + 10min ) << "it does not come to an end at " << place;
    }
    EXPECT_TRUE( one.got == all ) << place;
    EXPECT_EQ( one.out.acknowledged(), begin + size + 1 );
    EXPECT_LT( one.out.acknowledged(), position_limit + size );
  }
}

// A flag was set after the event that it waited for, and every later message was ignored. The six things that
// happen at the beginning of a session may happen in any of their 720 orders.
TEST( FieldBugs, InWhateverOrderItBeginsTheSessionWorks )
{
  enum Event
  {
    link_comes,
    app_writes,
    app_ends,
    target_connects,
    target_writes,
    target_ends
  };
  std::array order { link_comes, app_writes, app_ends, target_connects, target_writes, target_ends };
  do {
    Pair pair;
    pair.acceptor.connects = false;
    Program* app = nullptr;
    std::string question;
    std::string answer;
    // A program that has ended its stream cannot write to it any more.
    const auto write = []( Program& program, const char* words, std::string& expected ) {
      if ( not program.ends ) {
        program.to_write = expected = words;
      }
    };
    const auto happens = [&]( Event event ) {
      switch ( event ) {
        case link_comes: pair.connect(); break;
        case app_writes: write( *app, "question", question ); break;
        case app_ends: app->ends = true; break;
        case target_connects: pair.acceptor.connected( 1 ); break;
        case target_writes: write( pair.target(), "answer", answer ); break;
        case target_ends: pair.target().ends = true; break;
      }
      pair.step();
      pair.step();
    };
    std::vector<Event> later; // what concerns the target cannot happen before the open is there
    for ( const Event event : order ) {
      if ( app == nullptr and event != link_comes ) {
        app = pair.open();
      }
      if ( event >= target_connects and not pair.reached( 1 ) ) {
        later.push_back( event );
      } else {
        happens( event );
      }
    }
    std::ranges::for_each( later, happens );
    pair.run();
    EXPECT_EQ( pair.target().read, question );
    EXPECT_EQ( app->read, answer );
    EXPECT_TRUE( pair.target().saw_end and app->saw_end );
    expect_all_back( pair );
    ASSERT_FALSE( HasFailure() ) << order[0] << order[1] << order[2] << order[3] << order[4] << order[5];
  } while ( std::ranges::next_permutation( order ).found );
}

// Half a frame of the dying connection was glued to the first one of the next.
TEST( FieldBugs, HalfAFrameOfALostLinkMeansNothingOnTheNext )
{
  const std::string all = stream( 0, 120'000 );
  for ( std::size_t step = 1; step < 100; ++step ) {
    Pair pair;
    pair.connect();
    pair.capacity = 1000 + step; // so frames are begun and not finished, on the writing side
    Program& app = *pair.open();
    app.to_write = all;
    for ( int i = 0; i < 8; ++i ) { // and on the reading side
      pair.up_most = 31 * step;
      pair.step();
      pair.step();
      pair.connect();
    }
    pair.up_most = std::string::npos;
    pair.capacity = 65536;
    pair.run();
    ASSERT_TRUE( pair.reached( 1 ) and pair.target().read == all ) << step;
    expect_a_good_end( pair, app, pair.target() );
    ASSERT_FALSE( HasFailure() ) << step;
  }
}

// Acknowledged on receipt, lost in a crash before the program had it. Whatever else is going on, what the program
// has not taken is not acknowledged, and what is not acknowledged is kept.
TEST( FieldBugs, NothingIsAcknowledgedBeforeTheProgramHasIt )
{
  Pair pair;
  pair.connect();
  Program& app = *pair.open();
  pair.run();
  app.to_write = "0123456789";
  app.ends = true;
  pair.target().takes = 0;
  for ( int move = 0; move < 3; ++move ) {
    pair.run( 1s );
    EXPECT_EQ( session_at( pair.opener ).outflow().acknowledged(), 0U );
    EXPECT_EQ( session_at( pair.opener ).outflow().retained(), 10U );
    pair.connect();
  }
  pair.target().takes = 4;
  pair.step();
  pair.target().takes = 0;
  pair.run( 1s );
  EXPECT_EQ( pair.target().read, "0123" );
  EXPECT_EQ( session_at( pair.opener ).outflow().acknowledged(), 4U );
  EXPECT_FALSE( pair.target().saw_end );
  pair.target().takes = std::string::npos;
  pair.step();
  EXPECT_TRUE( pair.target().saw_end );
  pair.run();
  EXPECT_EQ( session_at( pair.opener ).outflow().acknowledged(), 11U ) << "ten bytes and the end";
  expect_a_good_end( pair, app, pair.target() );
}

// A ring buffer that could not tell full from empty sent memory that was never written. Windows and streams that
// fill their chunks to the last byte, and every one around it.
TEST( FieldBugs, FullIsNotEmpty )
{
  constexpr std::size_t C = Pool::chunk_size;
  for ( const std::size_t window : { C - 1, C, C + 1, 2 * C, 4 * C } ) {
    for ( const std::size_t size : { window - 1, window, window + 1 } ) {
      Pair pair { { .near_chunks = 16, .far_chunks = 16, .window = window, .window_max = window } };
      pair.connect();
      Program& app = *pair.open();
      pair.run();
      pair.target().takes = 0;
      std::string all;
      for ( int round = 0; round < 5; ++round ) {
        const std::string more = stream( all.size(), size );
        all += more;
        app.to_write = more;
        pair.run( 100ms );
        EXPECT_EQ( session_at( pair.acceptor ).inflow().held(), std::min( size, window ) );
        EXPECT_EQ( session_at( pair.opener ).outflow().retained(), size );
        pair.connect(); // all of it again
        pair.target().takes = std::string::npos;
        pair.run();
        EXPECT_TRUE( pair.target().read == all ) << window << " " << size << " " << round;
        EXPECT_EQ( session_at( pair.opener ).outflow().retained(), 0U );
        pair.target().takes = 0;
      }
      pair.target().takes = std::string::npos;
      expect_a_good_end( pair, app, pair.target() );
    }
  }
}

// -- blocking and fairness ---------------------------------------------------------------------------------------

// A large paste into a program that echoes: two directions that wait for each other. The program here is as simple
// as they come: it reads no more while what it wrote has not been taken.
TEST( FieldBugs, ALargePasteIntoAProgramThatEchoes )
{
  Pair pair { { .near_chunks = 16, .far_chunks = 16, .window_max = 100'000 } };
  pair.capacity = 3000;
  pair.connect();
  Program& app = *pair.open();
  pair.run();
  const std::string paste = stream( 0, 2'000'000 );
  app.to_write = paste;
  Program& echo = pair.target();
  echo.takes = 0;
  std::size_t echoed = 0;
  for ( int i = 0; i < 200'000 and app.read.size() < paste.size(); ++i ) {
    echo.takes = echo.to_write.empty() ? 4096 : 0;
    pair.step();
    echo.to_write += echo.read.substr( echoed );
    echoed = echo.read.size();
    if ( i % 500 == 499 ) {
      pair.connect();
    }
  }
  EXPECT_TRUE( app.read == paste ) << app.read.size();
  echo.takes = std::string::npos;
  expect_a_good_end( pair, app, echo );
}

// A flood of acknowledgements pushed what mattered out of a small cache. Ours are not kept anywhere: what there is
// to say is derived from positions.
TEST( FieldBugs, AFloodOfAcknowledgementsPushesNothingOut )
{
  Pair pair;
  pair.connect();
  Program& app = *pair.open();
  app.to_write = "before";
  pair.run();
  pair.cut();
  app.to_write = stream( 0, 50'000 );
  pair.target().to_write = "typed meanwhile";
  pair.run( 50ms );
  const auto used = pair.near_memory().outflow().used();
  const FrameHeader again { .type = FrameType::ack, .window = 65536, .session = 1, .acknowledgement = 6 };
  for ( int i = 0; i < 1'000'000; ++i ) {
    ASSERT_EQ( pair.opener.tunnel.receive( { again, {} } ), std::nullopt );
  }
  EXPECT_EQ( pair.near_memory().outflow().used(), used );
  pair.run( 50ms );
  pair.connect();
  pair.run();
  EXPECT_TRUE( pair.target().read == "before" + stream( 0, 50'000 ) );
  EXPECT_EQ( app.read, "typed meanwhile" );
  expect_a_good_end( pair, app, pair.target() );
}

// -- two links at once -------------------------------------------------------------------------------------------

// Three reconnects in a row raced each other. Links that take over from one another before anything was heard on
// them, at every distance in steps.
TEST( FieldBugs, LinksThatReplaceEachOtherFasterThanAnybodySpeaks )
{
  for ( int links = 1; links <= 5; ++links ) {
    for ( int steps = 0; steps < 6; ++steps ) {
      Pair pair;
      pair.capacity = 700; // bytes; so that a link has hardly begun when the next one comes
      pair.connect();
      Program& app = *pair.open();
      pair.run();
      const std::string there = stream( 0, 30'000, 1 );
      const std::string back = stream( 0, 30'000, 2 );
      app.to_write = there;
      pair.target().to_write = back;
      for ( int round = 0; round < 20; ++round ) {
        for ( int i = 0; i < 5; ++i ) {
          pair.step();
        }
        for ( int link = 0; link < links; ++link ) {
          pair.connect();
          for ( int i = 0; i < steps; ++i ) {
            pair.step();
          }
        }
      }
      pair.run();
      EXPECT_TRUE( pair.target().read == there and app.read == back ) << links << " " << steps;
      expect_a_good_end( pair, app, pair.target() );
    }
  }
}

} // namespace
} // namespace holdfast
