#include "proxy/openssl_crypto.hh"

#include "net/error.hh"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

namespace holdfast {

Digest OpensslCrypto::mac( std::span<const std::byte> key, std::span<const std::byte> message ) const
{
  Digest digest;
  unsigned length = digest.size();
  if ( ::HMAC( ::EVP_sha256(),
               key.data(),
               static_cast<int>( key.size() ),
               reinterpret_cast<const unsigned char*>( message.data() ),
               message.size(),
               reinterpret_cast<unsigned char*>( digest.data() ),
               &length )
       == nullptr ) {
    throw StartupError( "OpenSSL cannot compute HMAC-SHA256" );
  }
  return digest;
}

void OpensslCrypto::random( std::span<std::byte> into ) const
{
  if ( ::RAND_bytes( reinterpret_cast<unsigned char*>( into.data() ), static_cast<int>( into.size() ) ) != 1 ) {
    throw StartupError( "OpenSSL has no random numbers" );
  }
}

} // namespace holdfast
