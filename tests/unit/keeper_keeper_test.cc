#include "keeper/keeper.hh"

#include <gmock/gmock.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <string>
#include <utility>

// A keeper ends with its worker, and may die of a signal, so each story plays in a child process of the test: the
// stage. On it a keeper runs a worker of the story's. What the worker has to say goes through a pipe, as whole
// lines; the standard error of both goes through another one.
namespace holdfast {
namespace {

using testing::HasSubstr;

constexpr int patience_ms = 20'000; // for what should happen at once, on a busy machine

void write_line( int fd, const std::string& line )
{
  static_cast<void>( not ::write( fd, ( line + "\n" ).data(), line.size() + 1 ) );
}

struct Pipe
{
  Pipe() { EXPECT_EQ( ::pipe2( ends.data(), O_CLOEXEC ), 0 ); }
  Pipe( const Pipe& ) = delete;
  Pipe& operator=( const Pipe& ) = delete;
  ~Pipe()
  {
    ::close( ends[0] );
    if ( ends[1] >= 0 ) {
      ::close( ends[1] );
    }
  }
  void close_writing_end() { ::close( std::exchange( ends[1], -1 ) ); }

  std::array<int, 2> ends { -1, -1 };
};

// What a worker of these stories gets.
struct Props
{
  int tell; // lines for the test
};

class KeeperStage
{
public:
  KeeperStage() = default;
  KeeperStage( const KeeperStage& ) = delete;
  KeeperStage& operator=( const KeeperStage& ) = delete;
  ~KeeperStage()
  {
    if ( keeper_ > 0 ) {
      ::kill( keeper_, SIGKILL );
      ::waitpid( keeper_, nullptr, 0 );
    }
  }

  void play( Work work )
  {
    keeper_ = ::fork();
    if ( keeper_ == 0 ) {
      ::prctl( PR_SET_PDEATHSIG, SIGKILL );
      ::dup2( errors_.ends[1], STDERR_FILENO );
      Props props { .tell = told_.ends[1] };
      Keeper keeper { "stand-in", work, &props };
      keeper.own( told_.ends[1] );
      ::_exit( keeper.run() );
    }
    told_.close_writing_end();
    errors_.close_writing_end();
  }

  // The worker's next line. Empty: it took too long, or everybody who could write has gone.
  std::string next_line()
  {
    std::string line;
    char c = 0;
    pollfd readable { .fd = told_.ends[0], .events = POLLIN, .revents = 0 };
    while ( ::poll( &readable, 1, patience_ms ) == 1 and ::read( told_.ends[0], &c, 1 ) == 1 and c != '\n' ) {
      line += c;
    }
    return line;
  }

  // Nobody can write to the pipe any more: keeper and worker have gone.
  bool nobody_is_left()
  {
    char c = 0;
    pollfd readable { .fd = told_.ends[0], .events = POLLIN, .revents = 0 };
    return ::poll( &readable, 1, patience_ms ) == 1 and ::read( told_.ends[0], &c, 1 ) == 0;
  }

  // Waits until this was said on standard error.
  bool hears( const std::string& text )
  {
    std::array<char, 4096> some {};
    pollfd readable { .fd = errors_.ends[0], .events = POLLIN, .revents = 0 };
    while ( said_.find( text ) == std::string::npos and ::poll( &readable, 1, patience_ms ) == 1 ) {
      const ssize_t size = ::read( errors_.ends[0], some.data(), some.size() );
      if ( size <= 0 ) {
        return false;
      }
      said_.append( some.data(), static_cast<std::size_t>( size ) );
    }
    return said_.find( text ) != std::string::npos;
  }

  struct Ended
  {
    int status;
    std::string said;
  };
  // A story of its own, of which only the end matters.
  static Ended run_alone( Work work )
  {
    KeeperStage stage;
    stage.play( work );
    const int status = stage.end();
    return { status, stage.said_ };
  }

  // Waits for the keeper's end: its wait status.
  int end()
  {
    int status = 0;
    ::waitpid( std::exchange( keeper_, 0 ), &status, 0 );
    std::array<char, 4096> some {};
    for ( ssize_t n = 0; ( n = ::read( errors_.ends[0], some.data(), some.size() ) ) > 0; ) {
      said_.append( some.data(), static_cast<std::size_t>( n ) );
    }
    return status;
  }

  [[nodiscard]] static bool ended_with( int wait_status, int status )
  {
    return WIFEXITED( wait_status ) and WEXITSTATUS( wait_status ) == status;
  }
  [[nodiscard]] static bool died_of( int wait_status, int signal )
  {
    return WIFSIGNALED( wait_status ) and WTERMSIG( wait_status ) == signal;
  }

