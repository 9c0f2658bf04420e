#include "core/secrets.hh"

#include "core/admission.hh"
#include "core/claim.hh"
#include "unit/core/crypto.hh"
#include "unit/core/support.hh"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <deque>
#include <vector>

// The secret of a tunnel is replaced with each link that resumes it, and the two sides never lose each other over
// it.

namespace holdfast {
namespace {

using namespace test;
using namespace std::chrono_literals;
using Outcome = Claim::Outcome;

class CountingCrypto : public TestCrypto
{
public:
  [[nodiscard]] Digest mac( std::span<const std::byte> key, std::span<const std::byte> message ) const override
  {
    ++macs;
    return TestCrypto::mac( key, message );
  }
  mutable int macs = 0;
};

// A tunnel between a client and a server, with links that are what the test makes of them.
struct Pair
{
  struct Link
  {
    Channel channel;
    Hello hello;
    Welcome welcome {};
  };

  Pair()
  {
    Link link = say();
    EXPECT_EQ( answer( link ), Answer::made );
    EXPECT_EQ( hear( link ), Outcome::made );
  }

  // The client dials and says hello.
  Link say()
  {
    Channel channel;
    channel.identity.fill( std::byte { 7 } );
    channel.binding.fill( std::byte { ++links } );
    return { .channel = channel, .hello = claim.hello( channel.binding ) };
  }
  // The hello arrives, and is answered.
  Answer answer( Link& link )
  {
    auto decision = server.decide( link.hello, link.channel, true );
    link.welcome = decision.welcome;
    if ( decision.record != nullptr ) {
      record = decision.record;
    }
    return link.welcome.answer;
  }
  // The welcome arrives.
  Outcome hear( const Link& link ) { return claim.answered( link.hello, link.welcome, link.channel.binding ); }
  // All of it, and the first frame after the welcome as well.
  void resume()
  {
    Link link = say();
    ASSERT_EQ( answer( link ), Answer::resumed );
    ASSERT_EQ( hear( link ), Outcome::resumed );
    Admission::confirm( *record );
  }

