#pragma once

#include "core/initiation.hh"
#include "core/pulse.hh"
#include "core/session.hh"
#include "core/time.hh"
#include "net/address.hh"
#include "net/tls.hh"
#include "state/arena.hh"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

namespace holdfast {

// Who a proxy is to others, and what it gives up.
struct Security
{
  bool insecure = false; // --insecure: links are plain TCP, and nobody has a key
  std::optional<TlsContext::Certificates>
    certificates {};                  // --ca, --cert, --key; without: our key and lists of keys
  std::string state_directory {};     // --state-dir, or where it is by itself: see there
  std::optional<std::string> user {}; // --user: whom we become once the ports are open
  bool sandbox = true;                // --no-sandbox
};

// Where a tunnel may be resumed from.
enum class Roam
{
  anywhere, // "any"
  subnet,   // from the network that it was made from
  nowhere,  // "never": only from the address that it was made from
};

// What all tunnels of one client (one key) may have together; with --insecure there are no clients, and no limits
// but those of the whole.
struct ClientLimits
{
  std::size_t tunnels = 64;         // --client-tunnels
  std::size_t sessions = 5000;      // --client-sessions: half of --max-sessions
  std::size_t memory = 128U << 20U; // --client-memory: bytes retained; half of --memory
};

// What a person can decide about a proxy; the defaults are what the help says.
struct ProxyConfig
{
  std::string bind {};                         // address to listen on; "*": all
  std::uint16_t port = 0;                      // 0: the kernel chooses
  Pulse::Config pulse {};                      // --heartbeat, --heartbeat-idle, --misses
  std::string congestion {};                   // --congestion: TCP's, on links; empty: what the system has
  bool bulk_link = true;                       // --no-bulk-link: all sessions share one link, always
  std::size_t window = 16U << 20U;             // --window: bytes, per session and direction, at most
  Arena::Config memory { 10000, 256U << 20U }; // --max-sessions, --memory
  Duration keep = std::chrono::hours { 24 };   // --keep: how long a detached tunnel is kept
  Security security {};

  [[nodiscard]] SessionLimits session_limits() const
  {
    return { .outflow = { .window_max = window }, .inflow = { .window_max = window } };
  }
  [[nodiscard]] std::uint32_t capabilities() const { return bulk_link ? bulk_link_capability : 0; }
  [[nodiscard]] std::uint32_t first_window() const
  {
    return static_cast<std::uint32_t>( std::min( Inflow::Limits {}.window_initial, window ) );
  }
};

struct CproxyConfig : ProxyConfig
{
  HostPort sproxy {};
  Id instance {};                      // see client_instance
  std::vector<Digest> fingerprints {}; // --fingerprint: sproxy has one of these keys; empty: known_hosts decides
};

struct SproxyConfig : ProxyConfig
{
  HostPort target { "127.0.0.1", 23 };
  bool single = false; // any brand-new session closes the one before
  std::optional<std::string>
    authorized_clients {};            // --authorized-clients: the file; without it, anyone is admitted
  Roam roam = Roam::anywhere;         // --roam
  std::optional<Duration> age_max {}; // --max-age: a tunnel older than this is ended
  ClientLimits client_limits {};
};

} // namespace holdfast
