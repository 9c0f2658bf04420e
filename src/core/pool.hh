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
// touched, so sparse memory stays sparse. Free chunks are hot, they keep their pages; beyond `hot_max`, those that
// nobody needed for a while become cold, and whoever owns the memory returns their pages to the system: that is
// cool()'s, which has to be called every so often while there is something to_cool(). Not at once, for a crowd of
// sessions that have a few bytes each takes and gives back more than `hot_max` chunks again and again. Invariant:
// free() + used() == the number of chunks.
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
    soiled_.reserve( next.size() );
  }
  // Instead of starting with all chunks free: those with an owner are taken; they are among the first `most`. The
  // others are cold: calls `discard( bytes )` for each, which must also make an end of what lies there. Call before
  // anything else.
  template<class Discard>
  void recover( std::size_t most, Discard discard );

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

  // Of the hot chunks that are too many, and that nobody needed since the last call, makes up to `most` cold: calls
  // `discard( bytes )` for each.
  template<class Discard>
  void cool( Index most, Discard discard )
  {
    for ( Index left = std::min( most, hot_least_ - std::min( hot_least_, hot_max_ ) ); left > 0; --left ) {
      const Index chunk = pop( hot_, next_ );
      --hot_count_;
      discard( bytes( chunk ) );
      push( cold_, chunk );
    }
    hot_least_ = hot_count_;
  }
  [[nodiscard]] bool to_cool() const { return hot_count_ > hot_max_; }

private:
  static Index pop( Index& list, std::span<Index> next )
  {
    const Index chunk = list;
    list = next[chunk];
    next[chunk] = none;
    return chunk;
  }
  void push( Index& list, Index chunk )
  {
    next_[chunk] = list;
    list = chunk;
  }
  void push_hot( Index chunk )
  {
    push( hot_, chunk );
    ++hot_count_;
  }

  std::span<std::byte> memory_;
  std::span<Index> next_;
  std::span<Label> labels_;
  Index hot_max_;
  Index used_ = 0;
  Index fresh_ = 0;                 // chunks from here on were never taken
  std::vector<Index> soiled_ {};    // free chunks: in use a moment ago, the last one at the end,
  std::size_t soiled_least_ = 0;    // (so many of them since the last sweep, at any time)
  Index hot_ = none;                // a list of those without anybody's bytes,
  Index hot_count_ = 0;             // so many,
  Index hot_least_ = 0;             // (at any time since they were cooled last)
  Index cold_ = none;               // a list of those whose pages were returned
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

template<class Discard>
void Pool::recover( std::size_t most, Discard discard )
{
  const auto labels = labels_.first( std::min( most, labels_.size() ) );
  const auto last = std::find_if( labels.rbegin(), labels.rend(), []( const Label& l ) { return l.owner != 0; } );
  fresh_ = static_cast<Index>( labels.rend() - last );
  for ( Index chunk = fresh_; chunk-- > 0; ) {
    if ( labels_[chunk].owner != 0 ) {
      next_[chunk] = none;
      ++used_;
    } else {
      discard( bytes( chunk ) );
      push( cold_, chunk );
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
    hot_least_ = std::min( hot_least_, hot_count_ );
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
  if ( soiled ) {
    soiled_.push_back( chunk );
  } else {
    push_hot( chunk );
  }
}

inline void Pool::sweep()
{
  const auto end = soiled_.begin() + static_cast<std::ptrdiff_t>( soiled_least_ );
  std::for_each( soiled_.begin(), end, [this]( Index chunk ) {
    wipe( bytes( chunk ) );
    soils_[chunk] = 0;
    push_hot( chunk );
  } );
  soiled_.erase( soiled_.begin(), end );
  soiled_least_ = soiled_.size();
}

} // namespace holdfast
