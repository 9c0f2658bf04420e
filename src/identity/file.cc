#include "identity/file.hh"

#include "net/error.hh"

#include <fmt/format.h>
#include <openssl/crypto.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>

namespace holdfast {

namespace {

// The rights that a file must not have.
mode_t forbidden( const FileRule& rule, uid_t owner )
{
  switch ( rule.kind ) {
    case FileRule::Kind::secret: return 0077;
    case FileRule::Kind::given_key: return owner == 0 ? 0037 : 0077;
    case FileRule::Kind::list: return 0022;
  }
  return 0777;
}

// Up to the end of the file, or one byte more than it may have. 0, or an errno.
int read_all( int fd, std::size_t size_max, std::string& text )
{
  std::array<char, 4096> piece;
  text.reserve( std::min<std::size_t>( size_max, 65536 ) + piece.size() ); // a secret is not left behind by growing
  int error = 0;
  while ( text.size() <= size_max ) {
    const ssize_t n = ::read( fd, piece.data(), piece.size() );
    if ( n < 0 and errno == EINTR ) {
      continue;
    }
    error = n < 0 ? errno : 0;
    if ( n <= 0 ) {
      break;
    }
    text.append( piece.data(), static_cast<std::size_t>( n ) );
  }
  ::OPENSSL_cleanse( piece.data(), piece.size() );
  return error;
}

// So that a new name in it survives a failure of the power. Not every file system can do it, and none needs to for
// us to go on.
void sync_folder_of( const std::string& path )
{
  const std::size_t slash = path.rfind( '/' );
  const std::string folder = slash == std::string::npos ? "." : path.substr( 0, std::max<std::size_t>( slash, 1 ) );
  if ( const Fd fd { ::open( folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC ) } ) {
    static_cast<void>( ::fsync( fd.get() ) );
  }
}

// Takes the name away again at the end of the scope.
class Draft
{
public:
  explicit Draft( const std::string& path )
    : name_( path + ".XXXXXX" ), fd_( ::mkostemp( name_.data(), O_CLOEXEC ) )
  {}
  Draft( const Draft& ) = delete;
  Draft& operator=( const Draft& ) = delete;
  ~Draft()
  {
    if ( fd_ ) {
      ::unlink( name_.c_str() );
    }
  }
  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] const char* name() const { return name_.c_str(); }

private:
  std::string name_;
  Fd fd_;
};

// 0, or an errno; EEXIST: there is one already.
int try_to_make( const std::string& path, std::string_view content, uid_t owner )
{
  const Draft draft { path };
  if ( draft.fd() < 0 ) {
    return errno;
  }
  if ( owner != ::geteuid() and ::fchown( draft.fd(), owner, static_cast<gid_t>( -1 ) ) != 0 ) {
    return errno;
  }
  if ( const int error = write_all( draft.fd(), content ) ) {
    return error;
  }
  if ( ::fsync( draft.fd() ) != 0 or ::link( draft.name(), path.c_str() ) != 0 ) {
    return errno;
  }
  return 0;
}

} // namespace

std::string objection( int fd, const std::string& path, const FileRule& rule )
{
  struct stat status = {};
  if ( ::fstat( fd, &status ) != 0 ) {
    return fmt::format( "cannot look at {}: {}", path, error_text( errno ) );
  }
  if ( not S_ISREG( status.st_mode ) ) {
    return fmt::format( "{} is not a regular file: move it away", path );
  }
  if ( status.st_uid != rule.owner and status.st_uid != 0 ) {
    return fmt::format(
      "{0} belongs to user {1}, who could change it: chown {2} {0}", path, status.st_uid, rule.owner );
  }
  const mode_t mode = status.st_mode & 07777;
  if ( ( mode & forbidden( rule, status.st_uid ) ) == 0 ) {
    return {};
  }
  if ( rule.kind == FileRule::Kind::list ) {
    return fmt::format( "others may write to {0} (mode {1:04o}): chmod go-w {0}", path, mode );
  }
  return fmt::format( "{0} is a secret that others have access to (mode {1:04o}): chmod 600 {0}", path, mode );
}

FileReading read_file( const std::string& path, const FileRule& rule )
{
  // Without O_NONBLOCK a pipe in the place of the file would hold us up for ever.
  const int links = rule.follow_links ? 0 : O_NOFOLLOW;
  const Fd file { ::open( path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | links ) };
  FileReading reading;
  if ( not file ) {
    if ( errno == ELOOP and not rule.follow_links ) {
      reading.problem = fmt::format( "{} is a symbolic link: it has to be the file itself", path );
    } else if ( errno != ENOENT ) {
      reading.problem = fmt::format( "cannot read {}: {}", path, error_text( errno ) );
    }
    return reading;
  }
  reading.problem = objection( file.get(), path, rule );
  if ( not reading.problem.empty() ) {
    return reading;
  }
  std::string text;
  if ( const int error = read_all( file.get(), rule.size_max, text ) ) {
    reading.problem = fmt::format( "cannot read {}: {}", path, error_text( error ) );
  } else if ( text.size() > rule.size_max ) {
    reading.problem
      = fmt::format( "{} has more than {} bytes: that is not what belongs there", path, rule.size_max );
  } else {
    reading.text = std::move( text );
    return reading;
  }
  wipe( text );
  return reading;
}

bool make_file( const std::string& path, std::string_view content, uid_t owner )
{
  const int error = try_to_make( path, content, owner );
  if ( error != 0 and error != EEXIST ) {
    fail( fmt::format( "cannot write {}", path ), error );
  }
  sync_folder_of( path );
  return error == 0;
}

int write_all( int fd, std::string_view content )
{
  while ( not content.empty() ) {
    const ssize_t n = ::write( fd, content.data(), content.size() );
    if ( n >= 0 ) {
      content.remove_prefix( static_cast<std::size_t>( n ) );
    } else if ( errno != EINTR ) {
      return errno;
    }
  }
  return 0;
}

void wipe( std::string& secret )
{
  ::OPENSSL_cleanse( secret.data(), secret.size() );
  secret.clear();
}

} // namespace holdfast
