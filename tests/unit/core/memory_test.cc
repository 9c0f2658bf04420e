#include "core/memory.hh"

#include <gtest/gtest.h>

#include <array>
#include <set>

namespace holdfast {
namespace {

TEST( Slots, EachRecordHasOneOwnerAndThenThereIsNone )
{
  std::array<SessionRecord, 3> records {};
  Slots slots { std::span<SessionRecord> { records } };
  std::set<SessionRecord*> taken;
  for ( int i = 0; i < 3; ++i ) {
    taken.insert( slots.take() );
  }
  EXPECT_EQ( taken.size(), 3U );
  EXPECT_FALSE( taken.contains( nullptr ) );
  EXPECT_EQ( slots.used(), 3U );
  EXPECT_EQ( slots.take(), nullptr );
  slots.give( *taken.begin() );
  EXPECT_EQ( slots.used(), 2U );
  EXPECT_EQ( slots.take(), *taken.begin() );
  EXPECT_EQ( slots.take(), nullptr );
}

TEST( Slots, NothingOfAnEarlierSessionIsLeftInARecord )
{
  std::array<SessionRecord, 1> records {};
  records[0].session = 99; // whatever was in the memory before
  Slots slots { std::span<SessionRecord> { records } };
  for ( int i = 0; i < 2; ++i ) {
    SessionRecord* const record = slots.take();
    ASSERT_NE( record, nullptr );
    EXPECT_EQ( record->session, 0U );
    EXPECT_EQ( record->inflow.delivered, 0U );
    EXPECT_EQ( record->outflow.kept.end, 0U );
    EXPECT_EQ( record->outflow.ended, 0U );
    EXPECT_EQ( record->cookie, 0U );
    record->session = 7;
    record->inflow.delivered = 8;
    record->outflow.kept = { .begin = 1, .end = 2 };
    record->outflow.ended = 1;
    record->cookie = 5;
    slots.give( record );
    EXPECT_EQ( records[0].session, 0U ) << "a free slot says so";
  }
}

// A process says that a slot is free before it overwrites the secrets in it, and may die between the two.
TEST( Slots, SecretsThatADeadProcessHadNoTimeToOverwriteAreOverwritten )
{
  Digest secret;
  secret.fill( std::byte { 7 } );
  std::array<TunnelRecord, 3> records {};
  for ( TunnelRecord& record : records ) {
    record.secrets = { .latest = secret, .before = secret, .has_before = 1 };
  }
  records[1].used = 1;
  Slots slots { std::span<TunnelRecord> { records } };
  slots.recover( records.size() );
  for ( const std::size_t slot : { 0U, 2U } ) {
    EXPECT_EQ( records.at( slot ).secrets.latest, Digest {} );
    EXPECT_EQ( records.at( slot ).secrets.before, Digest {} );
  }
  EXPECT_EQ( records[1].secrets.latest, secret );
  EXPECT_EQ( records[1].secrets.before, secret );
}

} // namespace
} // namespace holdfast
