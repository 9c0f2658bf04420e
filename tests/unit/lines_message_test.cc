#include "lines/message.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::lines {
namespace {

using Bytes = std::vector<std::byte>;
using Kind = MessageReader::Reading::Kind;

Bytes bytes( std::string_view text )
{
  const auto raw = std::as_bytes( std::span { text } );
  return { raw.begin(), raw.end() };
}

Bytes encoded( std::string_view payload )
{
  Bytes out;
  append_message( out, bytes( payload ) );
  return out;
}

Bytes operator+( Bytes left, const Bytes& right )
{
  left.insert( left.end(), right.begin(), right.end() );
  return left;
}

// What a reader made of a stream, written down: each message as "length:payload", a refusal as "refused length".
std::vector<std::string> read_in_pieces( const Bytes& stream,
                                         const std::vector<std::size_t>& pieces,
                                         MessageReader& reader )
{
  std::vector<std::string> seen;
  std::span<const std::byte> left { stream };
  for ( std::size_t i = 0; not left.empty(); ++i ) {
    auto piece = left.first( std::min( left.size(), pieces[i % pieces.size()] ) );
    left = left.subspan( piece.size() );
    while ( const auto reading = reader.next( piece ) ) {
      if ( reading->kind == Kind::too_long ) {
        seen.push_back( "refused " + std::to_string( reading->length ) );
        return seen;
      }
      EXPECT_EQ( reading->length, reading->payload.size() );
      seen.push_back(
        std::to_string( reading->length ) + ":"
        + std::string { reinterpret_cast<const char*>( reading->payload.data() ), reading->payload.size() } );
    }
    EXPECT_TRUE( piece.empty() ) << "a reader that needs more has taken everything";
  }
  return seen;
}

std::vector<std::string> read_whole( const Bytes& stream )
{
  MessageReader reader;
  return read_in_pieces( stream, { stream.size() + 1 }, reader );
}

using testing::ElementsAre;

TEST( Message, BeginsWithItsLengthInNetworkByteOrder )
{
  EXPECT_EQ( encoded( "hi" ),
             ( Bytes { std::byte { 0 },
                       std::byte { 0 },
                       std::byte { 0 },
                       std::byte { 2 },
                       std::byte { 'h' },
                       std::byte { 'i' } } ) );
}

TEST( Message, OfTheGreatestLengthHasBothBytesOfTheLengthRight )
{
  const Bytes message = encoded( std::string( payload_max, 'x' ) );
  ASSERT_EQ( message.size(), length_size + payload_max );
  EXPECT_EQ( message[2], std::byte { 4 } ); // 1024 = 0x0400
  EXPECT_EQ( message[3], std::byte { 0 } );
}

TEST( Message, IsAddedAfterWhatIsThere )
{
  Bytes out = encoded( "a" );
  append_message( out, bytes( "b" ) );
  EXPECT_EQ( out, encoded( "a" ) + encoded( "b" ) );
}

TEST( MessageDeathTest, OverTheLimitIsOurOwnMistake )
{
  EXPECT_DEATH( encoded( std::string( payload_max + 1, 'x' ) ), "payload_max" );
}

TEST( MessageReader, TakesSeveralMessagesFromOnePiece )
{
  EXPECT_THAT( read_whole( encoded( "one" ) + encoded( "two" ) + encoded( "three" ) ),
               ElementsAre( "3:one", "3:two", "5:three" ) );
}

TEST( MessageReader, TakesAMessageThatComesByteByByte )
{
  MessageReader reader;
  EXPECT_THAT( read_in_pieces( encoded( "one" ) + encoded( "" ) + encoded( "two" ), { 1 }, reader ),
               ElementsAre( "3:one", "0:", "3:two" ) );
  EXPECT_EQ( reader.unfinished(), 0U );
}

TEST( MessageReader, TakesAnEmptyMessageAndTheGreatestOne )
{
  const std::string greatest( payload_max, 'x' );
  EXPECT_THAT( read_whole( encoded( "" ) + encoded( greatest ) + encoded( "" ) ),
               ElementsAre( "0:", "1024:" + greatest, "0:" ) );
}

TEST( MessageReader, LeavesBytesAsTheyAre )
{
  std::string all;
  for ( int value = 0; value < 256; ++value ) {
    all.push_back( static_cast<char>( value ) );
  }
  EXPECT_THAT( read_whole( encoded( all ) ), ElementsAre( "256:" + all ) );
}

TEST( MessageReader, StopsBeforeTheNextMessageOfThePiece )
{
  const Bytes stream = encoded( "one" ) + encoded( "two" );
  std::span<const std::byte> input { stream };
  MessageReader reader;
  ASSERT_TRUE( reader.next( input ) );
  EXPECT_EQ( input.size(), encoded( "two" ).size() );
}

TEST( MessageReader, TellsHowMuchOfAMessageIsHere )
{
  const Bytes stream = encoded( "cut off" );
  for ( std::size_t cut = 0; cut < stream.size(); ++cut ) {
    std::span<const std::byte> input { stream.data(), cut };
    MessageReader reader;
    EXPECT_FALSE( reader.next( input ) );
    EXPECT_EQ( reader.unfinished(), cut );
  }
}

TEST( MessageReader, RefusesALengthOverTheLimitAndEverythingAfterIt )
{
  for ( const std::uint32_t length : { 1025U, 0x00010000U, 0x7fffffffU, 0x80000000U, 0xffffffffU } ) {
    Bytes stream = encoded( "good" );
    for ( const unsigned shift : { 24U, 16U, 8U, 0U } ) {
      stream.push_back( static_cast<std::byte>( ( length >> shift ) & 0xffU ) );
    }
    stream = stream + encoded( "never" );
    for ( const std::size_t piece : { std::size_t { 1 }, stream.size() } ) {
      MessageReader reader;
      EXPECT_THAT( read_in_pieces( stream, { piece }, reader ),
                   ElementsAre( "4:good", "refused " + std::to_string( length ) ) );
      const Bytes more = encoded( "still never" );
      std::span<const std::byte> input { more };
      const auto again = reader.next( input );
      ASSERT_TRUE( again );
      EXPECT_EQ( again->kind, Kind::too_long );
      EXPECT_EQ( input.size(), more.size() ) << "a refused stream is not read on";
    }
  }
}

// Whole against random pieces, against a list of strings as the simplest of all models.
TEST( MessageReader, MakesTheSameOfAStreamHoweverItIsCut )
{
  std::mt19937 random { 20260101 }; // a fixed seed: the same test on every machine
  for ( int round = 0; round < 200; ++round ) {
    Bytes stream;
    std::vector<std::string> expected;
    const auto messages = random() % 20;
    for ( unsigned i = 0; i < messages; ++i ) {
      const std::size_t length = random() % 4 == 0 ? random() % ( payload_max + 1 ) : random() % 8;
      std::string payload( length, '\0' );
      for ( char& c : payload ) {
        c = static_cast<char>( random() % 256 );
      }
      stream = stream + encoded( payload );
      expected.push_back( std::to_string( length ) + ":" + payload );
    }
    EXPECT_EQ( read_whole( stream ), expected );
    MessageReader reader;
    EXPECT_EQ( read_in_pieces( stream, { 1 + random() % 7, 1 + random() % 1500, 1 + random() % 3 }, reader ),
               expected );
  }
}

} // namespace
} // namespace holdfast::lines
