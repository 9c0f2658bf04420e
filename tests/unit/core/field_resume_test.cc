#include "core/admission.hh"
#include "core/claim.hh"
#include "unit/core/crypto.hh"
#include "unit/core/pair.hh"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

// The connection is cut inside the handshake, at every byte, and the next one too: with the greetings and proofs
// that pair.hh leaves out. "Interrupted reconnect" is where others lost bytes, doubled them, or never came back.

namespace holdfast {
namespace {

using namespace test;

constexpr std::size_t unlimited = std::string::npos;

// A link that goes dead after so many bytes. Nobody is told: the client dials another one when it likes.
struct Link
{
  explicit Link( std::size_t up_most, std::size_t down_most ) : up_left( up_most ), down_left( down_most ) {}
  Pipe up { FrameType::hello };
  Pipe down { FrameType::welcome };
  std::size_t up_left;
  std::size_t down_left;
  std::size_t up_carried = 0;
  std::size_t down_carried = 0;
  Hello hello {};
};

struct Ends
{
  Ends() : client( Side::opener, near, limits ) { client.open(); }

  // Another link is dialled; the client gives up the one before. Whether the server notices that is chance.
  void dial( std::size_t up_most, std::size_t down_most, bool server_notices )
  {
    client.tunnel.detach();
    client_attached = false;
    if ( server_notices and server ) {
      server->tunnel.detach();
      server_link.reset();
    }
    link = std::make_shared<Link>( up_most, down_most );
    link->hello = claim.hello( {} );
    append_frame( link->up.rest, { .type = FrameType::hello }, encode( link->hello ) );
  }

  void step()
  {
    now += 1ms;
    client.turn( now );
    if ( server ) {
      server->turn( now );
    }
    const bool serving = server and server_link == link;
    link->up.fill( batch, client_attached ? &client.tunnel : nullptr, now );
    link->down.fill( batch, serving ? &server->tunnel : nullptr, now );
    if ( server_link and not serving ) { // what the server still says goes nowhere
      Pipe nowhere { FrameType::welcome };
      nowhere.fill( batch, &server->tunnel, now );
    }
    carry( link->up, link->up_left, link->up_carried, [&]( const Frame& frame ) { return at_server( frame ); } );
    carry(
      link->down, link->down_left, link->down_carried, [&]( const Frame& frame ) { return at_client( frame ); } );
  }
  void steps( int count )
  {
    for ( int i = 0; i < count; ++i ) {
      step();
    }
  }

  template<class Receive>
  void carry( Pipe& pipe, std::size_t& left, std::size_t& carried, Receive receive )
  {
    const std::size_t most = std::min( left, pipe.wire.size() );
    left -= left == unlimited ? 0 : most;
    carried += most;
    const Verdict fault = pipe.deliver( most, receive );
    ASSERT_EQ( fault, std::nullopt ) << describe( *fault );
  }

  Verdict at_server( const Frame& frame )
  {
    if ( frame.header.type != FrameType::hello ) {
      return server->tunnel.receive( frame );
    }
    const Hello hello = std::get<Hello>( decode_hello( frame.payload ) );
    const auto decision = admission.decide( hello, {}, true );
    if ( decision.welcome.answer == Answer::made ) {
      EXPECT_TRUE( not server or server->tunnel.sessions() == 0 ) << "a tunnel in use was ended";
      server = std::make_unique<End>( Side::acceptor, far, limits );
      if ( server_record != nullptr ) {
        slots.give( server_record );
      }
      server_record = decision.record;
    } else {
      EXPECT_EQ( decision.welcome.answer, Answer::resumed );
    }
    append_frame( link->down.rest, { .type = FrameType::welcome }, encode( decision.welcome ) );
    server_link = link;
    server->tunnel.attach( hello.window );
    return std::nullopt;
  }
  Verdict at_client( const Frame& frame )
  {
    if ( frame.header.type != FrameType::welcome ) {
      return client.tunnel.receive( frame );
    }
    const Welcome welcome = std::get<Welcome>( decode_welcome( frame.payload ) );
    const auto outcome = claim.answered( link->hello, welcome, {} );
    EXPECT_TRUE( outcome == Claim::Outcome::made or outcome == Claim::Outcome::resumed );
    client_attached = true;
    client.tunnel.attach( welcome.window );
    return std::nullopt;
  }

  Program& app() { return client.legs.at( 1 ).program; }
  [[nodiscard]] bool reached() const { return server and server->legs.contains( 1 ); }
  Program& target() { return server->legs.at( 1 ).program; }

