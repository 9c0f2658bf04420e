#include "sandbox/layers.hh"

#include "net/error.hh"

#include <fmt/format.h>

#include <linux/netlink.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <ucontext.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <utility>

// Where the list comes from: the proxies under strace(1) in the scenarios of tests/net, and beside what was seen
// there, the neighbours that another libc, libcares or OpenSSL of the next years may use for the same purpose (open
// for openat, epoll_wait for epoll_pwait). Not on it are starting programs, threads, debugging, mounting, modules,
// keys, clocks to set, and devices.
namespace holdfast {

namespace {

#if defined( __x86_64__ ) || defined( __aarch64__ )
constexpr bool knows_machine = true;
#else
constexpr bool knows_machine = false; // where a refused call returns its result has to be known, see answer()
#endif

constexpr std::array allowed {
  // sockets; which ones may be made is a rule of its own
  SCMP_SYS( accept ),
  SCMP_SYS( accept4 ),
  SCMP_SYS( bind ),
  SCMP_SYS( connect ),
  SCMP_SYS( getpeername ),
  SCMP_SYS( getsockname ),
  SCMP_SYS( getsockopt ),
  SCMP_SYS( listen ),
  SCMP_SYS( recvfrom ),
  SCMP_SYS( recvmmsg ),
  SCMP_SYS( recvmsg ),
  SCMP_SYS( sendmmsg ),
  SCMP_SYS( sendmsg ),
  SCMP_SYS( sendto ),
  SCMP_SYS( setsockopt ),
  SCMP_SYS( shutdown ),
  // bytes
  SCMP_SYS( lseek ),
  SCMP_SYS( pread64 ),
  SCMP_SYS( pwrite64 ),
  SCMP_SYS( read ),
  SCMP_SYS( readv ),
  SCMP_SYS( write ),
  SCMP_SYS( writev ),
  // waiting
  SCMP_SYS( epoll_create1 ),
  SCMP_SYS( epoll_ctl ),
  SCMP_SYS( epoll_pwait ),
  SCMP_SYS( epoll_pwait2 ),
  SCMP_SYS( epoll_wait ),
  SCMP_SYS( eventfd2 ),
  SCMP_SYS( inotify_add_watch ),
  SCMP_SYS( inotify_init1 ),
  SCMP_SYS( inotify_rm_watch ),
  SCMP_SYS( pipe2 ),
  SCMP_SYS( poll ),
  SCMP_SYS( ppoll ),
  SCMP_SYS( pselect6 ),
  SCMP_SYS( select ),
  SCMP_SYS( signalfd4 ),
  SCMP_SYS( timerfd_create ),
  SCMP_SYS( timerfd_gettime ),
  SCMP_SYS( timerfd_settime ),
  // descriptors
  SCMP_SYS( close ),
  SCMP_SYS( close_range ),
  SCMP_SYS( dup ),
  SCMP_SYS( dup2 ),
  SCMP_SYS( dup3 ),
  SCMP_SYS( fcntl ),
  // files; which ones is landlock's part
  SCMP_SYS( access ),
  SCMP_SYS( faccessat ),
  SCMP_SYS( faccessat2 ),
  SCMP_SYS( fallocate ),
  SCMP_SYS( fchmod ),
  SCMP_SYS( fdatasync ),
  SCMP_SYS( flock ),
  SCMP_SYS( fstat ),
  SCMP_SYS( fstatfs ),
  SCMP_SYS( fsync ),
  SCMP_SYS( ftruncate ),
  SCMP_SYS( getcwd ),
  SCMP_SYS( getdents64 ),
  SCMP_SYS( link ),
  SCMP_SYS( linkat ),
  SCMP_SYS( lstat ),
  SCMP_SYS( memfd_create ),
  SCMP_SYS( mkdir ),
  SCMP_SYS( mkdirat ),
  SCMP_SYS( newfstatat ),
  SCMP_SYS( open ),
  SCMP_SYS( openat ),
  SCMP_SYS( readlink ),
  SCMP_SYS( readlinkat ),
  SCMP_SYS( rename ),
  SCMP_SYS( renameat ),
  SCMP_SYS( renameat2 ),
  SCMP_SYS( stat ),
  SCMP_SYS( statx ),
  SCMP_SYS( umask ),
  SCMP_SYS( unlink ),
  SCMP_SYS( unlinkat ),
  // memory; not to be run, see below
  SCMP_SYS( brk ),
  SCMP_SYS( madvise ),
  SCMP_SYS( mlock ),
  SCMP_SYS( mlock2 ),
  SCMP_SYS( mremap ),
  SCMP_SYS( msync ),
  SCMP_SYS( munlock ),
  SCMP_SYS( munmap ),
  // time, chance, what machine this is
  SCMP_SYS( clock_getres ),
  SCMP_SYS( clock_gettime ),
  SCMP_SYS( clock_nanosleep ),
  SCMP_SYS( getrandom ),
  SCMP_SYS( gettimeofday ),
  SCMP_SYS( nanosleep ),
  SCMP_SYS( sched_getaffinity ),
  SCMP_SYS( sched_yield ),
  SCMP_SYS( sysinfo ),
  SCMP_SYS( time ),
  SCMP_SYS( uname ),
  // who we are
  SCMP_SYS( getegid ),
  SCMP_SYS( geteuid ),
  SCMP_SYS( getgid ),
  SCMP_SYS( getpid ),
  SCMP_SYS( getppid ),
  SCMP_SYS( getrlimit ),
  SCMP_SYS( getrusage ),
  SCMP_SYS( gettid ),
  SCMP_SYS( getuid ),
  // signals, locks of the libraries, and the end
  SCMP_SYS( exit ),
  SCMP_SYS( exit_group ),
  SCMP_SYS( futex ),
  SCMP_SYS( restart_syscall ),
  SCMP_SYS( rt_sigaction ),
  SCMP_SYS( rt_sigprocmask ),
  SCMP_SYS( rt_sigreturn ),
  SCMP_SYS( sigaltstack ),
};

// ------------------------------------------------------------------------ what a refused system call does

// A signal handler can reach nothing but globals, and may neither allocate nor ask libseccomp. So all that it says
// is written down before the filter is on.
constexpr std::size_t calls_told = 600; // more than there are (470 in Linux 6.18)

struct Told
{
  std::string program {};
  std::array<const char*, calls_told> names {}; // null: unknown to this libseccomp
  std::array<volatile std::sig_atomic_t, calls_told> already {};
};

Told told; // NOLINT(cppcoreguidelines-avoid-non-const-global-variables): what a signal handler can reach

std::size_t append( std::span<char> line, std::size_t at, const char* text )
{
  while ( *text != '\0' and at < line.size() ) {
    line[at++] = *text++;
  }
  return at;
}

std::size_t append( std::span<char> line, std::size_t at, unsigned number )
{
  std::array<char, 12> digits {}; // a 32-bit number has ten
  std::size_t begin = digits.size() - 1;
  do {
    digits.at( --begin ) = static_cast<char>( '0' + number % 10 );
    number /= 10;
  } while ( number > 0 );
  return append( line, at, digits.data() + begin );
}

// Each call once: a loop around it would write a million lines.
void tell( unsigned call )
{
  if ( call < calls_told and std::exchange( told.already[call], 1 ) != 0 ) {
    return;
  }
  const char* const name = call < calls_told ? told.names[call] : nullptr;
  std::array<char, 320> line {};
  std::size_t size = append( line, 0, told.program.c_str() );
  size = append( line, size, ": the sandbox refused system call " );
  size = append( line, size, call );
  size = append( line, size, " (" );
  size = append( line, size, name == nullptr ? "unknown" : name );
  size = append(
    line, size, "); if this is not an attack, please report it, and start with --no-sandbox until it is fixed\n" );
  static_cast<void>( not ::write( STDERR_FILENO, line.data(), size ) ); // nobody to tell if this fails
}

// The kernel skipped the call and sent SIGSYS instead; what we put into the register is what the call returned.
void answer( ucontext_t& context, int error )
{
#if defined( __x86_64__ )
  context.uc_mcontext.gregs[REG_RAX] = -error;
#elif defined( __aarch64__ )
  context.uc_mcontext.regs[0] = static_cast<unsigned long long>( -error );
#else
  static_cast<void>( context );
  static_cast<void>( error );
#endif
}

void refused( int /*signal*/, siginfo_t* about, void* context )
{
  constexpr int sent_by_seccomp = 1; // SYS_SECCOMP, which glibc does not define
  if ( about->si_code != sent_by_seccomp ) {
    return; // somebody sent it with kill(2)
  }
  const int error = errno;
  tell( static_cast<unsigned>( about->si_syscall ) );
  errno = error;
  answer( *static_cast<ucontext_t*>( context ), EPERM );
}

void prepare_refusal( const std::string& program )
{
  told.program = program;
  for ( std::size_t call = 0; call < calls_told; ++call ) {
    if ( told.names.at( call ) == nullptr ) { // libseccomp allocates them; they stay for as long as the process
      told.names.at( call ) = ::seccomp_syscall_resolve_num_arch( SCMP_ARCH_NATIVE, static_cast<int>( call ) );
    }
  }
  struct sigaction action
  {};
  action.sa_sigaction = refused;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  if ( ::sigaction( SIGSYS, &action, nullptr ) != 0 ) {
    fail( "sigaction" );
  }
}

// ------------------------------------------------------------------------------------------------- the filter

// A seccomp filter in the making. What libseccomp says is kept: the first error ends the making.
class Filter
{
public:
  Filter() : context_( ::seccomp_init( SCMP_ACT_TRAP ), ::seccomp_release )
  {
    if ( not context_ ) {
      error_ = ENOMEM;
      return;
    }
    keep( ::seccomp_attr_set( context_.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS ) ); // 32-bit calls
    keep( ::seccomp_attr_set( context_.get(), SCMP_FLTATR_API_SYSRAWRC, 1 ) ); // the kernel's errno, not ours
  }

