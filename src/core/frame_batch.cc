#include "core/frame_batch.hh"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace holdfast {

namespace {

constexpr std::size_t spare_max = 2 * FrameBatch::bytes_max;

} // namespace

void FrameBatch::start( std::vector<std::byte>& rest, std::size_t most )
{
  assert( rest_ == nullptr );
  rest_ = &rest;
  headers_used_ = 0;
  slices_used_ = 0;
  bytes_ = 0;
  most_ = most;
  if ( not rest.empty() ) {
    append( rest );
  }
}

void FrameBatch::put( FrameHeader header, std::span<const std::byte> payload )
{
  assert( not full() and payload.size() <= FrameHeader::payload_max );
  header.length = static_cast<std::uint16_t>( payload.size() );
  const auto into = scratch( FrameHeader::size );
  std::ranges::copy( encode( header ), into.begin() );
  append( into );
  if ( not payload.empty() ) {
    append( payload );
  }
}

void FrameBatch::put_copy( FrameHeader header, std::span<const std::byte> payload )
{
  assert( not full() and payload.size() <= FrameHeader::greeting_payload_max );
  header.length = static_cast<std::uint16_t>( payload.size() );
  const auto into = scratch( FrameHeader::size + payload.size() );
  std::ranges::copy( encode( header ), into.begin() );
  std::ranges::copy( payload, into.subspan( FrameHeader::size ).begin() );
  append( into );
}

bool FrameBatch::full() const
{
  return bytes_ >= most_ or slices_used_ + 2 > slices_max or headers_used_ + inline_max > headers_.size();
}

void FrameBatch::finish( std::size_t taken )
{
  assert( rest_ != nullptr and taken <= bytes_ );
  std::vector<std::byte>& rest = *rest_;
  rest_ = nullptr;
  std::vector<std::byte> left;
  if ( taken < bytes_ ) {
    left.swap( spare_ );
    left.reserve( bytes_ - taken );
  }
  for ( const auto slice : slices() ) { // the first slice may be the old rest itself
    const std::size_t skip = std::min( taken, slice.size() );
    taken -= skip;
    left.insert( left.end(), slice.begin() + static_cast<std::ptrdiff_t>( skip ), slice.end() );
  }
  rest.swap( left );
  if ( left.capacity() > spare_.capacity() and left.capacity() <= spare_max ) {
    left.clear();
    left.swap( spare_ );
  } // an idle link holds no memory
}

void FrameBatch::append( std::span<const std::byte> slice )
{
  slices_[slices_used_++] = slice;
  bytes_ += slice.size();
}

std::span<std::byte> FrameBatch::scratch( std::size_t size )
{
  const auto into = std::span { headers_ }.subspan( headers_used_, size );
  headers_used_ += size;
  return into;
}

void append_frame( std::vector<std::byte>& rest, FrameHeader header, std::span<const std::byte> payload )
{
  header.length = static_cast<std::uint16_t>( payload.size() );
  const auto raw = encode( header );
  rest.insert( rest.end(), raw.begin(), raw.end() );
  rest.insert( rest.end(), payload.begin(), payload.end() );
}

} // namespace holdfast
