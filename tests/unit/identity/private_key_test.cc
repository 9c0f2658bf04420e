#include "identity/private_key.hh"

#include "identity/fingerprint.hh"
#include "unit/identity/folder.hh"

#include <gmock/gmock.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <sys/wait.h>

namespace holdfast {
namespace {

using namespace test;
using testing::ElementsAre;
using testing::HasSubstr;

// The example of RFC 8410, section 10.3.
constexpr std::string_view example = "-----BEGIN PRIVATE KEY-----\n"
                                     "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
                                     "-----END PRIVATE KEY-----\n";

std::string load_or_make( const Folder& folder )
{
  return refusal( [&] { PrivateKey::load_or_make( StateDirectory { folder.path() }, "host_key" ); } );
}

// A key of any kind, as text; with a passphrase if there is one.
std::string pem( const char* kind, const char* passphrase = nullptr )
{
  EVP_PKEY* const key
    = std::string_view { kind } == "EC" ? ::EVP_EC_gen( "P-256" ) : ::EVP_PKEY_Q_keygen( nullptr, nullptr, kind );
  BIO* const bio = ::BIO_new( ::BIO_s_mem() );
  const EVP_CIPHER* const cipher = passphrase == nullptr ? nullptr : ::EVP_aes_256_cbc();
  EXPECT_EQ(
    ::PEM_write_bio_PKCS8PrivateKey( bio, key, cipher, nullptr, 0, nullptr, const_cast<char*>( passphrase ) ), 1 );
  char* data = nullptr;
  const long size = ::BIO_get_mem_data( bio, &data );
  std::string text { data, static_cast<std::size_t>( size ) };
  ::BIO_free( bio );
  ::EVP_PKEY_free( key );
  return text;
}

TEST( PrivateKey, IsMadeOnceForItsOwnerAlone )
{
  const Folder folder;
  const StateDirectory state { folder.path() };
  const mode_t before = ::umask( 0 );
  const PrivateKey key = PrivateKey::load_or_make( state, "host_key" );
  ::umask( before );
  EXPECT_TRUE( key.made() );
  EXPECT_EQ( ::EVP_PKEY_get_id( &key.get() ), EVP_PKEY_ED25519 );
  EXPECT_EQ( folder.mode( "host_key" ), 0600U );
  EXPECT_THAT( folder.names(), ElementsAre( "host_key" ) );
  const PrivateKey again = PrivateKey::load_or_make( state, "host_key" );
  EXPECT_FALSE( again.made() );
  EXPECT_EQ( again.digest(), key.digest() );
  EXPECT_NE( PrivateKey::load_or_make( state, "client_key" ).digest(), key.digest() );
}

// As `openssl pkey -in FILE -outform DER -pubout | openssl dgst -sha256 -binary | base64` prints it.
TEST( PrivateKey, IsNamedAsOpensslNamesIt )
{
  const Folder folder;
  folder.write( "host_key", example );
  const PrivateKey key = PrivateKey::load_or_make( StateDirectory { folder.path() }, "host_key" );
  EXPECT_FALSE( key.made() );
  EXPECT_EQ( fingerprint( key.digest() ), "SHA256:oekVYFTgT6yJmunydRMs3Ael28TqLCrTof/G4NJTaB8" );
}

TEST( PrivateKey, IsTheSameForAllWhoStartAtOnce )
{
  constexpr int makers = 8;
  for ( int round = 0; round < 10; ++round ) {
    const Folder folder;
    std::array<int, 2> start {};
    std::array<int, 2> told {};
    ASSERT_EQ( ::pipe( start.data() ), 0 );
    ASSERT_EQ( ::pipe( told.data() ), 0 );
    for ( int i = 0; i < makers; ++i ) {
      if ( ::fork() == 0 ) {
        char go = 0;
        ::close( start[1] );
        std::string line = "-";
        if ( ::read( start[0], &go, 1 ) == 0 ) { // all at once, when the last writer has gone
          const PrivateKey key = PrivateKey::load_or_make( StateDirectory { folder.path() }, "host_key" );
          line = fingerprint( key.digest() ) + ( key.made() ? "*" : "." );
        }
        ::_exit( ::write( told[1], line.data(), line.size() ) == static_cast<ssize_t>( line.size() ) ? 0 : 1 );
      }
    }
    ::close( start[0] );
    ::close( start[1] );
    ::close( told[1] );
    std::string all;
    std::array<char, 4096> piece {};
    for ( ssize_t n = 0; ( n = ::read( told[0], piece.data(), piece.size() ) ) > 0; ) {
      all.append( piece.data(), static_cast<std::size_t>( n ) );
    }
    ::close( told[0] );
    for ( int i = 0; i < makers; ++i ) {
      int status = 0;
      ::wait( &status );
      EXPECT_EQ( status, 0 );
    }
    ASSERT_EQ( all.size(), 51U * makers );
    EXPECT_EQ( std::ranges::count( all, '*' ), 1 ) << "one made it";
    for ( int i = 1; i < makers; ++i ) {
      EXPECT_EQ( all.substr( 51U * static_cast<unsigned>( i ), 50 ), all.substr( 0, 50 ) );
    }
    EXPECT_THAT( folder.names(), ElementsAre( "host_key" ) );
  }
}

// A new key in the place of a damaged one would look like an impostor to all who know the old one.
TEST( PrivateKey, IsNeverReplaced )
{
  const std::string whole { example };
  std::string bytes = whole;
  bytes.replace( 40, 4, "AAAA" );
  for ( const std::string& content : { std::string {},
                                       std::string { "\n" },
                                       std::string( 200, '\0' ),
                                       whole.substr( 0, 60 ),
                                       bytes,
                                       std::string { "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA"
                                                     "GUEpWxyXbc5a8kdWsCGUOTJZ/LpFFPF9lYBCGXlEUuE=\n"
                                                     "-----END PUBLIC KEY-----\n" } } ) {
    const Folder folder;
    const std::string path = folder.write( "host_key", content );
    EXPECT_THAT( load_or_make( folder ), HasSubstr( path + ": restore it from a backup, or remove it" ) )
      << content;
    EXPECT_EQ( folder.read( "host_key" ), content );
    EXPECT_EQ( ::ERR_peek_error(), 0U ) << "an error is left for somebody else to find";
  }
}

TEST( PrivateKey, IsAnEd25519KeyIfItIsOurs )
{
  for ( const char* kind : { "EC", "X25519", "ED448" } ) {
    const Folder folder;
    folder.write( "host_key", pem( kind ) );
    EXPECT_THAT( load_or_make( folder ), HasSubstr( "is not an Ed25519 key" ) );
  }
}

TEST( PrivateKey, IsAsBigAsAKey )
{
  const Folder folder;
  folder.write( "host_key", std::string( 10'000'000, 'x' ) );
  EXPECT_THAT( load_or_make( folder ), HasSubstr( "more than 65536 bytes" ) );
}

TEST( PrivateKey, IsAskedForNoPassphrase )
{
  const Folder folder;
  const std::string path = folder.write( "host_key", pem( "ED25519", "secret" ) );
  EXPECT_THAT( load_or_make( folder ), HasSubstr( "protected by a passphrase" ) );
  EXPECT_THAT( refusal( [&] { PrivateKey::load( path ); } ), HasSubstr( "protected by a passphrase" ) );
}

TEST( PrivateKey, IsRefusedWhenOthersCanGetAtIt )
{
  for ( const mode_t mode : { 0640U, 0604U, 0620U, 0602U, 0601U, 0777U } ) {
    const Folder folder;
    const std::string path = folder.write( "host_key", example, mode );
    EXPECT_THAT( load_or_make( folder ), HasSubstr( "chmod 600 " + path ) ) << mode;
  }
  const Folder folder;
  folder.write( "host_key", example, 0400 );
  EXPECT_EQ( load_or_make( folder ), "" );
}

TEST( PrivateKey, IsRefusedWhenItIsSomebodyElses )
{
  if ( not are_root() ) {
    GTEST_SKIP() << "needs root";
  }
  const Folder folder;
  const std::string path = folder.write( "host_key", example );
  ASSERT_EQ( ::chown( path.c_str(), nobody, nobody ), 0 );
  EXPECT_THAT( load_or_make( folder ), HasSubstr( "belongs to user 65534" ) );
}

TEST( PrivateKey, IsAFileAndNothingThatOnlyLeadsToOne )
{
  const Folder folder;
  const std::string precious = folder.write( "precious", example );
  const std::string path = folder / "host_key";
  ASSERT_EQ( ::symlink( precious.c_str(), path.c_str() ), 0 );
  EXPECT_THAT( load_or_make( folder ), HasSubstr( "is a symbolic link" ) );
  ASSERT_EQ( ::unlink( path.c_str() ), 0 );
  ASSERT_EQ( ::symlink( "nowhere", path.c_str() ), 0 );
  EXPECT_THAT( load_or_make( folder ), HasSubstr( "is a symbolic link" ) );
  ASSERT_EQ( ::unlink( path.c_str() ), 0 );
  ASSERT_EQ( ::mkfifo( path.c_str(), 0600 ), 0 ); // nobody will ever write to it
  EXPECT_THAT( load_or_make( folder ), HasSubstr( "is not a regular file" ) );
  ASSERT_EQ( ::unlink( path.c_str() ), 0 );
  ASSERT_EQ( ::mkdir( path.c_str(), 0700 ), 0 );
  EXPECT_THAT( load_or_make( folder ), HasSubstr( "is not a regular file" ) );
}

TEST( PrivateKey, IsOfAnyKindThatCanSignIfItIsGiven )
{
  const Folder folder;
  for ( const char* kind : { "EC", "ED25519", "ED448" } ) {
    const std::string path = folder.write( kind, pem( kind ) );
    EXPECT_EQ( refusal( [&] { PrivateKey::load( path ); } ), "" ) << kind;
  }
  EXPECT_THAT( refusal( [&] { PrivateKey::load( folder.write( "dh", pem( "X25519" ) ) ); } ),
               HasSubstr( "cannot sign" ) );
  EXPECT_THAT( refusal( [&] { PrivateKey::load( folder / "none" ); } ), HasSubstr( "No such file" ) );
  EXPECT_THAT( refusal( [&] { PrivateKey::load( folder.write( "open", pem( "EC" ), 0644 ) ); } ),
               HasSubstr( "chmod 600" ) );
  ASSERT_EQ( ::symlink( "EC", ( folder / "live" ).c_str() ), 0 ); // as certbot gives them
  EXPECT_EQ( refusal( [&] { PrivateKey::load( folder / "live" ); } ), "" );
}

TEST( PrivateKey, MayBeOneThatRootLetsAGroupRead )
{
  if ( not are_root() ) {
    GTEST_SKIP() << "needs root";
  }
  const Folder folder;
  EXPECT_EQ( refusal( [&] { PrivateKey::load( folder.write( "key", pem( "EC" ), 0640 ) ); } ), "" );
  EXPECT_THAT( refusal( [&] { PrivateKey::load( folder.write( "key", pem( "EC" ), 0660 ) ); } ),
               HasSubstr( "chmod 600" ) );
}

TEST( PrivateKey, BelongsToWhomWeShallBe )
{
  if ( not are_root() ) {
    GTEST_SKIP() << "needs root";
  }
  const Folder folder;
  const StateDirectory state { folder / "state", nobody };
  const PrivateKey key = PrivateKey::load_or_make( state, "host_key" );
  struct stat status = {};
  ASSERT_EQ( ::stat( state.file( "host_key" ).c_str(), &status ), 0 );
  EXPECT_EQ( status.st_uid, nobody );
  EXPECT_EQ( PrivateKey::load_or_make( state, "host_key" ).digest(), key.digest() );
}

} // namespace
} // namespace holdfast
