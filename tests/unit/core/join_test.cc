#include "core/admission.hh"
#include "core/claim.hh"
#include "unit/core/crypto.hh"
#include "unit/core/support.hh"

#include <gtest/gtest.h>

#include <array>
#include <cstring>

// How a bulk link joins a tunnel: a client's Claim and a server's Admission, talking to each other.

namespace holdfast {
namespace {

using namespace test;
using namespace std::chrono_literals;
using Outcome = Claim::Outcome;

// A client with a tunnel, and what a link of it is bound to.
struct World
{
  TestCrypto crypto;
  Channel channel { .binding = { std::byte { 9 } }, .identity = { std::byte { 1 } } };
  std::array<TunnelRecord, 4> records {};
  Slots<TunnelRecord> slots { records };
  Admission server { crypto,
                     { .beat = 100ms, .window = 65536, .retry_after = 5s, .capabilities = bulk_link_capability },
                     slots };
  TunnelRecord record {};
  Claim client { crypto,
                 { .run = 1, .beat = 100ms, .window = 4242, .capabilities = bulk_link_capability },
                 record };

  World() { EXPECT_EQ( link(), Outcome::made ); }
  Hello join() { return client.join( channel.binding ); }
  Hello resume() { return client.hello( channel.binding ); }
  Welcome decide( const Hello& hello ) { return server.decide( hello, channel, true ).welcome; }
  Outcome answered( const Hello& hello, const Welcome& welcome )
  {
    return client.answered( hello, welcome, channel.binding );
  }
  // A link that is answered at once.
  Outcome link()
  {
    const Hello hello = resume();
    return answered( hello, decide( hello ) );
  }
};

bool same_bytes( const TunnelRecord& a, const TunnelRecord& b )
{
  return std::memcmp( &a, &b, sizeof a ) == 0;
}

// Nothing in a refusal tells more than its answer.
void expect_refusal( Answer answer, const Welcome& welcome, Refusal reason = Refusal::none )
{
  EXPECT_EQ( welcome.answer, answer );
  EXPECT_EQ( welcome.reason, reason );
  EXPECT_EQ( welcome.tunnel, Id {} );
  EXPECT_EQ( welcome.proof, Digest {} );
}

TEST( Join, ChangesNothingAboutTheTunnel )
{
  World world;
  ASSERT_EQ( world.link(), Outcome::resumed );
  const TunnelRecord near = world.record;
  const TunnelRecord far = world.records[0];
  for ( int i = 0; i < 3; ++i ) { // as often as one likes
    const Hello hello = world.join();
    EXPECT_EQ( hello.purpose, Purpose::join );
    EXPECT_EQ( hello.tunnel, world.record.id );
    EXPECT_EQ( hello.attempt, world.record.attempt );
    const auto decision = world.server.decide( hello, world.channel, true );
    EXPECT_EQ( decision.welcome.answer, Answer::joined );
    EXPECT_EQ( decision.welcome.tunnel, hello.tunnel );
    EXPECT_EQ( decision.record, world.records.data() );
    EXPECT_FALSE( decision.superseded );
    EXPECT_EQ( world.answered( hello, decision.welcome ), Outcome::joined );
  }
  EXPECT_TRUE( same_bytes( near, world.record ) ) << "no secret and no attempt";
  EXPECT_TRUE( same_bytes( far, world.records[0] ) );
  EXPECT_EQ( world.link(), Outcome::resumed );
}

TEST( Join, IsForTheLinkThatThereIs )
{
  World world;
  Hello earlier = world.join();
  ASSERT_EQ( world.link(), Outcome::resumed );
  expect_refusal( Answer::overtaken, world.decide( earlier ) );
  Hello later = world.join();
  ++later.attempt;
  prove( world.crypto, world.record.secrets, world.channel.binding, later );
  expect_refusal( Answer::overtaken, world.decide( later ) );
}

// The welcome to a resume is on its way: sproxy has changed its secrets, and the client has not.
TEST( Join, MayBeSaidWhileTheTunnelMoves )
{
  World world;
  const Hello resume = world.resume();
  const Welcome welcome = world.decide( resume );
  expect_refusal( Answer::overtaken, world.decide( world.join() ) );
  EXPECT_EQ( world.answered( resume, welcome ), Outcome::resumed );
  const Hello join = world.join();
  EXPECT_EQ( world.answered( join, world.decide( join ) ), Outcome::joined );
}

TEST( Join, AWelcomeForALinkThatWasReplacedIsObsolete )
{
  World world;
  const Hello hello = world.join();
  const Welcome welcome = world.decide( hello );
  ASSERT_EQ( welcome.answer, Answer::joined );
  ASSERT_EQ( world.link(), Outcome::resumed );
  EXPECT_EQ( world.answered( hello, welcome ), Outcome::obsolete );
  const Hello another = world.join();
  const Welcome to_another = world.decide( another );
  world.client.forget();
  EXPECT_EQ( world.answered( another, to_another ), Outcome::obsolete );
}

TEST( Join, ATunnelThatIsUnknownOrNotProvedIsGone )
{
  World world;
  const Hello good = world.join();
  Hello forged = good;
  forged.proof[7] ^= std::byte { 1 };
  expect_refusal( Answer::gone, world.decide( forged ) );
  Hello unknown = good;
  unknown.tunnel[0] ^= std::byte { 1 };
  expect_refusal( Answer::gone, world.decide( unknown ) );
  unknown.proof = prove_hello( world.crypto, {}, world.channel.binding, unknown ); // with a key of zeros
  expect_refusal( Answer::gone, world.decide( unknown ) );
  Channel elsewhere = world.channel; // it was read on another link
  elsewhere.binding[3] ^= std::byte { 1 };
  expect_refusal( Answer::gone, world.server.decide( good, elsewhere, true ).welcome );
  Channel somebody = world.channel;
  somebody.identity[3] ^= std::byte { 1 };
  expect_refusal( Answer::gone, world.server.decide( good, somebody, true ).welcome );
  EXPECT_EQ( world.decide( good ).answer, Answer::joined ) << "none of it had any effect";
  world.server.forget( good.tunnel );
  expect_refusal( Answer::gone, world.decide( good ) );
}

TEST( Join, AProofOfOnePurposeIsNoneOfTheOther )
{
  World world;
  Hello join = world.join();
  join.purpose = Purpose::resume;
  expect_refusal( Answer::gone, world.decide( join ) );
  Hello resume = world.resume();
  resume.purpose = Purpose::join;
  expect_refusal( Answer::gone, world.decide( resume ) );
  EXPECT_EQ( world.link(), Outcome::resumed );
}

TEST( Join, APlaceThatIsNotAllowedIsRefused )
{
  World world;
  const auto from = [&]( const Hello& hello ) { return world.server.decide( hello, world.channel, false ); };
  const auto decision = from( world.join() );
  expect_refusal( Answer::refused, decision.welcome, Refusal::place );
  EXPECT_EQ( decision.record, nullptr );
  Hello forged = world.join();
  forged.proof[0] ^= std::byte { 1 };
  expect_refusal( Answer::gone, from( forged ).welcome ); // strangers are not told
}

TEST( Join, IsOfferedAndTakenUp )
{
  for ( const std::uint32_t ours : { 0U, bulk_link_capability } ) {
    for ( const std::uint32_t theirs : { 0U, bulk_link_capability, 0xffffffffU } ) {
      World world;
      Admission server { world.crypto, { .beat = 100ms, .capabilities = ours }, world.slots };
      Hello hello = world.resume();
      hello.capabilities = theirs;
      EXPECT_EQ( server.decide( hello, world.channel, true ).welcome.capabilities, ours & theirs );
    }
  }
  World world;
  EXPECT_EQ( world.resume().capabilities, bulk_link_capability );
  EXPECT_EQ( world.join().capabilities, bulk_link_capability );
}

// -- what the client believes ------------------------------------------------------------------------------------

TEST( Join, AFalseWelcomeIsFoundOut )
{
  World world;
  const Hello hello = world.join();
  const Welcome good = world.decide( hello );
  const auto with = [&]( auto change ) {
    Welcome welcome = good;
    change( welcome );
    return world.answered( hello, welcome );
  };
  EXPECT_EQ( with( []( Welcome& w ) { w.proof[5] ^= std::byte { 1 }; } ), Outcome::false_proof );
  EXPECT_EQ( with( []( Welcome& w ) { w.nonce[5] ^= std::byte { 1 }; } ), Outcome::false_proof );
  EXPECT_EQ( with( []( Welcome& w ) { ++w.attempt; } ), Outcome::false_proof );
  EXPECT_EQ( with( []( Welcome& w ) { ++w.version; } ), Outcome::refused );
  EXPECT_EQ( with( []( Welcome& ) {} ), Outcome::joined );
}

TEST( Join, NobodyIsJoinedWhoDidNotAsk )
{
  World world;
  const Hello join = world.join();
  const Welcome joined = world.decide( join );
  const Hello resume = world.resume();
  const TunnelRecord before = world.record;
  EXPECT_EQ( world.answered( resume, joined ), Outcome::false_proof );
  Welcome proved = world.decide( resume );
  proved.answer = Answer::joined;
  EXPECT_EQ( world.answered( resume, proved ), Outcome::false_proof );
  EXPECT_TRUE( same_bytes( before, world.record ) );
}

TEST( Join, OtherAnswersSayNothingAboutTheTunnel )
{
  World world;
  const TunnelRecord before = world.record;
  const Hello hello = world.join();
  const Welcome joined = world.decide( hello );
  for ( const Answer answer :
        { Answer::made, Answer::resumed, Answer::gone, Answer::later, Answer::refused, Answer::overtaken } ) {
    Welcome welcome = joined;
    welcome.answer = answer;
    EXPECT_EQ( world.answered( hello, welcome ), Outcome::refused ) << static_cast<int>( answer );
    EXPECT_TRUE( same_bytes( before, world.record ) ) << static_cast<int>( answer );
  }
  EXPECT_EQ( world.link(), Outcome::resumed );
}

} // namespace
} // namespace holdfast
