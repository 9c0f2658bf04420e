#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace holdfast {

// Big-endian numbers, written and read one after another. The caller has checked that there is room.
class ByteWriter
{
public:
  explicit ByteWriter( std::span<std::byte> into ) : into_( into ) {}

  template<std::unsigned_integral T>
  void number( T value )
  {
    for ( std::size_t i = 0; i < sizeof( T ); ++i ) {
      into_[at_++] = static_cast<std::byte>( value >> ( 8 * ( sizeof( T ) - 1 - i ) ) );
    }
  }
  void bytes( std::span<const std::byte> value )
  {
    std::memcpy( into_.subspan( at_, value.size() ).data(), value.data(), value.size() );
    at_ += value.size();
  }

private:
  std::span<std::byte> into_;
  std::size_t at_ = 0;
};

class ByteReader
{
public:
  explicit ByteReader( std::span<const std::byte> from ) : from_( from ) {}

  template<std::unsigned_integral T>
  [[nodiscard]] T number()
  {
    T value = 0;
    for ( std::size_t i = 0; i < sizeof( T ); ++i ) {
      value = static_cast<T>( ( std::uint64_t { value } << 8U ) | std::to_integer<std::uint8_t>( from_[at_++] ) );
    }
    return value;
  }
  void bytes( std::span<std::byte> into )
  {
    std::memcpy( into.data(), from_.subspan( at_, into.size() ).data(), into.size() );
    at_ += into.size();
  }

private:
  std::span<const std::byte> from_;
  std::size_t at_ = 0;
};

} // namespace holdfast
