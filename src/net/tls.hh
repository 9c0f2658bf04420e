#pragma once

#include "core/initiation.hh"
#include "net/wire.hh"

#include <openssl/types.h>

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace holdfast {

// The identity of whoever holds this key: SHA-256 of the public key as SubjectPublicKeyInfo in DER (RFC 5280, 4.1),
// the same that `openssl pkey -pubin -outform DER | openssl dgst -sha256` prints.
[[nodiscard]] Digest key_digest( EVP_PKEY& key );

// What all TLS links of a process have in common: TLS 1.3 (RFC 8446) and nothing older, ALPN "holdfast/1"
// (RFC 7301), both ends show a certificate, no session tickets, no early data.
class TlsContext
{
public:
  enum class Role
  {
    server, // sproxy
    client, // cproxy
  };
  // Judges the other end, which has shown that it holds this key: nothing if it is welcome, else why not, in words.
  using Judge = std::function<std::optional<std::string>( const Digest& identity )>;

  // Keys are what counts: we show `key` (Ed25519) in a certificate signed by itself, and whatever the other end's
  // certificate says beside its Ed25519 key is ignored. All trust is the judge's. The key is referred to, not
  // copied.
  TlsContext( Role role, EVP_PKEY& key, Judge judge );

  // Certificates of a private CA, files in PEM: both ends must show one that `ca` has signed, and a client expects
  // the server's to be for `host`, a name or an address (RFC 6125, 6.4: subjectAltName). The judge comes after
  // that.
  struct Certificates
  {
    std::string ca {};
    std::string certificate {}; // ours, for `key`, then any intermediate ones
    std::string key {};         // ours; whoever reads it gives it to us
  };
  // Throws StartupError when a file cannot be used.
  TlsContext( Role role, EVP_PKEY& key, const Certificates& files, const std::string& host, Judge judge );

  // Name of the host a client asks for (SNI, RFC 6066), for those who share a port by it. Not sent for an address.
  void ask_for( const std::string& host );

  // A wire over this socket; the context must outlive it.
  [[nodiscard]] std::unique_ptr<Wire> wire( Fd socket ) const;

  // Our own identity.
  [[nodiscard]] const Digest& identity() const { return identity_; }

private:
  friend class TlsWire;
  struct Free
  {
    void operator()( SSL_CTX* context ) const;
  };

  TlsContext( Role role, Judge judge );
  static int verify( X509_STORE_CTX* chain, void* self );

  Role role_;
  Judge judge_;
  bool has_ca_ = false;
  std::string sni_ {};
  Digest identity_ {};
  std::unique_ptr<SSL_CTX, Free> context_;
  // Where the slices of one record are gathered; all links of the process are written one after another.
  mutable std::array<std::byte, 16384> record_ {};
};

} // namespace holdfast
