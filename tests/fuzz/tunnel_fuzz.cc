// A tunnel, operation by operation. The fuzzer plays the programs (open, write, read, end, reset), the network (a
// link comes, goes, takes a part of what is written), time, the death of the process, and the peer, whose frames
// are well-formed but say whatever the fuzzer likes, near the positions where something happens. The peer's bytes
// are those of its stream, so each byte that a program reads is checked against its position. What must hold:
// witness.hh.

#include "fuzz/witness.hh"

#include "core/bytes.hh"

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

using namespace holdfast;
using namespace holdfast::fuzz;

namespace {

constexpr int operations_max = 400;

class Game
{
public:
  Game( Input& input, Witness::Setup setup ) : input_( input ), side_( setup.side ), witness_( setup ) {}

  void play()
  {
    for ( int i = 0; i < operations_max and not input_.empty(); ++i ) {
      one_operation();
    }
    if ( input_.below( 2 ) == 0 ) {
      witness_.finish();
    } else {
      witness_.drop();
    }
  }

private:
  void one_operation()
  {
    switch ( input_.below( 16 ) ) {
      case 0: attach(); return;
      case 1: witness_.detach(); return;
      case 2: pass_time(); return;
      case 3: witness_.turn(); return;
      case 4: transmit(); return;
      case 5: everything_now(); return;
      case 6: open(); return;
      case 7: program(); return;
      case 8: write(); return;
      case 9: lose(); return;
      case 10: die(); return;
      default: receive(); return;
    }
  }

  // -- the network and time ---------------------------------------------------------------------------------------
  void attach() { witness_.attach( input_.one_of( windows ) ); }
  void pass_time()
  {
    constexpr int milliseconds[] = { 1, 20, 100, 100000 };
    witness_.now += std::chrono::milliseconds { input_.one_of( milliseconds ) };
  }
  void transmit()
  {
    if ( witness_.tunnel().attached() ) {
      constexpr std::size_t takes[] = { 0, 1, 40, 5000, std::string::npos };
      witness_.transmit( input_.one_of( takes ) );
    }
  }
  void everything_now()
  {
    witness_.turn();
    if ( witness_.tunnel().attached() ) {
      witness_.transmit();
    }
    witness_.check_idle();
  }
  void lose()
  {
    if ( input_.below( 4 ) == 0 ) {
      witness_.lost( ResetReason::forgotten );
    }
  }

  void die()
  {
    if ( input_.below( 4 ) == 0 ) {
      witness_.die();
    }
  }

  // -- programs ---------------------------------------------------------------------------------------------------
  void open()
  {
    if ( side_ == Side::opener ) {
      witness_.open();
    } else { // what targets do from now on
      const std::size_t what = input_.below( 3 );
      witness_.end().connects = what == 0;
      witness_.end().refuses = what == 1 ? std::optional { ResetReason::refused } : std::nullopt;
    }
  }
  void program()
  {
    const SessionId id = some_session();
    if ( not witness_.alive( id ) ) {
      return;
    }
    constexpr std::size_t appetites[] = { 0, 1, 3000, std::string::npos };
    switch ( input_.below( 4 ) ) {
      case 0: witness_.ends( id ); return;
      case 1: witness_.resets( id ); return;
      case 2: witness_.end().legs.at( id ).program.takes = input_.one_of( appetites ); return;
      default:
        if ( side_ == Side::acceptor ) {
          witness_.end().connected( id );
        }
        return;
    }
  }
  void write()
  {
    const SessionId id = some_session();
    constexpr std::size_t counts[] = { 1, 100, 16384, 40000 };
    const std::size_t count = input_.one_of( counts );
    if ( witness_.alive( id ) and witness_.end().legs.at( id ).program.to_write.size() < 200000 ) {
      witness_.write( id, count );
    }
  }

