#include "core/frame_reader.hh"

#include <algorithm>

namespace holdfast {

std::optional<Frame> FrameReader::next()
{
  if ( fault_ ) {
    return std::nullopt;
  }
  return partial_.empty() ? from_fresh() : from_partial();
}

void FrameReader::done()
{
  if ( partial_.empty() ) {
    whole_ = std::vector<std::byte> {}; // "= {}" would keep the memory
    partial_ = std::vector<std::byte> {};
  }
}

std::optional<Frame> FrameReader::from_fresh()
{
  if ( fresh_.size() < FrameHeader::size ) {
    take_fresh( fresh_.size() );
    return std::nullopt;
  }
  const auto header = header_of( fresh_.first<FrameHeader::size>() );
  if ( not header ) {
    return std::nullopt;
  }
  if ( fresh_.size() - FrameHeader::size < header->length ) {
    take_fresh( fresh_.size() );
    return std::nullopt;
  }
  const auto payload = fresh_.subspan( FrameHeader::size, header->length );
  fresh_ = fresh_.subspan( FrameHeader::size + header->length );
  greeted_ = true;
  return Frame { *header, payload };
}

std::optional<Frame> FrameReader::from_partial()
{
  if ( partial_.size() < FrameHeader::size ) {
    take_fresh( std::min( fresh_.size(), FrameHeader::size - partial_.size() ) );
    if ( partial_.size() < FrameHeader::size ) {
      return std::nullopt;
    }
  }
  const auto header = header_of( std::span { partial_ }.first<FrameHeader::size>() );
  if ( not header ) {
    return std::nullopt;
  }
  const std::size_t whole = FrameHeader::size + header->length;
  take_fresh( std::min( fresh_.size(), whole - partial_.size() ) );
  if ( partial_.size() < whole ) {
    return std::nullopt;
  }
  whole_.swap( partial_ );
  partial_.clear();
  greeted_ = true;
  return Frame { *header, std::span { whole_ }.subspan( FrameHeader::size ) };
}

std::optional<FrameHeader> FrameReader::header_of( std::span<const std::byte, FrameHeader::size> raw )
{
  const auto decoded = decode( raw );
  if ( const auto* wrong = std::get_if<Fault>( &decoded ) ) {
    fault_ = greeted_ ? *wrong : Fault::not_holdfast;
    return std::nullopt;
  }
  const auto header = std::get<FrameHeader>( decoded );
  const bool is_greeting = header.type == FrameType::hello or header.type == FrameType::welcome;
  if ( greeted_ ? is_greeting : header.type != greeting_ ) {
    fault_ = greeted_ ? Fault::out_of_order : Fault::not_holdfast;
    return std::nullopt;
  }
  return header;
}

void FrameReader::take_fresh( std::size_t count )
{
  partial_.insert( partial_.end(), fresh_.begin(), fresh_.begin() + static_cast<std::ptrdiff_t>( count ) );
  fresh_ = fresh_.subspan( count );
}

} // namespace holdfast
