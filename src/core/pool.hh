#pragma once

#include "core/stores.hh"

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace holdfast {

// Chunks of equal size in memory that somebody else owns (and that outlives the Pool). Taken and given back one by
// one; a chunk's `next` chains it to another one, for its owner's purposes while taken and for ours while free.
//
// A pool whose chunks must be found again after the process died has labels, in memory that survives as well: they
// say whose each chunk is. All else here can be rebuilt from them (recover()).
//
// The chunk given back last is taken first: it is still in the processor's cache. Chunks never taken are not
// touched, so sparse memory stays sparse; beyond `hot_max` free chunks the rest become cold, and whoever owns the
// memory can return their pages to the system (cool()). Invariant: free() + used() == the number of chunks.
//
// What lies in a chunk that is given back must not be found there for long. Under load it is overwritten by those
// who take it next, which costs nothing; what nobody takes is overwritten by sweep(), which has to be called every
// so often while there is something to_sweep(). Of a taken chunk that is not full, the rest keeps what an earlier
// holder left there until it is given back.
class Pool
{
public:
  using Index = std::uint32_t;
  static constexpr Index none = ~Index { 0 };
  static constexpr std::size_t chunk_size = 16384; // one data frame's payload; four pages

  struct Label
  {
    std::uint64_t number = 0; // it holds the positions [number * chunk_size, (number + 1) * chunk_size)
    std::uint32_t owner = 0;  // of the stream that owner keeps; 0: the chunk is free
    std::uint32_t reserved = 0;
  };

  // `memory` holds next.size() chunks, `labels` is as long, or empty: then nothing is found again. The content of
  // none of them need be initialised, but that labels must be all zero.
  Pool( std::span<std::byte> memory, std::span<Index> next, std::span<Label> labels, Index hot_max )
    : memory_( memory ), next_( next ), labels_( labels ), hot_max_( hot_max ), soils_( next.size() )
  {
    assert( memory.size() == next.size() * chunk_size );
    assert( labels.empty() or labels.size() == next.size() );
    soiled_.reserve( hot_max );
  }
  // Instead of starting with all chunks free: those with an owner are taken; they are among the first `most`. Call
  // before anything else.
  void recover( std::size_t most );

  // A chunk whose `next` is none, or none when all are taken.
  [[nodiscard]] Index take( Label label );
  [[nodiscard]] Index take() { return take( Label {} ); } // nobody's: not found again
  // `soiled`: somebody's bytes lie in it. Of a chunk that had such when it was taken, that is true anyway.
  void give( Index chunk, bool soiled = false );

  [[nodiscard]] Index free() const { return static_cast<Index>( next_.size() ) - used_; }
  [[nodiscard]] Index used() const { return used_; }
  // Chunks from here on were never taken (by us).
  [[nodiscard]] Index fresh() const { return fresh_; }

  // How many more chunks somebody may take who holds `held` already. What is free is shared by letting nobody hold
  // more than remains ("dynamic thresholds", Choudhury and Hahne, IEEE/ACM ToN 6(2), 1998). Holders that come one
  // after another and never give anything back would still take it all in the end, half of the rest each, so the
  // last eighth is kept for those who hold nothing: they always get one chunk while there is one.
  [[nodiscard]] Index share( Index held ) const
  {
    return share_of( free(), static_cast<Index>( next_.size() ), held );
  }
  [[nodiscard]] static Index share_of( Index free, Index all, Index held )
  {
    const Index reserve = all / 8;
    const Index shared = free > reserve ? free - reserve : 0;
    const Index more = shared > held ? ( shared - held + 1 ) / 2 : 0;
    return held == 0 and free > 0 and more == 0 ? 1 : more;
  }

  [[nodiscard]] std::span<std::byte> bytes( Index chunk ) const
  {
    return memory_.subspan( std::size_t { chunk } * chunk_size, chunk_size );
  }
  [[nodiscard]] Index next( Index chunk ) const { return next_[chunk]; }
  void set_next( Index chunk, Index next ) { next_[chunk] = next; }

  // Overwrites with zeros the soiled chunks that nobody needed since the last call.
  void sweep();
  [[nodiscard]] bool to_sweep() const { return not soiled_.empty(); }

  // Calls `discard( bytes )` for each free chunk that became cold since the last call: what lies in it goes with
  // that.
  template<class Discard>
  void cool( Discard discard )
  {
    while ( lukewarm_ != none ) {
      const Index chunk = lukewarm_;
      lukewarm_ = next_[chunk];
      discard( bytes( chunk ) );
      soils_[chunk] = 0;
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
  std::span<Label> labels_;
  Index hot_max_;
  Index used_ = 0;
  Index fresh_ = 0; // chunks from here on were never taken
  Index hot_count_ = 0;
  std::vector<Index> soiled_ {};    // free chunks: in use a moment ago, the last one at the end,
  std::size_t soiled_least_ = 0;    // (so many of them since the last sweep, at any time)
  Index hot_ = none;                // lists of free chunks: the same without anybody's bytes,
  Index lukewarm_ = none;           // too many of both, pages still there,
  Index cold_ = none;               // pages returned
  std::vector<std::uint8_t> soils_; // 1: bytes of an earlier holder may lie in it, free or taken
};

// A part of a pool that several holders share: they hold `most` chunks together at most, and among themselves they
// share as they do with everybody in the pool. More may have been found again after the process died.
struct Quota
{
  Pool::Index most = 0;
  Pool::Index held = 0;

  [[nodiscard]] Pool::Index share( Pool::Index held_by_one ) const
  {
    return Pool::share_of( most > held ? most - held : 0, most, held_by_one );
  }
};

inline void Pool::recover( std::size_t most )
{
  const auto labels = labels_.first( std::min( most, labels_.size() ) );
  const auto last = std::find_if( labels.rbegin(), labels.rend(), []( const Label& l ) { return l.owner != 0; } );
  fresh_ = static_cast<Index>( labels.rend() - last );
  for ( Index chunk = fresh_; chunk-- > 0; ) {
    if ( labels_[chunk].owner != 0 ) {
      next_[chunk] = none;
      ++used_;
    } else {
      next_[chunk] = lukewarm_;
      lukewarm_ = chunk;
      soils_[chunk] = 1; // for all we know
    }
  }
}

inline Pool::Index Pool::take( Label label )
{
  Index chunk = none;
  if ( not soiled_.empty() ) {
    chunk = soiled_.back();
    soiled_.pop_back();
    soiled_least_ = std::min( soiled_least_, soiled_.size() );
    next_[chunk] = none;
  } else if ( hot_ != none ) {
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
  if ( not labels_.empty() ) {
    labels_[chunk].number = label.number;
    keep_order(); // its new owner's bytes are nowhere else
    labels_[chunk].owner = label.owner;
  }
  return chunk;
}

inline void Pool::give( Index chunk, bool soiled )
{
  assert( chunk < fresh_ and used_ > 0 );
  --used_;
  if ( not labels_.empty() ) {
    labels_[chunk].owner = 0;
  }
  soiled = soils_[chunk] != 0 or soiled;
  soils_[chunk] = soiled ? 1 : 0;
  if ( hot_count_ + soiled_.size() >= hot_max_ ) {
    next_[chunk] = lukewarm_;
    lukewarm_ = chunk;
  } else if ( soiled ) {
    soiled_.push_back( chunk );
  } else {
    next_[chunk] = hot_;
    hot_ = chunk;
    ++hot_count_;
  }
}

inline void Pool::sweep()
{
  const auto end = soiled_.begin() + static_cast<std::ptrdiff_t>( soiled_least_ );
  std::for_each( soiled_.begin(), end, [this]( Index chunk ) {
    wipe( bytes( chunk ) );
    soils_[chunk] = 0;
    next_[chunk] = hot_;
    hot_ = chunk;
    ++hot_count_;
  } );
  soiled_.erase( soiled_.begin(), end );
  soiled_least_ = soiled_.size();
}

} // namespace holdfast
