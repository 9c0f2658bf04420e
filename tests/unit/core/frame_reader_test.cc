#include "core/frame_reader.hh"

#include "unit/core/support.hh"

#include <gtest/gtest.h>

#include <string>

namespace holdfast {
namespace {

using namespace test;

// What a reader made of a stream, written down so that two readings can be compared.
struct Reading
{
  std::vector<std::pair<FrameHeader, std::string>> frames {};
  Verdict fault {};
  std::size_t held_most = 0;
  bool operator==( const Reading& other ) const { return frames == other.frames and fault == other.fault; }
};

template<class Cut>
Reading read( std::string_view stream, Cut cut, FrameType greeting = FrameType::hello )
{
  Reading reading;
  FrameReader reader { greeting };
  while ( not stream.empty() ) {
    // A copy in memory of its own size, which the sanitizer watches, and which is gone before the next piece comes.
    const auto piece = raw( stream.substr( 0, cut() ) );
    const Bytes fed { piece.begin(), piece.end() };
    stream.remove_prefix( fed.size() );
    reader.feed( fed );
    while ( const auto frame = reader.next() ) {
      EXPECT_EQ( frame->header.length, frame->payload.size() );
      reading.frames.emplace_back( frame->header, text( frame->payload ) );
    }
    reading.held_most = std::max( reading.held_most, reader.held() );
  }
  reading.fault = reader.fault();
  return reading;
}

constexpr auto whole = [] { return std::string_view::npos; };
constexpr auto byte_by_byte = [] { return std::size_t { 1 }; };

std::string some_frames( Chance& chance, std::size_t count )
{
  std::string out = frame( { .type = FrameType::hello }, stream( 0, chance.between( 1, 1024 ), 5 ) );
  for ( std::size_t i = 0; i < count; ++i ) {
    const SessionId session = chance.between( 1, 9 );
    switch ( chance.below( 5 ) ) {
      case 0: out += frame( { .type = FrameType::heartbeat, .window = 17, .sequence = i } ); break;
      case 1: out += frame( { .type = FrameType::ack, .session = session, .acknowledgement = i } ); break;
      case 2: out += frame( { .type = FrameType::resume, .session = session }, "position" ); break;
      default: {
        const std::size_t size = chance.once_in( 10 ) ? FrameHeader::payload_max : chance.between( 1, 100 );
        out += frame( { .type = FrameType::data, .session = session, .sequence = i }, stream( i, size ) );
      }
    }
  }
  return out;
}

TEST( FrameReader, HowTheStreamIsChoppedMakesNoDifference )
{
  for ( std::uint64_t seed = 1; seed <= 20; ++seed ) {
    Chance chance { seed };
    const std::string sound = some_frames( chance, 12 );
    // Sound, or broken somewhere: one byte changed, or cut off in the middle.
    std::string input = sound;
    if ( seed % 3 == 1 ) {
      input[chance.below( input.size() )] ^= static_cast<char>( 1U << chance.below( 8 ) );
    } else if ( seed % 3 == 2 ) {
      input.resize( chance.below( input.size() ) );
    }
    const Reading expected = read( input, whole );
    if ( seed % 3 == 0 ) {
      EXPECT_EQ( expected.frames.size(), 13U );
      EXPECT_EQ( expected.fault, std::nullopt );
    }
    EXPECT_EQ( read( input, byte_by_byte ), expected ) << "seed " << seed;
    for ( int i = 0; i < 20; ++i ) {
      const std::size_t most = chance.once_in( 2 ) ? 40 : 20000;
      EXPECT_EQ( read( input, [&] { return chance.between( 1, most ); } ), expected ) << "seed " << seed;
    }
  }
}

TEST( FrameReader, AFrameMayBeCutInTwoAnywhere )
{
  const std::string input = greeting( FrameType::hello )
                            + frame( { .type = FrameType::data, .session = 1 }, "hello there" )
                            + frame( { .type = FrameType::end, .session = 1, .sequence = 11 } );
  const Reading expected = read( input, whole );
  ASSERT_EQ( expected.frames.size(), 3U );
  EXPECT_EQ( expected.frames[1].second, "hello there" );
  for ( std::size_t at = 1; at < input.size(); ++at ) {
    std::size_t next = at;
    EXPECT_EQ( read( input, [&] { return std::exchange( next, input.size() ); } ), expected ) << "cut at " << at;
  }
}

TEST( FrameReader, TheFirstFrameMustBeTheGreetingExpected )
{
  for ( const auto& [expected, other] : { std::pair { FrameType::hello, FrameType::welcome },
                                          std::pair { FrameType::welcome, FrameType::hello } } ) {
    EXPECT_EQ( read( greeting( expected ), whole, expected ).fault, std::nullopt );
    EXPECT_EQ( read( greeting( other ), whole, expected ).fault, Fault::not_holdfast );
    for ( const auto type : { FrameType::heartbeat, FrameType::open, FrameType::ack } ) {
      const SessionId session = type == FrameType::heartbeat ? 0 : 1;
      const auto reading = read( frame( { .type = type, .session = session } ), whole, expected );
      EXPECT_EQ( reading.fault, Fault::not_holdfast ) << name( type );
      EXPECT_TRUE( reading.frames.empty() );
    }
  }
}

TEST( FrameReader, NoSecondGreetingIsTaken )
{
  for ( const auto second : { FrameType::hello, FrameType::welcome } ) {
    const auto reading = read( greeting( FrameType::hello ) + greeting( second ), whole );
    EXPECT_EQ( reading.fault, Fault::out_of_order );
    EXPECT_EQ( reading.frames.size(), 1U );
  }
}

TEST( FrameReader, SomethingElseEntirelyIsNotHoldfast )
{
  const std::string http = "GET / HTTP/1.1\r\nHost: example.org\r\nAccept: */*\r\n\r\n";
  const std::string ssh = "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n and more";
  for ( const auto& input : { http, ssh, std::string( 4096, '\0' ), std::string( 4096, '\xff' ) } ) {
    for ( const Reading& reading : { read( input, whole ), read( input, byte_by_byte ) } ) {
      EXPECT_EQ( reading.fault, Fault::not_holdfast );
      EXPECT_TRUE( reading.frames.empty() );
    }
  }
}

TEST( FrameReader, NothingIsReadBehindAMistake )
{
  const std::string fine = frame( { .type = FrameType::open, .session = 1 } );
  std::string broken = fine;
  broken[0] = 99;
  const auto reading = read( greeting( FrameType::hello ) + fine + broken + fine, byte_by_byte );
  EXPECT_EQ( reading.frames.size(), 2U );
  EXPECT_EQ( reading.fault, Fault::unknown_type );

  // Nor of what is fed when the mistake has been seen.
  FrameReader reader { FrameType::hello };
  const std::string head = greeting( FrameType::hello ) + broken;
  reader.feed( raw( head ) );
  EXPECT_TRUE( reader.next() );
  EXPECT_FALSE( reader.next() );
  reader.feed( raw( fine ) );
  EXPECT_FALSE( reader.next() );
}

TEST( FrameReader, AStrangerCannotMakeItHoldMoreThanAGreeting )
{
  // It promises the largest greeting and sends it byte by byte, without ever sending the last one.
  std::string greeting = frame( { .type = FrameType::hello }, stream( 0, FrameHeader::greeting_payload_max ) );
  greeting.pop_back();
  const auto reading = read( greeting, byte_by_byte );
  EXPECT_EQ( reading.fault, std::nullopt );
  EXPECT_EQ( reading.held_most, greeting.size() );
  // Promising more is a mistake that shows in the header.
  std::string more = frame( { .type = FrameType::hello }, stream( 0, FrameHeader::greeting_payload_max + 1 ) );
  const auto refused = read( more, byte_by_byte );
  EXPECT_EQ( refused.fault, Fault::not_holdfast );
  EXPECT_LE( refused.held_most, FrameHeader::size );
}

TEST( FrameReader, HoldsAtMostOneFrame )
{
  Chance chance { 3 };
  const std::string input = some_frames( chance, 200 );
  for ( const std::size_t most : { 1U, 100U, 20000U } ) {
    const auto reading = read( input, [&] { return chance.between( 1, most ); } );
    EXPECT_EQ( reading.frames.size(), 201U );
    EXPECT_LT( reading.held_most, FrameHeader::size + FrameHeader::payload_max );
  }
}

TEST( FrameReader, PayloadsLastUntilTheyAreDoneWith )
{
  const std::string first = frame( { .type = FrameType::data, .session = 1 }, "in two pieces" );
  const std::string second = frame( { .type = FrameType::data, .session = 1 }, "whole" );
  FrameReader reader { FrameType::hello };
  const std::string head = greeting( FrameType::hello ) + first.substr( 0, first.size() - 3 );
  reader.feed( raw( head ) );
  while ( reader.next() ) {
  }
  reader.done();
  const std::string rest = first.substr( first.size() - 3 ) + second + second.substr( 0, second.size() - 1 );
  reader.feed( raw( rest ) );
  const auto in_pieces = reader.next();
  const auto as_whole = reader.next();
  EXPECT_EQ( reader.next(), std::nullopt ); // the beginning of a third one is kept
  ASSERT_TRUE( in_pieces and as_whole );
  EXPECT_EQ( text( in_pieces->payload ), "in two pieces" );
  EXPECT_EQ( text( as_whole->payload ), "whole" );
  reader.done();
  EXPECT_EQ( reader.held(), second.size() - 1 );
}

// A vector that is assigned "{}" keeps its memory: every link that had ever read a frame in pieces kept up to 32
// KiB.
TEST( FrameReader, AnIdleLinkHoldsNoMemory )
{
  const std::string data = frame( { .type = FrameType::data, .session = 1 }, stream( 0, 1000 ) );
  FrameReader reader { FrameType::hello };
  const std::string head = greeting( FrameType::hello ) + data.substr( 0, 500 );
  reader.feed( raw( head ) );
  EXPECT_TRUE( reader.next() );
  EXPECT_FALSE( reader.next() );
  reader.done();
  EXPECT_GE( reader.memory(), 500U );
  // The rest of it, and the beginning of another one: so both pieces of memory are in use.
  const std::string middle = data.substr( 500 ) + data.substr( 0, 500 );
  reader.feed( raw( middle ) );
  EXPECT_TRUE( reader.next() );
  EXPECT_FALSE( reader.next() );
  reader.done();
  EXPECT_GE( reader.memory(), 1000U );
  const std::string rest = data.substr( 500 );
  reader.feed( raw( rest ) );
  EXPECT_TRUE( reader.next() );
  EXPECT_FALSE( reader.next() );
  reader.done();
  EXPECT_EQ( reader.memory(), 0U );
}

TEST( FrameReader, PayloadsOfWholeFramesAreNotCopied )
{
  const std::string input = greeting( FrameType::hello ) + frame( { .type = FrameType::data, .session = 1 }, "x" );
  FrameReader reader { FrameType::hello };
  reader.feed( raw( input ) );
  static_cast<void>( reader.next() );
  const auto data = reader.next();
  ASSERT_TRUE( data );
  EXPECT_EQ( data->payload.data(), raw( input ).last( 1 ).data() );
  EXPECT_EQ( reader.held(), 0U );
}

} // namespace
} // namespace holdfast
