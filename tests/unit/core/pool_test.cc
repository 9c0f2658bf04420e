#include "core/pool.hh"

#include "unit/core/support.hh"

#include <gtest/gtest.h>

#include <array>

#include <set>

namespace holdfast {
namespace {

using namespace test;

// What gets cold now, of which each is a whole chunk.
std::set<const std::byte*> discarded_of( TestPool& pool, Pool::Index most = 100 )
{
  std::set<const std::byte*> discarded;
  pool->cool( most, [&]( std::span<std::byte> bytes ) {
    EXPECT_EQ( bytes.size(), Pool::chunk_size );
    EXPECT_TRUE( discarded.insert( bytes.data() ).second );
  } );
  return discarded;
}

TEST( Pool, GivesEachChunkOnceAndThenNone )
{
  TestPool pool { 5 };
  std::set<Pool::Index> taken;
  for ( int i = 0; i < 5; ++i ) {
    const auto chunk = pool->take();
    ASSERT_NE( chunk, Pool::none );
    EXPECT_EQ( pool->next( chunk ), Pool::none );
    EXPECT_EQ( pool->bytes( chunk ).size(), Pool::chunk_size );
    taken.insert( chunk );
  }
  EXPECT_EQ( taken.size(), 5U );
  EXPECT_EQ( pool->take(), Pool::none );
  EXPECT_EQ( pool->used(), 5U );
  EXPECT_EQ( pool->free(), 0U );
}

TEST( Pool, TheChunkGivenBackLastIsTakenFirst )
{
  TestPool pool { 4 };
  const auto first = pool->take();
  const auto second = pool->take();
  pool->give( first );
  pool->give( second );
  EXPECT_EQ( pool->take(), second );
  EXPECT_EQ( pool->take(), first );
}

TEST( Pool, ChunksNeverTakenAreTouchedLast )
{
  TestPool pool { 10, 1 };
  const auto first = pool->take();
  const auto second = pool->take();
  pool->give( first );
  pool->give( second );
  static_cast<void>( discarded_of( pool ) );
  EXPECT_EQ( discarded_of( pool ).size(), 1U ) << "one stays hot";
  EXPECT_EQ( ( std::set { pool->take(), pool->take() } ), ( std::set { first, second } ) ) << "and not a third one";
}

TEST( Pool, NobodyHoldsMoreThanRemains )
{
  TestPool pool { 100 };
  EXPECT_EQ( pool->share( 0 ), 44U ); // half of what is not reserved: an eighth, 12, is
  EXPECT_EQ( pool->share( 86 ), 1U );
  EXPECT_EQ( pool->share( 88 ), 0U );
  EXPECT_EQ( pool->share( 1000 ), 0U );
}

TEST( Pool, GreedyHoldersLeaveAPartToNewcomers )
{
  for ( const std::size_t holders : { 1U, 2U, 4U, 9U } ) {
    TestPool pool { 100 };
    std::vector<Pool::Index> held( holders, 0 );
    bool somebody_took = true;
    while ( somebody_took ) {
      somebody_took = false;
      for ( auto& mine : held ) {
        if ( pool->share( mine ) > 0 ) { // one at a time, in turn
          ASSERT_NE( pool->take(), Pool::none );
          ++mine;
          somebody_took = true;
        }
      }
    }
    const double part = 12 + 88.0 / static_cast<double>( holders + 1 );
    EXPECT_NEAR( pool->free(), part, 3.0 ) << holders << " greedy holders";
    EXPECT_GT( pool->share( 0 ), 0U );
  }
}

// Once: each that came took half of the rest and kept it, and after a dozen there was nothing left for anybody.
TEST( Pool, ThoseWhoComeOneAfterAnotherAndKeepAllLeaveAChunkForEachNewcomer )
{
  TestPool pool { 1000 };
  for ( int holder = 0; holder < 50; ++holder ) {
    for ( Pool::Index mine = 0; pool->share( mine ) > 0; ++mine ) {
      ASSERT_NE( pool->take(), Pool::none );
    }
  }
  int newcomers = 0;
  while ( pool->share( 0 ) > 0 ) {
    ASSERT_NE( pool->take(), Pool::none );
    ++newcomers;
  }
  EXPECT_GE( newcomers, 80 );
}

TEST( Pool, ANewcomerGetsTheLastChunk )
{
  TestPool pool { 3 };
  static_cast<void>( pool->take() );
  static_cast<void>( pool->take() );
  EXPECT_EQ( pool->share( 1 ), 0U );
  EXPECT_EQ( pool->share( 0 ), 1U );
  static_cast<void>( pool->take() );
  EXPECT_EQ( pool->share( 0 ), 0U );
}

// What is taken again at once need not be overwritten: the next bytes do that.
TEST( Pool, WhatLiesInAFreeChunkIsOverwrittenIfNobodyTakesIt )
{
  TestPool pool { 4, 4 };
  std::ranges::fill( pool.bytes(), std::byte { 0xaa } );
  const auto is_soiled = [&]( Pool::Index chunk ) { return pool->bytes( chunk ).back() != std::byte { 0 }; };
  const Pool::Index deep = pool->take();
  const Pool::Index high = pool->take();
  const Pool::Index clean = pool->take();
  pool->give( clean );
  EXPECT_FALSE( pool->to_sweep() );
  pool->give( deep, true );
  pool->give( high, true );
  EXPECT_TRUE( pool->to_sweep() );
  pool->sweep(); // the first one after they were given back
  EXPECT_TRUE( is_soiled( deep ) and is_soiled( high ) );

  EXPECT_EQ( pool->take(), high ) << "the last one, which is still in the cache";
  pool->give( high ); // unused
  pool->sweep();
  EXPECT_FALSE( is_soiled( deep ) ) << "nobody took it";
  EXPECT_TRUE( is_soiled( high ) );
  pool->sweep();
  EXPECT_FALSE( is_soiled( high ) ) << "it was soiled when it was taken";
  EXPECT_TRUE( is_soiled( clean ) );
  EXPECT_FALSE( pool->to_sweep() );
  EXPECT_EQ( pool->free(), 4U );
}

// Pages that lie in memory with somebody's bytes are not returned before those are overwritten.
TEST( Pool, ASoiledChunkIsOverwrittenBeforeItGetsCold )
{
  TestPool pool { 3, 1 };
  std::ranges::fill( pool.bytes(), std::byte { 0xaa } );
  const std::array chunks { pool->take(), pool->take() };
  pool->give( chunks[0], true );
  pool->give( chunks[1], true );
  EXPECT_FALSE( pool->to_cool() );
  EXPECT_EQ( discarded_of( pool ).size(), 0U );
  pool->sweep();
  pool->sweep();
  EXPECT_TRUE( pool->to_cool() );
  static_cast<void>( discarded_of( pool ) ); // the first one since they are too many
  EXPECT_EQ( discarded_of( pool ).size(), 1U );
  EXPECT_FALSE( pool->to_cool() );
  EXPECT_EQ( pool->bytes( chunks[0] ).front(), std::byte { 0 } );
  EXPECT_EQ( pool->bytes( chunks[1] ).front(), std::byte { 0 } );
}

TEST( Pool, EachColdChunkIsDiscardedOnce )
{
  TestPool pool { 6, 2 };
  std::vector<Pool::Index> chunks;
  for ( int i = 0; i < 6; ++i ) {
    chunks.push_back( pool->take() );
  }
  for ( const auto chunk : chunks ) {
    pool->give( chunk );
  }
  EXPECT_EQ( discarded_of( pool ).size(), 0U ) << "they may be needed again at once";
  EXPECT_EQ( discarded_of( pool ).size(), 4U ) << "two stay hot";
  EXPECT_EQ( discarded_of( pool ).size(), 0U ) << "nothing became cold since";

  // Cold chunks are chunks like any other.
  std::set<Pool::Index> again;
  for ( int i = 0; i < 6; ++i ) {
    again.insert( pool->take() );
  }
  EXPECT_EQ( again.size(), 6U );
  EXPECT_FALSE( again.contains( Pool::none ) );
  EXPECT_EQ( pool->take(), Pool::none );
}

// A crowd takes more than the hot chunks, gives them back, and takes them again. Each time their pages went to the
// system and came back, which was a quarter of what both proxies did for 10,000 sessions with a few bytes each.
TEST( Pool, WhatIsNeededAgainAndAgainStaysHot )
{
  TestPool pool { 6, 2 };
  for ( int round = 0; round < 5; ++round ) {
    std::vector<Pool::Index> chunks;
    for ( int i = 0; i < 5; ++i ) {
      chunks.push_back( pool->take() );
    }
    for ( const auto chunk : chunks ) {
      pool->give( chunk );
    }
    EXPECT_EQ( discarded_of( pool ).size(), 0U );
  }
}

TEST( Pool, OnlySoManyGetColdAtOnce )
{
  TestPool pool { 6, 0 };
  std::vector<Pool::Index> chunks;
  for ( int i = 0; i < 5; ++i ) {
    chunks.push_back( pool->take() );
  }
  for ( const auto chunk : chunks ) {
    pool->give( chunk );
  }
  EXPECT_EQ( discarded_of( pool, 3 ).size(), 0U );
  EXPECT_EQ( discarded_of( pool, 3 ).size(), 3U );
  EXPECT_TRUE( pool->to_cool() );
  EXPECT_EQ( discarded_of( pool, 3 ).size(), 2U );
  EXPECT_FALSE( pool->to_cool() );
}

TEST( Pool, WhateverHappensEveryChunkHasOneOwner )
{
  for ( std::uint64_t seed = 1; seed <= 50; ++seed ) {
    Chance chance { seed };
    const auto size = static_cast<Pool::Index>( chance.between( 1, 20 ) );
    TestPool pool { size, static_cast<Pool::Index>( chance.below( 6 ) ) };
    std::vector<Pool::Index> mine;
    std::vector<unsigned> stamp( size, 0 );
    for ( unsigned step = 1; step < 400; ++step ) {
      if ( chance.once_in( 8 ) ) {
        pool->cool( size, [&]( std::span<std::byte> bytes ) {
          for ( const auto chunk : mine ) {
            ASSERT_NE( bytes.data(), pool->bytes( chunk ).data() ) << "a chunk in use was discarded";
          }
        } );
      } else if ( chance.once_in( 2 ) ) {
        const auto chunk = pool->take();
        ASSERT_EQ( chunk == Pool::none, mine.size() == size );
        if ( chunk != Pool::none ) {
          ASSERT_EQ( std::ranges::count( mine, chunk ), 0 );
          ASSERT_EQ( pool->next( chunk ), Pool::none );
          mine.push_back( chunk );
        }
      } else if ( not mine.empty() ) {
        const auto at = static_cast<std::ptrdiff_t>( chance.below( mine.size() ) );
        pool->give( mine[static_cast<std::size_t>( at )] );
        mine.erase( mine.begin() + at );
      }
      ASSERT_EQ( pool->used(), mine.size() );
      ASSERT_EQ( pool->free(), size - mine.size() );
    }
  }
}

TEST( Pool, LabelsAreForWhoWantsThem )
{
  std::vector<std::byte> memory( 2 * Pool::chunk_size );
  std::array<Pool::Index, 2> next {};
  Pool plain { memory, next, {}, 1 };
  const auto chunk = plain.take( { .number = 7, .owner = 3 } );
  plain.give( chunk );
  EXPECT_EQ( plain.used(), 0U );

  std::array<Pool::Label, 2> labels {};
  Pool labelled { memory, next, labels, 1 };
  const auto mine = labelled.take( { .number = 7, .owner = 3 } );
  EXPECT_EQ( labels.at( mine ).number, 7U );
  EXPECT_EQ( labels.at( mine ).owner, 3U );
  labelled.give( mine );
  EXPECT_EQ( labels.at( mine ).owner, 0U ) << "nobody's any more";
}

TEST( Pool, WhatWasOverwrittenIsCleanUntilSomebodyWritesIntoIt )
{
  TestPool pool { 2 };
  const Pool::Index chunk = pool->take();
  pool->give( chunk, true );
  pool->sweep();
  pool->sweep();
  ASSERT_EQ( pool->take(), chunk );
  pool->give( chunk );
  EXPECT_FALSE( pool->to_sweep() ) << "it would be overwritten again each time";
}

TEST( Pool, AChunkIsTakenWithoutTheChainThatItWasIn )
{
  for ( const bool soiled : { false, true } ) {
    TestPool pool { 3 };
    const Pool::Index first = pool->take();
    const Pool::Index second = pool->take();
    pool->set_next( first, second );
    pool->give( second, soiled );
    pool->give( first, soiled );
    ASSERT_EQ( pool->take(), first );
    EXPECT_EQ( pool->next( first ), Pool::none ) << soiled;
  }
}

TEST( Pool, ChunksThatHaveTheirPagesAreTakenFirst )
{
  TestPool pool { 4, 1 };
  const std::array chunks { pool->take(), pool->take(), pool->take() };
  for ( const Pool::Index chunk : chunks ) {
    pool->give( chunk );
  }
  static_cast<void>( discarded_of( pool ) );
  const auto cold = discarded_of( pool );
  ASSERT_EQ( cold.size(), 2U );
  EXPECT_FALSE( cold.contains( pool->bytes( pool->take() ).data() ) );
}

TEST( Pool, WhatLiesInFreeChunksAfterACrashIsDiscarded )
{
  TestPool dead { 4 };
  const std::array chunks { dead->take( { .owner = 1 } ),
                            dead->take( { .owner = 1 } ),
                            dead->take( { .owner = 2 } ) };
  dead->give( chunks[1], true );
  TestPool pool { dead };
  std::set<const std::byte*> discarded;
  pool->recover( 4, [&]( std::span<std::byte> bytes ) { discarded.insert( bytes.data() ); } );
  EXPECT_EQ( discarded, std::set<const std::byte*> { pool->bytes( chunks[1] ).data() } );
  EXPECT_EQ( pool->used(), 2U );
}

} // namespace
} // namespace holdfast
