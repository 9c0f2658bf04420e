#include "lines/message.hh"

#include <algorithm>
#include <cassert>

namespace holdfast::lines {

namespace {

std::uint32_t length_in( std::span<const std::byte, length_size> raw )
{
  std::uint32_t length = 0;
  for ( const std::byte byte : raw ) {
    length = ( length << 8U ) | std::to_integer<std::uint32_t>( byte );
  }
  return length;
}

} // namespace

void append_message( std::vector<std::byte>& out, std::span<const std::byte> payload )
{
  assert( payload.size() <= payload_max );
  for ( std::size_t shift = 8 * length_size; shift > 0; ) {
    shift -= 8;
    out.push_back( static_cast<std::byte>( ( payload.size() >> shift ) & 0xffU ) );
  }
  out.insert( out.end(), payload.begin(), payload.end() );
}

// Takes from the input until `size` bytes of the message are held.
bool MessageReader::fill( std::size_t size, std::span<const std::byte>& input )
{
  assert( size <= buffer_.size() );
  if ( held_ < size ) {
    const std::size_t taken = std::min( size - held_, input.size() );
    std::copy_n( input.begin(), taken, buffer_.begin() + static_cast<std::ptrdiff_t>( held_ ) );
    held_ += taken;
    input = input.subspan( taken );
  }
  return held_ >= size;
}

std::optional<MessageReader::Reading> MessageReader::next( std::span<const std::byte>& input )
{
  if ( not fill( length_size, input ) ) {
    return std::nullopt;
  }
  const std::uint32_t length = length_in( std::span { buffer_ }.first<length_size>() );
  if ( length > payload_max ) { // the length stays, so it is said again whenever we are asked
    return Reading { .kind = Reading::Kind::too_long, .length = length };
  }
  if ( not fill( length_size + length, input ) ) {
    return std::nullopt;
  }
  held_ = 0;
  return Reading { .length = length, .payload = std::span { buffer_ }.subspan( length_size, length ) };
}

} // namespace holdfast::lines
