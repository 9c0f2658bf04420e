#pragma once

#include "net/loop.hh"
#include "net/socket.hh"

#include <functional>
#include <memory>
#include <optional>
#include <vector>

namespace holdfast {

// Listening sockets: accepts what comes and hands it on. When the process has no descriptor left it says so once
// and listens again a second later; the connections wait in the kernel's queue meanwhile.
class Listener
{
public:
  using Arrived = std::function<void( Fd socket, const Address& peer )>;
  using Exhausted = std::function<void( int error )>;

  Listener( Loop& loop, std::vector<Fd> sockets, Arrived arrived, Exhausted exhausted );
  ~Listener();
  Listener( const Listener& ) = delete;
  Listener& operator=( const Listener& ) = delete;

  [[nodiscard]] Address address() const; // of the first socket
  void close();                          // accepts no more

  [[nodiscard]] Time deadline() const { return paused_until_; }
  void tick( Time now );

private:
  struct Door;
  void accept( int socket );

  Loop& loop_;
  Arrived arrived_;
  Exhausted exhausted_;
  std::vector<std::unique_ptr<Door>> doors_ {};
  Time paused_until_ = never;
};

} // namespace holdfast
