#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace holdfast::lines {

// What client and server say to each other: one message per line, and nothing else, in one direction only.
//
//    0        1        2        3        4 ...
//   +--------+--------+--------+--------+--------------------+
//   | length of the payload, big endian |  payload           |
//   +--------+--------+--------+--------+--------------------+
//
// "hi" is 00 00 00 02 68 69. The payload may hold any bytes, or none.

inline constexpr std::size_t length_size = 4;
inline constexpr std::size_t payload_max = 1024; // the assignment's limit, on both sides

// Adds the message with this payload to `out`. A payload over payload_max is our own mistake.
void append_message( std::vector<std::byte>& out, std::span<const std::byte> payload );

// Cuts a byte stream into messages, however the bytes come. Memory: one message.
//
//   while ( auto reading = reader.next( input ) ) { ... }      // nothing: all of the input is taken, more is
//   needed
//
// The first length over the limit makes the stream unreadable, since nobody can say where the next message begins:
// from then on next() says so and takes nothing.
class MessageReader
{
public:
  struct Reading
  {
    enum class Kind
    {
      message,
      too_long
    };
    Kind kind = Kind::message;
    std::uint32_t length = 0;              // as the peer announced it
    std::span<const std::byte> payload {}; // lies in the reader: valid until the next call
  };

  // Takes bytes from the front of `input`, at most to the end of one message.
  [[nodiscard]] std::optional<Reading> next( std::span<const std::byte>& input );

  // How much of an unfinished message is here, its length field included; 0 between messages. A stream that ends
  // elsewhere was cut off.
  [[nodiscard]] std::size_t unfinished() const { return held_; }

private:
  [[nodiscard]] bool fill( std::size_t size, std::span<const std::byte>& input );

  std::array<std::byte, length_size + payload_max>
    buffer_ {};          // the beginning of a message whose rest is still to come
  std::size_t held_ = 0; // how much of it is there
};

} // namespace holdfast::lines
