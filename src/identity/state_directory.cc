#include "identity/state_directory.hh"

#include "net/error.hh"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <utility>

namespace holdfast {

namespace {

std::string environment( const char* name )
{
  const char* const value = std::getenv( name );
  return value == nullptr ? std::string {} : std::string { value };
}

// One folder, for `owner` alone. Nothing happens when there is something of that name already.
void make_one( const std::string& path, uid_t owner )
{
  if ( ::mkdir( path.c_str(), 0700 ) != 0 ) {
    if ( errno != EEXIST ) {
      fail( fmt::format( "cannot make the state directory {}", path ) );
    }
    return;
  }
  if ( owner != ::geteuid()
       and ::fchownat( AT_FDCWD, path.c_str(), owner, static_cast<gid_t>( -1 ), AT_SYMLINK_NOFOLLOW ) != 0 ) {
    fail( fmt::format( "cannot give the state directory {} to user {}", path, owner ) );
  }
}

// With all that are missing above it.
void make_directories( const std::string& path, uid_t owner )
{
  for ( std::size_t at = path.find_first_not_of( '/' ); at < path.size(); ) {
    at = std::min( path.find( '/', at ), path.size() );
    const std::string part = path.substr( 0, at );
    if ( ::access( part.c_str(), F_OK ) != 0 ) {
      make_one( part, owner );
    }
    at = path.find_first_not_of( '/', at );
  }
}

} // namespace

std::string state_directory( const std::string& given, bool home_is_ours )
{
  if ( not given.empty() ) {
    return given;
  }
  if ( const auto xdg = environment( "XDG_STATE_HOME" ); not xdg.empty() ) {
    return xdg + "/holdfast";
  }
  if ( const auto home = environment( "HOME" ); home_is_ours and not home.empty() ) {
    return home + "/.local/state/holdfast";
  }
  return "/var/lib/holdfast";
}

StateDirectory::StateDirectory( std::string path, uid_t owner ) : path_( std::move( path ) ), owner_( owner )
{
  make_directories( path_, owner_ );
  struct stat status = {};
  if ( ::stat( path_.c_str(), &status ) != 0 ) {
    fail( fmt::format( "cannot use the state directory {}", path_ ) );
  }
  if ( not S_ISDIR( status.st_mode ) ) {
    throw StartupError(
      fmt::format( "the state directory {} is not a directory: choose another --state-dir", path_ ) );
  }
  if ( status.st_uid != owner_ and status.st_uid != 0 ) {
    throw StartupError(
      fmt::format( "the state directory {0} belongs to user {1}: chown {2} {0}, or choose another "
                   "--state-dir",
                   path_,
                   status.st_uid,
                   owner_ ) );
  }
  if ( ( status.st_mode & 0022U ) != 0 ) {
    throw StartupError(
      fmt::format( "others may write to the state directory {0} (mode {1:04o}): chmod 700 {0}, or choose "
                   "another --state-dir",
                   path_,
                   status.st_mode & 07777U ) );
  }
}

StateDirectory::StateDirectory( std::string path ) : StateDirectory( std::move( path ), ::geteuid() ) {}

} // namespace holdfast
