#include "core/denials.hh"

#include "unit/core/support.hh"

#include <gtest/gtest.h>

namespace holdfast {
namespace {

using namespace test;

std::string said( Denials& denials, std::size_t most = FrameBatch::bytes_max )
{
  Bytes rest;
  FrameBatch batch;
  batch.start( rest, most );
  denials.transmit( batch );
  const std::string all = gathered( batch );
  batch.finish( batch.bytes() );
  return all;
}

const std::string closed_7 = frame( { .type = FrameType::closed, .session = 7 } );
const std::string reset_8 = frame( { .type = FrameType::reset, .session = 8 }, "\5" );

TEST( Denials, EachSessionIsClosedOrResetInTheOrderTheyWereAskedFor )
{
  Denials denials;
  EXPECT_EQ( denials.add( 8, ResetReason::limit ), std::nullopt );
  EXPECT_EQ( denials.add( 7 ), std::nullopt );
  EXPECT_EQ( said( denials ), reset_8 + closed_7 );
  EXPECT_TRUE( denials.empty() );
}

TEST( Denials, WhatFindsNoRoomIsSaidLater )
{
  Denials denials;
  EXPECT_EQ( denials.add( 7 ), std::nullopt );
  EXPECT_EQ( denials.add( 8, ResetReason::limit ), std::nullopt );
  EXPECT_EQ( said( denials, 1 ), closed_7 );
  EXPECT_EQ( denials.size(), 1U );
  EXPECT_EQ( said( denials, 1 ), reset_8 );
}

TEST( Denials, ThereIsAnEndToPatience )
{
  Denials denials;
  for ( SessionId id = 1; id <= Denials::most; ++id ) {
    ASSERT_EQ( denials.add( id ), std::nullopt );
  }
  EXPECT_EQ( denials.add( 1 ), Fault::too_many_unknown );
  denials.clear();
  EXPECT_EQ( denials.add( 1 ), std::nullopt ) << "another link begins with nothing";
}

} // namespace
} // namespace holdfast
