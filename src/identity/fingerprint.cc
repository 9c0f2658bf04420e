#include "identity/fingerprint.hh"

#include <cstdint>

namespace holdfast {

namespace {

constexpr std::string_view prefix = "SHA256:";
constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::size_t characters = 43; // of 6 bits each for 256 bits: the last one has 2 that stand for nothing

} // namespace

std::string fingerprint( const Digest& digest )
{
  std::string text { prefix };
  std::uint32_t bits = 0; // the lowest `count` are still to be written
  unsigned count = 0;
  for ( const std::byte byte : digest ) {
    bits = ( bits << 8U ) | std::to_integer<std::uint32_t>( byte );
    count += 8;
    for ( ; count >= 6; count -= 6 ) {
      text += alphabet[( bits >> ( count - 6 ) ) & 63U];
    }
  }
  text += alphabet[( bits << ( 6 - count ) ) & 63U];
  return text;
}

std::optional<Digest> parse_fingerprint( std::string_view text )
{
  if ( not text.starts_with( prefix ) or text.size() != prefix.size() + characters ) {
    return std::nullopt;
  }
  Digest digest {};
  std::size_t done = 0;
  std::uint32_t bits = 0;
  unsigned count = 0;
  for ( const char c : text.substr( prefix.size() ) ) {
    const std::size_t value = alphabet.find( c );
    if ( value == std::string_view::npos ) {
      return std::nullopt;
    }
    bits = ( bits << 6U ) | static_cast<std::uint32_t>( value );
    count += 6;
    if ( count >= 8 ) {
      count -= 8;
      digest[done++] = static_cast<std::byte>( ( bits >> count ) & 255U );
    }
  }
  const bool leftover = ( bits & ( ( 1U << count ) - 1 ) ) != 0;
  return leftover ? std::nullopt : std::optional { digest };
}

} // namespace holdfast
