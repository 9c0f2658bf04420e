#include "core/queue.hh"

#include "unit/core/support.hh"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <deque>

namespace holdfast {
namespace {

struct Item
{
  Place<Item> here {};
  Place<Item> there {};
};
using Here = Queue<Item, &Item::here>;
using There = Queue<Item, &Item::there>;

TEST( Queue, FirstInFirstOutAndEachOnce )
{
  std::array<Item, 3> items;
  Here queue;
  EXPECT_EQ( queue.pop_front(), nullptr );
  queue.push_back( items[0] );
  queue.push_back( items[1] );
  queue.push_back( items[0] );
  queue.push_front( items[2] );
  queue.push_front( items[1] );
  EXPECT_EQ( queue.size(), 3U );
  EXPECT_EQ( queue.pop_front(), &items[2] );
  EXPECT_EQ( queue.pop_front(), &items[0] );
  EXPECT_EQ( queue.pop_front(), &items[1] );
  EXPECT_EQ( queue.pop_front(), nullptr );
  EXPECT_TRUE( queue.empty() );
}

TEST( Queue, AnItemMayBeInAnotherQueueAsWell )
{
  Item item;
  Here here;
  There there;
  here.push_back( item );
  EXPECT_FALSE( there.has( item ) );
  there.push_back( item );
  here.clear();
  EXPECT_FALSE( here.has( item ) );
  EXPECT_TRUE( there.has( item ) );
  EXPECT_EQ( there.pop_front(), &item );
}

TEST( Queue, BehavesAsAListWould )
{
  for ( std::uint64_t seed = 1; seed <= 20; ++seed ) {
    test::Chance chance { seed };
    std::array<Item, 5> items;
    Here queue;
    std::deque<Item*> model;
    for ( int step = 0; step < 500; ++step ) {
      Item& item = items.at( chance.below( items.size() ) );
      const bool is_there = std::ranges::count( model, &item ) > 0;
      ASSERT_EQ( queue.has( item ), is_there );
      if ( chance.once_in( 3 ) ) {
        Item* const first = model.empty() ? nullptr : model.front();
        ASSERT_EQ( queue.pop_front(), first ) << "seed " << seed;
        if ( first != nullptr ) {
          model.pop_front();
        }
      } else if ( chance.once_in( 2 ) ) {
        queue.push_back( item );
        if ( not is_there ) {
          model.push_back( &item );
        }
      } else {
        queue.push_front( item );
        if ( not is_there ) {
          model.push_front( &item );
        }
      }
      ASSERT_EQ( queue.size(), model.size() );
      ASSERT_EQ( queue.empty(), model.empty() );
    }
  }
}

TEST( Queue, WhoWasInAQueueThatIsClearedIsInNone )
{
  std::array<Item, 3> items;
  Here queue;
  for ( Item& item : items ) {
    queue.push_back( item );
  }
  queue.clear();
  EXPECT_TRUE( queue.empty() );
  EXPECT_EQ( queue.size(), 0U );
  for ( Item& item : items ) {
    EXPECT_FALSE( queue.has( item ) );
  }
}

} // namespace
} // namespace holdfast
