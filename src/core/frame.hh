#pragma once

#include "core/fault.hh"
#include "core/types.hh"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <variant>

namespace holdfast {

// One message on a link is a frame: this header, then `length` bytes of payload. docs/PROTOCOL.md is the
// specification, with a worked example that frame_test.cc decodes. All numbers are big-endian.
//
//   0      1      2         4             8          16         24          32
//   | type | flags| length  | window      | session  | sequence | acknowl. | payload...
//
// The three families of message:
//   heartbeat             heartbeat
//   initiation            hello, welcome, goodbye (tunnel); open, opened (session); resume (session, after a move)
//   application data      data, ack, end, reset, closed
enum class FrameType : std::uint8_t
{
  hello = 1,     // first frame from cproxy: new tunnel or resume
  welcome = 2,   // first frame from sproxy: the answer
  heartbeat = 3, // I am here
  goodbye = 4,   // this tunnel is over, with all its sessions
  open = 5,      // a new session
  opened = 6,    // its target is connected
  resume = 7,    // positions of a session on this link; says where the other side is to go on
  data = 8,      // bytes
  ack = 9,       // acknowledgement and window alone
  end = 10,      // end of stream (half-close)
  reset = 11,    // the session is over at once; payload: the reason
  closed = 12,   // there is no such session (any more)
};

struct FrameHeader
{
  static constexpr std::size_t size = 32;
  static constexpr std::size_t payload_max = 16384;         // of a data frame; all others are smaller
  static constexpr std::size_t greeting_payload_max = 1024; // of hello and welcome
  static constexpr std::uint8_t early = 1;     // flag of resume and data: said before the welcome had come
  static constexpr std::uint8_t connected = 2; // flag of sproxy's resume: the target is

  FrameType type = FrameType::heartbeat;
  std::uint8_t flags = 0;   // see above; or a heartbeat's pace (Pulse); unknown flags are ignored
  std::uint16_t length = 0; // bytes of payload
  std::uint32_t window = 0; // bytes beyond `acknowledgement` that the sender of this frame takes
  SessionId session = 0;
  Position sequence = 0;        // of the first payload byte, in the sender's stream
  Position acknowledgement = 0; // the sender has delivered the peer's stream up to here

  bool operator==( const FrameHeader& ) const = default;
};

[[nodiscard]] std::array<std::byte, FrameHeader::size> encode( const FrameHeader& header );

// A header that is right (known type; length, session and positions possible for it), or why not.
[[nodiscard]] std::variant<FrameHeader, Fault> decode( std::span<const std::byte, FrameHeader::size> raw );

// "hello", "data", ...: the same word in the log, the metrics and PROTOCOL.md.
[[nodiscard]] std::string_view name( FrameType type );

struct Frame
{
  FrameHeader header;
  std::span<const std::byte> payload; // memory of whoever delivered the frame; valid until it is asked for the next
};

// Why a session ended at once; payload of a reset frame. Numbers are the protocol's, see PROTOCOL.md.
enum class ResetReason : std::uint8_t
{
  by_program = 1,    // app or target reset its connection
  refused = 2,       // the target refused the connection
  timed_out = 3,     // the target did not answer
  unreachable = 4,   // no route to the target, or its name has no address
  limit = 5,         // too many sessions, or no memory for another one
  superseded = 6,    // sproxy --single: a newer session took its place
  stopped = 7,       // a proxy was stopped
  expired = 8,       // detached for longer than --keep
  inconsistent = 9,  // the two sides no longer agree about the session's bytes
  forgotten = 10,    // the other side does not know the session any more
  not_admitted = 11, // sproxy: its client may not come any more
  too_old = 12,      // sproxy: its tunnel is as old as one may become (--max-age)
  unknown = 255,
};

[[nodiscard]] std::string_view describe( ResetReason reason );
[[nodiscard]] ResetReason reset_reason( std::byte raw );

} // namespace holdfast
