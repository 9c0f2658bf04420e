#include "identity/file_watch.hh"

#include "net/error.hh"

#include <fmt/format.h>

#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

namespace holdfast {

namespace {

// Not IN_CREATE and IN_MODIFY: a file that is being written would be read half done, and who is not in that half
// would be taken for removed.
constexpr std::uint32_t changes
  = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF;

std::string folder_of( const std::string& path )
{
  const std::size_t slash = path.rfind( '/' );
  return slash == std::string::npos ? "." : path.substr( 0, std::max<std::size_t>( slash, 1 ) );
}

bool is_link( const std::string& path )
{
  struct stat status = {};
  return ::lstat( path.c_str(), &status ) == 0 and S_ISLNK( status.st_mode );
}

} // namespace

FileWatch::FileWatch( Loop& loop, std::string path, Changed changed )
  : loop_( loop )
  , path_( std::move( path ) )
  , name_( path_.substr( path_.rfind( '/' ) + 1 ) ) // npos + 1 is 0
  , changed_( std::move( changed ) )
  , inotify_( ::inotify_init1( IN_NONBLOCK | IN_CLOEXEC ) )
{
  const std::string folder = folder_of( path_ );
  if ( inotify_ ) {
    folder_ = ::inotify_add_watch( inotify_.get(), folder.c_str(), changes | IN_ONLYDIR );
  }
  if ( folder_ < 0 ) {
    fail( fmt::format( "cannot watch {} for changes", folder ) );
  }
  watch_target();
  loop_.watch( *this, inotify_.get() );
}

FileWatch::~FileWatch()
{
  loop_.unwatch( *this ); // before the descriptor closes
}

std::uint32_t FileWatch::interest() const
{
  return EPOLLIN;
}

void FileWatch::ready( std::uint32_t /*events*/ )
{
  alignas( inotify_event ) std::array<char, 8192> buffer {};
  bool changed = false;
  for ( ;; ) {
    const ssize_t n = ::read( inotify_.get(), buffer.data(), buffer.size() );
    if ( n < 0 and errno == EINTR ) {
      continue;
    }
    if ( n <= 0 ) {
      break;
    }
    changed = concerns( buffer.data(), buffer.data() + n ) or changed;
  }
  if ( changed ) {
    watch_target();
    changed_();
  }
}

bool FileWatch::concerns( const char* at, const char* end ) const
{
  const bool any = is_link( path_ ); // then a change on the way to the file may have any name
  bool found = false;
  while ( at < end ) {
    inotify_event event {};
    std::memcpy( &event, at, sizeof event );
    const std::string_view name { event.len == 0 ? "" : at + sizeof event }; // padded with NUL to event.len
    const bool of_the_folder = ( event.mask & ( IN_Q_OVERFLOW | IN_DELETE_SELF | IN_MOVE_SELF ) ) != 0;
    const bool told_by_us = ( event.mask & IN_IGNORED ) != 0; // the end of a watch
    found = found or of_the_folder or ( not told_by_us and ( any or name == name_ ) );
    at += sizeof event + event.len;
  }
  return found;
}

void FileWatch::watch_target()
{
  int now = -1;
  if ( is_link( path_ ) ) {
    const std::unique_ptr<char, decltype( &::free )> real { ::realpath( path_.c_str(), nullptr ), ::free };
    if ( real ) { // a link that leads nowhere is watched where it lies
      now = ::inotify_add_watch( inotify_.get(), folder_of( real.get() ).c_str(), changes | IN_ONLYDIR );
    }
  }
  const int before = std::exchange( target_, now == folder_ ? -1 : now ); // one folder, one watch
  if ( before >= 0 and before != target_ ) {
    ::inotify_rm_watch( inotify_.get(), before ); // fails if the folder is gone, and the watch with it
  }
}

} // namespace holdfast
