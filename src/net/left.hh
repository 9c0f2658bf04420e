#pragma once

#include "net/fd.hh"
#include "net/socket.hh"

#include <cstdint>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace holdfast {

// The descriptors that a process which died has left open for us, sorted: each is taken by whoever knows what it is
// for, and what nobody takes is closed in the end (close()). Their numbers mean nothing, so they may have come by
// any way. Only memory and TCP sockets can be of use to anybody; all others are closed before we open any of our
// own. So we need no more than the process before us had, and what processes leave that die one after the other
// does not add up.
class Left
{
public:
  // Nothing is left: there was nobody before us.
  Left() = default;
  // Whatever is open in this process, but for standard input, output and error and those to be spared. Call it
  // before anything else is opened. Throws StartupError.
  explicit Left( std::span<const int> spare );
  // Only the first `given` numbers of those, which come from a service manager (sd_listen_fds(3)).
  Left( std::span<const int> spare, int given );
  Left( const Left& ) = delete;
  Left& operator=( const Left& ) = delete;
  // What was neither taken nor closed stays open: if we cannot start, the next one may.
  ~Left();

  // Memory of that name (memfd_create(2)).
  [[nodiscard]] std::vector<Fd> take_memory( std::string_view name );
  [[nodiscard]] std::size_t count_memory( std::string_view name ) const; // that could be taken
  // The socket with that cookie; none if there is none, and for 0.
  [[nodiscard]] Fd take( std::uint64_t cookie );
  // Sockets that listen for what listen_for() calls `host` and `port`; any port, if that is 0. All others that
  // listen are closed: they may be in the way of new ones.
  [[nodiscard]] std::vector<Fd> take_listeners( std::string_view host, std::uint16_t port );
  // Connections that were accepted by a listener with this address, and on which nothing has happened yet.
  [[nodiscard]] std::vector<Fd> take_newcomers( const Address& listener );
  // Closes the rest. A connection that has not come to both its ends is reset: its program is to see that it
  // failed.
  void close();

private:
  void sort( int fd );

  std::vector<Fd> memory_ {};
  std::unordered_map<std::uint64_t, Fd> sockets_ {}; // by cookie; in what state, is asked when most are taken
};

} // namespace holdfast
