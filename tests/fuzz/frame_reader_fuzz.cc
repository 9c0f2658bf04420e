// Whatever a peer sends, and however the network cuts it: the same bytes give the same frames and the same fault.
// The first byte of the input chooses the greeting and the cuts, the rest is what arrives.

#include "core/frame_reader.hh"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <vector>

using namespace holdfast;

namespace {

struct Seen
{
  std::vector<FrameHeader> headers {};
  std::vector<std::byte> payloads {};
  Verdict fault {};
  bool operator==( const Seen& ) const = default;
};

Seen read( std::span<const std::byte> bytes, std::size_t step, FrameType greeting )
{
  FrameReader reader { greeting };
  Seen seen;
  for ( std::size_t at = 0; at < bytes.size(); at += step ) {
    reader.feed( bytes.subspan( at, std::min( step, bytes.size() - at ) ) );
    while ( const auto frame = reader.next() ) {
      seen.headers.push_back( frame->header );
      seen.payloads.insert( seen.payloads.end(), frame->payload.begin(), frame->payload.end() );
    }
    if ( reader.held() >= FrameHeader::size + FrameHeader::payload_max ) {
      std::abort(); // holds more than a frame
    }
  }
  seen.fault = reader.fault();
  return seen;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput( const std::uint8_t* data, std::size_t size )
{
  if ( size < 1 ) {
    return 0;
  }
  const auto bytes = std::as_bytes( std::span { data + 1, size - 1 } );
  const FrameType greeting = ( data[0] & 1U ) != 0 ? FrameType::hello : FrameType::welcome;
  const Seen whole = read( bytes, std::max<std::size_t>( bytes.size(), 1 ), greeting );
  if ( read( bytes, 1, greeting ) != whole or read( bytes, 2U + ( data[0] >> 1U ), greeting ) != whole ) {
    std::abort();
  }
  return 0;
}
