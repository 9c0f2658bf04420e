#pragma once

#include "net/left.hh"
#include "proxy/inheritance.hh"
#include "unit/process.hh"

#include <sys/mman.h>
#include <sys/prctl.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <functional>
#include <new>
#include <thread>

namespace holdfast::test {

// Keeps a worker: a process that has its descriptors in common with its keeper. When it dies, the keeper makes the
// next one, which finds them. Both end with this object.
class Keeper
{
public:
  // What others see of it.
  struct Board
  {
    std::atomic<pid_t> worker;
    std::atomic<int> generation;            // of that worker, from 1 on
    std::atomic<bool> turns;                // it has started, and takes its turns
    std::atomic<std::int64_t> processor_ns; // that it had taken by then
    std::atomic<std::int64_t> turned_ns;    // by the clock of the loop, if it says so: its first turn
  };
  using Work = std::function<void( Board& board, Predecessor predecessor )>; // does not return

  explicit Keeper( const Work& work )
    : board_( new ( ::mmap( nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0 ) ) Board {} )
  {
    keeper_ = start_process( [&] {
      ::prctl( PR_SET_PDEATHSIG, SIGKILL );
      ::close_range( 3, ~0U, 0 );
      keep( work );
    } );
  }
  Keeper( const Keeper& ) = delete;
  Keeper& operator=( const Keeper& ) = delete;
  ~Keeper()
  {
    ::kill( keeper_, SIGKILL );
    end_of( keeper_ );
    ::munmap( board_, 4096 );
  }

  // Waits until a worker of that generation, or of a later one, takes its turns.
  [[nodiscard]] bool wait_for( int generation ) const
  {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds { 30 };
    while ( board_->generation < generation or not board_->turns ) {
      if ( std::chrono::steady_clock::now() > until ) {
        return false;
      }
      std::this_thread::sleep_for( std::chrono::microseconds { 200 } );
    }
    return true;
  }
  void kill_worker( int signal = SIGKILL ) const
  {
    board_->turns = false;
    ::kill( board_->worker, signal );
  }
  [[nodiscard]] Board& board() const { return *board_; }

private:
  void keep( const Work& work )
  {
    bool crashed = false;
    const pid_t keeper = ::getpid();
    for ( ;; ) {
      board_->turns = false;
      ++board_->generation;
      const bool first = board_->generation == 1;
      const pid_t worker = start_process(
        [&] {
          ::prctl( PR_SET_PDEATHSIG, SIGKILL );
          if ( ::getppid() != keeper ) { // it died before we asked
            ::_exit( 1 );
          }
          board_->worker = ::getpid();
          Left nothing;
          if ( first ) {
            work( *board_, {} );
          } else {
            Left left { {} };
            work( *board_, { .left = &left, .crashed = crashed } );
          }
        },
        true );
      const int status = end_of( worker );
      crashed = WIFSIGNALED( status ) and WTERMSIG( status ) != SIGKILL;
      if ( WIFEXITED( status ) ) {
        ::_exit( 1 );
      }
    }
  }

  Board* board_;
  pid_t keeper_ = 0;
};

} // namespace holdfast::test
