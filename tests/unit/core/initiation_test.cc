#include "core/initiation.hh"

#include "core/frame.hh"
#include "unit/core/crypto.hh"
#include "unit/core/support.hh"

#include <gtest/gtest.h>

namespace holdfast {
namespace {

using namespace test;
using namespace std::chrono_literals;

template<class T>
T filled( unsigned char with )
{
  T out;
  out.fill( std::byte { with } );
  return out;
}

Hello some_hello()
{
  return { .version = 3,
           .version_lowest = 1,
           .purpose = Purpose::resume,
           .capabilities = 0x89abcdef,
           .beat = 12345678us,
           .window = 0xfedcba98,
           .instance = filled<Id>( 0xc1 ),
           .run = 0x0123456789abcdef,
           .tunnel = filled<Id>( 0xa2 ),
           .attempt = 0xfedcba9876543210,
           .nonce = filled<Digest>( 0x11 ),
           .proof = filled<Digest>( 0x22 ),
           .proof_before = filled<Digest>( 0x25 ) };
}

Welcome some_welcome()
{
  return { .version = 1,
           .answer = Answer::later,
           .reason = Refusal::place,
           .capabilities = 0x01020304,
           .beat = 1h,
           .window = 0xfedcba98,
           .retry_after = 7s,
           .tunnel = filled<Id>( 0xa2 ),
           .attempt = 77,
           .nonce = filled<Digest>( 0x33 ),
           .proof = filled<Digest>( 0x44 ) };
}

template<class T>
std::optional<Fault> fault_in( const std::variant<T, Fault>& result )
{
  const auto* fault = std::get_if<Fault>( &result );
  return fault == nullptr ? std::nullopt : std::optional { *fault };
}

TEST( Initiation, GreetingsComeBackAsTheyWereSent )
{
  EXPECT_EQ( std::get<Hello>( decode_hello( encode( some_hello() ) ) ), some_hello() );
  EXPECT_EQ( std::get<Welcome>( decode_welcome( encode( some_welcome() ) ) ), some_welcome() );
  EXPECT_EQ( encode( some_hello() ).size(), Hello::size );
  EXPECT_EQ( encode( some_welcome() ).size(), Welcome::size );
  EXPECT_LE( Hello::size, FrameHeader::greeting_payload_max );
}

TEST( Initiation, EveryPurposeAndEveryAnswerComesBack )
{
  for ( const Purpose purpose : { Purpose::new_tunnel, Purpose::resume, Purpose::join } ) {
    Hello hello = some_hello();
    hello.purpose = purpose;
    EXPECT_EQ( std::get<Hello>( decode_hello( encode( hello ) ) ), hello );
  }
  for ( unsigned answer = 1; answer <= 7; ++answer ) {
    Welcome welcome = some_welcome();
    welcome.answer = static_cast<Answer>( answer );
    welcome.reason = Refusal::none;
    EXPECT_EQ( std::get<Welcome>( decode_welcome( encode( welcome ) ) ).answer, welcome.answer );
  }
  EXPECT_EQ( std::to_integer<int>( encode( Hello { .purpose = Purpose::join } )[5 + 1] ), 3 );
  EXPECT_EQ( std::to_integer<int>( encode( Welcome { .answer = Answer::joined } )[5] ), 7 );
}

TEST( Initiation, AProofToJoinIsNoneToResume )
{
  const TestCrypto crypto;
  Hello hello = some_hello();
  hello.purpose = Purpose::resume;
  const Digest resumes = prove_hello( crypto, {}, {}, hello );
  hello.purpose = Purpose::join;
  EXPECT_FALSE( same( resumes, prove_hello( crypto, {}, {}, hello ) ) );
}

TEST( Initiation, GreetingsMayBecomeLongerButNotShorter )
{
  auto hello = encode( some_hello() );
  hello.resize( hello.size() + 17, std::byte { 0xee } );
  EXPECT_EQ( std::get<Hello>( decode_hello( hello ) ), some_hello() );
  auto welcome = encode( some_welcome() );
  welcome.resize( welcome.size() + 17, std::byte { 0xee } );
  EXPECT_EQ( std::get<Welcome>( decode_welcome( welcome ) ), some_welcome() );
  for ( std::size_t size = 0; size < Hello::size; ++size ) {
    EXPECT_EQ( fault_in( decode_hello( std::span { hello }.first( size ) ) ), Fault::bad_length );
  }
  for ( std::size_t size = 0; size < Welcome::size; ++size ) {
    EXPECT_EQ( fault_in( decode_welcome( std::span { welcome }.first( size ) ) ), Fault::bad_length );
  }
}

TEST( Initiation, AnotherMagicIsAnotherProtocol )
{
  for ( std::size_t i = 0; i < 4; ++i ) {
    auto hello = encode( some_hello() );
    hello[i] ^= std::byte { 1 };
    EXPECT_EQ( fault_in( decode_hello( hello ) ), Fault::not_holdfast );
    auto welcome = encode( some_welcome() );
    welcome[i] ^= std::byte { 1 };
    EXPECT_EQ( fault_in( decode_welcome( welcome ) ), Fault::not_holdfast );
  }
}

TEST( Initiation, FieldsOutOfRangeAreRefused )
{
  for ( const unsigned purpose : { 0U, 4U, 255U } ) {
    auto hello = some_hello();
    hello.purpose = static_cast<Purpose>( purpose );
    EXPECT_EQ( fault_in( decode_hello( encode( hello ) ) ), Fault::bad_field );
  }
  for ( const unsigned answer : { 0U, 8U, 255U } ) {
    auto welcome = some_welcome();
    welcome.answer = static_cast<Answer>( answer );
    EXPECT_EQ( fault_in( decode_welcome( encode( welcome ) ) ), Fault::bad_field );
  }
  auto backwards = some_hello();
  backwards.version_lowest = 4;
  EXPECT_EQ( fault_in( decode_hello( encode( backwards ) ) ), Fault::bad_field );
  for ( const Duration beat : { Duration { 0s }, Duration { 999us }, Duration { 1h + 1us } } ) {
    auto hello = some_hello();
    hello.beat = beat;
    EXPECT_EQ( fault_in( decode_hello( encode( hello ) ) ), Fault::bad_field );
    auto welcome = some_welcome();
    welcome.beat = beat;
    EXPECT_EQ( fault_in( decode_welcome( encode( welcome ) ) ), Fault::bad_field );
  }
  for ( const Duration beat : { Duration { 1ms }, Duration { 1h } } ) {
    auto hello = some_hello();
    hello.beat = beat;
    EXPECT_EQ( std::get<Hello>( decode_hello( encode( hello ) ) ).beat, beat );
  }
}

TEST( Initiation, AReasonOfALaterVersionIsNone )
{
  constexpr std::size_t reason_at = 6;
  auto welcome = encode( some_welcome() );
  EXPECT_EQ( welcome[reason_at], std::byte { 2 } );
  for ( const auto raw : std::to_array<unsigned char>( { 4, 255 } ) ) {
    welcome[reason_at] = std::byte { raw };
    EXPECT_EQ( std::get<Welcome>( decode_welcome( welcome ) ).reason, Refusal::none );
  }
  welcome[reason_at] = std::byte { 3 };
  EXPECT_EQ( std::get<Welcome>( decode_welcome( welcome ) ).reason, Refusal::tunnels );
}

TEST( Initiation, DigestsDifferWhereverTheyDiffer )
{
  const auto digest = filled<Digest>( 0x55 );
  EXPECT_TRUE( same( digest, digest ) );
  for ( std::size_t i = 0; i < digest.size(); ++i ) {
    for ( unsigned bit = 0; bit < 8; ++bit ) {
      Digest other = digest;
      other[i] ^= static_cast<std::byte>( 1U << bit );
      EXPECT_FALSE( same( digest, other ) );
    }
  }
  Digest twice = digest; // two differences must not take each other back
  twice[0] ^= std::byte { 1 };
  twice[1] ^= std::byte { 1 };
  EXPECT_FALSE( same( digest, twice ) );
}

// Whatever a proof speaks about must change it, or it could be carried over to something else.
TEST( Initiation, AProofHoldsForOneClaimOnOneLinkOnly )
{
  const TestCrypto crypto;
  const auto secret = filled<Digest>( 0x66 );
  const auto binding = filled<Digest>( 0x77 );
  const Hello hello = some_hello();
  const Welcome welcome = some_welcome();
  const Digest proof = prove_hello( crypto, secret, binding, hello );
  const Digest answer = prove_welcome( crypto, secret, binding, hello, welcome );
  const Digest next = next_secret( crypto, secret, binding, hello, welcome );
  EXPECT_FALSE( same( proof, answer ) ) << "an echo is no answer";
  EXPECT_FALSE( same( next, answer ) or same( next, proof ) or same( next, secret ) )
    << "it would be read on the way";
  EXPECT_TRUE( same( proof, prove_hello( crypto, secret, binding, hello ) ) );

  const auto both_change = [&]( const Digest& s, const Digest& b, const Hello& h ) {
    return not same( proof, prove_hello( crypto, s, b, h ) )
           and not same( answer, prove_welcome( crypto, s, b, h, welcome ) )
           and not same( next, next_secret( crypto, s, b, h, welcome ) );
  };
  EXPECT_TRUE( both_change( filled<Digest>( 0x67 ), binding, hello ) );
  EXPECT_TRUE( both_change( secret, filled<Digest>( 0x78 ), hello ) );
  Hello other = hello;
  other.tunnel[15] ^= std::byte { 1 };
  EXPECT_TRUE( both_change( secret, binding, other ) );
  other = hello;
  ++other.attempt;
  EXPECT_TRUE( both_change( secret, binding, other ) );
  other = hello;
  other.nonce[31] ^= std::byte { 1 };
  EXPECT_TRUE( both_change( secret, binding, other ) );
  Welcome another = welcome;
  another.nonce[31] ^= std::byte { 1 };
  EXPECT_FALSE( same( answer, prove_welcome( crypto, secret, binding, hello, another ) ) );
  EXPECT_FALSE( same( next, next_secret( crypto, secret, binding, hello, another ) ) );
}

TEST( Initiation, BothNoncesAndTheTunnelMakeTheSecret )
{
  const TestCrypto crypto;
  const Digest binding {};
  const Digest secret = make_secret( crypto, binding, some_hello(), some_welcome() );
  EXPECT_TRUE( same( secret, make_secret( crypto, binding, some_hello(), some_welcome() ) ) );
  Hello hello = some_hello();
  hello.nonce[0] ^= std::byte { 1 };
  EXPECT_FALSE( same( secret, make_secret( crypto, binding, hello, some_welcome() ) ) );
  Welcome welcome = some_welcome();
  welcome.nonce[0] ^= std::byte { 1 };
  EXPECT_FALSE( same( secret, make_secret( crypto, binding, some_hello(), welcome ) ) );
  welcome = some_welcome();
  welcome.tunnel[0] ^= std::byte { 1 };
  EXPECT_FALSE( same( secret, make_secret( crypto, binding, some_hello(), welcome ) ) );
  EXPECT_FALSE( same( secret, make_secret( crypto, filled<Digest>( 1 ), some_hello(), some_welcome() ) ) );
}

} // namespace
} // namespace holdfast
