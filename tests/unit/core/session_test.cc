#include "core/session.hh"

#include "unit/core/support.hh"

#include <gtest/gtest.h>

// One session, on its own: what its tunnel's order of events hides. Most of its life is told in tunnel_test.cc.

namespace holdfast {
namespace {

using namespace test;
using namespace std::chrono_literals;

struct Alone
{
  TestMemory memory { 8, 8, 2 };
  Session session { Side::acceptor,
                    1,
                    *memory.slots().take(),
                    memory.memory(),
                    { .outflow = { 65536 }, .inflow = { 1000, 65536 } },
                    1000 };
  FrameBatch batch {};
  Bytes rest {};

  Verdict hear( FrameHeader header ) { return session.receive( Frame { header, {} } ); }
  void speak()
  {
    batch.start( rest );
    session.speak( batch, Time { 1h }, 1ms );
    batch.finish( batch.bytes() );
  }
};

TEST( Session, IsNotOverBeforeItSpokeOnTheLinkThatTookOver )
{
  // Both streams have ended and all is acknowledged; our last acknowledgement was lost with its link. On the next
  // one the peer expects to hear of the session: it would wait for ever if we forgot it now.
  Alone one;
  one.session.outflow().end();
  one.speak();
  ASSERT_EQ( one.hear( { .type = FrameType::end, .window = 1000, .session = 1 } ), std::nullopt );
  one.session.inflow().consume_end();
  one.speak();
  one.session.release();
  EXPECT_FALSE( one.session.over() ) << "our end is not acknowledged yet";

  one.session.new_link( 1000 );
  ASSERT_EQ( one.hear( { .type = FrameType::ack, .window = 1000, .session = 1, .acknowledgement = 1 } ),
             std::nullopt );
  ASSERT_TRUE( one.session.complete() );
  EXPECT_FALSE( one.session.over() );
  one.speak(); // resume, which says what was delivered
  EXPECT_TRUE( one.session.over() );
}

} // namespace
} // namespace holdfast
