#pragma once

#include "net/address.hh"
#include "net/fd.hh"

#include <sys/uio.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast {

// What one recv or send came to.
struct Transfer
{
  enum class Kind
  {
    moved,       // `count` > 0 bytes
    would_block, // nothing now
    ended,       // receiving only: the peer ended its stream
    failed       // `error` is the errno; the socket is dead
  };
  Kind kind = Kind::would_block;
  std::size_t count = 0;
  int error = 0;
};

// recvmsg and sendmsg on a non-blocking socket, EINTR tried again. Sending never raises SIGPIPE.
[[nodiscard]] Transfer receive( int fd, std::span<const iovec> into );
[[nodiscard]] Transfer receive( int fd, std::span<std::byte> into );
[[nodiscard]] Transfer send( int fd, std::span<const iovec> from );
[[nodiscard]] Transfer send( int fd, std::span<const std::byte> from );

// A listening, non-blocking TCP socket with SO_REUSEADDR. Throws StartupError: "cannot listen on ...: reason".
[[nodiscard]] Fd listen_on( const Address& address );

// Listening sockets for what a person calls `host`: an address literal, or "*" / "" for every address of both
// families (one socket if IPv6 is there, else IPv4 alone). Port 0 lets the kernel choose. Throws StartupError.
[[nodiscard]] std::vector<Fd> listen_for( std::string_view host, std::uint16_t port );

// Whether this listening socket is one that listen_for( host, port ) would make.
[[nodiscard]] bool listens_for( int fd, std::string_view host, std::uint16_t port );
// Whether a connection with that local address may come from a listener with this one.
[[nodiscard]] bool is_accepted_by( const Address& local, const Address& listener );

// What accept4 came to: a non-blocking socket with its peer, nothing more to accept, or no descriptor or memory
// left
// (`exhausted`: do not try again at once, the connection is still queued and would be reported again and again).
// Connections that died in the queue are skipped.
struct Accepted
{
  Fd fd {};
  Address peer {};
  bool exhausted = false;
  int error = 0;
};
[[nodiscard]] Accepted accept_from( int listener );

// Whether this is one of the last `spare` descriptors that the process may have (a quarter of them all at most).
// Linux always gives the lowest free number, so then nearly all others are in use. What sessions may use ends
// there: else a crowd of them would take the descriptor that the next link needs, and nothing would move any more.
inline constexpr int spare_for_links = 32;
// And what links may use ends here: should we die, the next process needs some before it can close any of ours.
inline constexpr int spare_for_next = 4;
[[nodiscard]] bool is_among_the_last( int fd, int spare );

// A non-blocking socket with a connect under way (or done: then it is writable at once).
// On failure `fd` is none and `error` the errno. Leaves `spare` descriptors unused: EMFILE instead. With an
// `interface` (its index) it goes through this one, whatever the kernel prefers (SO_BINDTOIFINDEX, socket(7); needs
// no privilege since Linux 5.7).
struct Connecting
{
  Fd fd {};
  int error = 0;
};
[[nodiscard]] Connecting connect_to( const Address& address, int spare = 0, unsigned interface = 0 );

// What has become of the connect that is under way on this socket: 0, it is done; EALREADY, it still is; or why it
// failed (connect(2)). A peer on the same machine has often answered before connect_to() returns.
[[nodiscard]] int outcome_of_connect( int fd, const Address& address );

// The outcome of a connect once the socket is writable, and any pending error otherwise; 0 is success. Reading
// clears it (SO_ERROR, socket(7)).
[[nodiscard]] int pending_error( int fd );

// What the kernel knows of the path of a connected TCP socket: TCP_INFO (tcp(7)).
struct PathState
{
  // How long ago it accepted a segment, be it only an acknowledgement, or data that must wait for some that was
  // lost (tcpi_last_ack_recv). Linux 6.18 was seen to count new and duplicate acknowledgements and data in order,
  // out of order and repeated; not what lies outside of the window. In steps of the kernel's clock, 1 to 10 ms.
  std::chrono::milliseconds since_last_segment;
  std::chrono::microseconds round_trip; // smoothed (tcpi_rtt)
  // Bytes a second that the path delivered when last measured (tcpi_delivery_rate, and no more than a congestion
  // window a round trip), 0 if that is not known; and whether it might have been more, had there been more to send
  // (tcpi_delivery_rate_app_limited).
  std::uint64_t rate;
  bool ran_dry;
};
// A day and 0 if the kernel does not say.
[[nodiscard]] PathState path_state( int fd );

// Whether the peer of a connection has ended its stream or reset it, whatever is still to be read.
[[nodiscard]] bool has_left( int fd );

// For the sockets of app and target: no delay for small writes (TCP_NODELAY), urgent bytes stay in the stream
// (SO_OOBINLINE: telnet sends them; without it recv would skip the byte), dead remote peers are noticed
// (SO_KEEPALIVE). What a listening socket accepts inherits all that.
void prepare_leg( int fd );

// For links: no delay, and at most `unsent` bytes waiting in the kernel that have not been sent yet
// (TCP_NOTSENT_LOWAT, tcp(7)), so that a heartbeat or a keystroke does not queue behind megabytes.
void prepare_link( int fd, int unsent );
void set_unsent_max( int fd, int unsent ); // the same again, for another number

// A close that the peer sees as a reset, now, whoever else has the socket open.
void close_with_reset( Fd& fd );

// Whether the peer shall see a reset if the socket is closed and nobody has said more about it: by the kernel, when
// the last process that has it open is no more (SO_LINGER 0, socket(7)). Only where both streams have ended does it
// make no difference, and has to be taken back: a close that waits for nothing throws away what is not sent yet.
void reset_when_closed( int fd, bool on );

// Ends our direction of the connection (FIN); the other one goes on. Fails only if the connection has.
void end_writing( int fd );

[[nodiscard]] Address local_address( int fd );
[[nodiscard]] Address peer_address( int fd );

} // namespace holdfast
