#include "core/sessions.hh"

#include "unit/core/support.hh"

#include <gtest/gtest.h>

namespace holdfast {
namespace {

using namespace test;

const SessionLimits limits { .outflow = { 65536 }, .inflow = { 1000, 65536 } };

std::vector<SessionId> ids( const std::vector<Session*>& sessions )
{
  std::vector<SessionId> ids;
  for ( const Session* session : sessions ) {
    ids.push_back( session->id() );
  }
  return ids;
}

using Ids = std::vector<SessionId>;

TEST( Sessions, EachHasASlotAsLongAsItIsThere )
{
  TestMemory memory { 8, 8, 2 };
  const Memory all = memory.memory();
  Sessions sessions { Side::opener, 3, all, limits };
  Session* const one = sessions.make( 17, 1000 );
  ASSERT_NE( one, nullptr );
  EXPECT_EQ( one->record().tunnel, 3U );
  EXPECT_EQ( sessions.find( 17 ), one );
  EXPECT_EQ( sessions.find( 18 ), nullptr );
  ASSERT_NE( sessions.make( 18, 1000 ), nullptr );
  EXPECT_EQ( sessions.make( 19, 1000 ), nullptr ) << "there are two slots";
  sessions.drop( *one );
  EXPECT_EQ( sessions.find( 17 ), nullptr );
  EXPECT_EQ( sessions.size(), 1U );
  EXPECT_NE( sessions.make( 19, 1000 ), nullptr );
}

TEST( Sessions, TakeNothingAlong )
{
  TestMemory memory { 8, 8, 2 };
  const Memory all = memory.memory();
  {
    Sessions sessions { Side::opener, 0, all, limits };
    ASSERT_GT( write_into( sessions.make( 1, 1000 )->outflow(), "left" ), 0U );
    static_cast<void>( sessions.make( 2, 1000 ) );
    EXPECT_FALSE( memory.all_back() );
  }
  EXPECT_TRUE( memory.all_back() );
}

TEST( Sessions, TheLatestComeFirst )
{
  TestMemory memory { 8, 8, 4 };
  const Memory all = memory.memory();
  Sessions sessions { Side::opener, 0, all, limits };
  for ( SessionId id = 1; id <= 4; ++id ) {
    sessions.make( id, 1000 )->touched_last = 10 + id % 3;
  }
  sessions.find( 3 )->touched_last = 20;
  EXPECT_EQ( ids( sessions.latest_first( 2 ) ), ( Ids { 3, 2 } ) );
  EXPECT_EQ( sessions.latest_first( 9 ).size(), 4U );
  EXPECT_TRUE( sessions.latest_first( 0 ).empty() );
}

// The peer takes an open only with a number above all it has seen.
TEST( Sessions, ThoseThatThePeerDoesNotKnowAreOpenedInRisingOrder )
{
  TestMemory memory { 8, 8, 6 };
  const Memory all = memory.memory();
  Sessions sessions { Side::opener, 0, all, limits };
  for ( SessionId id = 1; id <= 6; ++id ) {
    Session& session = *sessions.make( id, 1000 );
    session.touched_last = id;
    session.record().known = id == 2 or id == 5 ? 1 : 0;
  }
  EXPECT_EQ( ids( sessions.in_order_of_a_link() ), ( Ids { 5, 2, 1, 3, 4, 6 } ) );
}

} // namespace
} // namespace holdfast
