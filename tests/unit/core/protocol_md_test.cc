#include "core/frame_reader.hh"
#include "core/initiation.hh"
#include "unit/core/support.hh"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <cctype>
#include <fstream>
#include <map>
#include <sstream>

// The worked example of docs/PROTOCOL.md, read from the document itself: its bytes are decoded with our decoder,
// and every field is compared with the document's own table. So neither can drift from the other, nor from the
// code.

namespace holdfast {
namespace {

using namespace test;

std::string worked_example()
{
  std::ifstream file { PROTOCOL_MD };
  std::stringstream all;
  all << file.rdbuf();
  const std::string document = all.str();
  const auto from = document.find( "\n## 15 Worked example" );
  const auto to = document.find( "\n## 16 " );
  if ( from == std::string::npos or to == std::string::npos ) {
    ADD_FAILURE() << PROTOCOL_MD << " has no section 15";
    return {};
  }
  return document.substr( from, to - from );
}

struct Block
{
  FrameType greeting;
  std::string from;
  std::size_t bytes_promised;
  std::vector<unsigned> order; // the numbers in its comments
  std::string bytes;
};

std::string from_hex( std::string_view digits )
{
  std::string out;
  std::string byte;
  for ( const char c : digits ) {
    if ( std::isxdigit( static_cast<unsigned char>( c ) ) != 0 ) {
      byte += c;
      if ( byte.size() == 2 ) {
        out += static_cast<char>( std::stoi( byte, nullptr, 16 ) );
        byte.clear();
      }
    }
  }
  EXPECT_TRUE( byte.empty() ) << "half a byte in " << digits;
  return out;
}

// The first number in a text, written as people read it: "9,000,020,000".
std::uint64_t first_number( std::string_view in )
{
  std::string digits;
  for ( const char c : in ) {
    if ( std::isdigit( static_cast<unsigned char>( c ) ) != 0 ) {
      digits += c;
    } else if ( not digits.empty() and c != ',' ) {
      break;
    }
  }
  EXPECT_FALSE( digits.empty() ) << "no number in: " << in;
  return digits.empty() ? 0 : std::stoull( digits );
}

std::vector<Block> blocks()
{
  std::vector<Block> out;
  std::istringstream lines { worked_example() };
  bool inside = false;
  for ( std::string line; std::getline( lines, line ); ) {
    if ( line.starts_with( "**Block" ) ) {
      const bool up = line.find( "from cproxy to sproxy" ) != std::string::npos;
      EXPECT_TRUE( up or line.find( "from sproxy to cproxy" ) != std::string::npos ) << line;
      out.push_back( { .greeting = up ? FrameType::hello : FrameType::welcome,
                       .from = up ? "cproxy" : "sproxy",
                       .bytes_promised = first_number( line.substr( line.rfind( '(' ) ) ),
                       .order = {},
                       .bytes = {} } );
    } else if ( line.starts_with( "```" ) ) {
      inside = line == "```hex";
    } else if ( inside and line.starts_with( "#" ) ) {
      out.back().order.push_back( static_cast<unsigned>( first_number( line ) ) );
    } else if ( inside ) {
      out.back().bytes += from_hex( line );
    }
  }
  return out;
}

// The rows of the table, by the frame's number; cells in order.
std::map<unsigned, std::vector<std::string>> table()
{
  std::map<unsigned, std::vector<std::string>> out;
  std::istringstream lines { worked_example() };
  for ( std::string line; std::getline( lines, line ); ) {
    if ( line.size() > 2 and line.starts_with( "| " )
         and std::isdigit( static_cast<unsigned char>( line[2] ) ) != 0 ) {
      std::vector<std::string> cells;
      std::istringstream row { line.substr( 1 ) };
      for ( std::string cell; std::getline( row, cell, '|' ); ) {
        const auto first = cell.find_first_not_of( ' ' );
        const auto last = cell.find_last_not_of( ' ' );
        cells.push_back( first == std::string::npos ? "" : cell.substr( first, last - first + 1 ) );
      }
      const auto number = static_cast<unsigned>( first_number( cells.at( 0 ) ) );
      out[number] = cells;
    }
  }
  return out;
}

struct Sent
{
  FrameHeader header;
  std::string payload;
  std::string from;
};

// All frames of the example, by their number.
std::map<unsigned, Sent> frames()
{
  std::map<unsigned, Sent> out;
  for ( const Block& block : blocks() ) {
    EXPECT_EQ( block.bytes.size(), block.bytes_promised );
    FrameReader reader { block.greeting };
    reader.feed( raw( block.bytes ) );
    std::size_t count = 0;
    while ( const auto frame = reader.next() ) {
      if ( count == block.order.size() ) {
        ADD_FAILURE() << "a frame without a comment";
        break;
      }
      out[block.order[count++]] = { frame->header, text( frame->payload ), block.from };
    }
    EXPECT_EQ( count, block.order.size() );
    EXPECT_EQ( reader.fault(), std::nullopt );
    EXPECT_EQ( reader.held(), 0U );
  }
  return out;
}

TEST( ProtocolMd, ItsBytesAreTheFramesOfItsTable )
{
  const auto sent = frames();
  const auto rows = table();
  ASSERT_EQ( sent.size(), rows.size() );
  ASSERT_EQ( sent.size(), 19U );
  unsigned expected = 0;
  for ( const auto& [number, row] : rows ) {
    ASSERT_EQ( number, ++expected );
    ASSERT_EQ( row.size(), 8U ) << number;
    const auto& [header, payload, from] = sent.at( number );
    EXPECT_EQ( from, row[1] ) << number;
    EXPECT_EQ( name( header.type ), row[2] ) << number;
    EXPECT_EQ( header.flags, 0 ) << number;
    EXPECT_EQ( header.window, first_number( row[3] ) ) << number;
    EXPECT_EQ( header.session, first_number( row[4] ) ) << number;
    EXPECT_EQ( header.sequence, first_number( row[5] ) ) << number;
    EXPECT_EQ( header.acknowledgement, first_number( row[6] ) ) << number;
    const std::string& said = row[7];
    if ( header.type == FrameType::data ) {
      EXPECT_TRUE( said.starts_with( '"' + payload + '"' ) ) << number << ' ' << payload;
    } else if ( header.type == FrameType::resume ) {
      EXPECT_TRUE( said.starts_with( "next " ) ) << number;
      std::uint64_t next = 0;
      for ( const char c : payload ) {
        next = ( next << 8U ) | static_cast<unsigned char>( c );
      }
      EXPECT_EQ( next, first_number( said ) ) << number;
    } else if ( header.type == FrameType::goodbye ) {
      EXPECT_EQ( static_cast<std::uint64_t>( payload.at( 0 ) ), first_number( said ) ) << number;
    } else if ( header.type == FrameType::hello or header.type == FrameType::welcome ) {
      if ( not said.starts_with( "as " ) ) {
        EXPECT_EQ( payload.size(), first_number( said ) ) << number;
      }
    } else {
      EXPECT_TRUE( payload.empty() ) << number;
    }
  }
}

// HMAC-SHA256 for real.
class Hmac : public Crypto
{
public:
  [[nodiscard]] Digest mac( std::span<const std::byte> key, std::span<const std::byte> message ) const override
  {
    Digest out;
    unsigned size = 0;
    const auto* const done = HMAC( EVP_sha256(),
                                   key.data(),
                                   static_cast<int>( key.size() ),
                                   reinterpret_cast<const unsigned char*>( message.data() ),
                                   message.size(),
                                   reinterpret_cast<unsigned char*>( out.data() ),
                                   &size );
    EXPECT_NE( done, nullptr );
    EXPECT_EQ( size, out.size() );
    return out;
  }
  void random( std::span<std::byte> into ) const override { std::ranges::fill( into, std::byte {} ); }
};

std::string digest_of_row( std::string_view label )
{
  const std::string example = worked_example();
  const auto row = example.find( "| " + std::string { label } + " | `" );
  if ( row == std::string::npos ) {
    ADD_FAILURE() << "no row: " << label;
    return {};
  }
  const auto from = example.find( '`', row ) + 1;
  return from_hex( example.substr( from, example.find( '`', from ) - from ) );
}

TEST( ProtocolMd, ItsGreetingsProveWhatTheySay )
{
  const auto sent = frames();
  ASSERT_TRUE( sent.contains( 1 ) and sent.contains( 2 ) and sent.contains( 10 ) and sent.contains( 11 ) );
  const auto hello = std::get<Hello>( decode_hello( raw( sent.at( 1 ).payload ) ) );
  const auto welcome = std::get<Welcome>( decode_welcome( raw( sent.at( 2 ).payload ) ) );
  const auto second_hello = std::get<Hello>( decode_hello( raw( sent.at( 10 ).payload ) ) );
  const auto second_welcome = std::get<Welcome>( decode_welcome( raw( sent.at( 11 ).payload ) ) );

  EXPECT_EQ( hello.purpose, Purpose::new_tunnel );
  EXPECT_EQ( hello.beat, std::chrono::milliseconds { 100 } );
  EXPECT_EQ( hello.window, 65536U );
  EXPECT_EQ( hello.run, 0x0123456789abcdefU );
  EXPECT_EQ( hello.attempt, 1U );
  EXPECT_EQ( hello.proof, Digest {} );
  EXPECT_EQ( welcome.answer, Answer::made );
  EXPECT_EQ( welcome.attempt, 1U );
  EXPECT_EQ( welcome.proof, Digest {} );
  EXPECT_EQ( second_hello.purpose, Purpose::resume );
  EXPECT_EQ( second_hello.tunnel, welcome.tunnel );
  EXPECT_EQ( second_hello.instance, hello.instance );
  EXPECT_EQ( second_hello.attempt, 2U );
  EXPECT_EQ( second_welcome.answer, Answer::resumed );
  EXPECT_EQ( second_welcome.tunnel, welcome.tunnel );
  EXPECT_EQ( second_welcome.attempt, 2U );

  const Hmac hmac;
  const Digest binding {};
  const Digest secret = make_secret( hmac, binding, hello, welcome );
  EXPECT_EQ( text( secret ), digest_of_row( "secret of the tunnel" ) );
  EXPECT_EQ( text( prove_hello( hmac, secret, binding, second_hello ) ), digest_of_row( "proof in 10" ) );
  EXPECT_EQ( text( second_hello.proof ), digest_of_row( "proof in 10" ) );
  EXPECT_EQ( text( prove_welcome( hmac, secret, binding, second_hello, second_welcome ) ),
             digest_of_row( "proof in 11" ) );
  EXPECT_EQ( text( second_welcome.proof ), digest_of_row( "proof in 11" ) );
  EXPECT_EQ( second_hello.proof_before, Digest {} ) << "there was no secret before the first";
  EXPECT_EQ( text( next_secret( hmac, secret, binding, second_hello, second_welcome ) ),
             digest_of_row( "secret after 11" ) );
}

// And what our own encoder makes of the decoded example is the example again.
TEST( ProtocolMd, EncodedAgainItIsTheSame )
{
  const auto sent = frames();
  for ( const Block& block : blocks() ) {
    std::string again;
    for ( const unsigned number : block.order ) {
      ASSERT_TRUE( sent.contains( number ) );
      const auto& [header, payload, from] = sent.at( number );
      Bytes body { raw( payload ).begin(), raw( payload ).end() };
      if ( header.type == FrameType::hello ) {
        body = encode( std::get<Hello>( decode_hello( body ) ) );
      } else if ( header.type == FrameType::welcome ) {
        body = encode( std::get<Welcome>( decode_welcome( body ) ) );
      }
      again += frame( header, text( body ) );
    }
    EXPECT_TRUE( again == block.bytes ) << block.from;
  }
}

} // namespace
} // namespace holdfast
