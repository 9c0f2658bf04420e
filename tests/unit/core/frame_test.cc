#include "core/frame.hh"

#include "core/bytes.hh"
#include "unit/core/support.hh"

#include <gtest/gtest.h>

#include <limits>
#include <set>

namespace holdfast {
namespace {

using namespace test;

std::variant<FrameHeader, Fault> decoded( const FrameHeader& header )
{
  return decode( encode( header ) );
}

std::optional<Fault> fault_of( const FrameHeader& header )
{
  const auto result = decoded( header );
  const auto* fault = std::get_if<Fault>( &result );
  return fault == nullptr ? std::nullopt : std::optional { *fault };
}

// The table of PROTOCOL.md, written down a second time: a change of the first must be meant.
struct Row
{
  FrameType type;
  std::uint16_t length_min;
  std::uint16_t length_max;
  bool of_a_session;
};
constexpr std::array table {
  Row { FrameType::hello, 1, 1024, false },  Row { FrameType::welcome, 1, 1024, false },
  Row { FrameType::heartbeat, 0, 0, false }, Row { FrameType::goodbye, 1, 1, false },
  Row { FrameType::open, 0, 0, true },       Row { FrameType::opened, 0, 0, true },
  Row { FrameType::resume, 8, 8, true },     Row { FrameType::data, 1, 16384, true },
  Row { FrameType::ack, 0, 0, true },        Row { FrameType::end, 0, 0, true },
  Row { FrameType::reset, 1, 1, true },      Row { FrameType::closed, 0, 0, true },
};

FrameHeader possible( const Row& row )
{
  return { .type = row.type, .length = row.length_min, .session = row.of_a_session ? 7U : 0U };
}

TEST( Frame, EveryFieldComesBackAsItWasSent )
{
  const FrameHeader header { .type = FrameType::data,
                             .flags = 0x81,
                             .length = 0x1234,
                             .window = 0x89abcdef,
                             .session = 0xfedcba9876543210,
                             .sequence = 0x0123456789abcdef,
                             .acknowledgement = 0x3edcba9876543210 };
  const auto result = decoded( header );
  ASSERT_TRUE( std::holds_alternative<FrameHeader>( result ) );
  EXPECT_EQ( std::get<FrameHeader>( result ), header );
}

TEST( Frame, FieldsLieWhereThePictureSaysAndAreBigEndian )
{
  const FrameHeader header { .type = FrameType::data,
                             .flags = 1,
                             .length = 0x0203,
                             .window = 0x04050607,
                             .session = 0x08090a0b0c0d0e0f,
                             .sequence = 0x1011121314151617,
                             .acknowledgement = 0x18191a1b1c1d1e1f };
  auto raw = encode( header );
  EXPECT_EQ( raw[0], std::byte { 8 } );
  for ( std::size_t i = 1; i < raw.size(); ++i ) {
    EXPECT_EQ( std::to_integer<std::size_t>( raw[i] ), i );
  }
}

TEST( Frame, EachTypeAllowsItsOwnLengthsOnly )
{
  for ( const Row& row : table ) {
    for ( std::uint32_t length = 0; length <= std::numeric_limits<std::uint16_t>::max(); ++length ) {
      FrameHeader header = possible( row );
      header.length = static_cast<std::uint16_t>( length );
      const bool allowed = length >= row.length_min and length <= row.length_max;
      ASSERT_EQ( fault_of( header ), allowed ? std::nullopt : std::optional { Fault::bad_length } )
        << name( row.type ) << " with length " << length;
    }
  }
}

TEST( Frame, ATypeIsEitherOfASessionOrOfTheTunnel )
{
  for ( const Row& row : table ) {
    for ( const SessionId session : { SessionId { 0 }, SessionId { 1 }, ~SessionId { 0 } } ) {
      FrameHeader header = possible( row );
      header.session = session;
      const bool allowed = ( session != 0 ) == row.of_a_session;
      EXPECT_EQ( fault_of( header ), allowed ? std::nullopt : std::optional { Fault::bad_session } )
        << name( row.type ) << " with session " << session;
    }
  }
}

TEST( Frame, TypesThatWereNotAgreedUponAreRefused )
{
  std::set<unsigned> known;
  for ( const Row& row : table ) {
    known.insert( static_cast<unsigned>( row.type ) );
  }
  for ( unsigned type = 0; type < 256; ++type ) {
    auto raw = encode( { .length = 1, .session = 1 } );
    raw[0] = static_cast<std::byte>( type );
    const auto result = decode( raw );
    const auto* fault = std::get_if<Fault>( &result );
    EXPECT_EQ( fault != nullptr and *fault == Fault::unknown_type, not known.contains( type ) ) << type;
  }
}

TEST( Frame, PositionsOfASessionStayBelowTheLimit )
{
  for ( const Row& row : table ) {
    for ( const Position at : { position_limit, ~Position { 0 } } ) {
      const auto expected = row.of_a_session ? std::optional { Fault::bad_field } : std::nullopt;
      FrameHeader header = possible( row );
      header.sequence = at;
      EXPECT_EQ( fault_of( header ), expected ) << name( row.type );
      header = possible( row );
      header.acknowledgement = at;
      EXPECT_EQ( fault_of( header ), expected ) << name( row.type ); // a heartbeat's stamps may be anything
    }
    FrameHeader header = possible( row );
    header.sequence = position_limit - 1;
    header.acknowledgement = position_limit - 1;
    EXPECT_EQ( fault_of( header ), std::nullopt ) << name( row.type );
  }
}

TEST( Frame, FlagsThatNobodyDefinedAreIgnored )
{
  FrameHeader header = possible( table[0] );
  header.flags = 0xff;
  EXPECT_EQ( fault_of( header ), std::nullopt );
}

TEST( Frame, EveryTypeHasANameOfItsOwn )
{
  std::set<std::string_view> names { "unknown" };
  for ( const Row& row : table ) {
    EXPECT_TRUE( names.insert( name( row.type ) ).second ) << name( row.type );
  }
  EXPECT_EQ( name( static_cast<FrameType>( 200 ) ), "unknown" );
}

TEST( Frame, ResetReasonsOfALaterVersionAreUnknown )
{
  for ( unsigned number = 0; number < 256; ++number ) {
    const auto reason = reset_reason( static_cast<std::byte>( number ) );
    if ( number >= 1 and number <= 12 ) {
      EXPECT_EQ( static_cast<unsigned>( reason ), number );
    } else {
      EXPECT_EQ( reason, ResetReason::unknown );
    }
    EXPECT_FALSE( describe( reason ).empty() );
  }
}

TEST( Frame, NumbersOfEverySizeAreBigEndian )
{
  std::array<std::byte, 15> raw {};
  ByteWriter write { raw };
  write.number( std::uint8_t { 0x01 } );
  write.number( std::uint16_t { 0x0203 } );
  write.number( std::uint32_t { 0x04050607 } );
  write.number( std::uint64_t { 0x08090a0b0c0d0e0f } );
  for ( std::size_t i = 0; i < raw.size(); ++i ) {
    EXPECT_EQ( std::to_integer<std::size_t>( raw[i] ), i + 1 );
  }
  ByteReader read { raw };
  EXPECT_EQ( read.number<std::uint8_t>(), 0x01 );
  EXPECT_EQ( read.number<std::uint16_t>(), 0x0203 );
  EXPECT_EQ( read.number<std::uint32_t>(), 0x04050607U );
  EXPECT_EQ( read.number<std::uint64_t>(), 0x08090a0b0c0d0e0fU );
}

TEST( Fault, EveryMistakeHasWordsOfItsOwn )
{
  std::set<std::string_view> words;
  for ( auto raw = static_cast<std::uint8_t>( Fault::not_holdfast );
        raw <= static_cast<std::uint8_t>( Fault::too_many_unknown );
        ++raw ) {
    EXPECT_TRUE( words.insert( describe( static_cast<Fault>( raw ) ) ).second ) << unsigned { raw };
  }
  EXPECT_FALSE( words.contains( describe( static_cast<Fault>( 200 ) ) ) );
  EXPECT_EQ( describe( static_cast<ResetReason>( 200 ) ), describe( ResetReason::unknown ) );
}

} // namespace
} // namespace holdfast
