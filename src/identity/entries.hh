#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string_view>

namespace holdfast {

// What known_hosts and the list of authorized clients have in common: a text of lines, one entry each, that people
// edit. Views into the text.

inline constexpr std::size_t entry_size_max = 4096; // bytes in a line; the longest that we write has 320

inline bool is_blank( char c )
{
  return c == ' ' or c == '\t';
}

// Bytes that no editor shows, tab excepted. Above 127 there may be any language.
inline bool is_control( char c )
{
  const auto code = static_cast<unsigned char>( c );
  return ( code < 0x20 and c != '\t' ) or code == 0x7f;
}

inline std::string_view without_blanks_before( std::string_view text )
{
  text.remove_prefix( std::min( text.find_first_not_of( " \t" ), text.size() ) );
  return text;
}

// The next word of a line, which begins behind it then. Empty: there is none.
inline std::string_view next_word( std::string_view& line )
{
  line = without_blanks_before( line );
  const std::string_view word = line.substr( 0, std::min( line.find_first_of( " \t" ), line.size() ) );
  line.remove_prefix( word.size() );
  return word;
}

// Calls found( number, line ) for each line that is neither blank nor a comment, with its number from 1 on; `line`
// is nothing when it is too long or holds control characters. Stops when found() says false.
template<class Found>
void for_each_entry( std::string_view text, Found found )
{
  constexpr std::string_view mark = "\xef\xbb\xbf"; // that some editors begin a UTF-8 text with
  if ( text.starts_with( mark ) ) {
    text.remove_prefix( mark.size() );
  }
  for ( std::size_t number = 1; not text.empty(); ++number ) {
    std::string_view line = text.substr( 0, text.find( '\n' ) );
    text.remove_prefix( std::min( line.size() + 1, text.size() ) );
    if ( line.ends_with( '\r' ) ) {
      line.remove_suffix( 1 );
    }
    line = without_blanks_before( line );
    if ( line.empty() or line.starts_with( '#' ) ) {
      continue;
    }
    const bool fine = line.size() <= entry_size_max and std::ranges::none_of( line, is_control );
    if ( not found( number, fine ? std::optional { line } : std::nullopt ) ) {
      return;
    }
  }
}

} // namespace holdfast
