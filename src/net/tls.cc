#include "net/tls.hh"

#include "net/error.hh"

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>

namespace holdfast {

Digest key_digest( EVP_PKEY& key )
{
  unsigned char* encoded = nullptr;
  const int length = ::i2d_PUBKEY( &key, &encoded );
  const std::unique_ptr<unsigned char, void ( * )( unsigned char* )> owner {
    encoded, []( unsigned char* memory ) { OPENSSL_free( memory ); }
  };
  Digest digest {};
  if ( length <= 0
       or ::EVP_Digest( encoded,
                        static_cast<std::size_t>( length ),
                        reinterpret_cast<unsigned char*>( digest.data() ),
                        nullptr,
                        ::EVP_sha256(),
                        nullptr )
            != 1 ) {
    throw StartupError( "OpenSSL cannot calculate the digest of a public key" );
  }
  return digest;
}

} // namespace holdfast
