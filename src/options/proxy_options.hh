#pragma once

#include "net/address.hh"
#include "proxy/config.hh"

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// The options of cproxy and sproxy, as a person writes them, and what becomes of them.
namespace holdfast::program {

// Who we are, whom we trust and what we give up.
struct SecurityOptions
{
  std::string state_directory {};
  std::string ca {};
  std::string certificate {};
  std::string key {};
  std::string user {};
  bool insecure = false;
  bool no_sandbox = false;
  bool print_key = false;
};

// What both have.
struct ProxyOptions
{
  std::string bind {};
  unsigned port = 0;
  bool raw = false;
  double heartbeat_ms = 100;
  double heartbeat_idle_ms = 30e3;
  unsigned misses = 3;
  std::string congestion {};
  bool no_bulk_link = false;
  std::uint64_t window = 16U << 20U;
  std::uint64_t memory = 256U << 20U;
  double keep_ms = 24.0 * 3600 * 1000;
  std::uint64_t max_sessions = 10000;
  std::string log_level = "info";
  SecurityOptions security {};
};

struct CproxyOptions : ProxyOptions
{
  std::string host {}; // where sproxy is
  unsigned far_port = 0;
  std::vector<std::string> fingerprints {};
};

struct SproxyOptions : ProxyOptions
{
  HostPort target {};
  bool single = false;
  std::uint64_t threads = 1;
  std::string authorized_clients {};
  std::string roam = "any";
  std::optional<double> age_max_ms {};
  std::uint64_t client_tunnels = 64;
  std::optional<std::uint64_t> client_sessions {};
  std::optional<std::uint64_t> client_memory {};
};

// Take the command line apart; what options have is within its documented range then. Nothing: go on. A number:
// --help or --version was answered, or an option was wrong, which has been said in one line; exit with it.
std::optional<int> parse_cproxy( int argc, const char* const* argv, CproxyOptions& options );
std::optional<int> parse_sproxy( int argc, const char* const* argv, SproxyOptions& options );
// `cproxy upgrade`, `sproxy upgrade`: which keepers are meant, none: all. `argv` begins with that word.
inline constexpr std::string_view upgrade_word = "upgrade";
std::optional<int> parse_upgrade( const char* name,
                                  int argc,
                                  const char* const* argv,
                                  std::vector<pid_t>& keepers );

// What the proxies make of options that were parsed. Throws StartupError when there is no state directory to be
// found.
void apply( const SecurityOptions& options, Security& security );
void apply( const ProxyOptions& options, ProxyConfig& config );
void apply( const CproxyOptions& options, CproxyConfig& config );
void apply( const SproxyOptions& options, SproxyConfig& config );

} // namespace holdfast::program
