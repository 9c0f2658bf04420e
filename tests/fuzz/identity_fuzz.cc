// The two lists that people edit, known_hosts and the authorized clients. The first byte chooses the host that is
// asked for (or takes the input itself for one), the rest is the text of a file. What must hold:
//
//   a text is taken in the same way whatever stands at the ends of its lines and before its first one
//   who is known, or admitted, is known by a line that says so, and that line alone says the same
//   what cannot be read makes nobody new, and adds nobody: only whole lines count, the others are named once each
//   what is said is one printable line and shows nothing of the file
//   what we write down is read as it was meant, beside anything that is there already
//   a fingerprint is written in one way

#include "fuzz/allocations.hh"
#include "fuzz/input.hh"

#include "identity/authorized_clients.hh"
#include "identity/fingerprint.hh"
#include "identity/known_hosts.hh"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

using namespace holdfast;
using namespace holdfast::fuzz;

namespace {

constexpr const char* path = "FILE";

std::vector<std::string> lines_of( std::string_view text )
{
  std::vector<std::string> lines;
  while ( not text.empty() ) {
    const std::string_view line = text.substr( 0, text.find( '\n' ) );
    lines.emplace_back( line );
    text.remove_prefix( std::min( line.size() + 1, text.size() ) );
  }
  return lines;
}

std::string with_ends( std::string_view text, std::string_view before, std::string_view end )
{
  std::string other { before };
  for ( const std::string& line : lines_of( text ) ) {
    other += line;
    other += end;
  }
  return other;
}

void check_said( const std::string& said )
{
  check( said.starts_with( "FILE:" ) and said.size() < 200, "a problem does not name its line, or is long" );
  check( std::ranges::all_of( said, []( char c ) { return c >= ' ' and c <= '~'; } ),
         "a problem is not printable" );
}

std::vector<std::pair<Digest, std::size_t>> entries_of( const KnownHost& host )
{
  std::vector<std::pair<Digest, std::size_t>> all;
  for ( const auto& entry : host.entries ) {
    all.emplace_back( entry.digest, entry.line );
  }
  return all;
}

void known_hosts( std::string_view text, std::string_view host )
{
  const KnownHost known = find_host( text, host, 5000, path );
  const auto ours = known_host_line( host, 5000, Digest {} );
  if ( not ours ) {
    check( known.entries.empty() and not known.is_new(), "somebody is known by a name that no line can hold" );
    return;
  }
  const auto lines = lines_of( text );
  std::size_t damaged = 0;
  for ( const std::string& line : lines ) {
    damaged += find_host( "#\n" + line, host, 5000, path ).problems.size();
  }
  if ( not text.starts_with( "\xef\xbb\xbf" ) ) { // that belongs to the text and not to its first line
    check( known.problems.size() == std::min( damaged, KnownHost::problems_max ),
           "not as many problems as damaged lines" );
  }
  for ( const std::string& said : known.problems ) {
    check_said( said );
  }
  check( known.is_new() == ( known.entries.empty() and known.problems.empty() ), "who is new" );
  for ( const auto& entry : known.entries ) {
    const std::string& line = lines.at( entry.line - 1 );
    check( known.has( entry.digest ), "a key that the host does not have" );
    check( line.find( fingerprint( entry.digest ) ) != std::string::npos, "a key that is not in its line" );
    check( find_host( line, host, 5000, path ).has( entry.digest ), "the line alone says something else" );
    check( find_host( line, "another.example", 5000, path ).entries.empty()
             or find_host( *ours, "another.example", 5000, path ).has( Digest {} ),
           "a line that stands for two hosts" );
  }
  check( lines_of( *ours ).size() == 1 and ours->ends_with( '\n' ), "what we write is not one line" );
  const KnownHost both = find_host( *ours + std::string { text }, host, 5000, path );
  check( both.has( Digest {} ), "what we wrote is not found again" );
  check( find_host( *ours, host, 5000, path ).problems.empty(), "what we wrote cannot be read" );
  check( find_host( *ours, host, 5001, path ).is_new(), "another port is the same host" );
}

void authorized_clients( std::string_view text )
{
  const auto parsed = parse_authorized_clients( text, path );
  if ( const auto* const said = std::get_if<std::string>( &parsed ) ) {
    check_said( *said );
    return;
  }
  const auto& keys = std::get<std::vector<Digest>>( parsed );
  check( std::ranges::is_sorted( keys ) and std::ranges::adjacent_find( keys ) == keys.end(),
         "not sorted, or doubles" );
  std::string again;
  for ( const Digest& key : keys ) {
    check( text.find( fingerprint( key ) ) != std::string_view::npos,
           "somebody is admitted who is not in the file" );
    again += fingerprint( key ) + " comment\r\n";
  }
  check( parse_authorized_clients( again, path ) == parsed, "the same keys make another list" );
  for ( const std::string& line : lines_of( text ) ) {
    check( std::holds_alternative<std::vector<Digest>>( parse_authorized_clients( "#\n" + line, path ) )
             or line.starts_with( "\xef\xbb\xbf" ),
           "a damaged line in a list that is none" );
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput( const std::uint8_t* data, std::size_t size )
{
  Input input { data, size };
  constexpr std::string_view hosts[] = { "server.example", "192.0.2.1", "::1", "[2001:DB8::1]", "a." };
  const std::uint8_t choice = input.byte();
  const std::string_view text { reinterpret_cast<const char*>( input.rest().data() ), input.rest().size() };
  const std::string_view host = choice < std::size( hosts ) ? hosts[choice] : text.substr( 0, 300 );

  largest_allocation = 0;
  known_hosts( text, host );
  authorized_clients( text );
  // The texts that are put together here, and vectors of lines that grow to the double.
  check( largest_allocation <= std::max<std::size_t>( 65536, 200 * ( size + 1 ) ),
         "a text made us ask for much memory" );

  for ( const auto& [before, end] : { std::pair { "", "\n" }, { "", "\r\n" }, { "\xef\xbb\xbf", "\n" } } ) {
    const bool has_mark = text.starts_with( "\xef\xbb\xbf" );
    const bool has_cr = text.find( '\r' ) != std::string_view::npos;
    if ( ( has_mark and *before != '\0' ) or ( has_cr and *end == '\r' ) ) {
      continue; // a second one is no end of a line, and no beginning of a text
    }
    const std::string other = with_ends( text, before, end );
    check( entries_of( find_host( other, host, 5000, path ) ) == entries_of( find_host( text, host, 5000, path ) ),
           "other ends of lines, other hosts" );
    check( parse_authorized_clients( other, path ) == parse_authorized_clients( text, path ),
           "other ends of lines, other clients" );
  }
  if ( const auto digest = parse_fingerprint( text ) ) {
    check( fingerprint( *digest ) == text, "two ways to write one fingerprint" );
  }
  return 0;
}
