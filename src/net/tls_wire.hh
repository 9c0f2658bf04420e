#pragma once

#include "net/openssl.hh"
#include "net/tls.hh"
#include "net/tls_handshake.hh"
#include "net/tls_socket.hh"

#include <openssl/ssl.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace holdfast {

// TLS over one socket: once the two ends have agreed (TlsHandshake), bytes become records and records bytes.
// OpenSSL reads and writes the socket through us (TlsSocket), so that no call does more than it should.
//
// Made by TlsContext::wire(); uses the context, which must outlive it, and gathers each record in the memory that
// the wires of a thread share. Between calls it may go from one thread to another. Owns the socket and OpenSSL's
// state, which is made with the first open(): who connects and says nothing costs nothing. A wire that is broken
// says the same each time, and asks nothing of OpenSSL any more.
class TlsWire : public Wire
{
public:
  TlsWire( const TlsContext& context, Fd socket )
    : context_( context ), socket_( std::move( socket ) ), handshake_( context, socket_ )
  {}

  Fd& socket() override { return socket_.fd(); }
  void hurry() override { handshake_.hurry(); }
  bool open() override;
  [[nodiscard]] bool is_open() const override { return handshake_.is_open(); }
  [[nodiscard]] bool opens_when_writable() const override { return handshake_.opens_when_writable(); }
  [[nodiscard]] bool may_send() const override { return handshake_.may_send(); }
  [[nodiscard]] bool refused_early() const override { return handshake_.refused_early(); }
  [[nodiscard]] Channel channel() const override { return handshake_.channel(); }
  Transfer receive( std::span<std::byte> into, bool buffered_only ) override;
  Transfer send( std::span<const iovec> from ) override;
  bool flush() override;
  [[nodiscard]] bool owes() const override { return socket_.owes(); }
  [[nodiscard]] bool sends_when_readable() const override { return handshake_.waits(); }
  void say_no_more() override;
  void let_return() override { handshake_.let_return(); }
  bool stirred() override { return socket_.stirred(); }
  [[nodiscard]] bool in_record() const override
  {
    return socket_.holds() or ( ssl_ and ::SSL_has_pending( ssl_.get() ) == 1 );
  }
  [[nodiscard]] const std::string& problem() const override
  {
    return problem_.empty() ? handshake_.problem() : problem_;
  }

  // -- for OpenSSL's callbacks ------------------------------------------------------------------------------------
  [[nodiscard]] static TlsWire& of( const SSL* ssl );
  // Why the other end is not welcome; the handshake fails then.
  void judged( std::string problem ) { handshake_.judged( std::move( problem ) ); }
  // A message of the TLS protocol itself, in the middle of a read or write.
  static void message( int sent, int, int type, const void*, std::size_t, SSL* ssl, void* );

private:
  void start();
  [[nodiscard]] int read_some( std::span<std::byte> into, std::size_t& count );
  Transfer send_records( std::span<const iovec> from );
  [[nodiscard]] int write_some( std::span<const std::byte> from, std::size_t& count );
  void renew_keys();
  void interrupted();
  std::size_t gather( std::span<const iovec> from, std::size_t& slice, std::size_t& offset ) const;
  Transfer not_moved( int result );
  [[nodiscard]] Transfer as_before() const;

  const TlsContext& context_;
  TlsSocket socket_;
  TlsHandshake handshake_;
  std::unique_ptr<SSL, Deleter<::SSL_free>> ssl_ {}; // none until there is something to do
  std::uint64_t received_ = 0;                       // bytes of data
  std::uint64_t sent_ = 0;                           // bytes of data
  std::uint64_t messages_ = 0;                       // of TLS itself, since it is open
  std::uint64_t records_ = 0;                        // sent with the key there is, no fewer than that
  bool broken_ = false;                              // nothing may be asked of OpenSSL any more
  std::string problem_ {};                           // since it is open
};

} // namespace holdfast
