#include "proxy/owners.hh"

#include <algorithm>
#include <cassert>

namespace holdfast {

Owners::Claim Owners::claim( const Who& who )
{
  const std::scoped_lock lock { mutex_ };
  const auto fewest = std::min_element( clients_.rbegin(), clients_.rend() ); // the first one of them from behind
  return claim_at( who, static_cast<Shard>( clients_.rend() - fewest - 1 ) );
}

Owners::Claim Owners::claim( const Who& who, Shard shard )
{
  assert( shard < shards() );
  const std::scoped_lock lock { mutex_ };
  return claim_at( who, shard );
}

Owners::Claim Owners::claim_at( const Who& who, Shard shard )
{
  const auto [estate, is_new] = estates_.try_emplace( who, Estate { .shard = shard } );
  clients_[shard] += is_new ? 1U : 0U;
  ++estate->second.claims;
  return { *this, estate };
}

Owners::Claim& Owners::Claim::operator=( Claim&& other ) noexcept
{
  if ( this != &other ) {
    give_up();
    owners_ = std::exchange( other.owners_, nullptr );
    estate_ = other.estate_;
  }
  return *this;
}

void Owners::Claim::give_up()
{
  Owners* const owners = std::exchange( owners_, nullptr );
  if ( owners == nullptr ) {
    return;
  }
  const std::scoped_lock lock { owners->mutex_ };
  if ( --estate_->second.claims == 0 ) {
    --owners->clients_[estate_->second.shard];
    owners->estates_.erase( estate_ );
  }
}

} // namespace holdfast
