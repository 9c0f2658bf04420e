#include "proxy/instance.hh"

#include "net/error.hh"
#include "net/fd.hh"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <system_error>

namespace holdfast {

namespace {

constexpr std::size_t key_size = 32;

std::string environment( const char* name )
{
  const char* const value = std::getenv( name );
  return value == nullptr ? std::string {} : std::string { value };
}

// The key's bytes, fewer than key_size if the file is not there or too short.
std::string read_key( const std::string& path )
{
  const Fd file { ::open( path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW ) };
  if ( not file ) {
    if ( errno == ENOENT ) {
      return {};
    }
    fail( fmt::format( "cannot read {}", path ) );
  }
  std::string key( key_size, '\0' );
  const ssize_t n = ::read( file.get(), key.data(), key.size() );
  if ( n < 0 ) {
    fail( fmt::format( "cannot read {}", path ) );
  }
  key.resize( static_cast<std::size_t>( n ) );
  return key;
}

// Written under another name and linked into place, so that of two programs starting at once both use the same one.
void make_key( const Crypto& crypto, const std::string& path )
{
  std::array<std::byte, key_size> key;
  crypto.random( key );
  const std::string fresh = fmt::format( "{}.{}", path, ::getpid() );
  {
    const Fd file { ::open( fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600 ) };
    if ( not file or ::write( file.get(), key.data(), key.size() ) != static_cast<ssize_t>( key.size() ) ) {
      fail( fmt::format( "cannot write {}", fresh ) );
    }
  }
  const int linked = ::link( fresh.c_str(), path.c_str() );
  const int error = errno;
  ::unlink( fresh.c_str() );
  if ( linked != 0 and error != EEXIST ) {
    fail( fmt::format( "cannot write {}", path ), error );
  }
}

std::string machine_id()
{
  std::ifstream file { "/etc/machine-id" };
  std::string id;
  std::getline( file, id ); // a machine without one: the key alone must do
  return id;
}

} // namespace

std::string state_directory( const std::string& given )
{
  if ( not given.empty() ) {
    return given;
  }
  if ( const auto xdg = environment( "XDG_STATE_HOME" ); not xdg.empty() ) {
    return xdg + "/holdfast";
  }
  if ( const auto home = environment( "HOME" ); not home.empty() ) {
    return home + "/.local/state/holdfast";
  }
  return "/var/lib/holdfast";
}

Id client_instance( const Crypto& crypto, const std::string& directory, std::string_view role )
{
  std::error_code error;
  const mode_t before = ::umask( 077 );
  std::filesystem::create_directories( directory, error );
  ::umask( before );
  if ( error ) {
    fail( fmt::format( "cannot make the state directory {}", directory ), error.value() );
  }
  const std::string path = directory + "/instance";
  std::string key = read_key( path );
  if ( key.empty() ) {
    make_key( crypto, path );
    key = read_key( path );
  }
  if ( key.size() != key_size ) {
    throw StartupError( fmt::format(
      "{} is damaged ({} bytes instead of {}): remove it, and a new one is made", path, key.size(), key_size ) );
  }
  const std::string message = fmt::format( "holdfast instance\n{}\n{}", machine_id(), role );
  const Digest digest = crypto.mac( std::as_bytes( std::span { key } ), std::as_bytes( std::span { message } ) );
  Id id;
  std::copy_n( digest.begin(), id.size(), id.begin() );
  return id;
}

} // namespace holdfast
