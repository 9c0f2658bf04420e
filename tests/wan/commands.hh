#pragma once

#include "wan/path.hh"

#include <array>
#include <string>
#include <string_view>

namespace holdfast::wan {

// The two directions: from the first end to the second, and back.
struct Paths
{
  std::array<Path, 2> path { Path { 1 }, Path { 2 } }; // fixed seeds: two runs meet the same chance
};

// Does one command and returns what to answer: "ok", the numbers asked for, or "error: ..." with what was expected.
//
//   delay 50ms           jitter 5ms [reorder]      loss 1%          rate 1gbit | none
//   queue 8MiB           hole on | off             stats
//
// Before each may stand the direction it is for: ab, ba, or both (as if nothing stood there).
[[nodiscard]] std::string obey( Paths& paths, std::string_view line );

} // namespace holdfast::wan
