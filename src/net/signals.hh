#pragma once

#include "net/loop.hh"

#include <algorithm>

namespace holdfast {

// SIGINT and SIGTERM as events of the loop (signalfd(2)); SIGPIPE is ignored. Make it before any thread.
class Signals : public Watcher
{
public:
  explicit Signals( Loop& loop );
  Signals( const Signals& ) = delete;
  Signals& operator=( const Signals& ) = delete;
  ~Signals() override;

  // How many times we were asked to stop. Who asks a keeper and its worker (systemd and `pkill` do) asks once,
  // though the worker hears of it twice: what our parent sends is counted by itself.
  [[nodiscard]] int stops() const { return std::max( stops_direct_, stops_passed_on_ ); }

  [[nodiscard]] std::uint32_t interest() const override;
  void ready( std::uint32_t events ) override;

private:
  Loop& loop_;
  Fd fd_;
  int stops_direct_ = 0;
  int stops_passed_on_ = 0;
};

} // namespace holdfast
