#include "core/fresh.hh"

#include "unit/core/support.hh"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace holdfast {
namespace {

using namespace test;

std::string all( const Fresh& fresh, const Fresh::List& list )
{
  std::array<std::span<const std::byte>, Fresh::views_max> slices;
  std::string out;
  for ( std::size_t i = 0, count = fresh.peek( list, slices ); i < count; ++i ) {
    out += text( slices[i] );
  }
  return out;
}

TEST( Fresh, KeepsTheStreamsApart )
{
  Fresh fresh;
  Fresh::List one, two;
  fresh.append( one, raw( "a" ) );
  fresh.append( two, raw( "1" ) );
  fresh.append( one, raw( "bc" ) );
  fresh.append( two, raw( "23" ) );
  EXPECT_EQ( all( fresh, one ), "abc" );
  EXPECT_EQ( all( fresh, two ), "123" );
  EXPECT_EQ( one.bytes(), 3U );
}

TEST( Fresh, ForgetsFromTheFrontAndGoesOn )
{
  Fresh fresh;
  Fresh::List list;
  fresh.append( list, raw( "abc" ) );
  fresh.append( list, raw( "def" ) );
  fresh.forget( list, 1 );
  EXPECT_EQ( all( fresh, list ), "bcdef" );
  fresh.forget( list, 3 );
  EXPECT_EQ( all( fresh, list ), "ef" );
  fresh.append( list, raw( "g" ) );
  fresh.forget( list, 2 );
  EXPECT_EQ( all( fresh, list ), "g" );
  fresh.forget( list, 1 );
  EXPECT_EQ( all( fresh, list ), "" );
  fresh.append( list, raw( "hi" ) ); // after it was empty
  EXPECT_EQ( all( fresh, list ), "hi" );
}

TEST( Fresh, HasSoManyPlacesAndGetsThemBackTogether )
{
  Fresh fresh;
  Fresh::List list;
  for ( std::size_t i = 0; i < Fresh::views_max; ++i ) {
    EXPECT_FALSE( fresh.full() );
    fresh.append( list, raw( "x" ) );
  }
  EXPECT_TRUE( fresh.full() );
  fresh.forget( list, list.bytes() );
  EXPECT_TRUE( fresh.full() );
  fresh.clear();
  EXPECT_FALSE( fresh.full() );
  fresh.append( list, raw( "y" ) );
  EXPECT_EQ( all( fresh, list ), "y" );
  std::array<std::span<const std::byte>, 2> slices;
  EXPECT_EQ( fresh.peek( list, slices ), 1U ) << "and goes on nowhere";
}

TEST( Fresh, ShowsNoMoreThanThereAreSlicesFor )
{
  Fresh fresh;
  Fresh::List list;
  for ( int i = 0; i < 3; ++i ) {
    fresh.append( list, raw( "x" ) );
  }
  std::array<std::span<const std::byte>, 3> slices;
  EXPECT_EQ( fresh.peek( list, std::span { slices }.first( 2 ) ), 2U );
  EXPECT_FALSE( slices[1].empty() );
  EXPECT_TRUE( slices[2].empty() ) << "this one is not ours";
}

} // namespace
} // namespace holdfast
