#pragma once

#include "core/initiation.hh"

#include <cstddef>
#include <map>
#include <mutex>
#include <tuple>
#include <utility>
#include <vector>

namespace holdfast {

// Which shard of an sproxy has what of which client. All that a client has, a link that has said its hello or a
// tunnel, is in one shard, and nothing of him anywhere else: so what he may have is counted there. Who has nothing
// yet belongs to the shard where the least is, so nobody can fill one while there is room in others; and among
// equals to the last one: the first one is the door, and has handshakes to do.
//
// Whoever keeps something of a client has a claim for as long. Any thread may make claims and give them up; the
// owners must outlive them.
class Owners
{
public:
  using Shard = std::size_t;

  // A client is his key; on links in the clear, which have none, his instance.
  struct Who
  {
    Digest identity {};
    Id instance {};
    bool operator==( const Who& ) const = default;
    bool operator<( const Who& other ) const
    {
      return std::tie( identity, instance ) < std::tie( other.identity, other.instance );
    }
  };
  [[nodiscard]] static Who who( const Digest& identity, const Id& instance )
  {
    return identity == Digest {} ? Who { .instance = instance } : Who { .identity = identity };
  }

private:
  struct Estate
  {
    Shard shard = 0;
    std::size_t claims = 0;
  };
  using Estates = std::map<Who, Estate>;

public:
  class Claim
  {
  public:
    Claim() = default; // of nothing
    Claim( Claim&& other ) noexcept : owners_( std::exchange( other.owners_, nullptr ) ), estate_( other.estate_ )
    {}
    Claim& operator=( Claim&& other ) noexcept;
    Claim( const Claim& ) = delete;
    Claim& operator=( const Claim& ) = delete;
    ~Claim() { give_up(); }

    explicit operator bool() const { return owners_ != nullptr; }
    // Of a claim of something.
    [[nodiscard]] Shard shard() const { return estate_->second.shard; }

  private:
    friend class Owners;
    Claim( Owners& owners, Estates::iterator estate ) : owners_( &owners ), estate_( estate ) {}
    void give_up();

    Owners* owners_ = nullptr;
    Estates::iterator estate_ {};
  };

  explicit Owners( std::size_t shards ) : claims_( shards ) {}

  [[nodiscard]] std::size_t shards() const { return claims_.size(); }
  [[nodiscard]] Claim claim( const Who& who );
  // This shard has a tunnel of his. Where another one has something already, that one is the owner.
  [[nodiscard]] Claim claim( const Who& who, Shard shard );

private:
  [[nodiscard]] Claim claim_at( const Who& who, Shard shard );

  mutable std::mutex mutex_ {};
  Estates estates_ {}; // under the mutex, but for the shard of one that is claimed, which never changes
  std::vector<std::size_t> claims_; // of what is in each shard; under the mutex, but for how many shards there are
};

} // namespace holdfast
