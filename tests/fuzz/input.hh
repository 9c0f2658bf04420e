#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>

namespace holdfast::fuzz {

// What must hold whatever the input is. libFuzzer keeps the input for which it does not.
inline void check( bool holds, const char* what )
{
  if ( not holds ) {
    std::fprintf( stderr, "\nbroken: %s\n", what );
    std::abort();
  }
}

// The fuzzer's bytes as a sequence of choices. When they are used up every further choice is 0, so each input says
// something, and a longer one only says more.
class Input
{
public:
  Input( const std::uint8_t* data, std::size_t size ) : bytes_( std::as_bytes( std::span { data, size } ) ) {}

  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  [[nodiscard]] std::span<const std::byte> rest() const { return bytes_; }

  std::uint8_t byte()
  {
    if ( bytes_.empty() ) {
      return 0;
    }
    const auto value = std::to_integer<std::uint8_t>( bytes_.front() );
    bytes_ = bytes_.subspan( 1 );
    return value;
  }
  std::uint64_t number( unsigned bytes )
  {
    std::uint64_t value = 0;
    for ( unsigned i = 0; i < bytes; ++i ) {
      value = ( value << 8U ) | byte();
    }
    return value;
  }
  // From 0 up to, but without, `n`; at most 256.
  std::size_t below( std::size_t n ) { return byte() % n; }
  // One of a few values that are worth trying.
  template<class T, std::size_t n>
  T one_of( const T ( &values )[n] )
  {
    return values[below( n )];
  }
  std::span<const std::byte> bytes( std::size_t count )
  {
    const auto taken = bytes_.first( std::min( count, bytes_.size() ) );
    bytes_ = bytes_.subspan( taken.size() );
    return taken;
  }

private:
  std::span<const std::byte> bytes_;
};

} // namespace holdfast::fuzz
