#pragma once

#include "core/memory.hh"
#include "proxy/client.hh"
#include "proxy/config.hh"

#include <algorithm>
#include <span>
#include <vector>

namespace holdfast {

// What one client (one key) has at sproxy, in all of its tunnels together, and whether that is more than it may
// have. So nothing that one client does makes sproxy look at another one's tunnels.
//
// How many tunnels it may have is Admission's to say: that must be known before there is one, and after a crash.
class Account
{
public:
  explicit Account( const ClientLimits& limits )
    : limits_( limits )
    , quotas_( std::max( static_cast<Pool::Index>( limits.memory / Pool::chunk_size ), Pool::Index { 1 } ) )
  {}

  // Its sessions' share of the memory; must outlive its tunnels.
  [[nodiscard]] Quotas& quotas() { return quotas_; }

  void opened( Client& tunnel ) { tunnels_.push_back( &tunnel ); }
  void closed( Client& tunnel ) { std::erase( tunnels_, &tunnel ); }
  [[nodiscard]] std::span<Client* const> tunnels() const { return tunnels_; }

  // Its sessions are only looked at when there may be too many.
  [[nodiscard]] bool has_too_many_sessions() const
  {
    std::size_t at_most = 0; // with those that were reset and not forgotten yet
    for ( const Client* tunnel : tunnels_ ) {
      at_most += tunnel->end().tunnel().sessions();
    }
    return at_most > limits_.sessions and sessions() > limits_.sessions;
  }

private:
  [[nodiscard]] std::size_t sessions() const
  {
    std::size_t sessions = 0;
    for ( Client* tunnel : tunnels_ ) {
      sessions += tunnel->sessions();
    }
    return sessions;
  }

  ClientLimits limits_;
  Quotas quotas_;
  std::vector<Client*> tunnels_ {};
};

} // namespace holdfast
