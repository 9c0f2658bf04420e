#pragma once

#include "net/loop.hh"
#include "net/socket.hh"

#include <functional>
#include <memory>
#include <optional>
#include <vector>

namespace holdfast {

// Listening sockets: accepts what comes and hands it on. When the process has no descriptor left, or only those
// that are to be spared, it says so and tries again a second later; the connections wait in the kernel's queue
// meanwhile.
class Listener
{
public:
  using Arrived = std::function<void( Fd socket, const Address& peer )>;
  using Exhausted = std::function<void( int error )>;

  Listener( Loop& loop,
            std::vector<Fd> sockets,
            Arrived arrived,
            Exhausted exhausted,
            int spare = spare_for_links );
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
  void pause( int error );
  [[nodiscard]] bool only_spare_ones_left() const;

  Loop& loop_;
  Arrived arrived_;
  Exhausted exhausted_;
  int spare_;
  std::vector<std::unique_ptr<Door>> doors_ {};
  Time paused_until_ = never;
};

} // namespace holdfast
