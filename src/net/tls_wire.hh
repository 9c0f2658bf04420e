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
#include <vector>

namespace holdfast {

// TLS over one socket. OpenSSL reads and writes through us, so that every byte is counted and no call blocks,
// raises SIGPIPE, or reads more than it should. Made by TlsContext::wire(); uses the context, which must outlive
// it.
class TlsWire : public Wire
{
public:
  // Data before the handshake is finished, each way. A client's, together with the hello of TLS (about 1 KiB with a
  // ticket), fit into the ten segments that TCP sends at once (RFC 6928); only who returns sends any.
  static constexpr std::size_t early_most = 12288;

  TlsWire( const TlsContext& context, Fd socket ) : context_( context ), socket_( std::move( socket ) ) {}

  Fd& socket() override { return socket_; }
  void hurry() override { hurries_ = true; }
  bool open() override;
  [[nodiscard]] bool is_open() const override { return open_; }
  [[nodiscard]] bool may_send() const override { return open_ or early_ == Early::sending; }
  [[nodiscard]] bool refused_early() const override { return early_ == Early::refused; }
  [[nodiscard]] bool sends_when_readable() const override { return waits_; }
  void let_return() override;
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

  // Of the data in the client's first flight, before the handshake is finished.
  enum class Early
  {
    none,
    // client
    sending, // the flight is being made
    sent,
    // server
    possible, // some may come
    arriving, // some has come, and more may
    over,     // all has come
    // both, once the handshake is finished
    accepted,
    refused,
  };

  void start();
  void begin_early();
  [[nodiscard]] bool open_early();
  [[nodiscard]] bool shake_hands();
  [[nodiscard]] bool failed_to_open( int result );
  void learn_channel( bool is_early );
  void finish_handshake();
  void give_tickets();
  int read_some( std::span<std::byte> into, std::size_t& count );
  int write_some( std::span<const std::byte> from, std::size_t& count );
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
  Early early_ = Early::none;
  std::vector<std::byte> held_ {};  // early data that came while the wire was being opened
  std::size_t early_sent_ = 0;      // bytes, before the handshake was finished
  std::size_t handshake_bytes_ = 0; // received
  std::uint64_t received_ = 0;      // bytes of data
  std::uint64_t messages_ = 0;      // of TLS itself, since it is open
  int reads_left_ = 0;              // of the socket, in this call
  int error_ = 0;                   // errno of the socket
  char first_byte_ = 0;             // received
  bool open_ = false;
  bool finished_ = false; // the handshake; a server's wire may be open before
  bool hurries_ = false;
  bool waits_ = false;        // what is to be sent, for the end of the handshake
  bool owes_tickets_ = false; // to be given when it is finished
  bool opens_when_writable_ = false;
  bool stirred_ = false;
  bool ended_ = false;  // the other end's stream
  bool broken_ = false; // nothing may be asked of OpenSSL any more
  std::string problem_ {};
};

} // namespace holdfast
