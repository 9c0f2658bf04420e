#include "keeper/keeper.hh"
#include "keeper/oom_score.hh"
#include "keeper/say.hh"

#include <dirent.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

// How a keeper becomes a newer one. A descriptor survives exec(2) if it is not marked close-on-exec, memory
// survives in a memfd; so all that the new program needs is the number of the register's. Everything before the
// worker is killed can be taken back; after that, the worst is that we go on as we are.
namespace holdfast {

namespace {

constexpr unsigned check_seconds_max = 10; // for loading the program on a busy machine

// Calls `inherit` for each descriptor that is not one of the three standard ones: whether exec(2) shall keep it.
template<class Inherit>
void choose_inherited( const Inherit& inherit )
{
  DIR* const folder = ::opendir( "/proc/self/fd" );
  if ( folder == nullptr ) {
    return;
  }
  while ( const dirent* const entry = ::readdir( folder ) ) { // NOLINT(concurrency-mt-unsafe): one thread
    const int fd = static_cast<int>( std::strtol( entry->d_name, nullptr, 10 ) );
    if ( fd > STDERR_FILENO and fd != ::dirfd( folder ) ) {
      ::fcntl( fd, F_SETFD, inherit( fd ) ? 0 : FD_CLOEXEC );
    }
  }
  ::closedir( folder );
}

bool is_memory( int fd )
{
  std::array<char, 32> link {};
  std::snprintf( link.data(), link.size(), "/proc/self/fd/%d", fd );
  std::array<char, 8> target {};
  const ssize_t size = ::readlink( link.data(), target.data(), target.size() );
  return size == ssize_t { target.size() } and std::memcmp( target.data(), "/memfd:", 7 ) == 0;
}

void name_register( int descriptor )
{
  std::array<char, 12> number {};
  std::snprintf( number.data(), number.size(), "%d", descriptor );
  ::setenv( register_variable, number.data(), 1 ); // NOLINT(concurrency-mt-unsafe): one thread
}

} // namespace

void Keeper::begin_upgrade()
{
  if ( checker_ != 0 or stopping_ ) {
    return;
  }
  checker_ = ::fork();
  if ( checker_ == 0 ) {
    be_checker();
  }
  if ( checker_ < 0 ) {
    checker_ = 0;
    say( name_, "error", "no upgrade: cannot start %s: %s", program_, last_error() );
    ++register_->refused;
  }
}

// Asks the other program. It gets what lies in memory and no socket: a copy of one would keep a closed connection
// open.
void Keeper::be_checker()
{
  ::pthread_sigmask( SIG_SETMASK, &inherited_, nullptr );
  ::prctl( PR_SET_PDEATHSIG, SIGKILL );
  adjust_oom_score( oom_score_of_workers() );
  ::alarm( check_seconds_max );
  choose_inherited( is_memory );
  name_register( own_.front() );
  std::array<char, 16> option {};
  std::snprintf( option.data(), option.size(), "%s", check_option );
  const std::array<char*, 3> arguments { arguments_[0], option.data(), nullptr };
  ::execv( program_, arguments.data() );
  say( name_, "error", "cannot start %s: %s", program_, last_error() );
  ::_exit( EXIT_FAILURE );
}

void Keeper::checked( int status )
{
  if ( stopping_ ) {
    return;
  }
  if ( not WIFEXITED( status ) or WEXITSTATUS( status ) != EXIT_SUCCESS ) {
    say( name_, "error", "no upgrade: %s cannot go on with what is here: nothing was changed", program_ );
    ++register_->refused;
    return;
  }
  upgrade();
}

// Comes back only if it was in vain.
void Keeper::upgrade()
{
  say( name_, "info", "upgrade: %s takes over", program_ );
  if ( worker_ != 0 ) {
    int status = 0;
    ::kill( worker_, SIGKILL );
    while ( ::waitpid( worker_, &status, 0 ) < 0 and errno == EINTR ) {
    }
    bury( status );
  }
  choose_inherited(
    [this]( int fd ) { return fd == own_.front() or std::find( own_.begin(), own_.end(), fd ) == own_.end(); } );
  name_register( own_.front() );
  adjust_oom_score( inherited_oom_score_ ); // as it was when we were started, for our successor to see
  ::execv( program_, arguments_ );
  say( name_, "error", "no upgrade: cannot start %s: %s", program_, last_error() );
  ::unsetenv( register_variable ); // NOLINT(concurrency-mt-unsafe): one thread
  ask_to_be_spared();
  choose_inherited( []( int /*fd*/ ) { return false; } );
  ++register_->refused;
}

} // namespace holdfast
