#pragma once

#include <cstdint>
#include <optional>

namespace holdfast {

// Memory or a file as the kernel knows it, in whatever process; 0: it is none.
[[nodiscard]] std::uint64_t inode_of( int fd );

// Of a TCP socket; numbers as in TCP_INFO (tcp(7)).
enum class TcpState : std::uint8_t
{
  established = 1,
  syn_sent = 2,
  syn_received = 3,
  fin_wait_1 = 4, // we have ended our stream,
  fin_wait_2 = 5, // and the peer has all of it
  time_wait = 6,
  closed = 7,
  close_wait = 8, // the peer has ended its stream,
  last_ack = 9,   // and we ours
  listening = 10,
  closing = 11, // both at once
};
// Nothing if it is no TCP socket.
[[nodiscard]] std::optional<TcpState> tcp_state_of( int fd );

// The kernel as a journal. It counts what passes through a TCP socket, and goes on counting when the process that
// used the socket has died: so whoever comes after it learns what that one did last and had no time to write down.
struct Counts
{
  TcpState state = TcpState::closed;
  // Bytes that were read from the socket. The end of the peer's stream (its FIN) counts as one byte as soon as it
  // is here, read or not.
  std::uint64_t taken = 0;
  // Bytes that were written into it. Our SYN counts as one, if we dialled, and the end of our stream as another.
  std::uint64_t given = 0;
  std::uint64_t unacknowledged = 0; // of those, bytes that wait for the peer's kernel
  bool error = false;               // the connection has failed, and nobody was told yet
};

// Nothing if it is no TCP socket. Does not change the socket: an error stays to be told.
[[nodiscard]] std::optional<Counts> counts_of( int fd );

// By which the kernel knows a socket as long as it lives (SO_COOKIE, socket(7)), whatever number it has in which
// process. Never 0; 0 if it is no socket.
[[nodiscard]] std::uint64_t cookie_of( int fd );

// Whether the SYN of this connected socket counts: ask before the first byte is written.
[[nodiscard]] bool counts_syn( int fd );

// What the process that died had written down about a socket.
struct Booked
{
  std::uint64_t read = 0;
  std::uint64_t written = 0;
  bool read_end = false;  // the peer's stream has ended,
  bool wrote_end = false; // and ours
  bool syn = false;       // counts_syn()
};

// Between a call that moves bytes and its booking a process can die once. So of each kind at most one call is not
// booked: bytes that were read, bytes that were written, or an end, which is only read or written when all bytes
// before it are booked.
struct Audit
{
  enum class Fate
  {
    goes_on,    // or has come to both its ends; and this many bytes are not booked:
    failed,     // reset, or timed out, told or not
    impossible, // these books are not of this socket
  };
  Fate fate = Fate::impossible;
  std::uint64_t read = 0;
  std::uint64_t written = 0;
};
[[nodiscard]] Audit audit( const Counts& counts, const Booked& booked );

} // namespace holdfast
