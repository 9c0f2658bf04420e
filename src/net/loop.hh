#pragma once

#include "core/time.hh"
#include "net/clock.hh"
#include "net/fd.hh"

#include <cstdint>
#include <vector>

namespace holdfast {

class Loop;

// Somebody who waits for a descriptor. What he waits for is derived from his state: `interest` is asked again after
// every turn in which he was touched, and nobody arms or disarms anything.
//
// A watcher registers itself with watch() and is unregistered by its destructor, which must come before the
// descriptor is closed: declare the Fd before the Watcher's registration ends, or call unwatch() first.
class Watcher
{
public:
  Watcher() = default;
  Watcher( const Watcher& ) = delete;
  Watcher& operator=( const Watcher& ) = delete;
  virtual ~Watcher();

  // Which of EPOLLIN and EPOLLOUT would help now. Errors and hang-ups are always reported (epoll_ctl(2)).
  [[nodiscard]] virtual std::uint32_t interest() const = 0;
  // The descriptor is ready for `events` (EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP). May destroy this watcher or
  // others.
  virtual void ready( std::uint32_t events ) = 0;

private:
  friend class Loop;
  Loop* loop_ = nullptr;
  int fd_ = -1;
  bool in_epoll_ = false;
  std::uint32_t registered_ = 0; // what epoll was last told
  bool muted_ = false;           // stays out of epoll while it waits for nothing, see Loop::mute
  bool touched_ = false;
};

// The event loop: level-triggered epoll(7), one thread. Owns only its epoll descriptor.
//
//   while ( running ) { loop.wait( deadline ); ... decide and act ...; }
//
// The clock is read once per turn, after waiting: now() is the same for everything that happens in a turn.
class Loop
{
public:
  Loop();

  void watch( Watcher& watcher, int fd );
  void unwatch( Watcher& watcher );
  // The watcher's state changed: ask for its interest before the next wait.
  void touch( Watcher& watcher );
  // A hang-up was reported that the watcher cannot act upon yet (unread bytes, no room for them). Without this,
  // epoll would report it again at once, for ever. Heard again when its interest is no longer nothing.
  void mute( Watcher& watcher );

  // Waits for events until `deadline` at most (rounded up to a millisecond, so that a deadline is never early),
  // tells the watchers, and comes back. Telling has a turn's share of time (5 ms); those whom it does not suffice
  // for are first in the next turn, which does not wait.
  void wait( Time deadline );

  [[nodiscard]] Time now() const { return now_; }
  // How long after its deadline the last wait came back: our own lateness (a long turn, SIGSTOP, suspend), which
  // says nothing about anybody else.
  [[nodiscard]] Duration late() const { return late_; }
  // How long of that the machine was suspended. Meanwhile the network went on, and may be another one now.
  [[nodiscard]] Duration slept() const { return slept_; }
  [[nodiscard]] Duration late_in_all() const { return late_in_all_; } // of all waits
  // How long this turn has lasted. Reads the clock: for whoever ends his part of a turn when it gets long.
  [[nodiscard]] Duration elapsed() const;
  // How long the turn before the last wait took, from the end of one wait to the beginning of the next: for so long
  // nobody was heard. Longer than the processor had us, when others had it, too.
  [[nodiscard]] Duration busy() const { return busy_; }

  // For a loop that is waited for in another one: its descriptor is readable whenever wait() would find something
  // to tell (epoll(7)), once it was told what everybody waits for, which wait() does first.
  [[nodiscard]] int descriptor() const { return epoll_.get(); }
  void settle();

private:
  void settle( Watcher& watcher );
  void collect( Time deadline );
  void tell();

  Fd epoll_;
  Time now_;
  Duration late_ {};
  SleepGauge gauge_;
  Duration slept_ {};
  Duration late_in_all_ {};
  Duration busy_ {};
  std::vector<Watcher*> touched_ {};
  struct Event
  {
    Watcher* watcher; // nullptr: it has left
    std::uint32_t events;
  };
  std::vector<Event> pending_ {}; // reported by epoll; those before told_ are told
  std::size_t told_ = 0;
};

} // namespace holdfast
