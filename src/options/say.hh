#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>

// What a program says to the person who started it, on standard error, and what it ends with.
namespace holdfast::program {

inline constexpr int status_trouble = 1; // the world did not let us
inline constexpr int status_usage = 2;   // the options were wrong

// One line for a person: "client: cannot connect to ...". It may quote what somebody typed, so nothing in it may
// break the line or be obeyed by a terminal.
template<typename... Parts>
void say( std::string_view name, fmt::format_string<Parts...> format, Parts&&... parts )
{
  std::string line = fmt::format( format, std::forward<Parts>( parts )... );
  std::ranges::replace_if(
    line, []( unsigned char c ) { return c < 0x20 or c == 0x7f; }, '?' );
  fmt::print( stderr, "{}: {}\n", name, line );
}

} // namespace holdfast::program
