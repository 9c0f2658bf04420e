#include "proxy/shards.hh"

#include "net/error.hh"
#include "net/ledger.hh"

#include <fmt/format.h>

#include <system_error>
#include <utility>

namespace holdfast {

namespace {

// Links on their way to a shard. One that has more to do than that sees to those whom it has first.
constexpr std::size_t passages_max = 1024;

} // namespace

std::vector<Predecessor> parts_of( Predecessor whole, std::size_t shards, std::uint64_t crashed_memory )
{
  std::vector<Fd> memories = whole.left == nullptr ? std::vector<Fd> {} : whole.left->take_memory( Arena::name );
  std::vector<Predecessor> parts( shards );
  for ( std::size_t i = 0; i < shards; ++i ) {
    Predecessor& part = parts[i];
    part.left = whole.left;
    part.others_follow = i + 1 < shards;
    if ( i < memories.size() ) {
      part.crashed = whole.crashed and ( crashed_memory == 0 or crashed_memory == inode_of( memories[i].get() ) );
      part.memory.push_back( std::move( memories[i] ) );
    }
  }
  parts.front().listeners = std::move( whole.listeners );
  return parts;
}

Shards::Shards( std::span<Loop* const> loops, const Make& make ) : owners_( loops.size() )
{
  for ( Loop* const loop : loops ) {
    Shard& shard = *shards_.emplace_back( std::make_unique<Shard>( *loop ) );
    if ( loops.size() > 1 ) {
      shard.mailbox.emplace( shard.loop );
      shard.siblings.emplace(
        Siblings { .owners = owners_, .self = shards_.size() - 1, .hand_over = [this]( Passage passage ) {
                    hand_over( std::move( passage ) );
                  } } );
    }
  }
  for ( std::size_t i = 0; i < shards_.size(); ++i ) {
    Shard& shard = *shards_[i];
    shard.sproxy = make( i, shard.siblings ? &*shard.siblings : nullptr );
  }
}

Shards::~Shards()
{
  for ( auto& shard : shards_ ) {
    if ( shard->thread.joinable() and not stopped() ) {
      shard->mailbox->post( [&its = *shard] { its.ends = true; } );
    }
  }
  for ( auto& shard : shards_ ) {
    if ( shard->thread.joinable() ) {
      shard->thread.join();
    }
  }
  // What none of them has read holds claims, and they hold each other's mailboxes.
  for ( auto& shard : shards_ ) {
    shard->mailbox.reset();
  }
}

void Shards::start( const Began& began )
{
  try {
    began( *shards_.front()->sproxy );
    for ( std::size_t i = 1; i < shards_.size(); ++i ) {
      shards_[i]->thread = std::thread { [began, &shard = *shards_[i]]() noexcept {
        began( *shard.sproxy );
        serve( shard );
      } };
    }
  } catch ( const std::system_error& problem ) {
    throw StartupError( fmt::format( "cannot start a thread: {}", problem.what() ) );
  }
}

// Whoever throws here ends the process, and the next one takes over.
void Shards::serve( Shard& shard ) noexcept
{
  while ( not shard.ends and not shard.sproxy->stopped() ) {
    shard.loop.wait( shard.sproxy->deadline() );
    shard.sproxy->turn();
  }
}

void Shards::hand_over( Passage passage )
{
  Shard& owner = *shards_[passage.claim.shard()];
  if ( owner.mailbox->waiting() < passages_max ) {
    owner.mailbox->post( [&sproxy = *owner.sproxy, passage = std::move( passage )]() mutable {
      sproxy.take_over( std::move( passage ) );
    } );
  }
}

void Shards::in_each( const std::function<void( Sproxy& )>& what )
{
  for ( auto& shard : shards_ ) {
    if ( shard->thread.joinable() ) {
      shard->mailbox->post( [what, &sproxy = *shard->sproxy] { what( sproxy ); } );
    } else {
      what( *shard->sproxy );
    }
  }
}

void Shards::stop()
{
  in_each( []( Sproxy& sproxy ) { sproxy.stop(); } );
}

} // namespace holdfast
