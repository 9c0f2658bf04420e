#include "lines/line_splitter.hh"

#include <algorithm>
#include <cstring>
#include <utility>

namespace holdfast::lines {

namespace {

// How many bytes come before the first newline; all of them when there is none.
std::size_t before_newline( std::span<const std::byte> input )
{
  const void* const found = std::memchr( input.data(), '\n', input.size() );
  return found == nullptr ? input.size()
                          : static_cast<std::size_t>( static_cast<const std::byte*>( found ) - input.data() );
}

} // namespace

std::optional<LineSplitter::Line> LineSplitter::next( std::span<const std::byte>& input )
{
  while ( not input.empty() ) {
    const auto part = input.first( before_newline( input ) );
    const bool complete = part.size() < input.size();
    const auto rest = input.subspan( part.size() + ( complete ? 1 : 0 ) );

    if ( not skipping_ and part.size() > line_max - held_ ) {
      // The input stays where it is: its bytes are dropped by the next call, which is now skipping.
      skipping_ = true;
      return Line { .number = number_, .too_long = true };
    }
    input = rest;
    if ( not skipping_ ) {
      std::copy( part.begin(), part.end(), buffer_.begin() + static_cast<std::ptrdiff_t>( held_ ) );
      held_ += part.size();
    }
    if ( not complete ) {
      return std::nullopt; // nothing is left of the input
    }
    const bool said = std::exchange( skipping_, false );
    const std::size_t length = std::exchange( held_, 0 );
    const std::uint64_t number = number_++;
    if ( not said ) {
      return Line { .number = number, .text = std::span { buffer_ }.first( length ) };
    }
  }
  return std::nullopt;
}

std::optional<LineSplitter::Line> LineSplitter::end()
{
  const bool said = std::exchange( skipping_, false );
  const std::size_t length = std::exchange( held_, 0 );
  if ( said or length == 0 ) {
    return std::nullopt;
  }
  return Line { .number = number_++, .text = std::span { buffer_ }.first( length ) };
}

} // namespace holdfast::lines
