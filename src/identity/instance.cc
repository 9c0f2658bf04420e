#include "identity/instance.hh"

#include "identity/file.hh"
#include "net/error.hh"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <fstream>

namespace holdfast {

namespace {

constexpr std::size_t key_size = 32;

void make_key( const Crypto& crypto, const std::string& path, uid_t owner )
{
  std::string key( key_size, '\0' );
  crypto.random( std::as_writable_bytes( std::span { key } ) );
  static_cast<void>( make_file( path, key, owner ) ); // another program may have been faster: then its key counts
  wipe( key );
}

std::string machine_id()
{
  std::ifstream file { "/etc/machine-id" };
  std::string id;
  std::getline( file, id ); // a machine without one: the key alone must do
  return id;
}

} // namespace

Id client_instance( const Crypto& crypto, const StateDirectory& directory, std::string_view role )
{
  const std::string path = directory.file( "instance" );
  const FileRule rule { .kind = FileRule::Kind::secret, .owner = directory.owner() };
  FileReading reading = read_file( path, rule );
  if ( not reading.text and reading.problem.empty() ) {
    make_key( crypto, path, directory.owner() );
    reading = read_file( path, rule );
  }
  if ( not reading.problem.empty() ) {
    throw StartupError( reading.problem );
  }
  std::string key = reading.text.value_or( "" );
  if ( key.size() != key_size ) {
    throw StartupError( fmt::format(
      "{} is damaged ({} bytes instead of {}): remove it, and a new one is made", path, key.size(), key_size ) );
  }
  const std::string message = fmt::format( "holdfast instance\n{}\n{}", machine_id(), role );
  const Digest digest = crypto.mac( std::as_bytes( std::span { key } ), std::as_bytes( std::span { message } ) );
  wipe( key );
  Id id;
  std::copy_n( digest.begin(), id.size(), id.begin() );
  return id;
}

} // namespace holdfast
