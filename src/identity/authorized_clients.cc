#include "identity/authorized_clients.hh"

#include "identity/entries.hh"
#include "identity/file.hh"
#include "identity/fingerprint.hh"
#include "net/error.hh"

#include <fmt/format.h>

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <utility>

namespace holdfast {

namespace {

constexpr std::size_t file_size_max = 16U << 20U; // some 200,000 clients

// The path without symbolic links; empty when it leads nowhere (errno says why).
std::string resolved( const std::string& path )
{
  const std::unique_ptr<char, decltype( &::free )> real { ::realpath( path.c_str(), nullptr ), ::free };
  return real ? real.get() : "";
}

// Who may write to a folder can put another file into its place. Empty, or which folder is not safe.
std::string objection_to_folders( const std::string& path, uid_t owner )
{
  for ( std::size_t at = path.rfind( '/' ); at != std::string::npos;
        at = at == 0 ? std::string::npos : path.rfind( '/', at - 1 ) ) {
    const std::string folder = path.substr( 0, std::max<std::size_t>( at, 1 ) );
    struct stat status = {};
    if ( ::lstat( folder.c_str(), &status ) != 0 ) {
      return fmt::format( "cannot look at {}: {}", folder, error_text( errno ) );
    }
    if ( status.st_uid != owner and status.st_uid != 0 ) {
      return fmt::format( "{} belongs to user {}, who could replace {}: move the file, or chown the folder",
                          folder,
                          status.st_uid,
                          path );
    }
    if ( ( status.st_mode & 0022U ) != 0 and ( status.st_mode & S_ISVTX ) == 0 ) {
      return fmt::format( "others may write to {0} (mode {1:04o}), and so replace {2}: chmod go-w {0}",
                          folder,
                          status.st_mode & 07777U,
                          path );
    }
  }
  return {};
}

std::vector<Digest> without( const std::vector<Digest>& some, const std::vector<Digest>& others )
{
  std::vector<Digest> rest;
  std::ranges::set_difference( some, others, std::back_inserter( rest ) );
  return rest;
}

} // namespace

std::variant<std::vector<Digest>, std::string> parse_authorized_clients( std::string_view text,
                                                                         const std::string& path )
{
  std::vector<Digest> keys;
  std::string problem;
  for_each_entry( text, [&]( std::size_t number, std::optional<std::string_view> line ) {
    const auto key = line ? parse_fingerprint( next_word( *line ) ) : std::nullopt;
    if ( key ) {
      keys.push_back( *key );
    } else {
      problem = fmt::format( "{}:{}: this line does not begin with SHA256: and 43 characters of base64, as "
                             "cproxy --print-key shows them",
                             path,
                             number );
    }
    return key.has_value();
  } );
  if ( not problem.empty() ) {
    return problem;
  }
  std::ranges::sort( keys );
  keys.erase( std::unique( keys.begin(), keys.end() ), keys.end() );
  return keys;
}

AuthorizedClients::AuthorizedClients( std::string path, uid_t owner ) : path_( std::move( path ) ), owner_( owner )
{
  auto keys = read();
  if ( const auto* const problem = std::get_if<std::string>( &keys ) ) {
    throw StartupError( *problem );
  }
  keys_ = std::get<std::vector<Digest>>( std::move( keys ) );
}

bool AuthorizedClients::admits( const Digest& client ) const
{
  return std::ranges::binary_search( keys_, client );
}

AuthorizedClients::Change AuthorizedClients::reload()
{
  auto keys = read();
  if ( auto* const problem = std::get_if<std::string>( &keys ) ) {
    return { .problem = std::move( *problem ) };
  }
  auto& now = std::get<std::vector<Digest>>( keys );
  Change change { .added = without( now, keys_ ), .removed = without( keys_, now ) };
  keys_ = std::move( now );
  return change;
}

std::variant<std::vector<Digest>, std::string> AuthorizedClients::read() const
{
  const std::string real = resolved( path_ );
  if ( real.empty() ) {
    return fmt::format( "cannot read {}: {}", path_, error_text( errno ) );
  }
  if ( std::string problem = objection_to_folders( real, owner_ ); not problem.empty() ) {
    return problem;
  }
  const FileReading reading
    = read_file( real, { .kind = FileRule::Kind::list, .owner = owner_, .size_max = file_size_max } );
  if ( not reading.problem.empty() ) {
    return reading.problem;
  }
  if ( not reading.text ) {
    return fmt::format( "cannot read {}: {}", path_, error_text( ENOENT ) ); // it was taken away just now
  }
  return parse_authorized_clients( *reading.text, path_ );
}

} // namespace holdfast
