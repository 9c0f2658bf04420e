// The messages of client and server. The input is what comes in: once as text for the client, once as messages for
// the server; whole, byte by byte and in pieces of a size that the first byte chooses. What must hold:
//
//   whatever the pieces, the same lines and the same messages come out
//   what the client sends for a line, the server reads again, and nothing is left between messages
//   no line and no message is longer than the limit, and one that is gets refused, once
//   the splitter agrees with something stupid: cut at every newline

#include "fuzz/allocations.hh"
#include "fuzz/input.hh"

#include "lines/line_splitter.hh"
#include "lines/message.hh"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

using namespace holdfast::lines;
using namespace holdfast::fuzz;

namespace {

using Bytes = std::span<const std::byte>;

std::string text( Bytes bytes )
{
  return { reinterpret_cast<const char*>( bytes.data() ), bytes.size() };
}

template<class Feed>
void in_pieces( Bytes bytes, std::size_t step, Feed feed )
{
  for ( std::size_t at = 0; at < bytes.size(); at += step ) {
    feed( bytes.subspan( at, std::min( step, bytes.size() - at ) ) );
  }
}

struct Line
{
  std::uint64_t number = 0;
  bool too_long = false;
  std::string text {};
  bool operator==( const Line& ) const = default;
};

std::vector<Line> split( Bytes bytes, std::size_t step )
{
  LineSplitter splitter;
  std::vector<Line> lines;
  const auto keep = [&lines]( const LineSplitter::Line& line ) {
    check( line.text.size() <= LineSplitter::line_max, "a line over the limit" );
    lines.push_back( { line.number, line.too_long, text( line.text ) } );
  };
  in_pieces( bytes, step, [&]( Bytes piece ) {
    while ( const auto line = splitter.next( piece ) ) {
      keep( *line );
    }
    check( piece.empty(), "input was left although no line is due" );
  } );
  if ( const auto line = splitter.end() ) {
    keep( *line );
  }
  check( not splitter.end(), "the end came twice" );
  return lines;
}

std::vector<Line> cut_at_newlines( std::string_view all )
{
  std::vector<Line> lines;
  for ( std::uint64_t number = 1; not all.empty(); ++number ) {
    const std::string_view line = all.substr( 0, all.find( '\n' ) );
    const bool too_long = line.size() > LineSplitter::line_max;
    lines.push_back( { number, too_long, too_long ? "" : std::string { line } } );
    all.remove_prefix( std::min( line.size() + 1, all.size() ) );
  }
  return lines;
}

struct Messages
{
  std::vector<std::string> payloads {};
  std::uint32_t refused = 0;  // the length
  std::size_t unfinished = 0; // bytes of a message that was cut off
  bool operator==( const Messages& ) const = default;
};

Messages read( Bytes bytes, std::size_t step )
{
  MessageReader reader;
  Messages messages;
  largest_allocation = 0;
  in_pieces( bytes, step, [&]( Bytes piece ) {
    while ( messages.refused == 0 ) {
      const auto reading = reader.next( piece );
      if ( not reading ) {
        check( piece.empty(), "input was left although no message is due" );
        return;
      }
      if ( reading->kind == MessageReader::Reading::Kind::too_long ) {
        check( reading->length > payload_max, "a message within the limit was refused" );
        messages.refused = reading->length;
        return;
      }
      check( reading->payload.size() == reading->length and reading->length <= payload_max, "a payload's length" );
      messages.payloads.push_back( text( reading->payload ) );
    }
    const auto again = reader.next( piece );
    check( again and again->length == messages.refused, "a refused stream was read on" );
  } );
  messages.unfinished = messages.refused == 0 ? reader.unfinished() : 0;
  // What a vector of strings takes for itself is at most twice the input's number of messages.
  check( largest_allocation <= std::max<std::size_t>( 4096, 2 * sizeof( std::string ) * ( bytes.size() / 4 + 2 ) ),
         "a length made us ask for much memory" );
  return messages;
}

// What the server would have read if it was all there, without its reader.
Messages read_at_once( Bytes bytes )
{
  Messages messages;
  while ( bytes.size() >= length_size ) {
    std::uint32_t length = 0;
    for ( const std::byte byte : bytes.first( length_size ) ) {
      length = length * 256 + std::to_integer<std::uint32_t>( byte );
    }
    if ( length > payload_max ) {
      messages.refused = length;
      return messages;
    }
    if ( bytes.size() < length_size + length ) {
      break;
    }
    messages.payloads.push_back( text( bytes.subspan( length_size, length ) ) );
    bytes = bytes.subspan( length_size + length );
  }
  messages.unfinished = bytes.size();
  return messages;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput( const std::uint8_t* data, std::size_t size )
{
  Input input { data, size };
  const std::size_t step = 2U + input.byte();
  const Bytes bytes = input.rest();
  const std::size_t whole = std::max<std::size_t>( bytes.size(), 1 );

  const auto lines = cut_at_newlines( text( bytes ) );
  check( split( bytes, whole ) == lines, "all at once, other lines than the newlines make" );
  check( split( bytes, 1 ) == lines and split( bytes, step ) == lines, "in pieces, other lines than all at once" );

  const Messages messages = read_at_once( bytes );
  check( read( bytes, whole ) == messages, "all at once, other messages than the lengths make" );
  check( read( bytes, 1 ) == messages and read( bytes, step ) == messages,
         "in pieces, other messages than all at once" );

  std::vector<std::byte> sent;
  Messages expected;
  for ( const Line& line : lines ) {
    if ( not line.too_long ) {
      append_message( sent, std::as_bytes( std::span { line.text } ) );
      expected.payloads.push_back( line.text );
    }
  }
  check( read( sent, step ) == expected, "the server reads something else than the client sent" );
  return 0;
}
