#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>

namespace holdfast {

// Chunks of equal size in memory that somebody else owns (and that outlives the Pool). Taken and given back one by
// one; a chunk's `next` chains it to another one, for its owner's purposes while taken and for ours while free.
//
// The chunk given back last is taken first: it is still in the processor's cache. Chunks never taken are not
// touched, so sparse memory stays sparse; beyond `hot_max` free chunks the rest become cold, and whoever owns the
// memory can return their pages to the system (cool()). Invariant: free() + used() == the number of chunks.
class Pool
{
public:
  using Index = std::uint32_t;
  static constexpr Index none = ~Index { 0 };
  static constexpr std::size_t chunk_size = 16384; // one data frame's payload; four pages

  // `memory` holds next.size() chunks. Its content need not be initialised.
  Pool( std::span<std::byte> memory, std::span<Index> next, Index hot_max )
    : memory_( memory ), next_( next ), hot_max_( hot_max )
  {
    assert( memory.size() == next.size() * chunk_size );
  }

  // A chunk whose `next` is none, or none when all are taken.
  [[nodiscard]] Index take();
  void give( Index chunk );

  [[nodiscard]] Index free() const { return static_cast<Index>( next_.size() ) - used_; }
  [[nodiscard]] Index used() const { return used_; }

  // How many more chunks somebody may take who holds `held` already. What is free is shared by letting nobody hold
  // more than remains ("dynamic thresholds", Choudhury and Hahne, IEEE/ACM ToN 6(2), 1998). Holders that come one
  // after another and never give anything back would still take it all in the end, half of the rest each, so the
  // last eighth is kept for those who hold nothing: they always get one chunk while there is one.
  [[nodiscard]] Index share( Index held ) const
  {
    const Index reserve = static_cast<Index>( next_.size() / 8 );
    const Index shared = free() > reserve ? free() - reserve : 0;
    const Index more = shared > held ? ( shared - held + 1 ) / 2 : 0;
    return held == 0 and free() > 0 and more == 0 ? 1 : more;
  }

  [[nodiscard]] std::span<std::byte> bytes( Index chunk ) const
  {
    return memory_.subspan( std::size_t { chunk } * chunk_size, chunk_size );
  }
  [[nodiscard]] Index next( Index chunk ) const { return next_[chunk]; }
  void set_next( Index chunk, Index next ) { next_[chunk] = next; }

  // Calls `discard( bytes )` for each free chunk that became cold since the last call.
  template<class Discard>
  void cool( Discard discard )
  {
    while ( lukewarm_ != none ) {
      const Index chunk = lukewarm_;
      lukewarm_ = next_[chunk];
      discard( bytes( chunk ) );
      next_[chunk] = cold_;
      cold_ = chunk;
    }
  }

private:
  static Index pop( Index& list, std::span<Index> next )
  {
    const Index chunk = list;
    list = next[chunk];
    next[chunk] = none;
    return chunk;
  }

  std::span<std::byte> memory_;
  std::span<Index> next_;
  Index hot_max_;
  Index used_ = 0;
  Index fresh_ = 0; // chunks from here on were never taken
  Index hot_count_ = 0;
  Index hot_ = none;      // lists of free chunks: in use a moment ago,
  Index lukewarm_ = none; // too many of those, pages still there,
  Index cold_ = none;     // pages returned
};

inline Pool::Index Pool::take()
{
  Index chunk = none;
  if ( hot_ != none ) {
    chunk = pop( hot_, next_ );
    --hot_count_;
  } else if ( lukewarm_ != none ) {
    chunk = pop( lukewarm_, next_ );
  } else if ( cold_ != none ) {
    chunk = pop( cold_, next_ );
  } else if ( fresh_ < next_.size() ) {
    chunk = fresh_++;
    next_[chunk] = none;
  } else {
    return none;
  }
  ++used_;
  return chunk;
}

inline void Pool::give( Index chunk )
{
  assert( chunk < fresh_ and used_ > 0 );
  --used_;
  if ( hot_count_ < hot_max_ ) {
    next_[chunk] = hot_;
    hot_ = chunk;
    ++hot_count_;
  } else {
    next_[chunk] = lukewarm_;
    lukewarm_ = chunk;
  }
}

} // namespace holdfast
