#include "keeper/keeper.hh"

#include "keeper/end_with.hh"
#include "keeper/oom_score.hh"
#include "keeper/say.hh"

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace holdfast {

namespace {

// What must not wait until we ask for it: it means that we are broken.
constexpr std::array broken { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT };

sigset_t all_but_broken()
{
  sigset_t set;
  ::sigfillset( &set );
  for ( const int signal : broken ) {
    ::sigdelset( &set, signal );
  }
  return set;
}

// Whoever sends one of these wants an end. SIGPIPE kills a worker that was about to say something to nobody, and
// would kill the next one as well.
bool asks_for_the_end( int signal )
{
  return signal == SIGTERM or signal == SIGINT or signal == SIGHUP or signal == SIGQUIT or signal == SIGPIPE;
}

// What befalls the keeper alone: its standard error is closed or a file that may not grow, its processor time is
// used up, or it writes from the background.
bool is_our_own_affair( int signal )
{
  return signal == SIGPIPE or signal == SIGXFSZ or signal == SIGXCPU or signal == SIGTTIN or signal == SIGTTOU;
}

} // namespace

Keeper::Keeper( const char* name, Work work, void* context ) : name_( name ), work_( work ), context_( context ) {}

void Keeper::own( int descriptor )
{
  for ( std::size_t i = 1; i < own_.size(); ++i ) {
    if ( own_[i] < 0 ) {
      own_[i] = descriptor;
      return;
    }
  }
}

void Keeper::upgrade_to( const char* program, char** arguments )
{
  program_ = program;
  arguments_ = arguments;
}

int Keeper::run()
{
  if ( not make_register() ) {
    ::dprintf( STDERR_FILENO, "%s: cannot make or take over the keeper's memory: %s\n", name_, last_error() );
    return EXIT_FAILURE;
  }
  std::array<char, 16> ours {}; // the kernel's limit
  std::snprintf( ours.data(), ours.size(), "%s-keeper", name_ );
  ::prctl( PR_SET_NAME, ours.data() );
  take_signals();
  inherited_oom_score_ = oom_score_adjustment();
  ask_to_be_spared();
  register_->keeper = ::getpid();
  register_->own_descriptors = own_;
  while ( true ) {
    if ( worker_ == 0 and now() >= due_ and not start() ) {
      return EXIT_FAILURE;
    }
    siginfo_t about {};
    const int signal = next_signal( about );
    int status = 0;
    if ( signal == SIGCHLD and reap( status ) ) {
      if ( WIFEXITED( status ) and not failed_to_take_over( status ) ) {
        return WEXITSTATUS( status );
      }
      died( status );
    } else if ( signal > 0 ) {
      pass_on( signal, about );
    }
    if ( is_checked_ ) {
      is_checked_ = false;
      checked( verdict_ );
    }
  }
}

Keeper::Time Keeper::now()
{
  timespec time {};
  ::clock_gettime( CLOCK_BOOTTIME, &time );
  return std::chrono::seconds { time.tv_sec } + std::chrono::nanoseconds { time.tv_nsec };
}

// From here on signals wait until next_signal() asks for them.
void Keeper::take_signals()
{
  const sigset_t all = all_but_broken();
  ::pthread_sigmask( SIG_SETMASK, &all, &inherited_ );
  if ( register_->generation > 0 ) { // we were the keeper before
    std::memcpy( &inherited_, &register_->signal_mask, sizeof register_->signal_mask );
  }
  std::memcpy(
    &register_->signal_mask, &inherited_, sizeof register_->signal_mask ); // the kernel's 64, first in glibc's
  std::signal( SIGCHLD, SIG_DFL ); // ignored, as some parents leave it, nobody could be waited for
}

// False, and said: there is no first worker. A later one is tried again.
bool Keeper::start()
{
  ++register_->generation;
  register_->hasty = backoff_.hasty();
  born_ = now();
  const pid_t us = ::getpid();
  const long child = ::syscall( SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0 ); // glibc's fork(3) has no flags
  if ( child == 0 ) {
    be_worker( us );
  }
  if ( child < 0 ) {
    say( name_, "error", "cannot start a worker: %s", last_error() );
    --register_->generation;
    due_ = born_ + std::chrono::seconds { 1 }; // no memory, or too many processes: that may pass
    return register_->generation > 0;
  }
  worker_ = static_cast<pid_t>( child );
  return true;
}

void Keeper::be_worker( pid_t keeper )
{
  end_with( keeper );
  adjust_oom_score( oom_score_of_workers() );
  register_->worker = ::getpid();
  ::prctl( PR_SET_NAME, name_ );
  ::pthread_sigmask( SIG_SETMASK, &inherited_, nullptr );
  std::exit( work_( *register_, context_ ) ); // NOLINT(concurrency-mt-unsafe): one thread
}

// As if we had asked for nothing. Who is spared by somebody else's will is spared as a keeper: a worker may be
// ended.
int Keeper::oom_score_of_workers() const
{
  return inherited_oom_score_ == never_ended ? 0 : inherited_oom_score_;
}

// 0: none, but it is time for the next worker.
int Keeper::next_signal( siginfo_t& about ) const
{
  const sigset_t all = all_but_broken();
  int signal = -1;
  do { // EINTR: we were stopped and continued, or looked at by a debugger
    const Time left = due_ - now();
    if ( worker_ != 0 ) {
      signal = ::sigwaitinfo( &all, &about );
    } else if ( left.count() <= 0 ) {
      return 0;
    } else {
      const timespec wait { .tv_sec = left.count() / 1'000'000'000, .tv_nsec = left.count() % 1'000'000'000 };
      signal = ::sigtimedwait( &all, &about, &wait );
    }
  } while ( signal < 0 and errno == EINTR );
  return signal < 0 ? 0 : signal;
}

void Keeper::pass_on( int signal, const siginfo_t& about )
{
  if ( signal == SIGCHLD or is_our_own_affair( signal ) ) {
    return;
  }
  if ( signal == SIGUSR2 and program_ != nullptr ) {
    begin_upgrade();
    return;
  }
  stopping_ = stopping_ or signal == SIGTERM or signal == SIGINT;
  if ( worker_ == 0 ) {
    if ( asks_for_the_end( signal ) ) {
      die_of( signal );
    }
    return;
  }
  // A key on the terminal means everybody in front of it, so the worker has heard of it. A hang-up does not.
  const bool is_key = about.si_code == SI_KERNEL and signal != SIGHUP;
  if ( not is_key ) {
    ::kill( worker_, signal );
  }
  if ( signal == SIGTSTP ) {
    stand_still();
  }
}

// As if we had never waited for SIGTSTP: whether it stops us is the kernel's business (not without a shell that
// could continue us). The SIGCONT that wakes us is passed on like any signal.
void Keeper::stand_still()
{
  sigset_t stop;
  sigset_t before;
  ::sigemptyset( &stop );
  ::sigaddset( &stop, SIGTSTP );
  ::raise( SIGTSTP );
  ::pthread_sigmask( SIG_UNBLOCK, &stop, &before );
  ::pthread_sigmask( SIG_SETMASK, &before, nullptr );
}

// Buries every child that has died: as process 1 of a container we have those of others, too. True: the worker.
bool Keeper::reap( int& status )
{
  bool worker_died = false;
  int any = 0;
  pid_t child = 0;
  while ( ( child = ::waitpid( -1, &any, WNOHANG ) ) > 0 ) {
    if ( child == worker_ ) {
      worker_died = true;
      status = any;
    } else if ( child == checker_ ) {
      checker_ = 0;
      is_checked_ = true;
      verdict_ = any;
    }
  }
  return worker_died;
}

// It ended by itself and in trouble, before it was up, and another one was up before it. What that one left is
// still there, so the trouble may pass (no descriptor to be had, a disk that is full) before it is lost.
bool Keeper::failed_to_take_over( int status ) const
{
  return WEXITSTATUS( status ) != EXIT_SUCCESS and not stopping_ and register_->ready != 0
         and register_->up != register_->generation;
}

void Keeper::died( int status )
{
  if ( WIFSIGNALED( status )
       and ( stopping_ or asks_for_the_end( WTERMSIG( status ) ) or register_->ready == 0 ) ) {
    die_of( WTERMSIG( status ) );
  }
  const Backoff::Duration wait = backoff_.died( now() - born_ );
  say_died( status, wait );
  bury( status );
  due_ += wait;
}

// The worker has gone; as far as we are concerned, the next one may come.
void Keeper::bury( int status )
{
  due_ = now();
  register_->last_worker = worker_;
  register_->last_status = status;
  register_->last_death = due_.count();
  worker_ = 0;
}

void Keeper::say_died( int status, Backoff::Duration wait ) const
{
  std::array<char, 32> when {};
  if ( wait.count() > 0 ) {
    std::snprintf( when.data(), when.size(), " in %lld ms", static_cast<long long>( wait.count() / 1'000'000 ) );
  }
  if ( WIFEXITED( status ) ) {
    say( name_,
         "error",
         "worker %d could not take over (status %d), see above: trying again%s",
         static_cast<int>( worker_ ),
         WEXITSTATUS( status ),
         when.data() );
    return;
  }
  const int signal = WTERMSIG( status );
  const char* const name = ::sigdescr_np( signal );
  say( name_,
       "warning",
       "worker %d was killed by signal %d (%s): starting the next one%s",
       static_cast<int>( worker_ ),
       signal,
       name == nullptr ? "unknown" : name,
       when.data() );
}

// So that whoever started us sees what the worker died of. The core that is worth something is the worker's: ours
// must not take its place. Process 1 of a container cannot die of a signal, and says it as a shell would.
void Keeper::die_of( int signal )
{
  ::prctl( PR_SET_DUMPABLE, 0 );
  std::signal( signal, SIG_DFL );
  sigset_t one;
  ::sigemptyset( &one );
  ::sigaddset( &one, signal );
  ::raise( signal );
  ::pthread_sigmask( SIG_UNBLOCK, &one, nullptr );
  ::_exit( 128 + signal );
}

} // namespace holdfast
