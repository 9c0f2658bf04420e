#include "lines/line_splitter.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::lines {
namespace {

constexpr std::size_t line_max = LineSplitter::line_max;

std::string noted( const LineSplitter::Line& line )
{
  if ( line.too_long ) {
    EXPECT_TRUE( line.text.empty() );
    return std::to_string( line.number ) + " too long";
  }
  return std::to_string( line.number ) + ":"
         + std::string { reinterpret_cast<const char*>( line.text.data() ), line.text.size() };
}

// What a splitter made of a text, written down: each line as "number:text", or "number too long".
std::vector<std::string> split_in_pieces( std::string_view text, const std::vector<std::size_t>& pieces )
{
  LineSplitter splitter;
  std::vector<std::string> seen;
  std::span<const std::byte> left = std::as_bytes( std::span { text } );
  for ( std::size_t i = 0; not left.empty(); ++i ) {
    auto piece = left.first( std::min( left.size(), pieces[i % pieces.size()] ) );
    left = left.subspan( piece.size() );
    while ( const auto line = splitter.next( piece ) ) {
      seen.push_back( noted( *line ) );
    }
    EXPECT_TRUE( piece.empty() ) << "a splitter that needs more has taken everything";
  }
  if ( const auto line = splitter.end() ) {
    seen.push_back( noted( *line ) );
  }
  EXPECT_FALSE( splitter.end() ) << "the last line is told once";
  return seen;
}

std::vector<std::string> split( std::string_view text )
{
  return split_in_pieces( text, { text.size() + 1 } );
}

using namespace std::literals;
using testing::ElementsAre;
using testing::IsEmpty;

TEST( LineSplitter, CutsAtNewlinesAndCounts )
{
  EXPECT_THAT( split( "one\ntwo\nthree\n" ), ElementsAre( "1:one", "2:two", "3:three" ) );
}

TEST( LineSplitter, TakesALastLineWithoutNewline )
{
  EXPECT_THAT( split( "one\ntwo" ), ElementsAre( "1:one", "2:two" ) );
}

TEST( LineSplitter, AddsNoLineAfterALastNewline )
{
  EXPECT_THAT( split( "one\n" ), ElementsAre( "1:one" ) );
  EXPECT_THAT( split( "" ), IsEmpty() );
}

TEST( LineSplitter, TakesEmptyLines )
{
  EXPECT_THAT( split( "\n\na\n\n" ), ElementsAre( "1:", "2:", "3:a", "4:" ) );
}

TEST( LineSplitter, KeepsNulAndCarriageReturn )
{
  EXPECT_THAT( split( "a\0b\r\n\0\n"sv ), ElementsAre( "1:a\0b\r"s, "2:\0"s ) );
}

TEST( LineSplitter, TakesALineOfExactlyTheLimit )
{
  const std::string longest( line_max, 'x' );
  EXPECT_THAT( split( longest + "\n" + longest ), ElementsAre( "1:" + longest, "2:" + longest ) );
}

TEST( LineSplitter, RefusesOneByteMoreAndTakesTheNextLine )
{
  const std::string over( line_max + 1, 'x' );
  EXPECT_THAT( split( "a\n" + over + "\nb\n" + over ), ElementsAre( "1:a", "2 too long", "3:b", "4 too long" ) );
}

TEST( LineSplitter, SaysTooLongAtTheFirstByteOverTheLimit )
{
  LineSplitter splitter;
  const std::string longest( line_max, 'x' );
  auto input = std::as_bytes( std::span { longest } );
  EXPECT_FALSE( splitter.next( input ) );
  input = std::as_bytes( std::span { "x"sv } );
  const auto line = splitter.next( input );
  ASSERT_TRUE( line );
  EXPECT_TRUE( line->too_long );
  for ( int i = 0; i < 1000; ++i ) { // a megabyte more of the same line: nothing is said again
    input = std::as_bytes( std::span { longest } );
    EXPECT_FALSE( splitter.next( input ) );
    EXPECT_TRUE( input.empty() );
  }
  EXPECT_FALSE( splitter.end() );
}

TEST( LineSplitter, IsSmallHoweverLongALineIs )
{
  static_assert( sizeof( LineSplitter ) <= line_max + 64 ); // and it owns no other memory
}

// Whole against random pieces, against a simple model on a std::string.
TEST( LineSplitter, MakesTheSameOfATextHoweverItIsCut )
{
  std::mt19937 random { 20260102 }; // a fixed seed: the same test on every machine
  for ( int round = 0; round < 300; ++round ) {
    std::string text;
    std::vector<std::string> expected;
    const auto lines = random() % 12;
    for ( std::size_t i = 1; i <= lines; ++i ) {
      const std::size_t length = random() % 3 == 0 ? line_max - 2 + random() % 5 : random() % 6;
      std::string line( length, '\0' );
      for ( char& c : line ) {
        c = static_cast<char>( random() % 256 );
        c = c == '\n' ? 'n' : c;
      }
      const bool last_without_newline = i == lines and random() % 2 == 0;
      if ( last_without_newline and length == 0 ) {
        break; // that is no line at all
      }
      text += line + ( last_without_newline ? "" : "\n" );
      expected.push_back( std::to_string( i ) + ( length > line_max ? " too long" : ":" + line ) );
    }
    EXPECT_EQ( split( text ), expected );
    EXPECT_EQ( split_in_pieces( text, { 1 } ), expected );
    EXPECT_EQ( split_in_pieces( text, { 1 + random() % 5, 1 + random() % 3000, 1 + random() % 1030 } ), expected );
  }
}

} // namespace
} // namespace holdfast::lines
