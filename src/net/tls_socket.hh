#pragma once

#include "net/fd.hh"
#include "net/socket.hh"

#include <openssl/bio.h>

#include <array>
#include <cstddef>
#include <limits>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace holdfast {

// Where bytes lie in the middle of a call. All wires that a thread serves are served one after another, so they
// share it, and it stays in the processor's cache.
struct TlsBuffers
{
  static constexpr std::size_t receiving_size = 131072; // eight records in one recvmsg(2)
  static constexpr std::size_t sending_size = 212992;   // a batch of frames, and what TLS adds

  // Those of the thread that asks.
  [[nodiscard]] static TlsBuffers& here();

  std::array<std::byte, 16384> record {}; // its slices are gathered here, or early data arrive
  std::vector<std::byte> sending {};      // records made, not sent yet
  std::vector<std::byte> receiving {};    // received, not read by OpenSSL yet
};

// The socket under a TLS wire, as OpenSSL reads and writes it (a BIO, bio(7ssl)): every byte is counted, and no
// call blocks, raises SIGPIPE, or reads more than it should. OpenSSL writes record by record and reads header by
// header; between gather() and send_gathered(), and share() and keep(), many of them are one system call.
//
// Owns the socket, and what it did not take; a socket that takes all leaves us without memory. Between calls it may
// go from one thread to another. The BIO is OpenSSL's and refers to us, who must outlive it. Of what a stranger
// sends nothing is read any more once 16 KiB have been.
class TlsSocket
{
public:
  explicit TlsSocket( Fd fd ) : fd_( std::move( fd ) ) {}
  TlsSocket( const TlsSocket& ) = delete;
  TlsSocket& operator=( const TlsSocket& ) = delete;
  ~TlsSocket() = default;

  [[nodiscard]] Fd& fd() { return fd_; }
  // One over this socket, for SSL_set_bio; nullptr if there is no memory.
  [[nodiscard]] BIO* make_bio();

  // -- what may be read -------------------------------------------------------------------------------------------
  // The other end has come through the handshake: from now on it may send as much as it likes.
  void trust() { bytes_left_ = std::numeric_limits<std::size_t>::max(); }
  // So many reads from now on, until this is said again; before it is said, any number.
  void allow_reads( int reads ) { reads_left_ = reads; }
  // Reads as much as `most` bytes at once, until keep(). What OpenSSL has not taken then is kept for the next time.
  // A read that brings less is the last one: the socket is empty.
  void share( std::size_t most );
  void keep();
  // Bytes are kept that OpenSSL has not read.
  [[nodiscard]] bool holds() const { return not fresh_.empty(); }

  // -- what is sent -----------------------------------------------------------------------------------------------
  // Nothing is sent from now on until send_gathered(). Only while nothing is owed.
  void gather();
  [[nodiscard]] std::size_t gathered() const { return TlsBuffers::here().sending.size(); }
  // In one call; what the socket does not take is owed. False: it failed, see error().
  [[nodiscard]] bool send_gathered();
  // Bytes wait for the socket: whatever OpenSSL writes comes behind them.
  [[nodiscard]] bool owes() const { return not unsent_.empty(); }
  // Sends what is owed, as far as the socket takes it. False: it failed.
  [[nodiscard]] bool flush();
  // Bytes of memory that are ours.
  [[nodiscard]] std::size_t memory() const { return held_.capacity() + unsent_.capacity(); }

  // -- what was seen ----------------------------------------------------------------------------------------------
  // The first byte of all that came.
  [[nodiscard]] std::optional<char> first_byte() const { return first_byte_; }
  // It wanted to read on, but the stranger had sent as much as he may.
  [[nodiscard]] bool is_overlong() const { return is_overlong_; }
  // Whether any byte has come since this was last asked.
  [[nodiscard]] bool stirred() { return std::exchange( stirred_, false ); }
  // The other end's stream has.
  [[nodiscard]] bool has_ended() const { return has_ended_; }
  // errno of what failed last; 0 when nothing has.
  [[nodiscard]] int error() const { return error_; }

private:
  static BIO_METHOD* methods();
  static int read( BIO* bio, char* into, std::size_t size, std::size_t* count );
  static int write( BIO* bio, const char* from, std::size_t size, std::size_t* count );
  static long control( BIO* bio, int command, long, void* );
  [[nodiscard]] std::size_t take_fresh( std::span<std::byte> into );
  [[nodiscard]] Transfer fetch();
  [[nodiscard]] std::optional<std::size_t> put( std::span<const std::byte> bytes );
  void arrived( char first, std::size_t count );

  // A handshake needs a kilobyte of the other end's with bare keys, a few with a chain of certificates.
  static constexpr std::size_t handshake_max = 16384;

  Fd fd_;
  std::size_t bytes_left_ = handshake_max;
  int reads_left_ = std::numeric_limits<int>::max();
  std::size_t share_ = 0;               // most bytes of one read into the shared buffer; 0: straight to OpenSSL
  std::span<const std::byte> fresh_ {}; // in the shared buffer, or what is held
  std::vector<std::byte> held_ {};      // what was kept of the shared buffer
  bool gathers_ = false;                // into the shared buffer
  std::vector<std::byte> unsent_ {};    // what is owed, from here on:
  std::size_t unsent_from_ = 0;
  std::optional<char> first_byte_ {};
  bool is_overlong_ = false;
  bool stirred_ = false;
  bool has_ended_ = false;
  int error_ = 0;
};

} // namespace holdfast
