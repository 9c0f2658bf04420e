#include "cipher/vaes_gcm.hh"

#include "cipher/gcm.hh"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/provider.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace holdfast {

namespace {

// -- the cipher as OpenSSL calls it (provider-cipher(7)): 1 is success -------------------------------------------

Gcm& of( void* context )
{
  return *static_cast<Gcm*>( context );
}

Gcm::Bytes bytes( const void* begin, std::size_t size )
{
  return { static_cast<const unsigned char*>( begin ), begin == nullptr ? 0 : size };
}

void* make( void* )
{
  return new ( std::nothrow ) Gcm;
}

void destroy( void* context )
{
  delete static_cast<Gcm*>( context );
}

int set( void* context, const OSSL_PARAM* parameters )
{
  std::size_t nonce_size = Gcm::nonce_size;
  const OSSL_PARAM* const size = ::OSSL_PARAM_locate_const( parameters, OSSL_CIPHER_PARAM_AEAD_IVLEN );
  if ( size != nullptr
       and ( ::OSSL_PARAM_get_size_t( size, &nonce_size ) != 1 or nonce_size != Gcm::nonce_size ) ) {
    return 0;
  }
  const OSSL_PARAM* const tag = ::OSSL_PARAM_locate_const( parameters, OSSL_CIPHER_PARAM_AEAD_TAG );
  return tag == nullptr or of( context ).expect( bytes( tag->data, tag->data_size ) ) ? 1 : 0;
}

template<bool encrypts>
int begin( void* context,
           const unsigned char* key,
           std::size_t key_size,
           const unsigned char* nonce,
           std::size_t nonce_size,
           const OSSL_PARAM* parameters )
{
  const bool good = of( context ).begin( encrypts, bytes( key, key_size ), bytes( nonce, nonce_size ) );
  return good ? set( context, parameters ) : 0;
}

int update( void* context,
            unsigned char* to,
            std::size_t* written,
            std::size_t room,
            const unsigned char* from,
            std::size_t count )
{
  *written = count;
  const Gcm::Bytes all = bytes( from, count );
  const bool is_additional = to == nullptr;
  return ( is_additional ? of( context ).authenticate( all )
                         : count <= room and of( context ).transform( to, all ) )
           ? 1
           : 0;
}

int finish( void* context, unsigned char*, std::size_t* written, std::size_t )
{
  *written = 0;
  return of( context ).finish() ? 1 : 0;
}

// -- what OpenSSL asks about it: each answer only if it is asked for ----------------------------------------------

bool say_size( OSSL_PARAM* parameters, const char* name, std::size_t value )
{
  OSSL_PARAM* const asked = ::OSSL_PARAM_locate( parameters, name );
  return asked == nullptr or ::OSSL_PARAM_set_size_t( asked, value ) == 1;
}

bool say_yes( OSSL_PARAM* parameters, const char* name )
{
  OSSL_PARAM* const asked = ::OSSL_PARAM_locate( parameters, name );
  return asked == nullptr or ::OSSL_PARAM_set_int( asked, 1 ) == 1;
}

bool say_mode( OSSL_PARAM* parameters )
{
  OSSL_PARAM* const asked = ::OSSL_PARAM_locate( parameters, OSSL_CIPHER_PARAM_MODE );
  return asked == nullptr or ::OSSL_PARAM_set_uint( asked, EVP_CIPH_GCM_MODE ) == 1;
}

bool say_tag( OSSL_PARAM* parameters, Gcm::Bytes tag )
{
  OSSL_PARAM* const asked = ::OSSL_PARAM_locate( parameters, OSSL_CIPHER_PARAM_AEAD_TAG );
  return asked == nullptr
         or ( asked->data_size == tag.size()
              and ::OSSL_PARAM_set_octet_string( asked, tag.data(), tag.size() ) == 1 );
}

bool say_sizes( OSSL_PARAM* parameters )
{
  return say_size( parameters, OSSL_CIPHER_PARAM_KEYLEN, Gcm::key_size )
         and say_size( parameters, OSSL_CIPHER_PARAM_IVLEN, Gcm::nonce_size );
}

int describe_cipher( OSSL_PARAM* parameters )
{
  const bool good = say_mode( parameters ) and say_yes( parameters, OSSL_CIPHER_PARAM_AEAD )
                    and say_yes( parameters, OSSL_CIPHER_PARAM_CUSTOM_IV ) and say_sizes( parameters )
                    and say_size( parameters, OSSL_CIPHER_PARAM_BLOCK_SIZE, 1 );
  return good ? 1 : 0;
}

int describe_message( void* context, OSSL_PARAM* parameters )
{
  const bool good = say_tag( parameters, of( context ).tag() ) and say_sizes( parameters )
                    and say_size( parameters, OSSL_CIPHER_PARAM_AEAD_TAGLEN, Gcm::tag_size );
  return good ? 1 : 0;
}

// -- the provider -------------------------------------------------------------------------------------------------

constexpr const char* provider = "vaes";
constexpr const char* property = "provider=vaes";
constexpr const char* query = "?provider=vaes"; // rather than any other's, which will do as well

// A row of OpenSSL's tables, which hold functions of all kinds as one.
template<class Function>
OSSL_DISPATCH row( int id, Function* function )
{
  return { id, reinterpret_cast<void ( * )()>( function ) };
}

const OSSL_ALGORITHM* algorithms( void*, int operation, int* no_cache )
{
  static const std::array functions {
    row( OSSL_FUNC_CIPHER_NEWCTX, &make ),
    row( OSSL_FUNC_CIPHER_FREECTX, &destroy ),
    row( OSSL_FUNC_CIPHER_ENCRYPT_INIT, &begin<true> ),
    row( OSSL_FUNC_CIPHER_DECRYPT_INIT, &begin<false> ),
    row( OSSL_FUNC_CIPHER_UPDATE, &update ),
    row( OSSL_FUNC_CIPHER_FINAL, &finish ),
    row( OSSL_FUNC_CIPHER_GET_PARAMS, &describe_cipher ),
    row( OSSL_FUNC_CIPHER_GET_CTX_PARAMS, &describe_message ),
    row( OSSL_FUNC_CIPHER_SET_CTX_PARAMS, &set ),
    OSSL_DISPATCH {},
  };
  static const std::array ciphers {
    OSSL_ALGORITHM { "AES-128-GCM:id-aes128-GCM:2.16.840.1.101.3.4.1.6", property, functions.data(), nullptr },
    OSSL_ALGORITHM {},
  };
  *no_cache = 0;
  return operation == OSSL_OP_CIPHER ? ciphers.data() : nullptr;
}

int provide( const OSSL_CORE_HANDLE*, const OSSL_DISPATCH*, const OSSL_DISPATCH** functions, void** context )
{
  static const std::array ours { row( OSSL_FUNC_PROVIDER_QUERY_OPERATION, &algorithms ), OSSL_DISPATCH {} };
  *functions = ours.data();
  *context = Gcm::library();
  return 1;
}

bool is_faster()
{
  const IMB_MGR* const library = Gcm::library();
  constexpr std::uint64_t wanted
    = IMB_FEATURE_AVX512_SKX | IMB_FEATURE_VAES | IMB_FEATURE_VPCLMULQDQ | IMB_FEATURE_SELF_TEST_PASS;
  return library != nullptr and ( library->features & wanted ) == wanted;
}

// OpenSSL 3.1 has it as well. FIPS is about whose code it is, too.
bool may_be_used()
{
  constexpr unsigned major_with_vaes = 3;
  constexpr unsigned minor_with_vaes = 1;
  const bool is_older
    = ::OPENSSL_version_major() == major_with_vaes and ::OPENSSL_version_minor() < minor_with_vaes;
  return is_older and ::EVP_default_properties_is_fips_enabled( nullptr ) == 0;
}

// It is given back when the program ends; ciphers that are still in use keep it.
struct Unload
{
  void operator()( OSSL_PROVIDER* loaded ) const { ::OSSL_PROVIDER_unload( loaded ); }
};
using Provider = std::unique_ptr<OSSL_PROVIDER, Unload>;

Provider load()
{
  constexpr int retain_fallbacks = 1; // the default provider stays what OpenSSL's configuration makes of it
  const bool may
    = may_be_used() and is_faster() and ::OSSL_PROVIDER_add_builtin( nullptr, provider, &provide ) == 1;
  return Provider { may ? ::OSSL_PROVIDER_try_load( nullptr, provider, retain_fallbacks ) : nullptr };
}

} // namespace

const char* vaes_gcm()
{
  static const Provider loaded = load();
  return loaded ? query : nullptr;
}

} // namespace holdfast