  // As if the kernel did not know it.
  void deny_knowing( int call )
  {
    if ( context_ and call >= 0 ) {
      keep( ::seccomp_rule_add_array( context_.get(), SCMP_ACT_ERRNO( ENOSYS ), call, 0, nullptr ) );
    }
  }

  // With every condition true. A call that this machine does not have (there is no open(2) on arm64) is left out.
  void allow( int call, std::initializer_list<scmp_arg_cmp> conditions = {} )
  {
    if ( context_ and call >= 0 ) {
      const auto count = static_cast<unsigned>( conditions.size() );
      keep( ::seccomp_rule_add_array( context_.get(), SCMP_ACT_ALLOW, call, count, std::data( conditions ) ) );
    }
  }

  // 0, or the first error.
  [[nodiscard]] int load()
  {
    if ( error_ == 0 ) {
      keep( ::seccomp_load( context_.get() ) );
    }
    return error_;
  }

private:
  void keep( int result )
  {
    if ( error_ == 0 and result < 0 ) {
      error_ = -result;
    }
  }

  std::unique_ptr<void, decltype( &::seccomp_release )> context_;
  int error_ = 0;
};

scmp_arg_cmp argument_is( unsigned which, std::uint64_t value )
{
  return { .arg = which, .op = SCMP_CMP_EQ, .datum_a = value, .datum_b = 0 };
}

// `value` has none of the bits of `mask`.
scmp_arg_cmp argument_lacks( unsigned which, std::uint64_t mask )
{
  return { .arg = which, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = 0 };
}

void add_rules( Filter& filter )
{
  for ( const int call : allowed ) {
    filter.allow( call );
  }
  // TCP and UDP, and the kernel's news of addresses and routes.
  filter.allow( SCMP_SYS( socket ), { argument_is( 0, AF_INET ) } );
  filter.allow( SCMP_SYS( socket ), { argument_is( 0, AF_INET6 ) } );
  filter.allow( SCMP_SYS( socket ), { argument_is( 0, AF_NETLINK ), argument_is( 2, NETLINK_ROUTE ) } );
  // How many bytes a socket has that nobody has read, or acknowledged: for who takes over from a dead process.
  filter.allow( SCMP_SYS( ioctl ), { argument_is( 1, SIOCINQ ) } );
  filter.allow( SCMP_SYS( ioctl ), { argument_is( 1, SIOCOUTQ ) } );
  // New code cannot be brought in: nothing is mapped to be run, nor made so later.
  for ( const int call : { SCMP_SYS( mmap ), SCMP_SYS( mprotect ) } ) {
    filter.allow( call, { argument_lacks( 2, PROT_EXEC ) } );
  }
  // Reading a limit of our own, not setting one.
  filter.allow( SCMP_SYS( prlimit64 ), { argument_is( 0, 0 ), argument_is( 2, 0 ) } );
  // abort() of a failed assertion; nobody else.
  filter.allow( SCMP_SYS( tgkill ), { argument_is( 0, static_cast<std::uint64_t>( ::getpid() ) ) } );
}

// A thread of this process, and nothing else that clone(2) can make. clone3(2) has its flags in memory, where a
// filter cannot look; without it libc does with the other one.
void add_rules_for_threads( Filter& filter )
{
  constexpr std::uint64_t thread = CLONE_VM | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
  filter.allow( SCMP_SYS( clone ),
                { { .arg = 0, .op = SCMP_CMP_MASKED_EQ, .datum_a = thread, .datum_b = thread } } );
  filter.deny_knowing( SCMP_SYS( clone3 ) );
  filter.allow( SCMP_SYS( set_robust_list ) );
  filter.allow( SCMP_SYS( rseq ) );
  filter.allow( SCMP_SYS( prctl ), { argument_is( 0, PR_SET_NAME ) } );
}

} // namespace

Layer confine_system_calls( const std::string& program, bool threads )
{
  if ( is_measured_build or not knows_machine ) {
    return { false, not_in_this_build };
  }
  prepare_refusal( program );
  Filter filter;
  add_rules( filter );
  if ( threads ) {
    add_rules_for_threads( filter );
  }
  const int error = filter.load();
  if ( error == EINVAL or error == ENOSYS ) {
    return { false, not_in_this_kernel };
  }
  return { error == 0, error == 0 ? "seccomp" : error_text( error ) };
}

} // namespace holdfast
