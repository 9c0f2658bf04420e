#pragma once

#include "core/frame.hh"

#include <optional>
#include <span>
#include <vector>

namespace holdfast {

// Cuts the frames out of a link's byte stream, however it is chopped:
//
//   reader.feed( bytes );
//   while ( auto frame = reader.next() ) { ... }
//   if ( reader.fault() ) { drop the link }
//
//   reader.done();
//
// Payloads are views of `bytes`, or of our own memory when a frame came in pieces. They last until done(), or the
// next feed(). Copies at most two pieces of a frame per feed. The first frame must be of the type given (a
// greeting), and no later one may be: until the first header has been read at most a greeting's payload is stored,
// so a stranger cannot make us hold more than about a kilobyte.
class FrameReader
{
public:
  explicit FrameReader( FrameType greeting ) : greeting_( greeting ) {}

  // `bytes` must stay where they are for as long as payloads are to last, and until next() has returned nothing.
  void feed( std::span<const std::byte> bytes ) { fresh_ = bytes; }
  // The next whole frame; nothing when more bytes are needed or the peer made a mistake.
  [[nodiscard]] std::optional<Frame> next();
  // What follows the frame that next() has just returned, as far as it was fed.
  [[nodiscard]] std::span<const std::byte> rest() const { return fresh_; }
  // No payload is needed any more. An idle link holds no memory then.
  void done();
  // The peer's mistake; nothing more is read after it.
  [[nodiscard]] Verdict fault() const { return fault_; }
  // Bytes of a frame that is not complete yet.
  [[nodiscard]] std::size_t held() const { return partial_.size(); }
  // Bytes of memory that are ours.
  [[nodiscard]] std::size_t memory() const { return partial_.capacity() + whole_.capacity(); }

private:
  [[nodiscard]] std::optional<FrameHeader> header_of( std::span<const std::byte, FrameHeader::size> raw );
  std::optional<Frame> from_partial();
  std::optional<Frame> from_fresh();
  void take_fresh( std::size_t count );

  FrameType greeting_;
  bool greeted_ = false;
  std::span<const std::byte> fresh_ {};
  std::vector<std::byte> partial_ {};
  std::vector<std::byte> whole_ {}; // was a partial one, and is complete
  Verdict fault_ {};
};

} // namespace holdfast
