#include "core/bulk_meter.hh"

#include <gtest/gtest.h>

namespace holdfast {
namespace {

using namespace std::chrono_literals;

constexpr BulkMeter::Limits limits { .least = 1000, .span = 500ms };
constexpr Time start { 1h };

TEST( BulkMeter, MuchInEverySpanIsBulk )
{
  BulkMeter meter;
  meter.look( 0, start, limits );
  EXPECT_FALSE( meter.is_bulk() );
  meter.look( 1000, start + 500ms, limits );
  EXPECT_TRUE( meter.is_bulk() );
  meter.look( 1999, start + 1s, limits );
  EXPECT_FALSE( meter.is_bulk() ) << "one byte less";
}

TEST( BulkMeter, MakesUpItsMindWhenASpanIsOver )
{
  BulkMeter meter;
  meter.look( 0, start, limits );
  meter.look( 5000, start + 499ms, limits );
  EXPECT_FALSE( meter.is_bulk() ) << "it may be all that comes";
  meter.look( 5000, start + 500ms, limits );
  EXPECT_TRUE( meter.is_bulk() );
  meter.look( 5000, start + 999ms, limits );
  EXPECT_TRUE( meter.is_bulk() ) << "a short pause is none";
  meter.look( 5000, start + 1s, limits );
  EXPECT_FALSE( meter.is_bulk() );
}

TEST( BulkMeter, WhatCameInSeveralSpansCountsForAllOfThem )
{
  BulkMeter meter;
  meter.look( 0, start, limits );
  meter.look( 3999, start + 2s, limits );
  EXPECT_FALSE( meter.is_bulk() );
  meter.look( 7999, start + 4s, limits );
  EXPECT_TRUE( meter.is_bulk() );
}

// A stream of an earlier process has come far already.
TEST( BulkMeter, WhatWasBeforeItLookedIsNotMuch )
{
  BulkMeter meter;
  meter.look( 1'000'000'000, start, limits );
  EXPECT_FALSE( meter.is_bulk() );
  meter.look( 1'000'000'999, start + 500ms, limits );
  EXPECT_FALSE( meter.is_bulk() );
}

TEST( BulkMeter, AMegabitASecondIsMuchAndAScreenIsNot )
{
  BulkMeter meter;
  meter.look( 0, start, {} );
  meter.look( 20'000, start + 500ms, {} );
  EXPECT_FALSE( meter.is_bulk() );
  meter.look( 20'000 + 62'500, start + 1s, {} );
  EXPECT_TRUE( meter.is_bulk() );
}

} // namespace
} // namespace holdfast
