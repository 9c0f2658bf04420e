#pragma once

#include "core/frame.hh"

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <vector>

namespace holdfast {

// Frames for one gathering write into a link's socket. One batch serves all links in turn; between turns a link
// keeps only its rest: bytes of frames begun that the socket did not take.
//
//   batch.start( rest );
//   while ( not batch.full() and there is more ) { batch.put( header, payload ); }
//   n = send( batch.slices() );
//   batch.finish( n );
//
// A payload is referred to where it lies until finish(), which must follow in the same turn; what the socket did
// not take is copied then, so that the memory it lay in may be forgotten, or used for something else, while the
// rest waits. The memory of a rest that was taken is kept for the next one: a busy link has a rest every few turns.
class FrameBatch
{
public:
  static constexpr std::size_t bytes_max = 131072; // a turn's worth, and the most that may have to be copied
  static constexpr std::size_t slices_max = 256;   // below IOV_MAX (1024, sysconf(3))

  // Is full with `most` bytes; what is put last may go beyond that.
  void start( std::vector<std::byte>& rest, std::size_t most = bytes_max );
  void put( FrameHeader header, std::span<const std::byte> payload = {} );
  // The same with a payload that need not stay where it is: at most a greeting's.
  void put_copy( FrameHeader header, std::span<const std::byte> payload );

  [[nodiscard]] bool full() const;
  [[nodiscard]] std::size_t room() const { return bytes_ < most_ ? most_ - bytes_ : 0; }
  // How large a payload should be now: what there is room for, but for a rest that is not worth a frame.
  [[nodiscard]] std::size_t piece() const { return std::clamp( room(), piece_least, FrameHeader::payload_max ); }
  // With the frame's header and that of TLS it fills a segment.
  static constexpr std::size_t piece_least = 1400 - FrameHeader::size;
  [[nodiscard]] bool empty() const { return bytes_ == 0; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  [[nodiscard]] std::span<const std::span<const std::byte>> slices() const
  {
    return { slices_.data(), slices_used_ };
  }
  // The socket took the first `taken` bytes.
  void finish( std::size_t taken );

private:
  static constexpr std::size_t inline_max = FrameHeader::size + FrameHeader::greeting_payload_max;

  void append( std::span<const std::byte> slice );
  std::span<std::byte> scratch( std::size_t size );

  std::vector<std::byte>* rest_ = nullptr;
  std::vector<std::byte> spare_ {}; // memory, no bytes
  std::array<std::byte, 16384> headers_ {};
  std::size_t headers_used_ = 0;
  std::array<std::span<const std::byte>, slices_max> slices_ {};
  std::size_t slices_used_ = 0;
  std::size_t bytes_ = 0;
  std::size_t most_ = bytes_max;
};

// A frame for a link's rest, when no batch is under way: greetings and farewells.
void append_frame( std::vector<std::byte>& rest, FrameHeader header, std::span<const std::byte> payload );

} // namespace holdfast
