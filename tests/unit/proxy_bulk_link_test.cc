#include "proxy/bulk_link.hh"
#include "unit/core/support.hh"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <optional>
#include <string>
#include <utility>

// A bulk link over 127.0.0.1, and how its end is told.

namespace holdfast {
namespace {

using namespace std::chrono_literals;

class BulkLinkTest
  : public testing::Test
  , public LinkOwner
{
protected:
  Loop loop {};
  FrameBatch batch {};
  test::TestMemory memory { 4, 4, 2 };
  TunnelRecord record {};
  Tunnel tunnel { Side::opener, record, memory.memory(), {} };
  std::optional<std::string> ended {};
  BulkLink bulk {
    loop,
    batch,
    tunnel,
    { .payloads_go = [] {}, .stirred = [] {}, .ended = [this]( const std::string& why ) { ended = why; } }
  };
  std::vector<std::byte> scratch = std::vector<std::byte>( 1000 );
  Fd listener = listen_on( literal_address( "127.0.0.1", 0 ).value() );
  Fd peer {};

  void SetUp() override
  {
    tunnel.attach( 65536 );
    Connecting connecting = connect_to( local_address( listener.get() ) );
    auto link = std::make_unique<LinkLeg>(
      loop, *this, clear_wire( std::move( connecting.fd ) ), true, FrameType::welcome, Pulse::Config {}, scratch );
    wait( [&] { return link->connected(); } );
    pollfd waiting { .fd = listener.get(), .events = POLLIN, .revents = 0 };
    ASSERT_EQ( ::poll( &waiting, 1, 10'000 ), 1 ); // it has not heard yet that we are connected
    peer = Fd { accept( listener.get(), nullptr, nullptr ) };
    ASSERT_TRUE( peer );
    bulk.take( std::move( link ) );
  }
  void frame_arrived( LinkLeg&, const Frame& ) override { FAIL() << "nobody says anything"; }

  template<class F>
  void wait( F condition )
  {
    const Time until = loop.now() + 5s;
    while ( not condition() and loop.now() < until ) {
      loop.wait( until );
    }
    ASSERT_TRUE( condition() );
  }
  void peer_leaves()
  {
    peer = {};
    wait( [&] { return bulk.link()->ended().has_value(); } );
  }
};

// The reason was a string of the link, which was gone when it was told.
TEST_F( BulkLinkTest, WhyItWasLostIsToldWhenItIsGone )
{
  peer_leaves();
  const std::string why = *bulk.link()->ended();
  bulk.turn( loop.now() );
  EXPECT_EQ( bulk.link(), nullptr );
  EXPECT_EQ( ended, why );
  EXPECT_NE( ended, "" );
}

// It was once a loss, after which the next one has to wait: twice as long each time the other side was first.
TEST_F( BulkLinkTest, ThatTheOtherSideFindsFirstThatNobodyUsesItIsNoLoss )
{
  peer_leaves();
  bulk.turn( loop.now() + 9900ms );
  EXPECT_EQ( bulk.link(), nullptr );
  EXPECT_EQ( ended, "" );
}

} // namespace
} // namespace holdfast
