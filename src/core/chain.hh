#pragma once

#include "core/pool.hh"
#include "core/types.hh"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace holdfast {

// What must be known about a chain to find its bytes again, together with the labels of its chunks: plain data that
// may live in memory which outlives us. Each of the two changes in one store, after what it speaks of is there
// (`end`) and before it goes (`begin`), so the record is true at every instant.
struct ChainRecord
{
  Position begin = 0; // of the first byte kept
  Position end = 0;   // one past the last byte kept

  // How many chunks hold [begin, end).
  [[nodiscard]] std::uint64_t chunks_needed() const
  {
    return begin == end ? 0 : ( end - 1 ) / Pool::chunk_size - begin / Pool::chunk_size + 1;
  }
};

// The live window [begin, end) of an endless byte stream, kept in chunks of a pool. A chunk always holds the
// positions [k * chunk_size, (k + 1) * chunk_size) for some k, so a position alone says where in its chunk a byte
// lies.
//
//      first                                      last
//   [...bbbbbbbbbb] -> [bbbbbbbbbbbbb] -> [bbbb.........] -> [spare]
//       ^ begin                               ^ end
//
// Bytes are written straight into the space beyond `end` and become part of the chain with commit(). Those that
// cease to be part of it are overwritten: with zeros, at once, or as Pool says if they fill most of a chunk. Owns
// its chunks: the destructor gives them back. Uses the record, the pool and the quota it is given, which must
// outlive it. Invariants: begin <= end; a chain without bytes and without spare space holds no chunk.
class Chain
{
public:
  // A place in the chain for a reader who goes forward: remembers the chunk, so that no step has to search. A
  // reader who goes back to any place but begin() starts with an empty one again; at begin() every cursor is right,
  // also when the chunk it remembers has another life by now.
  struct Cursor
  {
    Pool::Index chunk = Pool::none;
    Position start = 0; // of the chunk's first byte
  };

  // `owner` stands on the labels of its chunks; 0: this chain need not be found again. `quota`: what it shares with
  // others, or nullptr. A record that is not empty needs adopt() next.
  Chain( Pool& pool, ChainRecord& record, std::uint32_t owner = 0, Quota* quota = nullptr )
    : pool_( pool ), record_( record ), quota_( quota ), owner_( owner )
  {}
  ~Chain() { clear( record_.begin, record_.end ); }
  Chain( const Chain& ) = delete;
  Chain& operator=( const Chain& ) = delete;
  // The chunks that hold [begin, end), in this order, found again by their labels: exactly chunks_needed(). What
  // else is in them is overwritten: who kept them before may have died before doing so.
  void adopt( std::span<const Pool::Index> chunks );

  [[nodiscard]] Position begin() const { return record_.begin; }
  [[nodiscard]] Position end() const { return record_.end; }
  [[nodiscard]] std::size_t size() const { return static_cast<std::size_t>( record_.end - record_.begin ); }
  // How many more chunks it may take now.
  [[nodiscard]] Pool::Index share() const
  {
    const Pool::Index share = pool_.share( chunks_ );
    return quota_ == nullptr ? share : std::min( share, quota_->share( chunks_ ) );
  }

  // Space for up to `most` bytes beyond `end`, taken from the pool as far as its share() allows, into at most
  // slices.size() slices. Returns how many slices are filled. Valid until the next call that changes the chain.
  [[nodiscard]] std::size_t space( std::size_t most, std::span<std::span<std::byte>> slices );
  // `count` bytes were written into that space. Gives unused chunks back; commit( 0 ) only does that.
  void commit( std::size_t count );

  // The bytes at `at` in [begin, end], as far as they lie in one chunk; empty at the end. Moves the cursor there.
  [[nodiscard]] std::span<const std::byte> read( Position at, Cursor& cursor ) const;
  // The bytes [begin, end) in up to slices.size() slices; returns how many.
  [[nodiscard]] std::size_t peek( std::span<std::span<const std::byte>> slices ) const;

  // Bytes before `to` in [begin, end] are not needed any more.
  void forget( Position to );
  // Forgets all, and starts again with an empty stream at `at`.
  void restart( Position at );

private:
  static std::size_t offset( Position at ) { return static_cast<std::size_t>( at % Pool::chunk_size ); }
  [[nodiscard]] Pool::Index chunk_with( Position at ) const; // by searching from the first
  [[nodiscard]] Pool::Index take( std::uint64_t number );
  void give( Pool::Index chunk, bool soiled = false );
  void give_all_after( Pool::Index last );
  void wipe_from_first( Position from, Position to );
  void clear( Position begin, Position end );

  Pool& pool_;
  ChainRecord& record_;
  Quota* quota_;
  std::uint32_t owner_;
  Pool::Index first_ = Pool::none; // the chunk that holds `begin`; the chain follows Pool::next to none
  Pool::Index tail_ = Pool::none;  // the chunk that holds end - 1, or none when there are no bytes
  Pool::Index chunks_ = 0;         // how many, spare ones at the end included
};

} // namespace holdfast
