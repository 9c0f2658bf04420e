#pragma once

#include <algorithm>
#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>

namespace holdfast {

// Bytes that have just been read from a link and still lie where they were read into: a stream that can deliver
// them from there need not copy them. Views of many streams, a list for each, in one piece of memory that all
// sessions of a process share.
//
// Owns no bytes: all lists must be empty, and the place of the views given back with clear(), before those bytes
// go.
class Fresh
{
public:
  static constexpr std::size_t views_max = 64; // a read of 256 KiB under load is 16 frames
  static constexpr std::uint8_t none = 255;

  // The views of one stream, in order. Kept by the stream, changed by us alone.
  class List
  {
  public:
    [[nodiscard]] std::size_t bytes() const { return bytes_; }

  private:
    friend class Fresh;
    std::uint32_t bytes_ = 0; // in all
    std::uint8_t first_ = none;
    std::uint8_t last_ = none;
  };

  [[nodiscard]] bool full() const { return used_ == views_max; }
  void append( List& list, std::span<const std::byte> bytes )
  {
    assert( not full() and not bytes.empty() );
    const auto added = static_cast<std::uint8_t>( used_++ );
    views_[added] = { bytes, none };
    ( list.first_ == none ? list.first_ : views_[list.last_].next ) = added;
    list.last_ = added;
    list.bytes_ += static_cast<std::uint32_t>( bytes.size() );
  }
  // The bytes in up to slices.size() slices; returns how many.
  [[nodiscard]] std::size_t peek( const List& list, std::span<std::span<const std::byte>> slices ) const
  {
    std::size_t filled = 0;
    for ( std::uint8_t at = list.first_; at != none and filled < slices.size(); at = views_[at].next ) {
      slices[filled++] = views_[at].bytes;
    }
    return filled;
  }
  // The first `count` bytes are not needed any more.
  void forget( List& list, std::size_t count )
  {
    assert( count <= list.bytes_ );
    list.bytes_ -= static_cast<std::uint32_t>( count );
    while ( count > 0 ) {
      View& view = views_[list.first_];
      const std::size_t part = std::min( count, view.bytes.size() );
      view.bytes = view.bytes.subspan( part );
      count -= part;
      if ( view.bytes.empty() ) {
        list.first_ = view.next;
      }
    }
  }
  void clear() { used_ = 0; }

private:
  struct View
  {
    std::span<const std::byte> bytes {};
    std::uint8_t next = none;
  };
  std::array<View, views_max> views_ {};
  std::size_t used_ = 0;
};

} // namespace holdfast
