#include "proxy/few_lines.hh"

#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>

#include <chrono>
#include <memory>
#include <sstream>
#include <string>

namespace holdfast {
namespace {

using namespace std::chrono_literals;
namespace level = spdlog::level;

class FewLinesTest : public testing::Test
{
protected:
  FewLinesTest() { log.set_pattern( "%l: %v" ); }

  void resume( int tunnels )
  {
    for ( int i = 0; i < tunnels; ++i ) {
      lines.say( now, level::info, "tunnel {} resumed" ); // what is said is no format
    }
  }
  // How many lines were said, and the last of them.
  [[nodiscard]] std::pair<long, std::string> said() const
  {
    std::istringstream text { out.str() };
    std::pair<long, std::string> all;
    for ( std::string line; std::getline( text, line ); ++all.first ) {
      all.second = line;
    }
    return all;
  }
  using Said = std::pair<long, std::string>;

  std::ostringstream out {};
  Log log { "test", std::make_shared<spdlog::sinks::ostream_sink_st>( out ) };
  FewLines lines { log, "tunnels resumed" };
  Time now = Time {} + 1h;
};

TEST_F( FewLinesTest, AFewAreSaidOneByOne )
{
  resume( 20 );
  EXPECT_EQ( said(), Said( 20, "info: tunnel {} resumed" ) );
  EXPECT_EQ( lines.deadline(), never );
  lines.tick( now + 1h );
  EXPECT_EQ( said().first, 20 );
}

TEST_F( FewLinesTest, OfAThousandTheRestIsCountedWhenTheSecondIsOver )
{
  resume( 600 );
  now += 999ms;
  resume( 400 );
  EXPECT_EQ( lines.deadline(), now + 1ms );
  lines.tick( now );
  EXPECT_EQ( said().first, 20 );
  lines.tick( now + 1ms );
  EXPECT_EQ( said(),
             Said( 21, "info: 980 more tunnels resumed within a second (--log-level debug tells of each)" ) );
  EXPECT_EQ( lines.deadline(), never );
}

TEST_F( FewLinesTest, TheNextSecondHasLinesOfItsOwn )
{
  resume( 21 );
  now += 1s;
  resume( 20 );
  EXPECT_EQ( said(), Said( 20 + 1 + 20, "info: tunnel {} resumed" ) ); // the count came before them
}

TEST_F( FewLinesTest, WhoWantsToKnowIsToldOfEach )
{
  log.set_level( level::debug );
  resume( 1000 );
  EXPECT_EQ( said().first, 1000 );
  EXPECT_EQ( lines.deadline(), never );
}

TEST_F( FewLinesTest, WhatIsBelowTheLevelOfTheLogIsNotCounted )
{
  log.set_level( level::warn );
  resume( 1000 );
  EXPECT_EQ( lines.deadline(), never );
  lines.say( now, level::warn, "refused" );
  EXPECT_EQ( said(), Said( 1, "warning: refused" ) );
}

} // namespace
} // namespace holdfast