  SessionLimits limits { .outflow = { 100'000 }, .inflow = { 1000, 100'000 } };
  TestMemory near { 4, 4, 2 };
  TestMemory far { 4, 4, 2 };
  TestCrypto crypto;
  TunnelRecord of_client {};
  std::array<TunnelRecord, 2> of_server {};
  Slots<TunnelRecord> slots { of_server };
  Claim claim { crypto, { .run = 1, .beat = 100ms, .window = 1000 }, of_client };
  Admission admission { crypto, { .beat = 100ms, .window = 1000 }, slots };
  FrameBatch batch {};
  End client;
  std::unique_ptr<End> server {};
  TunnelRecord* server_record = nullptr;
  std::shared_ptr<Link> link {};
  std::shared_ptr<Link> server_link {}; // the one that carries the tunnel, as the server believes
  bool client_attached = false;
  Time now { 1h };
};

// How far the two tries get: in bytes, upwards or downwards.
struct Cut
{
  bool up;
  std::size_t bytes;
};

void dial_and_cut( Ends& ends, Cut cut, bool server_notices )
{
  ends.dial( cut.up ? cut.bytes : unlimited, cut.up ? unlimited : cut.bytes, server_notices );
  ends.steps( 8 ); // enough for all that a whole handshake brings; what can wait has not been said then
}

void say_more( Ends& ends, int number )
{
  ends.app().to_write += "up " + std::to_string( number ) + " said; ";
  if ( ends.reached() ) {
    ends.target().to_write += "down " + std::to_string( number ) + " said; ";
  }
}

// Both programs have said things that did not arrive, the first try of another link is cut, then the second.
void interrupted_resume( Cut first,
                         Cut second,
                         bool server_notices,
                         bool ends_early,
                         std::array<std::size_t, 2>& whole )
{
  Ends ends;
  ends.dial( unlimited, unlimited, true );
  ends.steps( 5 );
  say_more( ends, 0 );
  ends.steps( 2 ); // it arrives; that it did is not known yet
  ends.link->up_left = ends.link->down_left = 0;
  say_more( ends, 1 );
  if ( ends_early ) {
    ends.app().ends = ends.target().ends = true;
  }
  ends.steps( 2 );

  dial_and_cut( ends, first, server_notices );
  whole = { ends.link->up_carried, ends.link->down_carried };
  if ( not ends_early ) {
    say_more( ends, 2 );
  }
  dial_and_cut( ends, second, not server_notices );

  if ( not ends_early ) {
    say_more( ends, 3 );
  }
  ends.app().ends = ends.target().ends = true;
  ends.dial( unlimited, unlimited, server_notices );
  for ( int i = 0; i < 100 and not( ends.near.all_back() and ends.far.all_back() ); ++i ) {
    ends.step();
  }
  const bool long_one = not ends_early;
  EXPECT_EQ( ends.target().read,
             long_one ? "up 0 said; up 1 said; up 2 said; up 3 said; " : "up 0 said; up 1 said; " );
  EXPECT_EQ( ends.app().read,
             long_one ? "down 0 said; down 1 said; down 2 said; down 3 said; " : "down 0 said; down 1 said; " );
  EXPECT_TRUE( ends.app().saw_end and ends.target().saw_end );
  EXPECT_FALSE( ends.app().saw_reset or ends.target().saw_reset );
  EXPECT_TRUE( ends.near.all_back() and ends.far.all_back() );
}

TEST( FieldBugs, CutAtEveryByteOfTheResumeAndAgainInTheSecondTry )
{
  std::array<std::size_t, 2> whole {};
  interrupted_resume( { true, unlimited }, { true, unlimited }, true, false, whole );
  ASSERT_FALSE( HasFailure() );
  const auto [up, down] = whole;
  EXPECT_GT( up, 164U + 40 + 32 ) << "hello, resume and data at least";
  EXPECT_GT( down, 144U + 40 + 32 ) << "welcome, resume and data at least";
  // Every byte of the first try, both ways, with every eleventh of the second; which ones changes from byte to
  // byte.
  constexpr std::size_t stride = 11;
  for ( const bool first_up : { true, false } ) {
    for ( std::size_t first = 0; first <= ( first_up ? up : down ); ++first ) {
      for ( const bool second_up : { true, false } ) {
        for ( std::size_t second = first % stride; second <= ( second_up ? up : down ); second += stride ) {
          const bool notices = ( first + second ) % 2 == 0;
          const bool early = ( first / 2 + second ) % 2 == 0;
          interrupted_resume( { first_up, first }, { second_up, second }, notices, early, whole );
          ASSERT_FALSE( HasFailure() ) << "cut " << ( first_up ? "up" : "down" ) << " after " << first << ", then "
                                       << ( second_up ? "up" : "down" ) << " after " << second
                                       << ( notices ? ", noticed" : ", not noticed" ) << ( early ? ", ended" : "" );
        }
      }
    }
  }
}

// The same while the tunnel is made: a welcome that is lost leaves a tunnel behind of which the client knows
// nothing.
TEST( FieldBugs, CutAtEveryByteWhileTheTunnelIsMadeAndAgainInTheSecondTry )
{
  constexpr std::size_t all
    = 164 + 32 + 40 + 40 + 32 + 32; // greeting, open, data, end: a little more than there is
  constexpr std::size_t stride = 23;
  for ( const bool first_up : { true, false } ) {
    for ( std::size_t first = 0; first <= all; ++first ) {
      for ( const bool second_up : { true, false } ) {
        for ( std::size_t second = first % stride; second <= all; second += stride ) {
          Ends ends;
          say_more( ends, 0 );
          dial_and_cut( ends, { first_up, first }, first % 2 == 0 );
          say_more( ends, 1 );
          dial_and_cut( ends, { second_up, second }, second % 2 == 0 );
          ends.app().ends = true;
          ends.dial( unlimited, unlimited, false );
          ends.steps( 10 );
          ASSERT_TRUE( ends.reached() );
          ends.target().ends = true;
          for ( int i = 0; i < 100 and not( ends.near.all_back() and ends.far.all_back() ); ++i ) {
            ends.step();
          }
          EXPECT_EQ( ends.target().read, "up 0 said; up 1 said; " );
          EXPECT_TRUE( ends.app().saw_end and ends.target().saw_end );
          EXPECT_FALSE( ends.app().saw_reset or ends.target().saw_reset );
          EXPECT_TRUE( ends.near.all_back() and ends.far.all_back() );
          ASSERT_FALSE( HasFailure() ) << "cut " << ( first_up ? "up" : "down" ) << " after " << first << ", then "
                                       << ( second_up ? "up" : "down" ) << " after " << second;
        }
      }
    }
  }
}

} // namespace
} // namespace holdfast
