#pragma once

#include "core/initiation.hh"
#include "core/pulse.hh"
#include "core/session.hh"
#include "core/time.hh"
#include "net/socket.hh"
#include "state/arena.hh"

#include <algorithm>
#include <string>

namespace holdfast {

// What a person can decide about a proxy; the defaults are what the help says.
struct ProxyConfig
{
  std::string bind {};                         // address to listen on; "*": all
  std::uint16_t port = 0;                      // 0: the kernel chooses
  Pulse::Config pulse {};                      // --heartbeat, --misses
  std::size_t window = 16U << 20U;             // --window: bytes, per session and direction, at most
  Arena::Config memory { 10000, 256U << 20U }; // --max-sessions, --memory
  Duration keep = std::chrono::hours { 24 };   // --keep: how long a detached tunnel is kept

  [[nodiscard]] SessionLimits session_limits() const
  {
    return { .outflow = { .window_max = window }, .inflow = { .window_max = window } };
  }
  [[nodiscard]] std::uint32_t first_window() const
  {
    return static_cast<std::uint32_t>( std::min( Inflow::Limits {}.window_initial, window ) );
  }
};

struct CproxyConfig : ProxyConfig
{
  HostPort sproxy {};
  Id instance {}; // see client_instance
};

struct SproxyConfig : ProxyConfig
{
  HostPort target { "127.0.0.1", 23 };
  bool single = false; // any brand-new session closes the one before
};

} // namespace holdfast
