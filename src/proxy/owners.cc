#include "proxy/owners.hh"

#include <algorithm>
#include <cassert>

namespace holdfast {

Owners::Claim Owners::claim( const Who& who )
{
  const std::scoped_lock lock { mutex_ };
  const auto fewest = std::min_element( claims_.rbegin(), claims_.rend() ); // the first one of them from behind
  return claim_at( who, static_cast<Shard>( claims_.rend() - fewest - 1 ) );
}

Owners::Claim Owners::claim( const Who& who, Shard shard )
{
  assert( shard < shards() );
  const std::scoped_lock lock { mutex_ };
  return claim_at( who, shard );
}

Owners::Claim Owners::claim_at( const Who& who, Shard shard )
{
  const auto estate = estates_.try_emplace( who, Estate { .shard = shard } ).first;
  ++estate->second.claims;
  ++claims_[estate->second.shard];
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
  --owners->claims_[estate_->second.shard];
  if ( --estate_->second.claims == 0 ) {
    owners->estates_.erase( estate_ );
  }
}

} // namespace holdfast
