#pragma once

#include "core/initiation.hh"
#include "identity/state_directory.hh"

#include <openssl/types.h>

#include <memory>
#include <string>

namespace holdfast {

// The key that says who we are. Moved, never copied; freed (and wiped by OpenSSL) with its owner.
class PrivateKey
{
public:
  // The Ed25519 key (RFC 8410) in the file `name` of the state directory, PKCS#8 in PEM (RFC 7468), mode 0600; made
  // if there is none. Of two programs that start at once both get the same key.
  // Throws StartupError when the file is damaged, of another kind, or could be read by others: a new key is never
  // made in the place of one that is there.
  static PrivateKey load_or_make( const StateDirectory& directory, const char* name );

  // The key in a file that a person named (--key): any kind that OpenSSL reads from PEM. Throws StartupError when
  // there is none, when others could read it, or when it asks for a passphrase: nobody is there to type one.
  static PrivateKey load( const std::string& path );

  // Good as long as this object is, wherever it is moved to.
  [[nodiscard]] EVP_PKEY& get() const { return *key_; }
  [[nodiscard]] const Digest& digest() const { return digest_; } // key_digest( get() ): who we are to others
  [[nodiscard]] bool made() const { return made_; }              // by this call: nobody can know it yet

private:
  struct Free
  {
    void operator()( EVP_PKEY* key ) const;
  };
  using Key = std::unique_ptr<EVP_PKEY, Free>;
  PrivateKey( Key key, bool made );
  static Key generate();
  static Key decode( const std::string& path, std::string pem, const std::string& remedy );

  Key key_;
  Digest digest_;
  bool made_;
};

// The names of the files.
inline constexpr const char* host_key_file = "host_key";     // sproxy's
inline constexpr const char* client_key_file = "client_key"; // cproxy's

} // namespace holdfast
