#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <vector>

namespace holdfast::load {

// What bulk sessions carry in both directions: bytes that follow from their position, so that one that is lost,
// doubled, moved or changed is noticed. Each has its highest bit set, so text can follow. Repeats itself after a
// prime number of bytes: nothing that goes wrong in powers of two fits.
class Pattern
{
public:
  static constexpr std::size_t period = 262139;

  Pattern() : bytes_( 2 * period )
  {
    std::mt19937_64 random { 1 };
    for ( std::size_t i = 0; i < period; ++i ) {
      bytes_[i] = bytes_[i + period] = std::byte { static_cast<std::uint8_t>( random() | 0x80U ) };
    }
  }

  // What is to be sent from this position on: a whole period.
  [[nodiscard]] std::span<const std::byte> from( std::uint64_t position ) const
  {
    return std::span { bytes_ }.subspan( position % period, period );
  }

  // Whether these bytes are right there; at most a period.
  [[nodiscard]] bool is_at( std::uint64_t position, std::span<const std::byte> bytes ) const
  {
    return bytes.size() <= period and std::memcmp( from( position ).data(), bytes.data(), bytes.size() ) == 0;
  }

private:
  std::vector<std::byte> bytes_;
};

// The bytes of the pattern among these, which text may follow.
inline std::span<const std::byte> pattern_part( std::span<const std::byte> bytes )
{
  if ( bytes.empty() or ( bytes.back() & std::byte { 0x80 } ) != std::byte { 0 } ) {
    return bytes;
  }
  const auto text = std::ranges::find_if(
    bytes, []( std::byte each ) { return ( each & std::byte { 0x80 } ) == std::byte { 0 }; } );
  return bytes.first( static_cast<std::size_t>( text - bytes.begin() ) );
}

} // namespace holdfast::load
