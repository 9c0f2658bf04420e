#include "core/chain.hh"

#include "core/stores.hh"

#include <algorithm>
#include <cassert>

namespace holdfast {

namespace {

// So few bytes are overwritten at once. In a chunk of more that is given back, the next bytes will lie soon, or the
// pool sweeps it.
constexpr std::size_t wiped_at_once = 4096;

} // namespace

void Chain::adopt( std::span<const Pool::Index> chunks )
{
  assert( first_ == Pool::none and chunks.size() == record_.chunks_needed() );
  for ( const Pool::Index chunk : chunks ) {
    if ( tail_ == Pool::none ) {
      first_ = chunk;
    } else {
      pool_.set_next( tail_, chunk );
    }
    tail_ = chunk;
    ++chunks_;
  }
  if ( quota_ != nullptr ) {
    quota_->held += chunks_;
  }
  if ( not chunks.empty() ) {
    wipe( pool_.bytes( first_ ).first( offset( record_.begin ) ) );
    wipe( pool_.bytes( tail_ ).subspan( offset( record_.end - 1 ) + 1 ) );
  }
}

std::size_t Chain::space( std::size_t most, std::span<std::span<std::byte>> slices )
{
  commit( 0 ); // spare chunks of an earlier call
  std::size_t filled = 0;
  std::size_t asked = 0;

  // What is left of the chunk that holds the last byte.
  if ( asked < most and filled < slices.size() and tail_ != Pool::none and offset( record_.end ) != 0 ) {
    const auto rest = pool_.bytes( tail_ ).subspan( offset( record_.end ) );
    slices[filled] = rest.first( std::min( rest.size(), most ) );
    asked += slices[filled++].size();
  }

  Pool::Index last = tail_;
  Pool::Index allowed = share();
  while ( asked < most and filled < slices.size() and allowed-- > 0 ) {
    // Past the bytes there are, or the start of the next chunk, if they end with theirs.
    const Pool::Index chunk = take( ( record_.end + asked ) / Pool::chunk_size );
    if ( last == Pool::none ) {
      first_ = chunk;
    } else {
      pool_.set_next( last, chunk );
    }
    // Only the first chunk of an empty chain begins in its middle.
    const auto all = pool_.bytes( chunk ).subspan( last == Pool::none ? offset( record_.end ) : 0 );
    slices[filled] = all.first( std::min( all.size(), most - asked ) );
    asked += slices[filled++].size();
    last = chunk;
  }
  return filled;
}

void Chain::commit( std::size_t count )
{
  Position left = count;
  while ( left > 0 ) {
    // The chunk that takes the next byte: the tail, unless it is full (or there is none yet).
    if ( tail_ == Pool::none ) {
      tail_ = first_;
    } else if ( offset( record_.end ) == 0 ) {
      tail_ = pool_.next( tail_ );
    }
    assert( tail_ != Pool::none );
    const Position step = std::min<Position>( left, Pool::chunk_size - offset( record_.end ) );
    record_.end += step;
    left -= step;
  }
  give_all_after( tail_ );
}

std::span<const std::byte> Chain::read( Position at, Cursor& cursor ) const
{
  assert( at >= record_.begin and at <= record_.end );
  if ( at == record_.end ) {
    return {};
  }
  const Position start = at - offset( at );
  if ( at == record_.begin ) {
    cursor.chunk = first_;
  } else if ( cursor.chunk == Pool::none
              or ( cursor.start != start and cursor.start + Pool::chunk_size != start ) ) {
    cursor.chunk = chunk_with( at );
  } else if ( cursor.start != start ) {
    cursor.chunk = pool_.next( cursor.chunk );
  }
  cursor.start = start;
  const auto rest = pool_.bytes( cursor.chunk ).subspan( offset( at ) );
  return rest.first( std::min<std::size_t>( rest.size(), static_cast<std::size_t>( record_.end - at ) ) );
}

std::size_t Chain::peek( std::span<std::span<const std::byte>> slices ) const
{
  std::size_t filled = 0;
  Cursor cursor;
  for ( Position at = record_.begin; at < record_.end and filled < slices.size(); ++filled ) {
    slices[filled] = read( at, cursor );
    at += slices[filled].size();
  }
  return filled;
}

void Chain::forget( Position to )
{
  assert( to >= record_.begin and to <= record_.end );
  if ( to == record_.end ) {
    restart( to );
    return;
  }
  const Position from = record_.begin;
  record_.begin = to;
  keep_order();
  wipe_from_first( from, to );
}

void Chain::restart( Position at )
{
  const auto [from, to] = record_;
  record_.begin = at;
  record_.end = at;
  keep_order();
  clear( from, to );
}

Pool::Index Chain::chunk_with( Position at ) const
{
  Pool::Index chunk = first_;
  Position start = record_.begin - offset( record_.begin );
  for ( ; at - start >= Pool::chunk_size; start += Pool::chunk_size ) {
    chunk = pool_.next( chunk );
  }
  return chunk;
}

Pool::Index Chain::take( std::uint64_t number )
{
  const Pool::Index chunk = pool_.take( { .number = number, .owner = owner_ } );
  assert( chunk != Pool::none ); // nobody's share is larger than what is free
  ++chunks_;
  if ( quota_ != nullptr ) {
    ++quota_->held;
  }
  return chunk;
}

void Chain::give( Pool::Index chunk, bool soiled )
{
  pool_.give( chunk, soiled );
  --chunks_;
  if ( quota_ != nullptr ) {
    --quota_->held;
  }
}

// The bytes [from, to), of which the first is in the first chunk, are not needed any more, and neither are chunks
// in which there are no others.
void Chain::wipe_from_first( Position from, Position to )
{
  for ( ; to - ( from - offset( from ) ) >= Pool::chunk_size; from += Pool::chunk_size - offset( from ) ) {
    const Pool::Index gone = first_;
    const auto forgotten = pool_.bytes( gone ).subspan( offset( from ) );
    const bool soiled = forgotten.size() > wiped_at_once;
    if ( not soiled ) {
      wipe( forgotten );
    }
    first_ = pool_.next( gone );
    give( gone, soiled );
  }
  if ( from < to ) {
    wipe( pool_.bytes( first_ ).subspan( offset( from ), static_cast<std::size_t>( to - from ) ) );
  }
}

void Chain::give_all_after( Pool::Index last )
{
  Pool::Index chunk = last == Pool::none ? first_ : pool_.next( last );
  if ( last == Pool::none ) {
    first_ = Pool::none;
  } else {
    pool_.set_next( last, Pool::none );
  }
  while ( chunk != Pool::none ) {
    const Pool::Index next = pool_.next( chunk );
    give( chunk );
    chunk = next;
  }
}

void Chain::clear( Position begin, Position end )
{
  tail_ = Pool::none;
  wipe_from_first( begin, end );
  give_all_after( Pool::none );
  assert( chunks_ == 0 );
}

} // namespace holdfast
