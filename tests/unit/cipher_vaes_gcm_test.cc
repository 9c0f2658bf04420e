#include "cipher/vaes_gcm.hh"

#include <gtest/gtest.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/provider.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast {

namespace {

using Bytes = std::vector<unsigned char>;
using Context = std::unique_ptr<EVP_CIPHER_CTX, decltype( &::EVP_CIPHER_CTX_free )>;

Bytes hex( const std::string& digits )
{
  long size = 0;
  const std::unique_ptr<unsigned char, void ( * )( unsigned char* )> bytes {
    ::OPENSSL_hexstr2buf( digits.c_str(), &size ), []( unsigned char* all ) { OPENSSL_free( all ); }
  };
  return { bytes.get(), bytes.get() + size };
}

constexpr const char* openssls_own = "provider=default";

struct Message
{
  Bytes nonce {};
  Bytes additional {};
  Bytes text {}; // clear or encrypted
  Bytes tag {};
};

// AES-128-GCM as TLS uses it: by OpenSSL, from whoever the property query says.
class Cipher
{
public:
  Cipher( const char* query, bool encrypts, const Bytes& key ) : encrypts_( encrypts )
  {
    const std::unique_ptr<EVP_CIPHER, decltype( &::EVP_CIPHER_free )> cipher {
      ::EVP_CIPHER_fetch( nullptr, "AES-128-GCM", query ), &::EVP_CIPHER_free
    };
    provider_ = ::OSSL_PROVIDER_get0_name( ::EVP_CIPHER_get0_provider( cipher.get() ) );
    EXPECT_EQ( ::EVP_CipherInit_ex( context(), cipher.get(), nullptr, nullptr, nullptr, encrypts ? 1 : 0 ), 1 );
    EXPECT_EQ( ::EVP_CIPHER_CTX_ctrl( context(), EVP_CTRL_AEAD_SET_IVLEN, 12, nullptr ), 1 );
    EXPECT_EQ( ::EVP_CipherInit_ex( context(), nullptr, nullptr, key.data(), nullptr, -1 ), 1 );
  }
  [[nodiscard]] EVP_CIPHER_CTX* context() const { return context_.get(); }
  [[nodiscard]] const std::string& provider() const { return provider_; }

  // Both begin the message, and say whether that may be.
  bool begin( const Bytes& nonce )
  {
    return ::EVP_CipherInit_ex( context(), nullptr, nullptr, nullptr, nonce.data(), -1 ) == 1;
  }
  bool authenticate( const Bytes& additional )
  {
    int count = 0;
    return ::EVP_CipherUpdate(
             context(), nullptr, &count, additional.data(), static_cast<int>( additional.size() ) )
           == 1;
  }
  // In place.
  bool transform( std::span<unsigned char> text )
  {
    int count = 0;
    return ::EVP_CipherUpdate( context(), text.data(), &count, text.data(), static_cast<int>( text.size() ) ) == 1
           and count == static_cast<int>( text.size() );
  }
  bool expect( Bytes tag )
  {
    return ::EVP_CIPHER_CTX_ctrl( context(), EVP_CTRL_AEAD_SET_TAG, static_cast<int>( tag.size() ), tag.data() )
           == 1;
  }
  bool finish()
  {
    std::array<unsigned char, 16> nothing {};
    int count = 0;
    return ::EVP_CipherFinal_ex( context(), nothing.data(), &count ) == 1 and count == 0;
  }
  Bytes tag()
  {
    Bytes bytes( 16 );
    EXPECT_EQ( ::EVP_CIPHER_CTX_ctrl( context(), EVP_CTRL_AEAD_GET_TAG, 16, bytes.data() ), 1 );
    return bytes;
  }

