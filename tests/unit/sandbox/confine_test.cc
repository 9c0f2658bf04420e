#include "sandbox/sandbox.hh"

#include "child.hh"
#include "net/error.hh"

#include <gmock/gmock.h>

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace holdfast {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

// A folder with a state folder inside, one file that may be read and one that nobody named.
class Confine : public testing::Test
{
protected:
  void SetUp() override
  {
    std::string pattern = testing::TempDir() + "holdfast-sandbox-XXXXXX";
    ASSERT_NE( ::mkdtemp( pattern.data() ), nullptr );
    folder_ = pattern;
    std::filesystem::create_directories( state() );
    std::ofstream { list() } << "allowed";
    std::ofstream { secret() } << "nobody's business";
  }
  void TearDown() override { std::filesystem::remove_all( folder_ ); }

  [[nodiscard]] std::string state() const { return folder_ + "/state"; }
  [[nodiscard]] std::string list() const { return folder_ + "/list"; }
  [[nodiscard]] std::string secret() const { return folder_ + "/secret"; }

  // Plays a story in a confined child process.
  [[nodiscard]] Ended confined( const std::function<int()>& story ) const
  {
    return in_child( [&] {
      static_cast<void>( confine( { .program = "sproxy", .readable = { list() }, .writable = { state() } } ) );
      return story();
    } );
  }

  // What this kernel and this build can do, asked in a child: it cannot be tried here.
  [[nodiscard]] std::string missing( Layer Protection::*layer ) const
  {
    const Ended ended = in_child( [&] {
      const Layer found = ( confine( { .program = "sproxy" } ) ).*layer;
      if ( not found.in_force ) {
        std::fprintf( stderr, "%s", found.detail.c_str() );
      }
      return found.in_force ? 0 : 1;
    } );
    return ended.status == 0 ? "" : ended.said;
  }

private:
  std::string folder_ {};
};

class ConfinedFiles : public Confine
{
protected:
  void SetUp() override
  {
    Confine::SetUp();
    const auto why = missing( &Protection::files );
    if ( why.starts_with( "not in this " ) ) {
      GTEST_SKIP() << "SKIPPED: landlock is " << why;
    }
    ASSERT_EQ( why, "" );
  }
};

class ConfinedCalls : public Confine
{
protected:
  void SetUp() override
  {
    Confine::SetUp();
    const auto why = missing( &Protection::system_calls );
    if ( why.starts_with( "not in this " ) ) {
      GTEST_SKIP() << "SKIPPED: seccomp is " << why;
    }
    ASSERT_EQ( why, "" );
  }

  // A story that ends well: this call fails with EPERM, and the process goes on and says one line about `name`.
  void expect_refused( const char* name, const std::function<long()>& call ) const
  {
    const Ended ended = confined( [&] {
      errno = 0;
      return call() == -1 and errno == EPERM ? 0 : 1;
    } );
    EXPECT_EQ( ended.status, 0 ) << name << ": " << ended.said;
    EXPECT_THAT( ended.said, HasSubstr( std::string { " (" } + name + "); " ) );
    EXPECT_EQ( std::count( ended.said.begin(), ended.said.end(), '\n' ), 1 ) << ended.said;
  }
};

bool can_open( const std::string& path, int flags )
{
  const Fd file { ::open( path.c_str(), flags | O_CLOEXEC, 0600 ) };
  return static_cast<bool>( file );
}

// ------------------------------------------------------------------------------------------------------- files

TEST_F( ConfinedFiles, ReadWhatWasNamedAndNothingElse )
{
  const std::string named = list();
  const std::string unnamed = secret();
  const Ended ended = confined( [&] {
    if ( not can_open( named, O_RDONLY ) ) {
      return 1;
    }
    if ( can_open( unnamed, O_RDONLY ) or errno != EACCES ) {
      return 2;
    }
    return can_open( "/usr/bin/env", O_RDONLY ) ? 3 : 0;
  } );
  EXPECT_EQ( ended.status, 0 ) << ended.said;
}

TEST_F( ConfinedFiles, WriteInTheStateFolderAndNowhereElse )
{
  const std::string inside = state();
  const std::string named = list();
  const std::string outside = secret();
  const Ended ended = confined( [&] {
    if ( not can_open( inside + "/new", O_WRONLY | O_CREAT )
         or ::rename( ( inside + "/new" ).c_str(), ( inside + "/known_hosts" ).c_str() ) != 0
         or not can_open( inside + "/known_hosts", O_RDWR | O_TRUNC )
         or ::link( ( inside + "/known_hosts" ).c_str(), ( inside + "/other" ).c_str() ) != 0
         or ::unlink( ( inside + "/other" ).c_str() ) != 0 ) {
      return 1;
    }
    if ( can_open( named, O_WRONLY ) or can_open( outside, O_WRONLY )
         or can_open( outside + "2", O_WRONLY | O_CREAT ) ) {
      return 2;
    }
    if ( can_open( "/etc/passwd", O_WRONLY ) or can_open( "/etc/holdfast-was-here", O_WRONLY | O_CREAT ) ) {
      return 3;
    }
    return ::unlink( outside.c_str() ) == 0 ? 4 : 0;
  } );
  EXPECT_EQ( ended.status, 0 ) << ended.said;
}

TEST_F( ConfinedFiles, KeepWhatNamesNeed )
{
  const Ended ended = confined( [] {
    for ( const char* path : { "/etc/hosts", "/etc/nsswitch.conf", "/dev/urandom", "/dev/null" } ) {
      if ( std::filesystem::exists( path ) and not can_open( path, O_RDONLY ) ) {
        std::fprintf( stderr, "%s", path );
        return 1;
      }
    }
    return can_open( "/dev/null", O_WRONLY ) ? 0 : 2;
  } );
  EXPECT_EQ( ended.status, 0 ) << ended.said;
}

TEST_F( ConfinedFiles, StayUsableWhenTheyWereOpenBefore )
{
  const Fd before { ::open( secret().c_str(), O_RDONLY | O_CLOEXEC ) };
  const Ended ended = confined( [&] {
    char first = 0;
    return ::pread( before.get(), &first, 1, 0 ) == 1 and first == 'n' ? 0 : 1;
  } );
  EXPECT_EQ( ended.status, 0 ) << ended.said;
}

TEST_F( ConfinedFiles, AreFollowedWhenTheyAreReplacedInANamedFolder )
{
  // As editors do it: a new file, renamed over the old one. A rule for the file itself would hold the old one.
  const std::string folder = state();
  std::ofstream { folder + "/clients" } << "old";
  const Ended ended = in_child(
    [&] {
      static_cast<void>( confine( { .program = "sproxy", .readable = { folder } } ) );
      const Fd wait { ::inotify_init1( IN_CLOEXEC ) };
      if ( ::inotify_add_watch( wait.get(), folder.c_str(), IN_MOVED_TO ) < 0 ) {
        return 1;
      }
      std::fputs( "ready", stderr ); // unbuffered
      std::array<char, 512> event {};
      if ( ::read( wait.get(), event.data(), event.size() ) <= 0 ) {
        return 2;
      }
      std::string text;
      std::ifstream { folder + "/clients" } >> text;
      return text == "new" ? 0 : 3;
    },
    [&] {
      std::ofstream { folder + "/clients.new" } << "new";
      std::filesystem::rename( folder + "/clients.new", folder + "/clients" );
    } );
  EXPECT_EQ( ended.status, 0 ) << ended.said;
}

TEST_F( ConfinedFiles, AFolderToWriteThatIsNotThereIsAMistakeOfTheStart )
{
  const std::string nowhere = state() + "/nowhere";
  const Ended ended = in_child( [&] {
    static_cast<void>( confine( { .program = "sproxy", .writable = { nowhere } } ) );
    return 0;
  } );
  EXPECT_EQ( ended.status, 99 );
  EXPECT_EQ( ended.said, "cannot open " + nowhere + ": No such file or directory" );
}

// ------------------------------------------------------------------------------------------------- system calls

TEST_F( ConfinedCalls, StartNoProgram )
{
  expect_refused( "execve", [] {
    std::string path = "/bin/true";
    std::array<char*, 2> arguments { path.data(), nullptr };
    return ::execv( path.c_str(), arguments.data() );
  } );
}

TEST_F( ConfinedCalls, StartNoProcess )
{
  const Ended ended = confined( [] {
    const pid_t child = ::fork(); // clone or fork, as libc likes
    return child == -1 and errno == EPERM ? 0 : 1;
  } );
  EXPECT_EQ( ended.status, 0 ) << ended.said;
}

TEST_F( ConfinedCalls, LookIntoNobodysMemory )
{
  expect_refused( "ptrace", [] { return ::ptrace( PTRACE_ATTACH, 1, nullptr, nullptr ); } );
  expect_refused( "process_vm_readv",
                  [] { return ::syscall( SYS_process_vm_readv, 1, nullptr, 0, nullptr, 0, 0 ); } );
}

TEST_F( ConfinedCalls, MakeOnlySocketsOfTheInternetAndOfRoutes )
{
  for ( const int family : { AF_PACKET, AF_VSOCK, AF_ALG } ) {
    expect_refused( "socket", [=] { return ::socket( family, SOCK_RAW | SOCK_CLOEXEC, 0 ); } );
  }
  expect_refused( "socket", [] { return ::socket( AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER ); } );
  const Ended ended = confined( [] {
    const Fd four { ::socket( AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0 ) };
    const Fd six { ::socket( AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0 ) };
    const Fd routes { ::socket( AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE ) };
    return four and ( six or errno == EAFNOSUPPORT ) and routes ? 0 : 1;
  } );
  EXPECT_EQ( ended.status, 0 ) << ended.said;
  EXPECT_THAT( ended.said, IsEmpty() );
}

TEST_F( ConfinedCalls, BringInNoCode )
{
  constexpr int flags = MAP_PRIVATE | MAP_ANONYMOUS;
  expect_refused(
    "mmap", [] { return ::mmap( nullptr, 4096, PROT_READ | PROT_EXEC, flags, -1, 0 ) == MAP_FAILED ? -1 : 0; } );
  expect_refused( "mprotect", [] {
    void* const page = ::mmap( nullptr, 4096, PROT_READ | PROT_WRITE, flags, -1, 0 );
    return page == MAP_FAILED ? 0 : ::mprotect( page, 4096, PROT_READ | PROT_EXEC );
  } );
}

TEST_F( ConfinedCalls, KillNobody )
{
  expect_refused( "kill", [] { return ::kill( ::getppid(), 0 ); } );
  expect_refused( "tgkill", [] { return ::syscall( SYS_tgkill, ::getppid(), ::getppid(), 0 ); } );
}

TEST_F( ConfinedCalls, TypeOnNobodysTerminal )
{
  expect_refused( "ioctl", [] {
    const char key = 'x';
    return ::ioctl( STDIN_FILENO, TIOCSTI, &key );
  } );
}

TEST_F( ConfinedCalls, RaiseNoLimit )
{
  expect_refused( "prlimit64", [] {
    const rlimit limit { 64, 64 };
    return ::setrlimit( RLIMIT_NOFILE, &limit );
  } );
  const Ended ended = confined( [] {
    rlimit limit {};
    return ::getrlimit( RLIMIT_NOFILE, &limit );
  } );
  EXPECT_EQ( ended.status, 0 ) << ended.said;
}

TEST_F( ConfinedCalls, ARefusalIsSaidOnceAndClearly )
{
  const Ended ended = confined( [] {
    for ( int i = 0; i < 1000; ++i ) {
      if ( ::syscall( SYS_reboot, 0, 0, 0, nullptr ) != -1 or errno != EPERM ) {
        return 1;
      }
    }
    return 0;
  } );
  EXPECT_EQ( ended.status, 0 );
  EXPECT_EQ( ended.said,
             "sproxy: the sandbox refused system call " + std::to_string( SYS_reboot )
               + " (reboot); if this is not an attack, please report it, and start with --no-sandbox until it is "
                 "fixed\n" );
}

TEST_F( ConfinedCalls, NumbersThatNobodyKnowsAreRefusedToo )
{
  const Ended ended = confined( [] { return ::syscall( 100000 ) == -1 and errno == EPERM ? 0 : 1; } );
  EXPECT_EQ( ended.status, 0 );
  EXPECT_THAT( ended.said, HasSubstr( "refused system call 100000 (unknown); " ) );
}

TEST_F( ConfinedCalls, AFailedAssertionStillEndsTheProgram )
{
  const Ended ended = confined( []() -> int { std::abort(); } );
  EXPECT_EQ( ended.status, 128 + SIGABRT ) << ended.said;
  EXPECT_THAT( ended.said, IsEmpty() );
}

TEST_F( ConfinedCalls, ASignalFromSomebodyElseIsNoRefusal )
{
  const Ended ended = confined( [] {
    ::syscall( SYS_tgkill, ::getpid(), ::getpid(), SIGSYS );
    return 0;
  } );
  EXPECT_EQ( ended.status, 0 );
  EXPECT_THAT( ended.said, IsEmpty() );
}

// ------------------------------------------------------------------------------------------- what still works

TEST_F( Confine, LeavesEverythingThatAProxyDoes )
{
  const Ended ended = confined( [] {
    // Memory in every size, given back and grown.
    std::vector<std::string> blocks;
    for ( std::size_t size = 16; size < 64U << 20U; size *= 4 ) {
      blocks.emplace_back( size, 'x' );
      blocks.front().append( size, 'y' );
    }
    blocks.clear();
    // A connection of our own, waited for.
    const Fd listener { ::socket( AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0 ) };
    sockaddr_in here {
      .sin_family = AF_INET, .sin_port = 0, .sin_addr = { htonl( INADDR_LOOPBACK ) }, .sin_zero = {}
    };
    socklen_t size = sizeof here;
    if ( ::bind( listener.get(), reinterpret_cast<sockaddr*>( &here ), size ) != 0
         or ::listen( listener.get(), 1 ) != 0
         or ::getsockname( listener.get(), reinterpret_cast<sockaddr*>( &here ), &size ) != 0 ) {
      return 1;
    }
    const Fd near { ::socket( AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0 ) };
    if ( ::connect( near.get(), reinterpret_cast<sockaddr*>( &here ), size ) != 0 ) {
      return 2;
    }
    const Fd loop { ::epoll_create1( EPOLL_CLOEXEC ) };
    epoll_event event { .events = EPOLLIN, .data = { .fd = listener.get() } };
    if ( ::epoll_ctl( loop.get(), EPOLL_CTL_ADD, listener.get(), &event ) != 0
         or ::epoll_wait( loop.get(), &event, 1, 5000 ) != 1 ) {
      return 3;
    }
    const Fd far { ::accept4( listener.get(), nullptr, nullptr, SOCK_CLOEXEC ) };
    std::array<char, 8> bytes {};
    if ( ::send( near.get(), "hello", 5, MSG_NOSIGNAL ) != 5 or ::recv( far.get(), bytes.data(), 5, 0 ) != 5 ) {
      return 4;
    }
    // What a successor asks about a connection that it takes over.
    int waiting = -1;
    if ( ::send( near.get(), "more", 4, MSG_NOSIGNAL ) != 4
         or ::recv( far.get(), bytes.data(), 4, MSG_PEEK | MSG_WAITALL ) != 4
         or ::ioctl( far.get(), SIOCINQ, &waiting ) != 0 or waiting != 4
         or ::ioctl( near.get(), SIOCOUTQ, &waiting ) != 0 ) {
      return 6;
    }
    // Chance, time, and a line for a person.
    if ( ::getrandom( bytes.data(), bytes.size(), 0 ) != ssize_t { bytes.size() } or std::time( nullptr ) <= 0 ) {
      return 5;
    }
    std::fputs( "all well", stderr );
    return 0;
  } );
  EXPECT_EQ( ended.status, 0 ) << ended.said;
  EXPECT_EQ( ended.said, "all well" );
}

TEST_F( Confine, ReportsWhatIsInForce )
{
  const Ended ended = in_child( [] {
    const Protection protection = confine( { .program = "sproxy" } );
    std::fputs( to_string( protection ).c_str(), stderr );
    return protection.privileges.in_force ? 0 : 1;
  } );
  EXPECT_EQ( ended.status, 0 );
  EXPECT_THAT( ended.said, HasSubstr( "privileges: no capabilities, and no new ones; files: " ) );
  EXPECT_THAT( ended.said, HasSubstr( "; system calls: " ) );
}

} // namespace
} // namespace holdfast
