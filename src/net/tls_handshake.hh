#pragma once

#include "core/initiation.hh"
#include "net/tls_socket.hh"

#include <openssl/types.h>

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace holdfast {

class TlsContext;

// How the two ends of a TLS wire come to know each other, and the data that travel meanwhile: a client's go with
// its first flight if it has a ticket, a server's with its answer (0-RTT and 0.5-RTT data of RFC 8446, 2.3).
//
// Uses the context, the wire's socket and its SSL, which must outlive it. Keeps early data that came while the wire
// was being opened, a record at most, until they are read. Finished implies that all early data were read, or
// refused; nothing goes through us any more then.
class TlsHandshake
{
public:
  // Data before the handshake is finished, each way. A client's, together with the hello of TLS (about 1 KiB with a
  // ticket), fit into the ten segments that TCP sends at once (RFC 6928); only who returns sends any.
  static constexpr std::size_t early_most = 12288;

  TlsHandshake( const TlsContext& context, TlsSocket& socket ) : context_( context ), socket_( socket ) {}

  // As the methods of a wire (net/wire.hh), which begin()s before it opens.
  void hurry() { hurries_ = true; }
  void begin( SSL& ssl );
  [[nodiscard]] bool open();
  [[nodiscard]] bool is_open() const { return open_; }
  [[nodiscard]] bool opens_when_writable() const { return opens_when_writable_; }
  [[nodiscard]] bool may_send() const { return open_ or early_ == Early::sending; }
  [[nodiscard]] bool refused_early() const { return early_ == Early::refused; }
  [[nodiscard]] const Channel& channel() const { return channel_; }
  void let_return();

  // As SSL_read_ex and SSL_write_ex, for an open wire until the handshake is finished. No more than early_most
  // bytes are written in all: what is not taken waits for its end.
  [[nodiscard]] int read( std::span<std::byte> into, std::size_t& count );
  [[nodiscard]] int write( std::span<const std::byte> from, std::size_t& count );
  [[nodiscard]] bool waits() const { return waits_; }
  // A server's wire may be open before.
  [[nodiscard]] bool is_finished() const { return finished_; }

  // Why the other end is not welcome; the handshake fails then.
  void judged( std::string problem ) { problem_ = std::move( problem ); }
  [[nodiscard]] const std::string& problem() const { return problem_; }
  // What OpenSSL says after a call that failed. A client reads only after its handshake that it is not admitted.
  [[nodiscard]] std::string alert_or_problem() const;

private:
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

  void begin_early();
  [[nodiscard]] bool open_early();
  [[nodiscard]] bool shake_hands();
  [[nodiscard]] bool failed_to_open( int result );
  void learn_channel( bool is_early );
  void finish();
  void give_tickets();
  std::size_t take_held( std::span<std::byte> into );
  [[nodiscard]] std::string why_it_failed() const;

  const TlsContext& context_;
  TlsSocket& socket_;
  SSL* ssl_ = nullptr; // the wire's, since begin()
  Channel channel_ {};
  Early early_ = Early::none;
  std::vector<std::byte> held_ {}; // early data that came while the wire was being opened
  std::size_t early_sent_ = 0;     // bytes
  bool hurries_ = false;
  bool open_ = false;
  bool finished_ = false;
  bool opens_when_writable_ = false;
  bool waits_ = false;        // what is to be sent, for the end of the handshake
  bool owes_tickets_ = false; // to be given then
  std::string problem_ {};
};

} // namespace holdfast
