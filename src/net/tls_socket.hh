#pragma once

#include "net/fd.hh"

#include <openssl/bio.h>

#include <cstddef>
#include <limits>
#include <optional>
#include <utility>

namespace holdfast {

// The socket under a TLS wire, as OpenSSL reads and writes it (a BIO, bio(7ssl)): every byte is counted, and no
// call blocks, raises SIGPIPE, or reads more than it should.
//
// Owns the socket and keeps no byte. The BIO is OpenSSL's and refers to us, who must outlive it. Of what a stranger
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
  void arrived( char first, std::size_t count );

  // A handshake needs a kilobyte of the other end's with bare keys, a few with a chain of certificates.
  static constexpr std::size_t handshake_max = 16384;

  Fd fd_;
  std::size_t bytes_left_ = handshake_max;
  int reads_left_ = std::numeric_limits<int>::max();
  std::optional<char> first_byte_ {};
  bool is_overlong_ = false;
  bool stirred_ = false;
  bool has_ended_ = false;
  int error_ = 0;
};

} // namespace holdfast
