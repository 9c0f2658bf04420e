#include "identity/known_hosts.hh"

#include "identity/entries.hh"
#include "identity/file.hh"
#include "identity/fingerprint.hh"
#include "net/error.hh"

#include <fmt/format.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>

namespace holdfast {

namespace {

constexpr std::size_t file_size_max = 1U << 20U; // some 10,000 hosts; it is read at each dial
constexpr std::size_t host_size_max = 255;       // RFC 1035, section 2.3.4

bool can_be_a_host( std::string_view host )
{
  const auto is_bad = []( char c ) { return is_blank( c ) or is_control( c ) or c == '[' or c == ']'; };
  return not host.empty() and host.size() <= host_size_max and std::ranges::none_of( host, is_bad );
}

std::string_view without_brackets( std::string_view host )
{
  const bool has = host.size() >= 2 and host.front() == '[' and host.back() == ']';
  return has ? host.substr( 1, host.size() - 2 ) : host;
}

// An address that is written in its shortest form (RFC 5952); nothing if it is none.
template<class Binary>
std::optional<std::string> shortest( int family, const std::string& host )
{
  Binary address {};
  std::array<char, INET6_ADDRSTRLEN> digits {};
  if ( ::inet_pton( family, host.c_str(), &address ) != 1 ) {
    return std::nullopt;
  }
  return ::inet_ntop( family, &address, digits.data(), digits.size() );
}

// The same for all ways to write one host, without asking anybody. Nothing: no host is written like that.
std::optional<std::string> canonical( std::string_view written )
{
  std::string host { without_brackets( written ) };
  if ( not can_be_a_host( host ) ) {
    return std::nullopt;
  }
  while ( host.size() > 1 and host.back() == '.' ) { // first of all, so that nothing is left to do a second time
    host.pop_back();
  }
  if ( const auto ipv4 = shortest<in_addr>( AF_INET, host ) ) {
    return ipv4;
  }
  if ( const auto ipv6 = shortest<in6_addr>( AF_INET6, host ) ) {
    return ipv6;
  }
  std::ranges::transform( host, host.begin(), []( char c ) {
    return c >= 'A' and c <= 'Z' ? static_cast<char>( c + ( 'a' - 'A' ) ) : c;
  } );
  return host;
}

struct Line
{
  std::string host {}; // canonical
  std::uint16_t port = 0;
  Digest digest {};
};

std::optional<Line> parse( std::string_view text )
{
  const std::string_view place = next_word( text );
  const auto digest = parse_fingerprint( next_word( text ) );
  const std::size_t end = place.rfind( "]:" );
  if ( not digest or not place.starts_with( '[' ) or end == std::string_view::npos ) {
    return std::nullopt;
  }
  const auto host = canonical( place.substr( 0, end + 1 ) );
  const std::string_view digits = place.substr( end + 2 );
  std::uint16_t port = 0;
  const auto [rest, error] = std::from_chars( digits.data(), digits.data() + digits.size(), port );
  if ( not host or error != std::errc {} or rest != digits.data() + digits.size() or port == 0 ) {
    return std::nullopt;
  }
  return Line { *host, port, *digest };
}

// Where the next line has to begin: a text that does not end with its line (an editor's, or one of ours that was
// cut off) gets that end first.
bool ends_in_a_line( int fd, off_t size )
{
  char last = '\n';
  return size == 0 or ::pread( fd, &last, 1, size - 1 ) != 1 or last == '\n';
}

// 0, or an errno. Nothing stays behind of a line that did not fit on the disk, unless somebody else wrote behind
// it.
int append( int fd, std::string_view text, off_t size_before )
{
  const int error = write_all( fd, text );
  if ( error != 0 ) {
    struct stat status = {};
    if ( ::fstat( fd, &status ) == 0 and status.st_size < size_before + static_cast<off_t>( text.size() )
         and ::ftruncate( fd, size_before ) != 0 ) {
      return errno;
    }
    return error;
  }
  return ::fsync( fd ) == 0 ? 0 : errno;
}

} // namespace

bool KnownHost::has( const Digest& digest ) const
{
  return std::ranges::any_of( entries, [&]( const Entry& entry ) { return entry.digest == digest; } );
}

KnownHost find_host( std::string_view text, std::string_view host, std::uint16_t port, const std::string& path )
{
  KnownHost known;
  const auto wanted = canonical( host );
  if ( not wanted ) {
    known.problems.push_back( fmt::format( "no host of that name can be in {}", path ) );
    return known;
  }
  for_each_entry( text, [&]( std::size_t number, std::optional<std::string_view> entry ) {
    const auto line = entry ? parse( *entry ) : std::nullopt;
    if ( line and line->host == *wanted and line->port == port ) {
      known.entries.push_back( { line->digest, number } );
    }
    if ( not line and known.problems.size() < KnownHost::problems_max ) {
      known.problems.push_back(
        fmt::format( "{}:{}: this is not [HOST]:PORT SHA256:...: correct or remove the line", path, number ) );
    }
    return true;
  } );
  return known;
}

std::optional<std::string> known_host_line( std::string_view host, std::uint16_t port, const Digest& digest )
{
  const auto name = canonical( host );
  return name ? std::optional { fmt::format( "[{}]:{} {}\n", *name, port, fingerprint( digest ) ) } : std::nullopt;
}

KnownHosts::KnownHosts( const StateDirectory& directory )
  : path_( directory.file( "known_hosts" ) ), owner_( directory.owner() )
{}

KnownHost KnownHosts::lookup( std::string_view host, std::uint16_t port ) const
{
  const FileReading reading
    = read_file( path_, { .kind = FileRule::Kind::list, .owner = owner_, .size_max = file_size_max } );
  if ( not reading.problem.empty() ) {
    return { .problems = { reading.problem } };
  }
  return find_host( reading.text.value_or( "" ), host, port, path_ );
}

std::string KnownHosts::add( std::string_view host, std::uint16_t port, const Digest& digest ) const
{
  const auto line = known_host_line( host, port, digest );
  if ( not line ) {
    return fmt::format( "no host of that name can be in {}", path_ );
  }
  const int how = O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW;
  const Fd file { ::open( path_.c_str(), how, 0600 ) };
  struct stat status = {};
  if ( not file or ::fstat( file.get(), &status ) != 0 ) {
    return fmt::format( "cannot write {}: {}", path_, error_text( errno ) );
  }
  if ( status.st_size == 0 and owner_ != ::geteuid()
       and ::fchown( file.get(), owner_, static_cast<gid_t>( -1 ) ) != 0 ) {
    return fmt::format( "cannot give {} to user {}: {}", path_, owner_, error_text( errno ) );
  }
  if ( auto problem = objection( file.get(), path_, { .kind = FileRule::Kind::list, .owner = owner_ } );
       not problem.empty() ) {
    return problem;
  }
  if ( static_cast<std::size_t>( status.st_size ) + line->size() >= file_size_max ) {
    return fmt::format( "{} is full ({} bytes): remove hosts that are no more", path_, status.st_size );
  }
  const std::string text = ( ends_in_a_line( file.get(), status.st_size ) ? "" : "\n" ) + *line;
  const int error = append( file.get(), text, status.st_size );
  return error == 0 ? std::string {} : fmt::format( "cannot write {}: {}", path_, error_text( error ) );
}

} // namespace holdfast
