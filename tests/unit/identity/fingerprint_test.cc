#include "identity/fingerprint.hh"

#include <gtest/gtest.h>

#include <random>

namespace holdfast {
namespace {

// The digest of "abc" (FIPS 180-2, B.1), and what `printf abc | openssl dgst -sha256 -binary | base64` prints.
constexpr std::string_view of_abc = "SHA256:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0";

TEST( Fingerprint, IsWrittenAsSshKeygenWritesIt )
{
  EXPECT_EQ( fingerprint( Digest {} ), "SHA256:" + std::string( 43, 'A' ) );
  Digest ones;
  ones.fill( std::byte { 0xff } );
  EXPECT_EQ( fingerprint( ones ), "SHA256:" + std::string( 42, '/' ) + "8" );
  const auto abc = parse_fingerprint( of_abc );
  ASSERT_TRUE( abc );
  EXPECT_EQ( ( *abc )[0], std::byte { 0xba } );
  EXPECT_EQ( ( *abc )[1], std::byte { 0x78 } );
  EXPECT_EQ( ( *abc )[31], std::byte { 0xad } );
  EXPECT_EQ( fingerprint( *abc ), of_abc );
}

TEST( Fingerprint, IsReadAsItWasWritten )
{
  std::mt19937 random { 1 };
  for ( int i = 0; i < 1000; ++i ) {
    Digest digest;
    for ( std::byte& byte : digest ) {
      byte = static_cast<std::byte>( random() & 255U );
    }
    EXPECT_EQ( parse_fingerprint( fingerprint( digest ) ), digest );
  }
}

TEST( Fingerprint, IsNothingElse )
{
  const std::string right { of_abc };
  for ( const std::string& wrong :
        { std::string {},
          std::string { "SHA256:" },
          right.substr( 7 ),
          right.substr( 0, right.size() - 1 ),
          right + "=",
          right + "A",
          right + " ",
          " " + right,
          "sha256:" + right.substr( 7 ),
          "SHA1:" + right.substr( 7 ),
          std::string { "SHA256:ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0" }, // base64url
          right.substr( 0, 20 ) + '\0' + right.substr( 21 ),
          right.substr( 0, 20 ) + '\xc3' + right.substr( 21 ),
          right.substr( 0, 20 ) + '=' + right.substr( 21 ) } ) {
    EXPECT_FALSE( parse_fingerprint( wrong ) ) << wrong;
  }
}

// 43 characters hold 258 bits. If the last two counted for nothing, four texts would be the same key, and somebody
// who compares texts would miss three of them.
TEST( Fingerprint, ThereIsOneWayToWriteEach )
{
  std::string text { of_abc };
  for ( const char c : { '1', '2', '3' } ) { // 0 with one of the last two bits, or both
    text.back() = c;
    EXPECT_FALSE( parse_fingerprint( text ) ) << text;
  }
  text.back() = '4';
  EXPECT_TRUE( parse_fingerprint( text ) );
}

} // namespace
} // namespace holdfast
