#pragma once

#include "core/initiation.hh"
#include "net/openssl.hh"
#include "net/tls.hh"

#include <openssl/bio.h>
#include <openssl/ssl.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace holdfast {

// TLS over one socket. OpenSSL reads and writes through us, so that every byte is counted and no call blocks,
// raises SIGPIPE, or reads more than it should. Made by TlsContext::wire(); uses the context, which must outlive
// it.
class TlsWire : public Wire
{
public:
  TlsWire( const TlsContext& context, Fd socket ) : context_( context ), socket_( std::move( socket ) ) {}

  Fd& socket() override { return socket_; }
  bool open() override;
  [[nodiscard]] bool is_open() const override { return open_; }
  [[nodiscard]] bool opens_when_writable() const override { return opens_when_writable_; }
  [[nodiscard]] Channel channel() const override { return channel_; }
  Transfer receive( std::span<std::byte> into, bool buffered_only ) override;
  Transfer send( std::span<const iovec> from ) override;
  void say_no_more() override;
  bool stirred() override { return std::exchange( stirred_, false ); }
  [[nodiscard]] const std::string& problem() const override { return problem_; }

  // -- for OpenSSL's callbacks ------------------------------------------------------------------------------------
  [[nodiscard]] static TlsWire& of( const SSL* ssl );
  // Why the other end is not welcome; the handshake fails then.
  void judged( std::string problem ) { problem_ = std::move( problem ); }
  // A message of the TLS protocol itself, in the middle of a read or write.
  static void message( int sent, int, int type, const void*, std::size_t, SSL* ssl, void* );

private:
  static BIO_METHOD* methods();
  static int socket_read( BIO* bio, char* into, std::size_t size, std::size_t* count );
  static int socket_write( BIO* bio, const char* from, std::size_t size, std::size_t* count );
  static long socket_control( BIO* bio, int command, long, void* );

  void start();
  void finish_opening();
  void arrived( std::string_view bytes );
  void interrupted();
  std::size_t gather( std::span<const iovec> from, std::size_t& slice, std::size_t& offset );
  Transfer not_moved( int result );
  [[nodiscard]] Transfer as_before() const;
  [[nodiscard]] std::string handshake_problem() const;
  [[nodiscard]] std::string alert_or_problem() const;

  const TlsContext& context_;
  Fd socket_;
  std::unique_ptr<SSL, Deleter<::SSL_free>> ssl_ {}; // none until there is something to do
  Channel channel_ {};
  std::size_t handshake_bytes_ = 0; // received
  std::uint64_t received_ = 0;      // bytes of data
  std::uint64_t messages_ = 0;      // of TLS itself, since it is open
  int reads_left_ = 0;              // of the socket, in this call
  int error_ = 0;                   // errno of the socket
  char first_byte_ = 0;             // received
  bool open_ = false;
  bool opens_when_writable_ = false;
  bool stirred_ = false;
  bool ended_ = false;  // the other end's stream
  bool broken_ = false; // nothing may be asked of OpenSSL any more
  std::string problem_ {};
};

} // namespace holdfast
