#pragma once

#include "core/initiation.hh"
#include "net/tls_socket.hh"
#include "net/wire.hh"

#include <openssl/types.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

struct ssl_session_st; // SSL_SESSION of openssl/ssl.h

namespace holdfast {

// The identity of whoever holds this key: SHA-256 of the public key as SubjectPublicKeyInfo in DER (RFC 5280, 4.1),
// the same that `openssl pkey -pubin -outform DER | openssl dgst -sha256` prints.
[[nodiscard]] Digest key_digest( EVP_PKEY& key );

// What all TLS links of a process have in common: TLS 1.3 (RFC 8446) and nothing older, ALPN "holdfast/1"
// (RFC 7301), both ends show a certificate at their first link.
//
// A server gives tickets (RFC 8446, 4.6.1) only to whom it let return (Wire::let_return), so strangers get none. A
// client keeps the latest few and uses each once, but for the last: with them the next handshake needs no
// certificates and no signatures, and its first flight may carry data (Wire::hurry). The judge is asked about a
// ticket's owner as well, at both ends.
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

  // Each end of a link gives itself new keys (RFC 8446, 4.6.3) when it has written so many records with the old
  // ones. Tests want that sooner than after the many that are good for AES-GCM.
  void renew_keys_after( std::uint64_t records ) { records_per_key_ = records; }

  // A wire over this socket; the context must outlive it. Wires are made, and handshakes begun, in one thread; an
  // open wire may be another one's.
  [[nodiscard]] std::unique_ptr<Wire> wire( Fd socket ) const;

  // Our own identity.
  [[nodiscard]] const Digest& identity() const { return identity_; }

private:
  friend class TlsWire;
  friend class TlsHandshake;
  struct Free
  {
    void operator()( SSL_CTX* context ) const;
    void operator()( ssl_session_st* session ) const;
  };
  using Ticket = std::unique_ptr<ssl_session_st, Free>;

  TlsContext( Role role, Judge judge );
  void allow_tickets();
  static int verify( X509_STORE_CTX* chain, void* self );
  static int keep_ticket( SSL* ssl, ssl_session_st* session );
  static int judge_ticket( SSL* ssl,
                           ssl_session_st* session,
                           const unsigned char*,
                           std::size_t,
                           int status,
                           void* self );
  [[nodiscard]] bool welcomes( const ssl_session_st& session ) const;
  [[nodiscard]] Ticket take_ticket() const;

  Role role_;
  Judge judge_;
  bool has_ca_ = false;
  // RFC 8446, 5.5: 2^24.5 full ones leave somebody who tells them from chance a success in 2^57. A third of that.
  std::uint64_t records_per_key_ = 1U << 23U;
  std::string sni_ {};
  Digest identity_ {};
  mutable std::deque<Ticket> tickets_ {}; // of a client, the latest at the back
  std::unique_ptr<SSL_CTX, Free> context_;
};

} // namespace holdfast