  // -- the peer ---------------------------------------------------------------------------------------------------
  void receive()
  {
    if ( not witness_.tunnel().attached() ) {
      return;
    }
    FrameHeader header;
    constexpr FrameType types[] = { FrameType::data,   FrameType::data,  FrameType::data,   FrameType::ack,
                                    FrameType::end,    FrameType::open,  FrameType::opened, FrameType::resume,
                                    FrameType::resume, FrameType::reset, FrameType::closed, FrameType::goodbye };
    header.type = input_.one_of( types );
    header.session = header.type == FrameType::goodbye ? 0 : some_session();
    header.window = static_cast<std::uint32_t>( input_.one_of( windows ) );
    const Places places = places_of( header.session );
    const bool of_their_stream = header.type != FrameType::resume;
    header.sequence = near( of_their_stream ? places.theirs : places.theirs_behind );
    header.acknowledgement = near( places.ours );
    const std::string payload = payload_of( header, places );
    header.length = static_cast<std::uint16_t>( payload.size() );

    const auto decoded = decode( encode( header ) );
    if ( std::holds_alternative<Fault>( decoded ) ) {
      witness_.detach();
      return;
    }
    // Memory of its own, no byte longer than the frame.
    const test::Bytes bytes { test::raw( payload ).begin(), test::raw( payload ).end() };
    if ( witness_.receive( { std::get<FrameHeader>( decoded ), bytes } ) ) {
      witness_.detach();
    }
  }

  // Where something happens in a session.
  struct Places
  {
    std::vector<Position> theirs { 0 };        // where their next byte could be
    std::vector<Position> theirs_behind { 0 }; // up to where they could have forgotten
    std::vector<Position> ours { 0 };          // up to where they could have delivered
  };
  Places places_of( SessionId id )
  {
    Places places;
    witness_.tunnel().for_each_session( [&]( Session& session ) {
      if ( session.id() == id ) {
        const Inflow& in = session.inflow();
        const Outflow& out = session.outflow();
        places.theirs = { in.next(), in.delivered(), in.delivered() + in.window() };
        places.theirs_behind = { in.delivered(), in.next(), 0 };
        places.ours = { out.sent(), out.acknowledged(), out.acknowledged() + out.retained(), 0 };
      }
    } );
    return places;
  }
  Position near( const std::vector<Position>& places )
  {
    const std::uint8_t how = input_.byte();
    const Position at = places[how % places.size()];
    switch ( how >> 5U ) {
      case 0: return at + 1;
      case 1: return at == 0 ? 0 : at - 1;
      case 2: return at + input_.byte();
      case 3: return at - std::min<Position>( at, input_.number( 2 ) );
      case 4: return input_.number( 8 );
      default: return at;
    }
  }
  std::string payload_of( const FrameHeader& header, const Places& places )
  {
    switch ( header.type ) {
      case FrameType::goodbye:
      case FrameType::reset: return { static_cast<char>( input_.byte() ) };
      case FrameType::resume: {
        std::string next( 8, '\0' );
        ByteWriter { std::as_writable_bytes( std::span { next } ) }.number( near( places.ours ) );
        return next;
      }
      case FrameType::data: {
        constexpr std::size_t lengths[] = { 1, 2, 300, 9000, FrameHeader::payload_max };
        return test::stream( header.sequence, input_.one_of( lengths ), Witness::peer_stream( header.session ) );
      }
      case FrameType::hello:
      case FrameType::welcome:
      case FrameType::heartbeat:
      case FrameType::open:
      case FrameType::opened:
      case FrameType::ack:
      case FrameType::end:
      case FrameType::closed: return {};
    }
    return {};
  }

  // Small numbers: those that were, those that are, and the next one.
  SessionId some_session() { return 1 + input_.below( 8 ); }

  static constexpr std::size_t windows[] = { 0, 1, 1000, 65536, 1000000, 4294967295 };

  Input& input_;
  Side side_;
  Witness witness_;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput( const std::uint8_t* data, std::size_t size )
{
  Input input { data, size };
  constexpr Pool::Index chunks[] = { 2, 4, 7, 9 }; // the pool keeps a reserve from 8 on
  constexpr std::size_t windows[] = { 1000, 65536 };
  constexpr std::size_t windows_max[] = { 16384, 65536, 300000 };
  Witness::Setup setup;
  setup.side = input.below( 2 ) == 0 ? Side::opener : Side::acceptor;
  setup.chunks = input.one_of( chunks );
  setup.slots = 1 + input.below( 6 );
  setup.window = input.one_of( windows );
  setup.window_max = input.one_of( windows_max );
  setup.honest_bytes = true;
  Game { input, setup }.play();
  return 0;
}