  // A whole message, its text in pieces of at most this size; nothing if it is refused.
  std::optional<Message> pass( Message message, std::size_t piece = 1U << 20U )
  {
    bool good = begin( message.nonce ) and ( message.additional.empty() or authenticate( message.additional ) );
    for ( std::span<unsigned char> rest { message.text }; good and not rest.empty(); ) {
      const auto next = rest.first( std::min( piece, rest.size() ) );
      good = transform( next );
      rest = rest.subspan( next.size() );
    }
    good = good and ( encrypts_ or expect( message.tag ) ) and finish();
    if ( not good ) {
      return std::nullopt;
    }
    if ( encrypts_ ) {
      message.tag = tag();
    }
    return message;
  }

private:
  Context context_ { ::EVP_CIPHER_CTX_new(), &::EVP_CIPHER_CTX_free };
  bool encrypts_;
  std::string provider_ {};
};

// Why there is nothing to test on this machine: as the machine itself says, not those who are tested.
std::optional<std::string> hindrance()
{
  if ( ::OPENSSL_version_major() > 3 or ::OPENSSL_version_minor() > 0 ) {
    return "this OpenSSL has VAES itself";
  }
  if ( ::EVP_default_properties_is_fips_enabled( nullptr ) != 0 ) {
    return "this machine wants FIPS";
  }
  std::ifstream processor( "/proc/cpuinfo" );
  const std::set<std::string> words { std::istream_iterator<std::string> { processor }, {} };
  for ( const char* wanted : { "avx512f", "avx512dq", "avx512cd", "avx512bw", "avx512vl", "vaes", "vpclmulqdq" } ) {
    if ( not words.contains( wanted ) ) {
      return std::string { "this processor has no " } + wanted;
    }
  }
  return std::nullopt;
}

class VaesGcm : public testing::Test
{
protected:
  void SetUp() override
  {
    if ( const auto why = hindrance() ) {
      EXPECT_EQ( vaes_gcm(), nullptr );
      GTEST_SKIP() << *why;
    }
    ASSERT_NE( vaes_gcm(), nullptr );
  }
  Bytes random( std::size_t size )
  {
    Bytes bytes( size );
    std::generate( bytes.begin(), bytes.end(), [this] { return static_cast<unsigned char>( chance_() ); } );
    return bytes;
  }
  Message some_message( std::size_t size )
  {
    return { .nonce = random( 12 ), .additional = random( 5 ), .text = random( size ) };
  }

  std::mt19937 chance_ { 1 };
  Bytes key_ = random( 16 );
};

} // namespace

TEST_F( VaesGcm, IsTakenByWhoAsksForItAndNothingElseIs )
{
  EXPECT_EQ( Cipher( vaes_gcm(), true, key_ ).provider(), "vaes" );
  EXPECT_EQ( Cipher( openssls_own, true, key_ ).provider(), "default" );
  const std::unique_ptr<EVP_CIPHER, decltype( &::EVP_CIPHER_free )> other {
    ::EVP_CIPHER_fetch( nullptr, "AES-256-GCM", vaes_gcm() ), &::EVP_CIPHER_free
  };
  EXPECT_STREQ( ::OSSL_PROVIDER_get0_name( ::EVP_CIPHER_get0_provider( other.get() ) ), "default" );
}

// "The Galois/Counter Mode of Operation", McGrew and Viega, appendix B, test cases 1, 2 and 4.
TEST_F( VaesGcm, AnswersThePublishedTestCases )
{
  const Bytes zero( 16 );
  const auto first = Cipher( vaes_gcm(), true, zero ).pass( { .nonce = Bytes( 12 ) } );
  EXPECT_EQ( first.value().tag, hex( "58e2fccefa7e3061367f1d57a4e7455a" ) );

  const auto second = Cipher( vaes_gcm(), true, zero ).pass( { .nonce = Bytes( 12 ), .text = zero } );
  EXPECT_EQ( second.value().text, hex( "0388dace60b6a392f328c2b971b2fe78" ) );
  EXPECT_EQ( second.value().tag, hex( "ab6e47d42cec13bdf53a67b21257bddf" ) );

  const auto fourth = Cipher( vaes_gcm(), true, hex( "feffe9928665731c6d6a8f9467308308" ) )
                        .pass( { .nonce = hex( "cafebabefacedbaddecaf888" ),
                                 .additional = hex( "feedfacedeadbeeffeedfacedeadbeefabaddad2" ),
                                 .text = hex( "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
                                              "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39" ) } );
  EXPECT_EQ( fourth.value().text,
             hex( "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
                  "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091" ) );
  EXPECT_EQ( fourth.value().tag, hex( "5bc94fbc3221a5db94fae95ae7121a47" ) );
}