  pid_t keeper_ = 0;
  std::string said_ {}; // by keeper and workers, on standard error
  Pipe told_ {};
  Pipe errors_ {};
};

class KeeperTest
  : public testing::Test
  , public KeeperStage
{};

void tell( void* context, const std::string& line )
{
  write_line( static_cast<Props*>( context )->tell, line );
}

[[noreturn]] void wait_for_ever()
{
  while ( true ) {
    ::pause();
  }
}

// Says "ready", and waits for SIGTERM; returns who sent it.
pid_t wait_to_be_asked( Register& shared, void* context )
{
  sigset_t set;
  ::sigemptyset( &set );
  ::sigaddset( &set, SIGTERM );
  ::sigprocmask( SIG_BLOCK, &set, nullptr );
  shared.ready = 1;
  tell( context, "ready" );
  siginfo_t about {};
  ::sigwaitinfo( &set, &about );
  return about.si_pid;
}

// ---------------------------------------------------------------- how it ends

TEST_F( KeeperTest, EndsWithTheStatusOfAWorkerThatEnds )
{
  play( []( Register& /*shared*/, void* /*context*/ ) { return 42; } );
  EXPECT_TRUE( ended_with( end(), 42 ) );
  EXPECT_EQ( said_, "" );
}

template<int signal>
int die( Register& /*shared*/, void* /*context*/ )
{
  std::signal( signal, SIG_DFL );
  return ::raise( signal );
}

TEST_F( KeeperTest, DiesOfTheSignalThatAWorkerDiedOfBeforeItWasReady )
{
  for ( const auto& [signal, work] : { std::pair<int, Work> { SIGKILL, die<SIGKILL> },
                                       std::pair<int, Work> { SIGABRT, die<SIGABRT> },
                                       std::pair<int, Work> { SIGTERM, die<SIGTERM> } } ) {
    const Ended ended = run_alone( work );
    EXPECT_TRUE( ended.said.empty() ) << ended.said;
    EXPECT_TRUE( died_of( ended.status, signal ) ) << signal << ": " << ended.status;
    EXPECT_FALSE( WCOREDUMP( ended.status ) ) << "the keeper's core would take the place of the worker's";
  }
}

TEST_F( KeeperTest, PassesSigtermOnToAWorkerThatEndsInOrder )
{
  play( []( Register& shared, void* context ) {
    const pid_t who = wait_to_be_asked( shared, context );
    tell( context, who == shared.keeper ? "asked by the keeper" : "asked by somebody" );
    return 7;
  } );
  ASSERT_EQ( next_line(), "ready" );
  ::kill( keeper_, SIGTERM );
  EXPECT_EQ( next_line(), "asked by the keeper" );
  EXPECT_TRUE( ended_with( end(), 7 ) );
}

TEST_F( KeeperTest, StartsNoOtherWorkerOnceItWasAskedToEnd )
{
  play( []( Register& shared, void* context ) -> int {
    std::signal( SIGTERM, SIG_IGN );
    shared.ready = 1;
    tell( context, std::to_string( ::getpid() ) );
    wait_for_ever();
  } );
  const int worker = std::stoi( next_line() );
  ::kill( keeper_, SIGTERM );
  ::usleep( 100'000 ); // long enough to be passed on, and to have no effect
  ::kill( worker, SIGKILL );
  EXPECT_TRUE( died_of( end(), SIGKILL ) );
  EXPECT_EQ( said_, "" );
}

TEST_F( KeeperTest, TakesTheWorkerAlongWhenItIsKilled )
{
  play( []( Register& shared, void* context ) -> int {
    shared.ready = 1;
    tell( context, "ready" );
    wait_for_ever();
  } );
  ASSERT_EQ( next_line(), "ready" );
  ::kill( keeper_, SIGKILL );
  EXPECT_TRUE( nobody_is_left() );
  EXPECT_TRUE( died_of( end(), SIGKILL ) );
}

// ---------------------------------------------------------------- the next worker

TEST_F( KeeperTest, GivesTheNextWorkerTheDescriptorsOfTheKilledOne )
{
  play( []( Register& shared, void* context ) -> int {
    if ( shared.generation == 1 ) {
      std::array<int, 2> ends {};
      EXPECT_EQ( ::pipe( ends.data() ), 0 );
      write_line( ends[1], "left behind" );
      shared.left[0] = static_cast<std::uint64_t>( ends[0] );
      shared.ready = 1;
      tell( context, "opened" );
      ::kill( ::getpid(), SIGKILL );
    }
    std::array<char, 12> text {};
    const ssize_t size = ::read( static_cast<int>( shared.left[0] ), text.data(), text.size() - 1 );
    tell( context, size > 0 ? text.data() : "nothing there" );
    return 0;
  } );
  EXPECT_EQ( next_line(), "opened" );
  EXPECT_EQ( next_line(), "left behind" );
  EXPECT_TRUE( ended_with( end(), 0 ) );
}

TEST_F( KeeperTest, TellsTheNextWorkerAndThePersonWhatBecameOfTheOneBefore )
{
  play( []( Register& shared, void* context ) -> int {
    if ( shared.generation == 1 ) {
      shared.ready = 1;
      tell( context, std::to_string( ::getpid() ) );
      ::kill( ::getpid(), SIGKILL );
    }
    const bool right = shared.is_ours() and shared.generation == 2 and shared.keeper == ::getppid()
                       and shared.worker == ::getpid() and shared.last_death > 0
                       and WTERMSIG( shared.last_status ) == SIGKILL;
    tell( context, std::to_string( right ? shared.last_worker : 0 ) );
    return 0;
  } );
  const std::string first = next_line();
  EXPECT_EQ( next_line(), first );
  EXPECT_TRUE( ended_with( end(), 0 ) );
  EXPECT_THAT( said_,
               testing::ContainsRegex( "^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}\\.[0-9]{3} stand-in warning: worker "
                                       + first
                                       + " was killed by signal 9 \\(Killed\\): starting the next one\n$" ) );
}

// Whether the workers of this stage died as a series. A machine that keeps one from dying for half a second ends
// it.
bool is_a_series( KeeperStage& stage )
{
  bool grows = true;
  for ( int hasty = 0; hasty < 5; ++hasty ) {
    grows = stage.next_line() == std::to_string( hasty ) and grows;
  }
  return grows;
}

TEST_F( KeeperTest, WaitsLongerEachTimeWhenWorkersDieOneAfterTheOther )
{
  bool was_a_series = false;
  for ( int tries = 0; tries < 5 and not was_a_series; ++tries ) {
    const auto began = std::chrono::steady_clock::now();
    KeeperStage stage;
    stage.play( []( Register& shared, void* context ) -> int {
      shared.ready = 1;
      tell( context, std::to_string( shared.hasty ) );
      if ( shared.generation < 5 ) {
        ::kill( ::getpid(), SIGSYS );
      }
      return 0;
    } );
    was_a_series = is_a_series( stage );
    EXPECT_TRUE( KeeperStage::ended_with( stage.end(), 0 ) );
    if ( was_a_series ) {
      EXPECT_GE( std::chrono::steady_clock::now() - began, std::chrono::milliseconds { 1110 } );
      EXPECT_THAT( stage.said_, HasSubstr( "(Bad system call): starting the next one in 1000 ms\n" ) );
    }
  }
  EXPECT_TRUE( was_a_series );
}

// What the one before left would be lost: sessions for a disk that is full at the wrong moment.
TEST_F( KeeperTest, TriesAgainWhenTheNextWorkerCannotTakeOver )
{
  play( []( Register& shared, void* /*context*/ ) -> int {
    if ( shared.generation == 2 ) {
      return 1;
    }
    shared.up = shared.generation;
    shared.ready = 1;
    return shared.generation == 1 ? ::kill( ::getpid(), SIGKILL ) : 7;
  } );
  EXPECT_TRUE( ended_with( end(), 7 ) ) << "and that one was up: its status counts";
  EXPECT_THAT( said_, HasSubstr( "could not take over (status 1), see above: trying again" ) );
}

TEST_F( KeeperTest, CanBeStoppedWhileItWaits )
{
  play( []( Register& shared, void* /*context*/ ) -> int {
    shared.ready = 1;
    return ::kill( ::getpid(), SIGKILL );
  } );
  ASSERT_TRUE( hears( "in 3000 ms" ) );
  ::kill( keeper_, SIGTERM );
  EXPECT_TRUE( died_of( end(), SIGTERM ) );
}

// ---------------------------------------------------------------- a good parent

TEST_F( KeeperTest, StartsItsWorkerWithTheSignalMaskThatItWasStartedWith )
{
  play( []( Register& /*shared*/, void* /*context*/ ) {
    sigset_t mask;
    ::sigprocmask( SIG_BLOCK, nullptr, &mask );
    int blocked = 0;
    for ( int signal = 1; signal < 32; ++signal ) {
      blocked += ::sigismember( &mask, signal );
    }
    return blocked;
  } );
  EXPECT_TRUE( ended_with( end(), 0 ) );
}

TEST_F( KeeperTest, IsNotDisturbedByAParentThatIgnoredItsChildren )
{
  const auto before = std::signal( SIGCHLD, SIG_IGN );
  play( []( Register& shared, void* context ) {
    wait_to_be_asked( shared, context );
    return 3;
  } );
  std::signal( SIGCHLD, before ); // nobody could be told of a keeper that ended before this
  ASSERT_EQ( next_line(), "ready" );
  ::kill( keeper_, SIGTERM );
  EXPECT_TRUE( ended_with( end(), 3 ) );
}

// proc(5): the state follows the name, which is in parentheses.
bool has_stopped( pid_t pid )
{
  for ( int i = 0; i < 10000; ++i ) {
    std::string shown;
    std::getline( std::ifstream { "/proc/" + std::to_string( pid ) + "/stat" }, shown );
    if ( shown.find( ") T " ) != std::string::npos ) {
      return true;
    }
    ::usleep( 1000 );
  }
  return false;
}

TEST_F( KeeperTest, PassesOnTheSignalThatContinues )
{
  play( []( Register& shared, void* context ) -> int {
    shared.ready = 1;
    tell( context, std::to_string( ::getpid() ) );
    ::raise( SIGSTOP );
    tell( context, "after" );
    return 0;
  } );
  ASSERT_TRUE( has_stopped( std::stoi( next_line() ) ) ); // a signal that came before that would continue nobody
  ::kill( keeper_, SIGCONT );
  EXPECT_EQ( next_line(), "after" );
  EXPECT_TRUE( ended_with( end(), 0 ) );
}

} // namespace
} // namespace holdfast
