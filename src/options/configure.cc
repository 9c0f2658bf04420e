#include "options/proxy_options.hh"

#include "identity/fingerprint.hh"
#include "identity/state_directory.hh"

#include <algorithm>
#include <cmath>

namespace holdfast::program {
namespace {

Duration from_ms( double ms )
{
  return Duration { std::llround( ms * 1e6 ) };
}

} // namespace

void apply( const SecurityOptions& options, Security& security )
{
  security.insecure = options.insecure;
  if ( not options.ca.empty() ) {
    security.certificates = TlsContext::Certificates { options.ca, options.certificate, options.key };
  }
  if ( not options.user.empty() ) {
    security.user = options.user;
  }
  // A user that we become has nothing to look for in the home of the one who started us.
  security.state_directory = state_directory( options.state_directory, not security.user.has_value() );
  security.sandbox = not options.no_sandbox;
}

void apply( const ProxyOptions& options, ProxyConfig& config )
{
  config.bind = options.bind;
  config.port = static_cast<std::uint16_t>( options.port );
  config.pulse = { .beat = from_ms( options.heartbeat_ms ),
                   .misses = options.misses,
                   .idle = from_ms( std::max( options.heartbeat_idle_ms, options.heartbeat_ms ) ) };
  config.congestion = options.congestion;
  config.bulk_link = not options.no_bulk_link;
  config.window = options.window;
  config.memory = { .sessions = options.max_sessions, .memory = options.memory };
  config.keep = from_ms( options.keep_ms );
  config.pulse.patience = std::min( config.pulse.patience, config.keep );
  apply( options.security, config.security );
}

void apply( const CproxyOptions& options, CproxyConfig& config )
{
  apply( static_cast<const ProxyOptions&>( options ), config );
  config.sproxy = { options.host, static_cast<std::uint16_t>( options.far_port ) };
  for ( const std::string& text : options.fingerprints ) {
    config.fingerprints.push_back( parse_fingerprint( text ).value() ); // checked when it was read
  }
}

void apply( const SproxyOptions& options, SproxyConfig& config )
{
  apply( static_cast<const ProxyOptions&>( options ), config );
  config.target = options.target;
  config.single = options.single;
  if ( not options.authorized_clients.empty() ) {
    config.authorized_clients = options.authorized_clients;
  }
  config.roam = options.roam == "never" ? Roam::nowhere : options.roam == "subnet" ? Roam::subnet : Roam::anywhere;
  if ( options.age_max_ms ) {
    config.age_max = from_ms( *options.age_max_ms );
  }
  config.client_limits = {
    .tunnels = options.client_tunnels,
    .sessions = options.client_sessions.value_or( std::max<std::uint64_t>( options.max_sessions / 2, 1 ) ),
    .memory = options.client_memory.value_or( options.memory / 2 ),
  };
}

} // namespace holdfast::program
