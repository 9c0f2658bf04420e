#include "core/recovery.hh"

#include "unit/core/pair.hh"

#include <gtest/gtest.h>

#include <memory>

// A process dies, its memory for sessions stays. What its successor makes of that, also when it was scribbled over.

namespace holdfast {
namespace {

using namespace test;

constexpr std::size_t C = Pool::chunk_size;
const SessionLimits limits { .outflow = { 1U << 20U }, .inflow = { 65536, 1U << 20U } };

// An opener with sessions that hold bytes, and what it leaves behind.
struct Before
{
  TestMemory memory { 32, 32, 8 };
  TunnelRecord& record = *memory.tunnels().take();
  std::unique_ptr<End> end;

  Before()
  {
    record.used = 1;
    end = std::make_unique<End>( Side::opener, record, memory, limits );
    end->tunnel.attach( 65536 );
  }
  // A session that holds these bytes, none of them acknowledged.
  SessionId session( std::string_view bytes )
  {
    Program* const program = end->open();
    program->to_write = bytes;
    end->turn( Time { 1h } );
    return end->legs.rbegin()->first;
  }
};

std::string retained( Session& session )
{
  session.outflow().rewind();
  static_cast<void>( session.outflow().replay_from( 0, 0, 1U << 20U ) );
  std::string bytes;
  for ( auto piece = session.outflow().readable(); not piece.empty(); piece = session.outflow().readable() ) {
    bytes += text( piece );
    session.outflow().consume( piece.size() );
  }
  return bytes;
}

std::map<SessionId, std::string> all_retained( End& end )
{
  std::map<SessionId, std::string> all;
  end.tunnel.for_each_session( [&]( Session& session ) { all[session.id()] = retained( session ); } );
  return all;
}

TEST( Recovery, FindsEveryByteAgain )
{
  Before before;
  const std::map<SessionId, std::string> all {
    { before.session( stream( 0, 10, 1 ) ), stream( 0, 10, 1 ) },
    { before.session( stream( 0, 3 * C, 2 ) ), stream( 0, 3 * C, 2 ) },
    { before.session( "" ), "" },
    { before.session( stream( 0, 2 * C + 1, 3 ) ), stream( 0, 2 * C + 1, 3 ) },
  };
  const auto used = before.memory.outflow().used();

  TestMemory memory { before.memory, Side::opener };
  EXPECT_EQ( memory.found.sessions.size(), 4U );
  EXPECT_EQ( memory.found.broken, 0U );
  ASSERT_EQ( memory.found.tunnels.size(), 1U );
  EXPECT_EQ( memory.outflow().used(), used );
  EXPECT_EQ( memory.slots().used(), 4U );
  {
    End end { Side::opener, *memory.found.tunnels.front(), memory, limits };
    EXPECT_EQ( all_retained( end ), all );
  }
  EXPECT_TRUE( memory.all_back() ) << "a session that was found gives everything back like any other";
}

TEST( Recovery, GoesOnWhereTheStreamWas )
{
  Before before;
  const SessionId id = before.session( stream( 0, C + 5 ) );
  Outflow& outflow = before.end->legs.at( id ).session->outflow();
  outflow.consume( 30 );
  ASSERT_EQ( outflow.acknowledge( 20, 65536 ), std::nullopt );

  TestMemory memory { before.memory, Side::opener };
  End end { Side::opener, *memory.found.tunnels.front(), memory, limits };
  end.inherit( std::move( before.end->legs ) );
  Session& session = *end.legs.at( id ).session;
  EXPECT_EQ( session.outflow().acknowledged(), 20U );
  EXPECT_EQ( session.outflow().sent(), 20U ) << "nothing was sent on a link of ours yet";
  EXPECT_EQ( session.outflow().acknowledge( 31, 65536 ), Fault::ahead_of_sent )
    << "what was really sent is not forgotten";
  EXPECT_EQ( session.outflow().acknowledge( 30, 65536 ), std::nullopt );

  // What is written now is appended, in the same chunk and beyond.
  end.legs.at( id ).program.to_write = stream( C + 5, 2 * C );
  end.turn( Time { 1h } );
  EXPECT_EQ( session.outflow().retained(), 3 * C + 5 - 30 );
  ASSERT_EQ( session.outflow().replay_from( 30, 30, 1U << 20U ), std::nullopt );
  std::string rest;
  for ( auto piece = session.outflow().readable(); not piece.empty(); piece = session.outflow().readable() ) {
    rest += text( piece );
    session.outflow().consume( piece.size() );
  }
  EXPECT_EQ( rest, stream( 30, 3 * C + 5 - 30 ) );
}

TEST( Recovery, SpaceThatWasBeingFilledIsNotPartOfTheStream )
{
  Before before;
  const SessionId id = before.session( "abc" );
  std::array<std::span<std::byte>, 4> slices;
  ASSERT_GT( before.end->legs.at( id ).session->outflow().writable( slices ), 1U ); // and then it dies

  TestMemory memory { before.memory, Side::opener };
  ASSERT_EQ( memory.found.sessions.size(), 1U );
  EXPECT_EQ( memory.outflow().used(), 1U ) << "spare chunks are free again";
  End end { Side::opener, *memory.found.tunnels.front(), memory, limits };
  EXPECT_EQ( all_retained( end ).at( id ), "abc" );
}

TEST( Recovery, ASessionResetBeforeAnythingWasSentIsFoundAgain )
{
  Before before;
  const SessionId id = before.session( "never sent" );
  before.end->legs.at( id ).session->reset( ResetReason::by_program );
  TestMemory memory { before.memory, Side::opener };
  EXPECT_EQ( memory.found.broken, 0U );
  ASSERT_EQ( memory.found.sessions.size(), 1U );
  EXPECT_EQ( memory.outflow().used(), 0U );
}

// settle() says that nobody needs it before it is overwritten.
TEST( Recovery, ASecretThatNobodyNeedsIsNotKept )
{
  Before before;
  Digest secret;
  secret.fill( std::byte { 7 } );
  before.record.secrets = { .latest = secret, .before = secret, .has_before = 0 };
  const TestMemory memory { before.memory, Side::opener };
  ASSERT_EQ( memory.found.tunnels.size(), 1U );
  EXPECT_EQ( memory.found.tunnels.front()->secrets.latest, secret );
  EXPECT_EQ( memory.found.tunnels.front()->secrets.before, Digest {} );
}

TEST( Recovery, ASessionNumberIsNeverUsedAgain )
{
  Before before;
  before.session( "one" );
  const SessionId second = before.session( "two" );
  before.record.last_session = 1; // it died between making the second and saying so
  TestMemory memory { before.memory, Side::opener };
  EXPECT_EQ( memory.found.tunnels.front()->last_session, second );
}

// Of the second session's chunk with this number.
Pool::Label& label( TestMemory& memory, std::uint64_t number )
{
  return *std::ranges::find_if( memory.labels(), [&]( const Pool::Label& each ) {
    return each.owner == memory.records()[1].owner() and each.number == number;
  } );
}

TEST( Recovery, ABrokenSessionDoesNotTakeTheOthersAlong )
{
  const auto scribbles = std::to_array<void ( * )( TestMemory& )>( {
    []( TestMemory& m ) { m.records()[1].outflow.kept.end += C; },
    []( TestMemory& m ) { m.records()[1].outflow.kept.begin = m.records()[1].outflow.kept.end + 1; },
    []( TestMemory& m ) { m.records()[1].outflow.kept.end = ~Position { 0 }; },
    []( TestMemory& m ) { m.records()[1].outflow.sent_most = 1U << 30U; },
    []( TestMemory& m ) { m.records()[1].outflow.ended = 2; },
    []( TestMemory& m ) { m.records()[1].outflow.end_acknowledged = 1; },
    []( TestMemory& m ) { m.records()[1].outflow.ended = m.records()[1].outflow.end_acknowledged = 1; },
    []( TestMemory& m ) { // the end is acknowledged and was never sent
      m.records()[1].outflow.kept.begin = m.records()[1].outflow.sent_most = m.records()[1].outflow.kept.end;
      m.records()[1].outflow.ended = m.records()[1].outflow.end_acknowledged = 1;
    },
    []( TestMemory& m ) {
      m.records()[1].outflow.kept.begin = m.records()[1].outflow.sent_most = C;
      label( m, 2 ).number = 0;
    },
    []( TestMemory& m ) { m.records()[1].inflow.delivered = position_limit; },
    []( TestMemory& m ) { m.records()[1].inflow.end_delivered = 7; },
    []( TestMemory& m ) { m.records()[1].session = m.records()[0].session; },
    []( TestMemory& m ) { m.records()[1].session = position_limit; },
    []( TestMemory& m ) { m.records()[1].slot = 0; },
    []( TestMemory& m ) { m.records()[1].tunnel = 1; },
    []( TestMemory& m ) { m.records()[1].tunnel = 77; },
    []( TestMemory& m ) { m.records()[1].released = 255; },
    []( TestMemory& m ) { m.records()[1].connected = 2; },
    []( TestMemory& m ) { m.records()[1].known = 3; },
    []( TestMemory& m ) { m.records()[1].named = 4; },
    []( TestMemory& m ) { m.records()[1].reset_ours = 99; },
    []( TestMemory& m ) { m.records()[1].reset_theirs = 98; },
    []( TestMemory& m ) { label( m, 1 ).owner = 1; }, // of the other session, which has no room for it
    []( TestMemory& m ) { label( m, 0 ).owner = 0; },
    []( TestMemory& m ) { label( m, 0 ).owner = ~0U; },
    []( TestMemory& m ) { label( m, 0 ).number = 5; },
    []( TestMemory& m ) { label( m, 1 ).number = 0; },
  } );
  for ( std::size_t i = 0; i < scribbles.size(); ++i ) {
    SCOPED_TRACE( i );
    Before before;
    const SessionId good = before.session( stream( 0, 100 ) );
    before.session( stream( 0, 2 * C + 1, 9 ) );
    TestMemory dead { before.memory, Side::opener };
    scribbles.at( i )( dead );

    TestMemory memory { dead, Side::opener };
    EXPECT_EQ( memory.found.broken, 1U );
    ASSERT_EQ( memory.found.sessions.size(), 1U );
    EXPECT_EQ( memory.outflow().used(), 1U );
    EXPECT_EQ( memory.slots().used(), 1U );
    End end { Side::opener, *memory.found.tunnels.front(), memory, limits };
    EXPECT_EQ( all_retained( end ), ( std::map<SessionId, std::string> { { good, stream( 0, 100 ) } } ) );
  }
}

TEST( Recovery, ABrokenTunnelTakesItsSessionsAlongAndNoOthers )
{
  Before before;
  before.session( "lost" );
  TunnelRecord& other = *before.memory.tunnels().take();
  other.id[0] = std::byte { 2 };
  other.used = 1;
  End end { Side::opener, other, before.memory, limits };
  end.open();
  before.record.agreed = 17;

  TestMemory memory { before.memory, Side::opener };
  EXPECT_EQ( memory.found.broken, 2U ) << "the tunnel and its session";
  ASSERT_EQ( memory.found.sessions.size(), 1U );
  EXPECT_EQ( memory.found.sessions.front().record->tunnel, other.slot );
  EXPECT_EQ( memory.outflow().used(), 0U );
}

TEST( Recovery, TwoTunnelsWithOneNameAreOneTooMany )
{
  TestMemory dead { 4, 4, 4 };
  for ( int i = 0; i < 2; ++i ) {
    TunnelRecord& record = *dead.tunnels().take();
    record.used = 1;
    record.agreed = 1;
  }
  TestMemory memory { dead, Side::acceptor };
  EXPECT_EQ( memory.found.tunnels.size(), 1U );
  EXPECT_EQ( memory.found.broken, 1U );
  EXPECT_EQ( memory.tunnels().used(), 1U );
}

TEST( Recovery, TwoTunnelsOfOneClientAreOneTooMany )
{
  TestMemory dead { 4, 4, 4 };
  for ( int i = 0; i < 2; ++i ) {
    TunnelRecord& record = *dead.tunnels().take();
    record.id[0] = static_cast<std::byte>( i );
    record.used = 1;
    record.agreed = 1;
  }
  TestMemory memory { dead, Side::acceptor };
  EXPECT_EQ( memory.found.tunnels.size(), 1U );
  EXPECT_EQ( memory.found.broken, 1U );
}

TEST( Recovery, ATunnelWhoseSessionsAreBeyondCountingIsBroken )
{
  TestMemory dead { 4, 4, 4 };
  TunnelRecord& record = *dead.tunnels().take();
  record.used = 1;
  record.last_session = position_limit;
  TestMemory memory { dead, Side::opener };
  EXPECT_TRUE( memory.found.tunnels.empty() );
  EXPECT_EQ( memory.found.broken, 1U );
}

TEST( Recovery, ASlotThatWasGivenBackIsFreeAgain )
{
  Before before;
  before.session( "over" );
  before.session( "goes on" );
  before.end->tunnel.peer_lost( ResetReason::expired ); // it was never named, so it goes on, and the record stays
  make_free( before.memory.records()[0] );
  TestMemory memory { before.memory, Side::opener };
  EXPECT_EQ( memory.slots().used(), 1U );
  SessionRecord* const again = memory.slots().take();
  EXPECT_EQ( again, &memory.records()[0] );
}

TEST( Recovery, ATunnelThatWasBeingEndedIsOver )
{
  // sproxy has forgotten it, and died before it could reset the targets.
  Before before;
  before.session( "of an ended tunnel" );
  ASSERT_EQ( before.record.agreed, 0 );
  TestMemory memory { before.memory, Side::acceptor };
  EXPECT_EQ( memory.found.ended, 1U );
  EXPECT_EQ( memory.found.broken, 0U );
  EXPECT_TRUE( memory.found.sessions.empty() );
  EXPECT_TRUE( memory.found.tunnels.empty() );
  EXPECT_EQ( memory.tunnels().used(), 0U );
  EXPECT_TRUE( memory.all_back() );
}

TEST( Recovery, WhateverLiesThereIsJudged )
{
  for ( std::uint64_t seed = 0; seed < 300; ++seed ) {
    SCOPED_TRACE( seed );
    Chance chance { seed };
    Before before;
    for ( std::size_t i = chance.between( 0, 6 ); i > 0; --i ) {
      before.session( stream( 0, chance.below( 3 * C ), i ) );
    }
    TestMemory dead { before.memory, Side::opener };
    for ( std::size_t i = chance.between( 1, 20 ); i > 0; --i ) { // bytes, anywhere
      const std::array<std::span<std::byte>, 3> parts { std::as_writable_bytes( std::span { dead.records() } ),
                                                        std::as_writable_bytes(
                                                          std::span { dead.tunnel_records() } ),
                                                        std::as_writable_bytes( dead.labels() ) };
      const auto part = parts.at( chance.below( 3 ) );
      part[chance.below( std::min<std::size_t>( part.size(), 700 ) )]
        = static_cast<std::byte>( chance.below( 256 ) );
    }
    const Side side = chance.once_in( 2 ) ? Side::opener : Side::acceptor;
    TestMemory memory { dead, side };
    Pool::Index chunks = 0;
    for ( const auto& found : memory.found.sessions ) {
      chunks += static_cast<Pool::Index>( found.chunks.size() );
    }
    EXPECT_EQ( memory.outflow().used(), chunks );
    EXPECT_EQ( memory.slots().used(), memory.found.sessions.size() );
    EXPECT_EQ( memory.tunnels().used(), memory.found.tunnels.size() );
    for ( TunnelRecord* const tunnel : memory.found.tunnels ) {
      End end { side, *tunnel, memory, limits };
      static_cast<void>( all_retained( end ) );
      end.tunnel.attach( 65536 );
      end.turn( Time { 1h } );
    }
    EXPECT_TRUE( memory.all_back() );
  }
}

} // namespace
} // namespace holdfast
