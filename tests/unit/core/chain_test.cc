#include "core/chain.hh"

#include "unit/core/support.hh"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace holdfast {
namespace {

using namespace test;

constexpr std::size_t C = Pool::chunk_size;

// Appends as much of `bytes` as there is space for; returns how much.
std::size_t append( Chain& chain, std::string_view bytes, std::size_t slices_max = 8 )
{
  std::vector<std::span<std::byte>> slices( slices_max );
  const std::size_t filled = chain.space( bytes.size(), slices );
  std::size_t done = 0;
  for ( std::size_t i = 0; i < filled; ++i ) {
    EXPECT_FALSE( slices[i].empty() );
    std::ranges::copy( raw( bytes.substr( done, slices[i].size() ) ), slices[i].begin() );
    done += slices[i].size();
  }
  chain.commit( done );
  return done;
}

std::string content( const Chain& chain, Position from, Chain::Cursor& cursor )
{
  std::string out;
  for ( auto at = from; at < chain.end(); ) {
    const auto piece = chain.read( at, cursor );
    if ( piece.empty() ) {
      ADD_FAILURE() << "nothing to read before the end";
      break;
    }
    out += text( piece );
    at += piece.size();
  }
  return out;
}

std::string content( const Chain& chain )
{
  Chain::Cursor cursor;
  return content( chain, chain.begin(), cursor );
}

// Nobody takes a chunk any more.
void sweep( TestPool& pool )
{
  pool->sweep();
  pool->sweep();
}

TEST( Chain, KeepsWhatWasAppended )
{
  TestPool pool { 8 };
  ChainRecord record;
  Chain chain { *pool, record };
  const std::string bytes = stream( 0, 3 * C / 2 );
  EXPECT_EQ( append( chain, bytes ), bytes.size() );
  EXPECT_EQ( content( chain ), bytes );
  EXPECT_EQ( pool->used(), 2U );
}

TEST( Chain, HoldsNoChunkWhenThereIsNothingToKeep )
{
  TestPool pool { 8 };
  ChainRecord record;
  Chain chain { *pool, record };
  append( chain, "keystroke" );
  EXPECT_EQ( pool->used(), 1U );
  chain.forget( chain.end() );
  EXPECT_EQ( pool->used(), 0U );
  EXPECT_EQ( chain.begin(), 9U );
}

TEST( Chain, SpaceThatWasNotUsedGoesBack )
{
  TestPool pool { 20 };
  ChainRecord record;
  Chain chain { *pool, record };
  std::array<std::span<std::byte>, 8> slices;
  EXPECT_EQ( chain.space( 5 * C, slices ), 5U );
  EXPECT_EQ( pool->used(), 5U );
  chain.commit( 0 );
  EXPECT_EQ( pool->used(), 0U );
  static_cast<void>( chain.space( 5 * C, slices ) );
  chain.commit( C + 1 );
  EXPECT_EQ( pool->used(), 2U );
  static_cast<void>( chain.space( 5 * C, slices ) ); // and forgotten by its user
  EXPECT_EQ( append( chain, "x" ), 1U );
  EXPECT_EQ( pool->used(), 2U );
  EXPECT_EQ( chain.size(), C + 2 );
}

// space( 0 ) once handed out an empty slice when there was a chunk with room: a read into it returns 0 bytes, which
// looks like the end of the stream.
TEST( Chain, NoSpaceIsNoSlice )
{
  TestPool pool { 8 };
  ChainRecord record;
  Chain chain { *pool, record };
  std::array<std::span<std::byte>, 4> slices;
  EXPECT_EQ( chain.space( 0, slices ), 0U );
  append( chain, "half a chunk" );
  EXPECT_EQ( chain.space( 0, slices ), 0U );
  EXPECT_EQ( chain.space( 10, std::span<std::span<std::byte>> {} ), 0U );
}

TEST( Chain, SpaceIsNeverMoreThanAskedFor )
{
  TestPool pool { 20 };
  ChainRecord record;
  Chain chain { *pool, record };
  append( chain, "x" );
  std::array<std::span<std::byte>, 8> slices;
  for ( const std::size_t most : { std::size_t { 1 }, C - 1, C, C + 1, 3 * C } ) {
    const std::size_t filled = chain.space( most, slices );
    std::size_t all = 0;
    for ( std::size_t i = 0; i < filled; ++i ) {
      all += slices[i].size();
    }
    EXPECT_EQ( all, most );
  }
}

TEST( Chain, StopsWhereItsShareOfThePoolEnds )
{
  TestPool pool { 4 };
  ChainRecord one;
  ChainRecord two;
  Chain first { *pool, one };
  Chain second { *pool, two };
  EXPECT_EQ( append( first, stream( 0, 10 * C ), 16 ), 2 * C ); // half of four
  EXPECT_EQ( append( first, stream( 0, 10 * C ), 16 ), 0U );
  EXPECT_EQ( append( second, stream( 0, 10 * C ), 16 ), C );
  EXPECT_EQ( append( second, "x" ), 0U ); // the last one is a newcomer's
  EXPECT_EQ( pool->free(), 1U );
}

TEST( Chain, ACursorFollowsAReaderWhileBytesComeAndGo )
{
  TestPool pool { 64 };
  ChainRecord record;
  Chain chain { *pool, record };
  Chain::Cursor cursor;
  append( chain, stream( 0, 2 * C ) );
  EXPECT_EQ( text( chain.read( C - 10, cursor ) ), stream( C - 10, 10 ) );
  EXPECT_EQ( text( chain.read( C, cursor ) ), stream( C, C ) );
  EXPECT_TRUE( chain.read( 2 * C, cursor ).empty() ); // nothing yet
  append( chain, stream( 2 * C, 5 ) );
  EXPECT_EQ( text( chain.read( 2 * C, cursor ) ), stream( 2 * C, 5 ) );
  append( chain, stream( 2 * C + 5, 2 * C ) );
  chain.forget( 2 * C - 1 );
  EXPECT_EQ( text( chain.read( 2 * C + 5, cursor ) ), stream( 2 * C + 5, C - 5 ) );
  EXPECT_EQ( text( chain.read( 2 * C - 1, cursor ) ), stream( 2 * C - 1, 1 ) ); // back again
  EXPECT_EQ( text( chain.read( 4 * C, cursor ) ), stream( 4 * C, 5 ) );         // and far ahead
}

TEST( Chain, PeekShowsTheFirstPieces )
{
  TestPool pool { 16 };
  ChainRecord record;
  Chain chain { *pool, record };
  chain.restart( C - 3 );
  append( chain, stream( C - 3, 2 * C ) );
  std::array<std::span<const std::byte>, 2> slices;
  ASSERT_EQ( chain.peek( slices ), 2U );
  EXPECT_EQ( text( slices[0] ), stream( C - 3, 3 ) );
  EXPECT_EQ( text( slices[1] ), stream( C, C ) );
  std::array<std::span<const std::byte>, 5> all;
  EXPECT_EQ( chain.peek( all ), 3U );
}

TEST( Chain, GivesEverythingBackInTheEnd )
{
  TestPool pool { 16 };
  {
    ChainRecord record;
    Chain chain { *pool, record };
    append( chain, stream( 0, 2 * C + 1 ) );
    std::array<std::span<std::byte>, 4> slices;
    static_cast<void>( chain.space( 3 * C, slices ) );
    EXPECT_GT( pool->used(), 3U );
  }
  EXPECT_EQ( pool->used(), 0U );
}

// What is forgotten is not found in memory any more; and nothing else is written to but the rest of a chunk that
// was full, for that takes time, and pages.
TEST( Chain, ForgottenBytesAreOverwrittenAndNoOthers )
{
  TestPool pool { 8, 8 };
  std::ranges::fill( pool.bytes(), std::byte { 0xaa } );
  std::string image( 8 * C, '\xaa' ); // of the memory: chunks are taken in order
  const Position start = 100;
  const auto kept = [&]( Position from, Position to ) { // what lies between is as it was written
    const Position first = from >= C ? 0 : start;
    image.replace( first, from - first, from - first, '\0' );
    image.replace( from, to - from, stream( from, to - from ) );
  };
  const auto expect_image = [&]( const char* when ) {
    sweep( pool );
    const auto bytes = text( pool.bytes() );
    const auto [here, there] = std::ranges::mismatch( bytes, image );
    EXPECT_TRUE( here == bytes.end() ) << when << ": at " << here - bytes.begin();
  };
  const Position end = 2 * C + 50;
  {
    ChainRecord record;
    Chain chain { *pool, record };
    chain.restart( start );
    ASSERT_EQ( append( chain, stream( start, end - start ) ), end - start );
    kept( start, end );
    expect_image( "written" );
    for ( const Position to : { start + 1, start + 700, Position { C }, C + 1, Position { 2 * C } } ) {
      chain.forget( to );
      kept( to, end );
      expect_image( "forgotten a part" );
    }
  }
  kept( end, end );
  expect_image( "the chain is gone" );

  ChainRecord record;
  Chain chain { *pool, record };
  std::ranges::fill( pool.bytes(), std::byte { 0 } );
  for ( const bool restarts : { false, true } ) {
    append( chain, stream( 0, 3 * C - 1 ) );
    restarts ? chain.restart( 7 ) : chain.forget( chain.end() );
    sweep( pool );
    EXPECT_TRUE( std::ranges::all_of( pool.bytes(), []( std::byte b ) { return b == std::byte { 0 }; } ) );
  }
}

// A process stores that bytes are not needed before it overwrites them, and may die between the two. What came
// after the end was read and never booked.
TEST( Chain, WhatADeadProcessHadNoTimeToOverwriteIsOverwritten )
{
  TestPool pool { 8 };
  const std::array<Pool::Index, 3> chunks { pool->take(), pool->take(), pool->take() };
  std::ranges::fill( pool.bytes(), std::byte { 0xaa } );
  ChainRecord record { .begin = 5 * C + 100, .end = 7 * C + 50 };
  Chain chain { *pool, record };
  chain.adopt( chunks );
  const std::string image
    = std::string( 100, '\0' ) + std::string( 2 * C - 50, '\xaa' ) + std::string( C - 50, '\0' );
  EXPECT_TRUE( text( pool.bytes() ).substr( 0, 3 * C ) == image );
  EXPECT_EQ( content( chain ), std::string( 2 * C - 50, '\xaa' ) );
}

TEST( Chain, TakesNoMoreThanItsQuota )
{
  TestPool pool { 64 };
  Quota quota { .most = 10 };
  ChainRecord one;
  ChainRecord two;
  ChainRecord three;
  {
    Chain first { *pool, one, 0, &quota };
    Chain second { *pool, two, 0, &quota };
    EXPECT_EQ( append( first, stream( 0, 40 * C ), 64 ), 5 * C ); // half of what is left, and again
    EXPECT_EQ( append( second, stream( 0, 40 * C ), 64 ), 2 * C );
    EXPECT_EQ( quota.held, 7U );
    Chain third { *pool, three, 0, &quota };
    EXPECT_EQ( append( third, "x" ), 1U );
    while ( append( first, stream( 0, C ), 64 ) + append( second, stream( 0, C ), 64 ) > 0 ) {
    }
    EXPECT_LE( quota.held, quota.most );
    EXPECT_EQ( quota.held, pool->used() );

    ChainRecord another;
    Chain stranger { *pool, another }; // shares the pool, not the quota
    EXPECT_EQ( append( stranger, stream( 0, 10 * C ), 64 ), 10 * C );

    first.forget( 2 * C );
    std::array<std::span<std::byte>, 4> slices;
    static_cast<void>( first.space( 3 * C, slices ) ); // asked for, never used
    first.commit( 0 );
    second.restart( 0 );
    EXPECT_EQ( quota.held, pool->used() - 10 );
  }
  EXPECT_EQ( quota.held, 0U );
}

TEST( Chain, WhoHoldsNothingGetsTheLastChunkOfAQuotaAndNoMore )
{
  TestPool pool { 64 };
  Quota quota { .most = 2 };
  ChainRecord one;
  ChainRecord two;
  ChainRecord three;
  Chain first { *pool, one, 0, &quota };
  Chain second { *pool, two, 0, &quota };
  Chain third { *pool, three, 0, &quota };
  EXPECT_EQ( append( first, stream( 0, 9 * C ), 64 ), C );
  EXPECT_EQ( append( second, stream( 0, 9 * C ), 64 ), C );
  EXPECT_EQ( append( third, "x" ), 0U );
  EXPECT_EQ( third.share(), 0U );
  first.forget( C );
  EXPECT_EQ( append( third, "x" ), 1U );
}

TEST( Chain, WhatIsFoundAgainCountsInTheQuota )
{
  TestPool pool { 64 };
  Quota quota { .most = 2 }; // it was larger once
  ChainRecord record { .begin = 5, .end = 3 * C };
  std::array<Pool::Index, 3> chunks {};
  for ( Pool::Index& chunk : chunks ) {
    chunk = pool->take();
  }
  {
    Chain chain { *pool, record, 0, &quota };
    chain.adopt( chunks );
    EXPECT_EQ( quota.held, 3U );
    EXPECT_EQ( chain.share(), 0U );
    chain.forget( C );
    EXPECT_EQ( quota.held, 2U );
  }
  EXPECT_EQ( quota.held, 0U );
}

// Against something stupid: a string and where it begins.
TEST( Chain, BehavesAsAStringWould )
{
  for ( std::uint64_t seed = 1; seed <= 60; ++seed ) {
    Chance chance { seed };
    TestPool pool { static_cast<Pool::Index>( chance.between( 2, 24 ) ) };
    std::ranges::fill( pool.bytes(), std::byte { 0 } );
    // Another owner of the pool's chunks, so that a chunk given back is soon somebody else's.
    ChainRecord other_record;
    Chain other { *pool, other_record };
    const Position start = seed % 4 == 0 ? position_limit - 10 * C - chance.below( C ) : chance.below( 3 * C );
    std::string model;
    Position begin = start;
    Position reader = start;
    Chain::Cursor cursor;
    {
      ChainRecord record;
      Chain chain { *pool, record };
      chain.restart( start );
      for ( int step = 0; step < 300; ++step ) {
        switch ( chance.below( 6 ) ) {
          case 0:
          case 1: {
            const std::size_t size = chance.once_in( 3 ) ? C * chance.below( 3 ) : chance.below( C + C / 2 );
            const std::string more = stream( chain.end(), size );
            model += more.substr( 0, append( chain, more, chance.between( 1, 4 ) ) );
            break;
          }
          case 2: {
            const std::size_t gone = chance.once_in( 4 ) ? model.size() : chance.below( model.size() + 1 );
            begin += gone;
            model.erase( 0, gone );
            chain.forget( begin );
            if ( reader <= begin ) {
              reader = begin;
              cursor = {};
            }
            break;
          }
          case 3: { // a reader who goes forward, or starts again somewhere
            if ( chance.once_in( 5 ) ) {
              reader = begin + chance.below( model.size() + 1 );
              cursor = {};
            }
            const auto piece = chain.read( reader, cursor );
            ASSERT_EQ( text( piece ), model.substr( static_cast<std::size_t>( reader - begin ), piece.size() ) );
            ASSERT_EQ( piece.empty(), reader == chain.end() );
            reader += chance.below( piece.size() + 1 );
            break;
          }
          case 4: {
            std::array<std::span<std::byte>, 4> slices;
            static_cast<void>( chain.space( chance.below( 4 * C ), slices ) ); // asked for, never used
            break;
          }
          default:
            append( other, std::string( chance.below( 2 * C ), '!' ) );
            other.forget( other.begin() + chance.below( other.size() + 1 ) );
        }
        ASSERT_EQ( chain.begin(), begin ) << "seed " << seed;
        ASSERT_EQ( chain.size(), model.size() ) << "seed " << seed;
        if ( step % 16 == 0 ) {
          ASSERT_TRUE( content( chain ) == model ) << "seed " << seed;
        }
      }
      ASSERT_TRUE( content( chain ) == model ) << "seed " << seed;
    }
    other.restart( 0 );
    EXPECT_EQ( pool->used(), 0U ) << "seed " << seed;
    sweep( pool );
    EXPECT_TRUE( std::ranges::all_of( pool.bytes(), []( std::byte b ) { return b == std::byte { 0 }; } ) )
      << "seed " << seed << ": bytes are left in memory";
  }
}

} // namespace
} // namespace holdfast
