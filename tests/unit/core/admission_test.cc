#include "core/admission.hh"

#include "core/claim.hh"
#include "core/recovery.hh"
#include "unit/core/crypto.hh"
#include "unit/core/support.hh"

#include <gtest/gtest.h>

#include <array>
#include <deque>
#include <set>

// How links introduce themselves: a client's Claim and a server's Admission, talking to each other.

namespace holdfast {
namespace {

using namespace test;
using namespace std::chrono_literals;
using Outcome = Claim::Outcome;

struct World
{
  TestCrypto crypto;
  Digest binding {};                       // in the clear
  std::array<TunnelRecord, 16> records {}; // more than tunnels: what was superseded is not given back at once
  Slots<TunnelRecord> slots { records };
  Admission server { crypto, { .beat = 100ms, .window = 65536, .retry_after = 5s, .tunnels_max = 3 }, slots };
  std::deque<TunnelRecord> clients {};

  Claim client( unsigned char instance, std::uint64_t run = 1 )
  {
    Id id {};
    id[0] = std::byte { instance };
    return { crypto, { .instance = id, .run = run, .beat = 100ms, .window = 4242 }, clients.emplace_back() };
  }
  Admission::Decision decide( const Hello& hello ) { return server.decide( hello, { .binding = binding }, true ); }
  // The tunnel is over, and nothing refers to it any more.
  void forget( const Id& tunnel )
  {
    server.forget( tunnel );
    for ( TunnelRecord& record : records ) {
      if ( not is_free( record ) and record.id == tunnel ) {
        slots.give( &record );
      }
    }
  }
  // A link that is answered at once.
  Outcome link( Claim& client )
  {
    const Hello hello = client.hello( binding );
    return client.answered( hello, decide( hello ).welcome, binding );
  }
};

// Nothing in a refusal tells more than its answer.
void expect_refusal( Answer answer, const Welcome& welcome, const Hello& hello )
{
  EXPECT_EQ( welcome.answer, answer );
  EXPECT_EQ( welcome.attempt, hello.attempt );
  EXPECT_EQ( welcome.tunnel, Id {} );
  EXPECT_EQ( welcome.proof, Digest {} );
  EXPECT_EQ( welcome.retry_after, 0s );
  EXPECT_EQ( welcome.reason, Refusal::none );
}

void expect_gone( const Welcome& welcome, const Hello& hello )
{
  expect_refusal( Answer::gone, welcome, hello );
}

TEST( Admission, ATunnelIsMadeAndResumed )
{
  World world;
  Claim client = world.client( 1 );
  EXPECT_FALSE( client.has_tunnel() );
  const Hello first = client.hello( world.binding );
  EXPECT_EQ( first.purpose, Purpose::new_tunnel );
  EXPECT_EQ( first.attempt, 1U );
  EXPECT_EQ( first.window, 4242U );
  EXPECT_EQ( first.beat, 100ms );
  EXPECT_EQ( first.tunnel, Id {} );
  EXPECT_EQ( first.proof, Digest {} );
  const auto made = world.decide( first );
  EXPECT_EQ( made.welcome.answer, Answer::made );
  EXPECT_EQ( made.welcome.window, 65536U );
  EXPECT_FALSE( made.superseded );
  EXPECT_EQ( client.answered( first, made.welcome, world.binding ), Outcome::made );
  EXPECT_TRUE( client.has_tunnel() );
  EXPECT_EQ( world.server.tunnels(), 1U );

  const Hello second = client.hello( world.binding );
  EXPECT_EQ( second.purpose, Purpose::resume );
  EXPECT_EQ( second.attempt, 2U );
  EXPECT_EQ( second.tunnel, made.welcome.tunnel );
  const auto resumed = world.decide( second );
  EXPECT_EQ( resumed.welcome.answer, Answer::resumed );
  EXPECT_EQ( resumed.welcome.tunnel, made.welcome.tunnel );
  EXPECT_EQ( client.answered( second, resumed.welcome, world.binding ), Outcome::resumed );
  EXPECT_EQ( world.server.tunnels(), 1U );
}

TEST( Admission, NoncesAndTunnelsAreNeverTheSame )
{
  World world;
  std::set<Digest> nonces;
  std::set<Id> tunnels;
  for ( unsigned char i = 0; i < 3; ++i ) {
    Claim client = world.client( i );
    for ( int link = 0; link < 5; ++link ) {
      const Hello hello = client.hello( world.binding );
      const Welcome welcome = world.decide( hello ).welcome;
      EXPECT_TRUE( nonces.insert( hello.nonce ).second );
      EXPECT_TRUE( nonces.insert( welcome.nonce ).second );
      static_cast<void>( client.answered( hello, welcome, world.binding ) );
      tunnels.insert( welcome.tunnel );
    }
  }
  EXPECT_EQ( tunnels.size(), 3U );
}

// -- no effect before proof --------------------------------------------------------------------------------------

TEST( Admission, AWrongProofAnUnknownTunnelAndAnExpiredOneLookTheSame )
{
  World world;
  Claim client = world.client( 1 );
  ASSERT_EQ( world.link( client ), Outcome::made );
  const Hello good = client.hello( world.binding );

  Hello forged = good;
  forged.proof[7] ^= std::byte { 1 };
  expect_gone( world.decide( forged ).welcome, forged );
  Hello unproved = good;
  unproved.proof = {};
  expect_gone( world.decide( unproved ).welcome, unproved );
  Hello unknown = good;
  unknown.tunnel[0] ^= std::byte { 1 };
  expect_gone( world.decide( unknown ).welcome, unknown );
  // Somebody who guesses that an unknown tunnel is checked against a key of zeros.
  unknown.proof = prove_hello( world.crypto, {}, world.binding, unknown );
  expect_gone( world.decide( unknown ).welcome, unknown );
  Hello elsewhere = good; // taken from another link
  Digest binding {};
  binding[0] = std::byte { 1 };
  expect_gone( world.server.decide( elsewhere, { .binding = binding }, true ).welcome, elsewhere );
  Hello raised = good; // the attempt is part of what is proved
  raised.attempt += 100;
  expect_gone( world.decide( raised ).welcome, raised );

  // None of it had any effect.
  EXPECT_EQ( world.decide( good ).welcome.answer, Answer::resumed );
  world.forget( good.tunnel );
  const Hello expired = client.hello( world.binding );
  expect_gone( world.decide( expired ).welcome, expired );
}

TEST( Admission, AReplayedHelloIsRefused )
{
  World world;
  Claim client = world.client( 1 );
  ASSERT_EQ( world.link( client ), Outcome::made );
  const Hello hello = client.hello( world.binding );
  EXPECT_EQ( world.decide( hello ).welcome.answer, Answer::resumed );
  expect_refusal( Answer::overtaken, world.decide( hello ).welcome, hello );
  Hello guessed = hello; // only who can prove it learns that there is such a tunnel
  guessed.proof[0] ^= std::byte { 1 };
  expect_gone( world.decide( guessed ).welcome, guessed );
  EXPECT_EQ( world.link( client ), Outcome::resumed ) << "and that ended nothing";
}

TEST( Admission, AnOlderAttemptThanTheOneThatMadeTheTunnelIsRefused )
{
  World world;
  Claim client = world.client( 1 );
  static_cast<void>( client.hello( world.binding ) ); // two that never arrived
  static_cast<void>( client.hello( world.binding ) );
  const Hello made = client.hello( world.binding );
  const auto welcome = world.decide( made ).welcome;
  ASSERT_EQ( client.answered( made, welcome, world.binding ), Outcome::made );
  Hello older = client.hello( world.binding );
  older.attempt = 3;
  older.proof
    = prove_hello( world.crypto, make_secret( world.crypto, world.binding, made, welcome ), world.binding, older );
  expect_refusal( Answer::overtaken, world.decide( older ).welcome, older );
}

// -- several links under way -------------------------------------------------------------------------------------

TEST( Admission, ALaterAttemptMayOvertakeAnEarlierOne )
{
  World world;
  Claim client = world.client( 1 );
  ASSERT_EQ( world.link( client ), Outcome::made );
  const Hello second = client.hello( world.binding );
  const Hello third = client.hello( world.binding );
  const auto to_third = world.decide( third ).welcome;
  const auto to_second = world.decide( second ).welcome;
  EXPECT_EQ( to_third.answer, Answer::resumed );
  EXPECT_EQ( to_second.answer, Answer::overtaken );
  EXPECT_EQ( client.answered( third, to_third, world.binding ), Outcome::resumed );
  EXPECT_EQ( client.answered( second, to_second, world.binding ), Outcome::obsolete );
  EXPECT_TRUE( client.has_tunnel() );
}

// The answers, too, may overtake each other. An overtaken attempt was once answered "gone", and that ended the
// tunnel with all its sessions, although the later attempt had been accepted: its welcome was only slower, or lost
// with its link.
TEST( Admission, AnAttemptThatWasOvertakenEndsNothing )
{
  World world;
  Claim client = world.client( 1 );
  ASSERT_EQ( world.link( client ), Outcome::made );
  const Hello second = client.hello( world.binding );
  const Hello third = client.hello( world.binding );
  const auto to_third = world.decide( third ).welcome;
  const auto to_second = world.decide( second ).welcome;
  EXPECT_EQ( client.answered( second, to_second, world.binding ), Outcome::obsolete );
  ASSERT_TRUE( client.has_tunnel() );
  EXPECT_EQ( client.answered( third, to_third, world.binding ), Outcome::resumed );
  EXPECT_EQ( world.link( client ), Outcome::resumed );
}

TEST( Admission, ATunnelThatIsReallyGoneIsFoundOut )
{
  World world;
  Claim client = world.client( 1 );
  ASSERT_EQ( world.link( client ), Outcome::made );
  const Hello second = client.hello( world.binding );
  const Hello third = client.hello( world.binding );
  world.forget( second.tunnel );
  const auto to_second = world.decide( second ).welcome;
  const auto to_third = world.decide( third ).welcome;
  EXPECT_EQ( client.answered( second, to_second, world.binding ), Outcome::gone );
  EXPECT_FALSE( client.has_tunnel() );
  EXPECT_EQ( client.answered( third, to_third, world.binding ), Outcome::obsolete ) << "gone is gone once";
  EXPECT_EQ( world.link( client ), Outcome::made );
}

TEST( Admission, WelcomesOfTwoLinksMayArriveInEitherOrder )
{
  World world;
  Claim client = world.client( 1 );
  ASSERT_EQ( world.link( client ), Outcome::made );
  const Hello second = client.hello( world.binding );
  const auto to_second = world.decide( second ).welcome;
  const Hello third = client.hello( world.binding );
  const auto to_third = world.decide( third ).welcome;
  EXPECT_EQ( client.answered( third, to_third, world.binding ), Outcome::resumed );
  EXPECT_EQ( client.answered( second, to_second, world.binding ), Outcome::obsolete );
}

TEST( Admission, TwoHellosOfOneRunForANewTunnelOvertakeEachOther )
{
  World world;
  Claim client = world.client( 1 );
  const Hello first = client.hello( world.binding );
  const Hello second = client.hello( world.binding );
  const auto to_second = world.decide( second );
  const auto to_first = world.decide( first );
  EXPECT_EQ( to_second.welcome.answer, Answer::made );
  expect_refusal( Answer::overtaken, to_first.welcome, first );
  EXPECT_FALSE( to_first.superseded );
  EXPECT_EQ( world.server.tunnels(), 1U );
  EXPECT_EQ( client.answered( first, to_first.welcome, world.binding ), Outcome::obsolete );
  EXPECT_EQ( client.answered( second, to_second.welcome, world.binding ), Outcome::made );
  EXPECT_EQ( world.link( client ), Outcome::resumed );
}

TEST( Admission, TheLaterOfTwoNewTunnelsWinsWhateverArrivesFirst )
{
  for ( const bool in_order : { true, false } ) {
    World world;
    Claim client = world.client( 1 );
    const Hello first = client.hello( world.binding );
    const Hello second = client.hello( world.binding );
    const auto to_first = world.decide( first );
    const auto to_second = world.decide( second );
    EXPECT_EQ( to_second.superseded, to_first.welcome.tunnel );
    if ( in_order ) {
      EXPECT_EQ( client.answered( first, to_first.welcome, world.binding ), Outcome::made );
      EXPECT_EQ( client.answered( second, to_second.welcome, world.binding ), Outcome::made );
    } else {
      EXPECT_EQ( client.answered( second, to_second.welcome, world.binding ), Outcome::made );
      EXPECT_EQ( client.answered( first, to_first.welcome, world.binding ), Outcome::obsolete );
    }
    EXPECT_EQ( world.server.tunnels(), 1U );
    EXPECT_EQ( world.link( client ), Outcome::resumed );
  }
}

TEST( Admission, AWelcomeThatWasLostLeavesNothingBehind )
{
  World world;
  Claim client = world.client( 1 );
  const Hello lost = client.hello( world.binding );
  static_cast<void>( world.decide( lost ) );
  EXPECT_EQ( world.link( client ), Outcome::made );
  EXPECT_EQ( world.server.tunnels(), 1U );
}

// -- clients that start again, and many of them ------------------------------------------------------------------

TEST( Admission, AClientThatStartedAgainFromNothingEndsItsEarlierTunnel )
{
  World world;
  Claim before = world.client( 1, 1001 );
  ASSERT_EQ( world.link( before ), Outcome::made );
  ASSERT_EQ( world.link( before ), Outcome::resumed );
  Claim after = world.client( 1, 1002 );
  const Hello hello = after.hello( world.binding ); // its attempt is 1 again
  const auto decision = world.decide( hello );
  EXPECT_EQ( decision.welcome.answer, Answer::made );
  EXPECT_TRUE( decision.superseded );
  EXPECT_NE( decision.superseded, decision.welcome.tunnel );
  EXPECT_EQ( after.answered( hello, decision.welcome, world.binding ), Outcome::made );
  EXPECT_EQ( world.server.tunnels(), 1U );
  EXPECT_EQ( world.link( before ), Outcome::gone );
  EXPECT_EQ( world.link( after ), Outcome::resumed );
}

// The process that said it has ended, its link may have, too; sproxy was busy. Found by the simulation.
TEST( Admission, AHelloOfAnEarlierRunDoesNotEndATunnelThatIsInUse )
{
  World world;
  Claim before = world.client( 1, 1001 );
  const Hello late = before.hello( world.binding );
  Claim after = world.client( 1, 1002 );
  ASSERT_EQ( world.link( after ), Outcome::made );
  const Channel channel { .binding = world.binding };
  const auto decision = world.server.decide( late, channel, true, true );
  expect_refusal( Answer::overtaken, decision.welcome, late );
  EXPECT_FALSE( decision.superseded );
  EXPECT_EQ( world.link( after ), Outcome::resumed );

  EXPECT_EQ( world.server.decide( late, channel, true, false ).welcome.answer, Answer::made )
    << "a client whose clock was set back gets in when its earlier tunnel is not heard of any more";
}

TEST( Admission, OtherClientsAreNotConcerned )
{
  World world;
  Claim one = world.client( 1 );
  Claim two = world.client( 2 );
  ASSERT_EQ( world.link( one ), Outcome::made );
  ASSERT_EQ( world.link( two ), Outcome::made );
  EXPECT_EQ( world.server.tunnels(), 2U );
  EXPECT_EQ( world.link( one ), Outcome::resumed );
  EXPECT_EQ( world.link( two ), Outcome::resumed );
}

TEST( Admission, WhoComesWhenAllIsFullIsToldWhenToComeBack )
{
  World world;
  std::vector<Claim> clients;
  for ( unsigned char i = 0; i < 4; ++i ) {
    clients.push_back( world.client( i ) );
  }
  for ( std::size_t i = 0; i < 3; ++i ) {
    ASSERT_EQ( world.link( clients[i] ), Outcome::made );
  }
  const Hello hello = clients[3].hello( world.binding );
  const auto decision = world.decide( hello );
  EXPECT_EQ( decision.welcome.answer, Answer::later );
  EXPECT_EQ( decision.welcome.retry_after, 5s );
  EXPECT_EQ( decision.welcome.tunnel, Id {} );
  EXPECT_EQ( clients[3].answered( hello, decision.welcome, world.binding ), Outcome::later );
  EXPECT_FALSE( clients[3].has_tunnel() );

  EXPECT_EQ( world.link( clients[0] ), Outcome::resumed ) << "whoever is in stays in";
  Claim again = world.client( 1, 99 );
  EXPECT_EQ( world.link( again ), Outcome::made ) << "and may start again";
  EXPECT_EQ( world.server.tunnels(), 3U );
  Id gone = clients[2].hello( world.binding ).tunnel;
  world.server.forget( gone );
  EXPECT_EQ( world.link( clients[3] ), Outcome::made );
}

// An outage is over, and all come back at once.
TEST( Admission, WhoIsPutOffHasLostNothing )
{
  World world;
  Claim client = world.client( 1 );
  ASSERT_EQ( world.link( client ), Outcome::made );
  const Hello hello = client.hello( world.binding );
  const Channel channel { .binding = world.binding };
  const auto decision = world.server.decide( hello, channel, true, false, 1234us );
  EXPECT_EQ( decision.welcome.answer, Answer::later );
  EXPECT_EQ( decision.welcome.retry_after, 2ms );
  EXPECT_EQ( decision.record, nullptr );
  EXPECT_EQ( client.answered( hello, decision.welcome, world.binding ), Outcome::later );
  EXPECT_EQ( world.link( client ), Outcome::resumed );

  Claim again = world.client( 1, 99'999 ); // started from nothing
  const Hello fresh = again.hello( world.binding );
  const auto put_off = world.server.decide( fresh, channel, true, false, 1s );
  EXPECT_EQ( put_off.welcome.answer, Answer::later );
  EXPECT_FALSE( put_off.superseded );
  EXPECT_EQ( world.server.tunnels(), 1U );
  EXPECT_EQ( world.link( client ), Outcome::resumed );
}

TEST( Admission, WhoProvesNothingIsNotEvenPutOff )
{
  World world;
  Claim client = world.client( 1 );
  ASSERT_EQ( world.link( client ), Outcome::made );
  Hello forged = client.hello( world.binding );
  forged.proof = {};
  forged.proof_before = {};
  const Channel channel { .binding = world.binding };
  expect_gone( world.server.decide( forged, channel, true, false, 1s ).welcome, forged );
}

TEST( Admission, ForgettingIsForThatTunnelOnly )
{
  World world;
  Claim before = world.client( 1, 1 );
  ASSERT_EQ( world.link( before ), Outcome::made );
  const Id old = before.hello( world.binding ).tunnel;
  Claim after = world.client( 1, 2 );
  ASSERT_EQ( world.link( after ), Outcome::made );
  world.server.forget( old ); // it was superseded already, and the shell says so once more
  world.server.forget( old );
  EXPECT_EQ( world.server.tunnels(), 1U );
  EXPECT_EQ( world.link( after ), Outcome::resumed );
  Claim third = world.client( 1, 3 );
  const Hello hello = third.hello( world.binding );
  EXPECT_TRUE( world.decide( hello ).superseded ) << "it still knows whose tunnel that was";
}

TEST( Admission, VersionsThatDoNotMeetAreRefused )
{
  World world;
  Claim client = world.client( 1 );
  Hello newer = client.hello( world.binding );
  newer.version = 9;
  newer.version_lowest = protocol_version + 1;
  const auto decision = world.decide( newer );
  EXPECT_EQ( decision.welcome.answer, Answer::refused );
  EXPECT_EQ( decision.welcome.reason, Refusal::version );
  EXPECT_EQ( client.answered( newer, decision.welcome, world.binding ), Outcome::refused );
  Hello older = newer;
  older.version = 0;
  older.version_lowest = 0;
  EXPECT_EQ( world.decide( older ).welcome.answer, Answer::refused );
  EXPECT_EQ( world.server.tunnels(), 0U );
  Hello both = newer;
  both.version_lowest = protocol_version;
  EXPECT_EQ( world.decide( both ).welcome.answer, Answer::made );
}

// -- whose a tunnel is -------------------------------------------------------------------------------------------

Channel channel_of( unsigned char name, unsigned char binding = 0 )
{
  Channel channel;
  channel.identity.fill( std::byte { name } );
  channel.binding[0] = std::byte { binding };
  return channel;
}

TEST( Admission, ATunnelIsResumedByNobodyElseEvenWithItsSecret )
{
  World world;
  Claim owner = world.client( 1 );
  const Hello first = owner.hello( {} );
  const auto made = world.server.decide( first, channel_of( 7 ), true );
  ASSERT_EQ( owner.answered( first, made.welcome, {} ), Outcome::made );
  const Hello hello = owner.hello( {} ); // the thief has everything but the owner's key
  for ( const Channel& channel : { channel_of( 8 ), Channel {} } ) {
    for ( const bool place_allowed : { true, false } ) {
      expect_gone( world.server.decide( hello, channel, place_allowed ).welcome, hello );
    }
  }
  const auto resumed = world.server.decide( hello, channel_of( 7 ), true );
  EXPECT_EQ( resumed.welcome.answer, Answer::resumed ) << "it had no effect";
  EXPECT_EQ( owner.answered( hello, resumed.welcome, {} ), Outcome::resumed );
}

TEST( Admission, ANewTunnelEndsNobodyElsesAlsoWithTheSameInstance )
{
  World world;
  Claim owner = world.client( 1, 1 );
  const Hello first = owner.hello( {} );
  ASSERT_EQ( owner.answered( first, world.server.decide( first, channel_of( 7 ), true ).welcome, {} ),
             Outcome::made );
  Claim copied = world.client( 1, 2 );
  const Hello copy = copied.hello( {} );
  const auto other = world.server.decide( copy, channel_of( 8 ), true );
  EXPECT_EQ( other.welcome.answer, Answer::made );
  EXPECT_FALSE( other.superseded );
  EXPECT_EQ( world.server.tunnels(), 2U );
  const Hello again = owner.hello( {} );
  EXPECT_EQ( world.server.decide( again, channel_of( 7 ), true ).welcome.answer, Answer::resumed );

  // Each still supersedes its own, and after a crash as well: both are found again.
  const Survey found = survey( Side::acceptor, world.records, {}, {} );
  EXPECT_EQ( found.tunnels.size(), 2U );
  EXPECT_EQ( found.broken, 0U );
  Admission recovered { world.crypto, { .beat = 100ms }, world.slots };
  Claim anew = world.client( 1, 3 );
  EXPECT_EQ( recovered.decide( anew.hello( {} ), channel_of( 8 ), true ).superseded, other.welcome.tunnel );
  EXPECT_EQ( recovered.tunnels(), 2U );
}

TEST( Admission, WhereATunnelMayNotBeResumedItIsToldToItsOwnerOnly )
{
  World world;
  Claim client = world.client( 1 );
  const Hello first = client.hello( {} );
  const auto made = world.server.decide( first, {}, false );
  ASSERT_EQ( client.answered( first, made.welcome, {} ), Outcome::made ) << "a new tunnel has no place yet";
  const Hello hello = client.hello( {} );
  const TunnelRecord before = *made.record;
  const auto refused = world.server.decide( hello, {}, false );
  EXPECT_EQ( refused.welcome.answer, Answer::refused );
  EXPECT_EQ( refused.welcome.reason, Refusal::place );
  EXPECT_EQ( refused.welcome.proof, Digest {} );
  EXPECT_EQ( refused.record, nullptr );
  EXPECT_EQ( made.record->attempt, before.attempt );
  EXPECT_EQ( made.record->secrets.latest, before.secrets.latest );
  EXPECT_EQ( client.answered( hello, refused.welcome, {} ), Outcome::refused );
  EXPECT_TRUE( client.has_tunnel() );
  Hello forged = hello;
  forged.proof[0] ^= std::byte { 1 };
  expect_gone( world.server.decide( forged, {}, false ).welcome, forged );
  EXPECT_EQ( world.decide( hello ).welcome.answer, Answer::resumed ) << "the same attempt, from where it may";
}

// --no-bulk-link of sproxy was once obeyed by honest clients only.
TEST( Admission, WhoHasNoBulkLinksTakesNone )
{
  for ( const bool has_them : { false, true } ) {
    World world;
    Admission server { world.crypto,
                       { .beat = 100ms, .capabilities = has_them ? bulk_link_capability : 0 },
                       world.slots };
    Claim client = world.client( 1 );
    const Hello first = client.hello( {} );
    ASSERT_EQ( client.answered( first, server.decide( first, {}, true ).welcome, {} ), Outcome::made );
    const Hello hello = client.join( {} );
    const auto decision = server.decide( hello, {}, true );
    EXPECT_EQ( decision.welcome.answer, has_them ? Answer::joined : Answer::refused );
    EXPECT_EQ( decision.record != nullptr, has_them );
    EXPECT_EQ( client.answered( hello, decision.welcome, {} ), has_them ? Outcome::joined : Outcome::refused );
  }
}

TEST( Admission, AClientHasOnlySoManyTunnels )
{
  TestCrypto crypto;
  std::array<TunnelRecord, 16> records {};
  Slots<TunnelRecord> slots { records };
  Admission server { crypto, { .beat = 100ms, .tunnels_per_client = 2 }, slots };
  const auto ask = [&]( unsigned char instance, std::uint64_t run, const Channel& channel ) {
    Hello hello;
    hello.instance[0] = std::byte { instance };
    hello.run = run;
    hello.attempt = 1;
    return server.decide( hello, channel, true );
  };
  // Identities before and after it in any order are not counted.
  for ( const auto other : std::to_array<unsigned char>( { 6, 8 } ) ) {
    ASSERT_EQ( ask( 1, 1, channel_of( other ) ).welcome.answer, Answer::made );
  }
  const auto first = ask( 1, 1, channel_of( 7 ) );
  ASSERT_EQ( first.welcome.answer, Answer::made );
  ASSERT_EQ( ask( 2, 1, channel_of( 7 ) ).welcome.answer, Answer::made );
  const auto third = ask( 3, 1, channel_of( 7 ) );
  EXPECT_EQ( third.welcome.answer, Answer::refused );
  EXPECT_EQ( third.welcome.reason, Refusal::tunnels );
  EXPECT_FALSE( third.superseded );
  EXPECT_EQ( third.record, nullptr );
  EXPECT_EQ( server.tunnels(), 4U );
  EXPECT_EQ( ask( 2, 2, channel_of( 7 ) ).welcome.answer, Answer::made ) << "in place of its own";
  EXPECT_EQ( ask( 3, 1, channel_of( 8 ) ).welcome.answer, Answer::made ) << "another client is not concerned";
  server.forget( first.welcome.tunnel );
  EXPECT_EQ( ask( 3, 1, channel_of( 7 ) ).welcome.answer, Answer::made );
  for ( unsigned char instance = 1; instance <= 4; ++instance ) { // nobody can be told from another
    EXPECT_EQ( ask( instance, 1, {} ).welcome.answer, Answer::made );
  }
}

// -- what a client believes --------------------------------------------------------------------------------------

TEST( Claim, BelievesNoWelcomeWithoutProof )
{
  World world;
  Claim client = world.client( 1 );
  ASSERT_EQ( world.link( client ), Outcome::made );
  const Hello hello = client.hello( world.binding );
  const Welcome good = world.decide( hello ).welcome;
  Welcome forged = good;
  forged.proof[0] ^= std::byte { 1 };
  EXPECT_EQ( client.answered( hello, forged, world.binding ), Outcome::false_proof );
  Welcome echo = good;
  echo.proof = hello.proof;
  EXPECT_EQ( client.answered( hello, echo, world.binding ), Outcome::false_proof );
  Digest binding {};
  binding[31] = std::byte { 1 };
  EXPECT_EQ( client.answered( hello, good, binding ), Outcome::false_proof );
  Welcome other_attempt = good;
  ++other_attempt.attempt;
  EXPECT_EQ( client.answered( hello, other_attempt, world.binding ), Outcome::false_proof );
  EXPECT_TRUE( client.has_tunnel() );
  EXPECT_EQ( client.answered( hello, good, world.binding ), Outcome::resumed );
}

TEST( Claim, AnAnswerMustFitTheQuestion )
{
  World world;
  Claim client = world.client( 1 );
  const Hello first = client.hello( world.binding );
  Welcome resumed;
  resumed.answer = Answer::resumed;
  resumed.attempt = first.attempt;
  EXPECT_EQ( client.answered( first, resumed, world.binding ), Outcome::obsolete );
  Welcome made = world.decide( first ).welcome;
  ++made.attempt;
  EXPECT_EQ( client.answered( first, made, world.binding ), Outcome::false_proof );
  EXPECT_FALSE( client.has_tunnel() );
  --made.attempt;
  EXPECT_EQ( client.answered( first, made, world.binding ), Outcome::made );
  const Hello second = client.hello( world.binding );
  made.attempt = second.attempt;
  EXPECT_EQ( client.answered( second, made, world.binding ), Outcome::false_proof ) << "it asked for the old one";
  EXPECT_EQ( world.link( client ), Outcome::resumed );
}

TEST( Claim, SpeaksOnlyTheVersionsItOffered )
{
  World world;
  Claim client = world.client( 1 );
  for ( const std::uint8_t version : std::initializer_list<std::uint8_t> { 0, 2, 255 } ) {
    const Hello hello = client.hello( world.binding );
    Welcome welcome = world.decide( hello ).welcome;
    welcome.version = version;
    EXPECT_EQ( client.answered( hello, welcome, world.binding ), Outcome::refused );
    EXPECT_FALSE( client.has_tunnel() );
  }
  ASSERT_EQ( world.link( client ), Outcome::made );
  const Hello hello = client.hello( world.binding );
  Welcome welcome = world.decide( hello ).welcome;
  welcome.version = 2;
  EXPECT_EQ( client.answered( hello, welcome, world.binding ), Outcome::refused );
  EXPECT_EQ( world.link( client ), Outcome::resumed );
}

TEST( Claim, LaterAndRefusedChangeNothing )
{
  World world;
  Claim client = world.client( 1 );
  ASSERT_EQ( world.link( client ), Outcome::made );
  const Hello hello = client.hello( world.binding );
  Welcome welcome;
  welcome.answer = Answer::later;
  EXPECT_EQ( client.answered( hello, welcome, world.binding ), Outcome::later );
  welcome.answer = Answer::refused;
  EXPECT_EQ( client.answered( hello, welcome, world.binding ), Outcome::refused );
  EXPECT_EQ( world.link( client ), Outcome::resumed );
}

TEST( Claim, ATunnelThatIsOverIsNotClaimedAgain )
{
  World world;
  Claim client = world.client( 1 );
  ASSERT_EQ( world.link( client ), Outcome::made );
  const Hello resume = client.hello( world.binding );
  client.forget();
  EXPECT_EQ( client.answered( resume, world.decide( resume ).welcome, world.binding ), Outcome::obsolete );
  EXPECT_EQ( client.hello( world.binding ).purpose, Purpose::new_tunnel );
}

TEST( Admission, TheHelloThatMadeATunnelEndsNothingWhenItComesAgain )
{
  World world;
  Claim client = world.client( 1 );
  const Hello hello = client.hello( world.binding );
  const auto made = world.decide( hello );
  ASSERT_EQ( client.answered( hello, made.welcome, world.binding ), Outcome::made );
  const auto again = world.decide( hello );
  expect_refusal( Answer::overtaken, again.welcome, hello );
  EXPECT_FALSE( again.superseded );
  EXPECT_EQ( again.record, nullptr );
  EXPECT_EQ( world.link( client ), Outcome::resumed );
}

TEST( Admission, WhatWasForgottenStaysForgottenWhenWeDieThen )
{
  World world;
  Claim first = world.client( 1 );
  ASSERT_EQ( world.link( first ), Outcome::made );
  Claim before = world.client( 2, 1 );
  ASSERT_EQ( world.link( before ), Outcome::made );
  Claim after = world.client( 2, 2 ); // ends the tunnel of before
  ASSERT_EQ( world.link( after ), Outcome::made );
  world.server.forget( first.hello( world.binding ).tunnel );
  // Nobody had time to give a slot back: three are taken, and one tunnel is there.
  EXPECT_EQ( world.slots.used(), 3U );
  const Survey found = survey( Side::acceptor, world.records, {}, {} );
  ASSERT_EQ( found.tunnels.size(), 1U );
  EXPECT_EQ( found.tunnels.front()->id, after.hello( world.binding ).tunnel );
  EXPECT_EQ( found.broken, 0U );
}

TEST( Claim, WhatIsSaidOfAnEarlierTunnelIsNoNewsOfThisOne )
{
  World world;
  Claim client = world.client( 1 );
  ASSERT_EQ( world.link( client ), Outcome::made );
  const Hello slow = client.hello( world.binding ); // on a link where the answer takes long
  world.forget( slow.tunnel );
  const Welcome gone = world.decide( slow ).welcome;
  expect_gone( gone, slow );
  ASSERT_EQ( world.link( client ), Outcome::gone );
  ASSERT_EQ( world.link( client ), Outcome::made );
  EXPECT_EQ( client.answered( slow, gone, world.binding ), Outcome::obsolete );
  EXPECT_EQ( world.link( client ), Outcome::resumed );
}

TEST( Admission, WithoutASlotItIsLaterForAClientThatStartsAgain )
{
  // The tunnel it had is forgotten, and will be out of its slot when it asks again.
  TestCrypto crypto;
  std::array<TunnelRecord, 1> records {};
  Slots<TunnelRecord> slots { records };
  Admission server { crypto, { .beat = 100ms, .retry_after = 3s }, slots };
  Hello hello;
  hello.attempt = 1;
  const auto first = server.decide( hello, {}, true );
  ASSERT_EQ( first.welcome.answer, Answer::made );
  ++hello.run;
  const auto second = server.decide( hello, {}, true );
  EXPECT_EQ( second.welcome.answer, Answer::later );
  EXPECT_EQ( second.welcome.retry_after, 3s );
  EXPECT_EQ( second.superseded, first.welcome.tunnel );
  slots.give( first.record );
  EXPECT_EQ( server.decide( hello, {}, true ).welcome.answer, Answer::made );
}

TEST( Admission, FindsTheTunnelOfAClient )
{
  World world;
  const Digest alice { std::byte { 1 } };
  const Digest bob { std::byte { 2 } };
  const Hello hello = world.client( 1 ).hello( world.binding );
  const auto tunnel = world.server.decide( hello, { .identity = alice }, true ).welcome.tunnel;
  EXPECT_EQ( world.server.tunnel_of( alice, hello.instance ), tunnel );
  EXPECT_EQ( world.server.tunnel_of( bob, hello.instance ), std::nullopt ); // an instance says nothing by itself
  EXPECT_EQ( world.server.tunnel_of( alice, Id {} ), std::nullopt );
  world.forget( tunnel );
  EXPECT_EQ( world.server.tunnel_of( alice, hello.instance ), std::nullopt );
}

TEST( Claim, AnAnswerAboutAnEarlierTunnelIsObsolete )
{
  World world;
  Claim client = world.client( 1 );
  ASSERT_EQ( world.link( client ), Outcome::made );
  const Hello early = client.hello( world.binding );
  client.forget();
  ASSERT_EQ( world.link( client ), Outcome::made );
  for ( const Answer answer : { Answer::resumed, Answer::gone } ) {
    Welcome welcome;
    welcome.answer = answer;
    welcome.attempt = early.attempt;
    EXPECT_EQ( client.answered( early, welcome, world.binding ), Outcome::obsolete );
  }
  EXPECT_TRUE( client.has_tunnel() );
}

} // namespace
} // namespace holdfast