  CountingCrypto crypto;
  std::array<TunnelRecord, 2> records {};
  Slots<TunnelRecord> slots { records };
  Admission server { crypto, { .beat = 100ms }, slots };
  TunnelRecord near {};
  Claim claim { crypto, { .run = 1, .beat = 100ms }, near };
  TunnelRecord* record = nullptr;
  unsigned char links = 0;
};

TEST( Secrets, ChangeWithEachLinkThatResumes )
{
  Pair pair;
  std::vector<Digest> seen { pair.near.secrets.latest };
  for ( int i = 0; i < 5; ++i ) {
    pair.resume();
    EXPECT_EQ( pair.near.secrets.latest, pair.record->secrets.latest );
    EXPECT_EQ( std::ranges::count( seen, pair.near.secrets.latest ), 0 );
    seen.push_back( pair.near.secrets.latest );
  }
}

TEST( Secrets, ASecretThatWasStolenIsWorthNothingAfterTheNextMove )
{
  Pair pair;
  pair.resume();
  TunnelRecord stolen = pair.near; // and the client's key, too
  pair.resume();
  Claim thief { pair.crypto, {}, stolen };
  const Digest binding = pair.say().channel.binding;
  Pair::Link link { .channel = pair.say().channel, .hello = thief.hello( binding ) };
  link.channel.binding = binding;
  link.hello.attempt += 100;
  prove( pair.crypto, stolen.secrets, binding, link.hello );
  EXPECT_EQ( pair.answer( link ), Answer::gone );
  pair.resume();
}

TEST( Secrets, AClientWhoseSecretWasUsedByAThiefIsTold )
{
  Pair pair;
  TunnelRecord stolen = pair.near;
  Claim thief { pair.crypto, {}, stolen };
  Pair::Link link = pair.say();
  link.hello = thief.hello( link.channel.binding );
  ASSERT_EQ( pair.answer( link ), Answer::resumed );
  ASSERT_EQ( thief.answered( link.hello, link.welcome, link.channel.binding ), Outcome::resumed );
  Admission::confirm( *pair.record );
  Pair::Link owner = pair.say();
  EXPECT_EQ( pair.answer( owner ), Answer::gone );
  EXPECT_EQ( pair.hear( owner ), Outcome::gone );
}

TEST( Secrets, SurviveAnyNumberOfWelcomesThatAreLost )
{
  Pair pair;
  for ( int lost = 0; lost < 10; ++lost ) {
    Pair::Link link = pair.say();
    ASSERT_EQ( pair.answer( link ), Answer::resumed ) << lost;
  }
  pair.resume();
  for ( int lost = 0; lost < 10; ++lost ) {
    Pair::Link link = pair.say();
    ASSERT_EQ( pair.answer( link ), Answer::resumed ) << lost;
  }
  pair.resume();
}

// The server takes 5 and then 6; the client hears the welcome to 5 first, and closes 6.
TEST( Secrets, SurviveThatTheTwoSidesTookDifferentLinks )
{
  for ( const bool sixth_is_heard : { false, true } ) {
    Pair pair;
    pair.resume();
    Pair::Link fifth = pair.say();
    Pair::Link sixth = pair.say();
    ASSERT_EQ( pair.answer( fifth ), Answer::resumed );
    ASSERT_EQ( pair.answer( sixth ), Answer::resumed );
    ASSERT_EQ( pair.hear( fifth ), Outcome::resumed );
    EXPECT_NE( pair.near.secrets.latest, pair.record->secrets.latest );
    if ( sixth_is_heard ) { // it was on its way already
      ASSERT_EQ( pair.hear( sixth ), Outcome::resumed );
      EXPECT_EQ( pair.near.secrets.latest, pair.record->secrets.latest );
    }
    Pair::Link seventh = pair.say();
    ASSERT_EQ( pair.answer( seventh ), Answer::resumed );
    ASSERT_EQ( pair.hear( seventh ), Outcome::resumed );
    EXPECT_EQ( pair.near.secrets.latest, pair.record->secrets.latest );
    pair.resume();
  }
}

// A hello that was said before the secrets changed, and comes when the server has forgotten those.
TEST( Secrets, ThatAreForgottenAreNoReasonToGiveUpTheTunnel )
{
  Pair pair;
  Pair::Link slow = pair.say();
  Pair::Link late = pair.say();
  ASSERT_EQ( pair.answer( slow ), Answer::resumed );
  ASSERT_EQ( pair.hear( slow ), Outcome::resumed );
  Admission::confirm( *pair.record );
  EXPECT_EQ( pair.answer( late ), Answer::gone );
  EXPECT_EQ( pair.hear( late ), Outcome::obsolete );
  EXPECT_TRUE( pair.claim.has_tunnel() );
  pair.resume();
}

TEST( Secrets, ALateWelcomeToAnEarlierAttemptIsObsoleteWhateverItProves )
{
  Pair pair;
  Pair::Link early = pair.say();
  ASSERT_EQ( pair.answer( early ), Answer::resumed );
  pair.resume();
  pair.resume(); // by now nobody remembers what it was proved with
  EXPECT_EQ( pair.hear( early ), Outcome::obsolete );
  pair.resume();
}

TEST( Secrets, AreKeptOneLongerUntilTheClientHasShownThatItWasWelcomed )
{
  Pair pair;
  EXPECT_EQ( pair.record->secrets.has_before, 0 );
  const Digest first = pair.record->secrets.latest;
  Pair::Link link = pair.say();
  ASSERT_EQ( pair.answer( link ), Answer::resumed );
  EXPECT_EQ( pair.record->secrets.has_before, 1 );
  EXPECT_EQ( pair.record->secrets.before, first );
  Admission::confirm( *pair.record );
  EXPECT_EQ( pair.record->secrets.has_before, 0 );
  EXPECT_EQ( pair.record->secrets.before, Digest {} ) << "it is not found in memory either";
}

TEST( Secrets, WhereThereIsNoneNothingIsProvedWithZeros )
{
  Pair pair;
  Pair::Link link = pair.say();
  for ( const bool settled : { false, true } ) {
    link.hello.proof = {};
    link.hello.proof_before = {};
    EXPECT_EQ( pair.answer( link ), Answer::gone );
    const Digest with_zeros = prove_hello( pair.crypto, {}, link.channel.binding, link.hello );
    link.hello.proof = with_zeros;
    EXPECT_EQ( pair.answer( link ), Answer::gone );
    link.hello.proof_before = with_zeros;
    EXPECT_EQ( pair.answer( link ), Answer::gone );
    if ( not settled ) {
      pair.resume();
      link = pair.say();
    }
  }
  // And on the other side.
  Pair young;
  Pair::Link forged = young.say();
  forged.welcome.answer = Answer::resumed;
  forged.welcome.attempt = forged.hello.attempt;
  forged.welcome.proof = prove_welcome( young.crypto, {}, forged.channel.binding, forged.hello, forged.welcome );
  EXPECT_EQ( young.hear( forged ), Outcome::false_proof );
}

// Any proof of the hello may fit any secret of the server; each alone is enough.
TEST( Secrets, EitherProofIsEnough )
{
  for ( const bool only_the_second : { false, true } ) {
    Pair pair;
    pair.resume();
    Pair::Link link = pair.say();
    ( only_the_second ? link.hello.proof : link.hello.proof_before ) = {};
    if ( only_the_second ) {
      link.hello.proof_before
        = prove_hello( pair.crypto, pair.near.secrets.latest, link.channel.binding, link.hello );
    }
    EXPECT_EQ( pair.answer( link ), Answer::resumed );
    EXPECT_EQ( pair.hear( link ), Outcome::resumed );
    pair.resume();
  }
}

TEST( Secrets, ARefusalIsTheSameWorkWhateverWasWrong )
{
  Pair pair;
  const auto cost = [&]( const Hello& hello, const Channel& channel ) {
    pair.crypto.macs = 0;
    EXPECT_EQ( pair.server.decide( hello, channel, true ).welcome.answer, Answer::gone );
    return pair.crypto.macs;
  };
  const Pair::Link good = pair.say();
  Pair::Link wrong = good;
  wrong.hello.proof[0] ^= std::byte { 1 };
  const int expected = cost( wrong.hello, wrong.channel );
  EXPECT_GT( expected, 0 );
  Pair::Link unknown = good;
  unknown.hello.tunnel[0] ^= std::byte { 1 };
  EXPECT_EQ( cost( unknown.hello, unknown.channel ), expected );
  Pair::Link other = good;
  other.channel.identity.fill( std::byte { 8 } );
  EXPECT_EQ( cost( other.hello, other.channel ), expected );
  Pair::Link lost = pair.say();
  ASSERT_EQ( pair.answer( lost ), Answer::resumed ); // now it has two
  EXPECT_EQ( cost( wrong.hello, wrong.channel ), expected );
  pair.server.forget( good.hello.tunnel );
  EXPECT_EQ( cost( good.hello, good.channel ), expected );
}

TEST( Secrets, OfATunnelThatIsOverAreNotFoundInMemory )
{
  const auto is_clean = []( const SecretsRecord& secrets ) {
    return secrets.latest == Digest {} and secrets.before == Digest {} and secrets.has_before == 0;
  };
  {
    Pair pair;
    pair.resume();
    Pair::Link link = pair.say();
    ASSERT_EQ( pair.answer( link ), Answer::resumed );
    pair.server.forget( pair.near.id );
    EXPECT_TRUE( is_clean( pair.record->secrets ) );
    pair.claim.forget();
    EXPECT_TRUE( is_clean( pair.near.secrets ) );
  }
  Pair pair;
  pair.resume();
  pair.slots.give( pair.record );
  EXPECT_TRUE( is_clean( pair.record->secrets ) );
}

// What a process leaves that dies while it replaces its secrets: `before` half written, then said to be there, then
// `latest` half written. The other side is one whose latest welcome was lost, or not.
TEST( Secrets, HalfWrittenAreAsGoodAsWhole )
{
  const auto half = []( const Digest& from, const Digest& to, std::size_t bytes ) {
    Digest out = from;
    std::copy_n( to.begin(), bytes, out.begin() );
    return out;
  };
  for ( const bool server_dies : { true, false } ) {
    for ( std::size_t bytes = 0; bytes <= sizeof( Digest ); bytes += 8 ) {
      for ( const int stage : { 0, 1 } ) {
        Pair pair;
        pair.resume();
        SecretsRecord& dying = server_dies ? pair.record->secrets : pair.near.secrets;
        Pair::Link link = pair.say();
        SecretsRecord from = dying;
        ASSERT_EQ( pair.answer( link ), Answer::resumed );
        if ( not server_dies ) {
          from = dying;
          ASSERT_EQ( pair.hear( link ), Outcome::resumed );
        }
        const SecretsRecord to = dying;
        dying.before = stage == 0 ? half( from.before, to.before, bytes ) : to.before;
        dying.has_before = stage == 0 ? from.has_before : to.has_before;
        dying.latest = stage == 0 ? from.latest : half( from.latest, to.latest, bytes );
        Pair::Link next = pair.say();
        ASSERT_EQ( pair.answer( next ), Answer::resumed ) << server_dies << stage << bytes;
        ASSERT_EQ( pair.hear( next ), Outcome::resumed );
        pair.resume();
      }
    }
  }
}

// Hellos and welcomes on many links at once, in any order, many lost; frames that confirm; processes that die
// between two calls. Whatever is done, what the client says now is always known to the server.
TEST( Secrets, AreNeverLostWhateverArrivesWhenAndWhatNot )
{
  Chance chance { 20261122 };
  for ( int world = 0; world < 3000; ++world ) {
    Pair pair;
    std::deque<Pair::Link> said;
    std::deque<Pair::Link> answered;
    std::uint64_t server_carries = pair.record->attempt;
    for ( int step = 0; step < 40; ++step ) {
      if ( pair.links < 250 and chance.once_in( 3 ) ) {
        said.push_back( pair.say() );
      }
      if ( not said.empty() and chance.once_in( 2 ) ) {
        const auto at = said.begin() + static_cast<std::ptrdiff_t>( chance.below( said.size() ) );
        Pair::Link link = *at;
        said.erase( at );
        if ( pair.answer( link ) == Answer::resumed ) {
          server_carries = link.hello.attempt;
        }
        if ( not chance.once_in( 3 ) ) {
          answered.push_back( link );
        }
      }
      if ( not answered.empty() and chance.once_in( 3 ) ) {
        const auto at = answered.begin() + static_cast<std::ptrdiff_t>( chance.below( answered.size() ) );
        const Outcome outcome = pair.hear( *at );
        answered.erase( at );
        ASSERT_TRUE( outcome == Outcome::resumed or outcome == Outcome::obsolete ) << world;
      }
      if ( pair.near.attempt == server_carries and chance.once_in( 3 ) ) {
        Admission::confirm( *pair.record ); // the client speaks on the link that both have taken
      }
    }
    pair.resume();
    ASSERT_EQ( pair.near.secrets.latest, pair.record->secrets.latest );
  }
}

} // namespace
} // namespace holdfast
