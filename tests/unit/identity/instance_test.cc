#include "identity/instance.hh"

#include "unit/identity/folder.hh"

#include <gmock/gmock.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

namespace holdfast {
namespace {

using namespace test;
using testing::ElementsAre;
using testing::HasSubstr;

class Cryptography : public Crypto
{
public:
  [[nodiscard]] Digest mac( std::span<const std::byte> key, std::span<const std::byte> message ) const override
  {
    Digest digest {};
    ::HMAC( ::EVP_sha256(),
            key.data(),
            static_cast<int>( key.size() ),
            reinterpret_cast<const unsigned char*>( message.data() ),
            message.size(),
            reinterpret_cast<unsigned char*>( digest.data() ),
            nullptr );
    return digest;
  }
  void random( std::span<std::byte> into ) const override
  {
    ASSERT_EQ( ::RAND_bytes( reinterpret_cast<unsigned char*>( into.data() ), static_cast<int>( into.size() ) ),
               1 );
  }
};

const Cryptography cryptography;

Id instance( const Folder& folder, std::string_view role )
{
  return client_instance( cryptography, StateDirectory { folder.path() }, role );
}

TEST( Instance, IsTheSameEachTimeAndAnotherInAnotherRole )
{
  const Folder folder;
  const Id first = instance( folder, "5000" );
  EXPECT_EQ( instance( folder, "5000" ), first );
  EXPECT_NE( instance( folder, "5001" ), first );
  EXPECT_NE( instance( Folder {}, "5000" ), first );
  EXPECT_EQ( folder.mode( "instance" ), 0600U );
  EXPECT_EQ( folder.read( "instance" ).size(), 32U );
  EXPECT_THAT( folder.names(), ElementsAre( "instance" ) );
}

TEST( Instance, OfADamagedOrOpenFileIsNone )
{
  for ( const std::size_t size : { 0U, 31U, 33U } ) {
    const Folder folder;
    folder.write( "instance", std::string( size, 'x' ) );
    EXPECT_THAT( refusal( [&] { instance( folder, "5000" ); } ), HasSubstr( "is damaged" ) ) << size;
  }
  const Folder folder;
  folder.write( "instance", std::string( 32, 'x' ), 0644 );
  EXPECT_THAT( refusal( [&] { instance( folder, "5000" ); } ), HasSubstr( "chmod 600" ) );
}

} // namespace
} // namespace holdfast
