#pragma once

#include <sys/uio.h>

#include <array>
#include <cassert>
#include <cstddef>
#include <span>

namespace holdfast {

// The core's slices as the system calls want them. A fixed array on the stack, with the number used.
class IoVectors
{
public:
  static constexpr std::size_t most = 256;

  // Four KiB need not be cleared for each call.
  template<class Byte>
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): only those that are used are ever looked at
  explicit IoVectors( std::span<const std::span<Byte>> slices )
  {
    assert( slices.size() <= most );
    for ( const auto slice : slices ) {
      vectors_[used_++] = { const_cast<std::byte*>( slice.data() ), slice.size() };
    }
  }
  operator std::span<const iovec>() const { return { vectors_.data(), used_ }; }

private:
  std::array<iovec, most> vectors_;
  std::size_t used_ = 0;
};

template<class Byte>
[[nodiscard]] IoVectors io_vectors( std::span<const std::span<Byte>> slices )
{
  return IoVectors { slices };
}

} // namespace holdfast
