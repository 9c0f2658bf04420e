#include "identity/private_key.hh"

#include "identity/file.hh"
#include "net/error.hh"
#include "net/tls.hh"

#include <fmt/format.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <unistd.h>

#include <cassert>
#include <utility>

namespace holdfast {

namespace {

using Bio = std::unique_ptr<BIO, decltype( &::BIO_free )>; // a memory BIO is wiped when it is freed

// OpenSSL asks for a passphrase: nobody is there to type one.
int no_passphrase( char* /*into*/, int /*size*/, int /*for_writing*/, void* asked )
{
  *static_cast<bool*>( asked ) = true;
  return -1;
}

// What OpenSSL left in its queue of errors would be taken for a later failure (SSL_get_error(3)).
class QuietErrors
{
public:
  QuietErrors() = default;
  QuietErrors( const QuietErrors& ) = delete;
  QuietErrors& operator=( const QuietErrors& ) = delete;
  ~QuietErrors() { ::ERR_clear_error(); }
};

std::string encode( EVP_PKEY& key )
{
  const Bio bio { ::BIO_new( ::BIO_s_mem() ), ::BIO_free };
  char* data = nullptr;
  if ( not bio or ::PEM_write_bio_PKCS8PrivateKey( bio.get(), &key, nullptr, nullptr, 0, nullptr, nullptr ) != 1 ) {
    throw StartupError( "OpenSSL cannot write down a key" );
  }
  const long size = ::BIO_get_mem_data( bio.get(), &data );
  return { data, static_cast<std::size_t>( size ) };
}

} // namespace

void PrivateKey::Free::operator()( EVP_PKEY* key ) const
{
  ::EVP_PKEY_free( key );
}

PrivateKey::PrivateKey( Key key, bool made )
  : key_( std::move( key ) ), digest_( key_digest( *key_ ) ), made_( made )
{}

PrivateKey::Key PrivateKey::generate()
{
  const QuietErrors quiet;
  Key key { ::EVP_PKEY_Q_keygen( nullptr, nullptr, "ED25519" ) };
  if ( not key ) {
    throw StartupError( "OpenSSL cannot make an Ed25519 key" );
  }
  return key;
}

// `pem` is wiped; `remedy` says what to do about a file that holds no key.
PrivateKey::Key PrivateKey::decode( const std::string& path, std::string pem, const std::string& remedy )
{
  const QuietErrors quiet;
  const Bio bio { ::BIO_new_mem_buf( pem.data(), static_cast<int>( pem.size() ) ), ::BIO_free };
  if ( not bio ) {
    throw StartupError( "OpenSSL has no memory" );
  }
  bool asked = false;
  Key key { ::PEM_read_bio_PrivateKey( bio.get(), nullptr, no_passphrase, &asked ) };
  wipe( pem );
  if ( asked ) {
    throw StartupError( fmt::format(
      "the key in {} is protected by a passphrase, and nobody is there to type it: {}", path, remedy ) );
  }
  if ( not key ) {
    throw StartupError( fmt::format( "there is no private key that OpenSSL can read in {}: {}", path, remedy ) );
  }
  return key;
}

PrivateKey PrivateKey::load_or_make( const StateDirectory& directory, const char* name )
{
  const std::string path = directory.file( name );
  const FileRule rule { .kind = FileRule::Kind::secret, .owner = directory.owner() };
  FileReading reading = read_file( path, rule );
  bool made = false;
  if ( not reading.text and reading.problem.empty() ) {
    Key fresh = generate();
    std::string pem = encode( *fresh );
    made = make_file( path, pem, directory.owner() );
    wipe( pem );
    if ( made ) {
      return { std::move( fresh ), true };
    }
    reading = read_file( path, rule ); // another program was faster
  }
  if ( not reading.problem.empty() ) {
    throw StartupError( reading.problem );
  }
  if ( not reading.text ) {
    fail( fmt::format( "cannot read {}", path ), ENOENT ); // and somebody removed what it made
  }
  const std::string remedy
    = "restore it from a backup, or remove it: then a new one is made, which others do not know";
  Key key = decode( path, std::move( *reading.text ), remedy );
  if ( ::EVP_PKEY_get_id( key.get() ) != EVP_PKEY_ED25519 ) {
    throw StartupError( fmt::format( "the key in {} is not an Ed25519 key: {}", path, remedy ) );
  }
  return { std::move( key ), false };
}

PrivateKey PrivateKey::load( const std::string& path )
{
  const FileRule rule { .kind = FileRule::Kind::given_key, .owner = ::geteuid(), .follow_links = true };
  FileReading reading = read_file( path, rule );
  if ( not reading.problem.empty() ) {
    throw StartupError( reading.problem );
  }
  if ( not reading.text ) {
    fail( fmt::format( "cannot read {}", path ), ENOENT );
  }
  Key key = decode( path, std::move( *reading.text ), "--key takes a private key in PEM without a passphrase" );
  if ( ::EVP_PKEY_can_sign( key.get() ) != 1 ) {
    throw StartupError( fmt::format( "the key in {} cannot sign: use an Ed25519, ECDSA or RSA key", path ) );
  }
  return { std::move( key ), false };
}

} // namespace holdfast
