#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace holdfast::lines {

// Cuts input into lines, however the bytes come. A line ends at a newline, which does not belong to it; all other
// bytes do, NUL and carriage return included. Memory: one line of the greatest length, so a line without end costs
// nothing more.
//
//   while ( auto line = splitter.next( input ) ) { ... }       // nothing: all of the input is taken, more is
//   needed if ( auto line = splitter.end() ) { ... }                  // the input is over; its last line had no
//   newline
class LineSplitter
{
public:
  static constexpr std::size_t line_max = 1024;

  struct Line
  {
    std::uint64_t number = 0; // the first line is 1
    bool too_long = false;    // said once per line, at the first byte over the limit; then there is no text
    std::span<const std::byte> text {}; // lies in the splitter: valid until the next call
  };

  // Takes bytes from the front of `input`, at most to the end of one line.
  [[nodiscard]] std::optional<Line> next( std::span<const std::byte>& input );
  [[nodiscard]] std::optional<Line> end();

private:
  std::array<std::byte, line_max> buffer_ {}; // the beginning of a line whose newline has not come yet
  std::size_t held_ = 0;                      // how much of it is there
  std::uint64_t number_ = 1;                  // of the line under way
  bool skipping_ = false;                     // it is too long, which has been said: its rest is dropped
};

} // namespace holdfast::lines
