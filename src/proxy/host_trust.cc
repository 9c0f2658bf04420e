#include "proxy/host_trust.hh"

#include "identity/fingerprint.hh"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace holdfast {

HostTrust::HostTrust( HostPort sproxy, std::vector<Digest> pinned, KnownHosts known, Log& log )
  : sproxy_( std::move( sproxy ) ), pinned_( std::move( pinned ) ), known_( std::move( known ) ), log_( log )
{}

std::optional<std::string> HostTrust::objection( const Digest& identity ) const
{
  if ( not pinned_.empty() ) {
    if ( std::ranges::find( pinned_, identity ) != pinned_.end() ) {
      return std::nullopt;
    }
    return fmt::format(
      "it has the key {}, not the one given with --fingerprint: this is not our sproxy, or it was "
      "given another key",
      fingerprint( identity ) );
  }
  const KnownHost host = known_.lookup( sproxy_.host, sproxy_.port );
  if ( host.has( identity ) or host.is_new() ) {
    return std::nullopt;
  }
  if ( host.entries.empty() ) { // a line that cannot be read might have been about this host
    return host.problems.front();
  }
  const KnownHost::Entry& last = host.entries.back();
  return fmt::format( "THE KEY OF SPROXY {}:{} HAS CHANGED. It is {} now; {}, line {}, says {}. Somebody may be "
                      "listening in between, or "
                      "sproxy was set up anew. Ask its operator for its fingerprint (sproxy --print-key); if it is "
                      "the new one, remove "
                      "that line, and cproxy goes on by itself. Until then nothing is sent, and sessions wait",
                      sproxy_.host,
                      sproxy_.port,
                      fingerprint( identity ),
                      known_.path(),
                      last.line,
                      fingerprint( last.digest ) );
}

void HostTrust::met( const Digest& identity )
{
  if ( not pinned_.empty() or not known_.lookup( sproxy_.host, sproxy_.port ).is_new() ) {
    return;
  }
  if ( const std::string problem = known_.add( sproxy_.host, sproxy_.port, identity ); not problem.empty() ) {
    log_.warn( "cannot remember the key {} of sproxy {}:{}: {}",
               fingerprint( identity ),
               sproxy_.host,
               sproxy_.port,
               problem );
    return;
  }
  log_.info( "first contact: trusting the key {} of sproxy {}:{} from now on (in {})",
             fingerprint( identity ),
             sproxy_.host,
             sproxy_.port,
             known_.path() );
}

} // namespace holdfast
