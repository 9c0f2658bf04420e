#pragma once

#include "net/loop.hh"

namespace holdfast {

// SIGINT and SIGTERM as events of the loop (signalfd(2)); SIGPIPE is ignored. Make it before any thread.
class Signals : public Watcher
{
public:
  explicit Signals( Loop& loop );
  Signals( const Signals& ) = delete;
  Signals& operator=( const Signals& ) = delete;
  ~Signals() override;

  // How many times we were asked to stop.
  [[nodiscard]] int stops() const { return stops_; }

  [[nodiscard]] std::uint32_t interest() const override;
  void ready( std::uint32_t events ) override;

private:
  Loop& loop_;
  Fd fd_;
  int stops_ = 0;
};

} // namespace holdfast
