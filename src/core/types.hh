#pragma once

#include <cstddef>
#include <cstdint>

namespace holdfast {

// Absolute count of bytes in one direction of one session. Sequence and acknowledgement numbers are positions. 64
// bits never wrap: at 100 Gbit/s they last 46 years. The end of a stream occupies one position of its own, after
// the last byte (as TCP's FIN does, RFC 9293 section 3.4), so that its delivery is acknowledged like that of a
// byte.
using Position = std::uint64_t;

// Chosen by cproxy, rising by one from 1, never used again in a tunnel. 0 is the tunnel itself.
using SessionId = std::uint64_t;

// No honest stream comes near this position; keeping everything below it means that no sum of two can wrap.
inline constexpr Position position_limit = Position { 1 } << 62U;

// Which end of a tunnel we are: cproxy opens sessions, sproxy accepts them.
enum class Side
{
  opener,
  acceptor
};

} // namespace holdfast