TEST_F( VaesGcm, SaysWhatOpensslSaysForAnySizeInAnyPieces )
{
  Cipher ours( vaes_gcm(), true, key_ );
  Cipher back( vaes_gcm(), false, key_ );
  Cipher openssl( openssls_own, true, key_ );
  for ( std::size_t size = 0; size < 2100; size = size < 1100 ? size + 1 : size + 97 ) {
    Message message = some_message( size == 2000 ? 16384 : size );
    message.additional = random( size % 21 );
    const std::size_t piece = 1 + chance_() % ( size + 1 );
    const Message expected = openssl.pass( message ).value();
    const Message encrypted = ours.pass( message, piece ).value();
    ASSERT_EQ( encrypted.text, expected.text ) << size << " bytes in pieces of " << piece;
    ASSERT_EQ( encrypted.tag, expected.tag ) << size << " bytes in pieces of " << piece;
    ASSERT_EQ( back.pass( encrypted, piece ).value().text, message.text )
      << size << " bytes in pieces of " << piece;
  }
}

TEST_F( VaesGcm, RefusesWhatWasChangedAnywhere )
{
  Cipher ours( vaes_gcm(), true, key_ );
  Cipher back( vaes_gcm(), false, key_ );
  const Message good = ours.pass( some_message( 100 ) ).value();
  for ( Bytes Message::*const part : { &Message::nonce, &Message::additional, &Message::text, &Message::tag } ) {
    for ( std::size_t bit = 0; bit < 8 * ( good.*part ).size(); ++bit ) {
      Message changed = good;
      ( changed.*part )[bit / 8] ^= static_cast<unsigned char>( 1U << bit % 8 );
      ASSERT_FALSE( back.pass( changed ).has_value() ) << "bit " << bit;
    }
  }
  EXPECT_TRUE( back.pass( good ).has_value() ) << "what was refused does no harm to what follows";
}

TEST_F( VaesGcm, RefusesATagOfAnotherSizeOrNone )
{
  Cipher ours( vaes_gcm(), true, key_ );
  Cipher back( vaes_gcm(), false, key_ );
  Message message = ours.pass( some_message( 20 ) ).value();
  ASSERT_TRUE( back.pass( message ).has_value() );
  ASSERT_TRUE( back.begin( message.nonce ) and back.authenticate( message.additional ) );
  ASSERT_TRUE( back.transform( message.text ) );
  EXPECT_FALSE( back.finish() ) << "the tag of the message before serves once";
  EXPECT_FALSE( back.expect( Bytes( 12 ) ) );
  EXPECT_FALSE( ours.expect( Bytes( 16 ) ) ) << "who encrypts makes the tag";
}

TEST_F( VaesGcm, WantsANonceForEachMessage )
{
  Cipher ours( vaes_gcm(), true, key_ );
  Bytes text = random( 20 );
  EXPECT_FALSE( ours.transform( text ) ) << "there is none yet";
  ASSERT_TRUE( ours.pass( some_message( 20 ) ).has_value() );
  EXPECT_FALSE( ours.authenticate( text ) );
  EXPECT_FALSE( ours.transform( text ) );
  EXPECT_FALSE( ours.finish() );
  EXPECT_TRUE( ours.pass( some_message( 20 ) ).has_value() );
}

TEST_F( VaesGcm, KnowsOneSizeOfNonce )
{
  Cipher ours( vaes_gcm(), true, key_ );
  EXPECT_EQ( ::EVP_CIPHER_CTX_ctrl( ours.context(), EVP_CTRL_AEAD_SET_IVLEN, 8, nullptr ), 0 );
  EXPECT_EQ( ::EVP_CIPHER_CTX_ctrl( ours.context(), EVP_CTRL_AEAD_SET_IVLEN, 16, nullptr ), 0 );
}

} // namespace holdfast
