// A tunnel, operation by operation. The fuzzer plays the programs (open, write, read, end, reset), the network (a
// link comes, goes, takes a part of what is written, and so does one for bulk beside it), time, the death of the
// process, and the peer, whose frames are well-formed but say whatever the fuzzer likes, near the positions where
// something happens, on the link, on the one for bulk and on those that were replaced. The peer's bytes are those
// of its stream, so each byte that a program reads is checked against its position. What must hold: witness.hh.
//
// The low four bits of an operation's byte say what, the highest two where: 2 is a link that was replaced, 3 the
// bulk link, anything else, or one of these when it is not there, the link.

#include "fuzz/witness.hh"

#include "core/bytes.hh"

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

using namespace holdfast;
using namespace holdfast::fuzz;

namespace {

using Way = Witness::Way;

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
    const std::uint8_t what = input_.byte();
    const Way way = way_of( what >> 6U );
    switch ( what % 16U ) {
      case 0: attach( way ); return;
      case 1: detach( way ); return;
      case 2: pass_time(); return;
      case 3: witness_.turn(); return;
      case 4: transmit( way ); return;
      case 5: everything_now(); return;
      case 6: open(); return;
      case 7: program(); return;
      case 8: write(); return;
      case 9: lose(); return;
      case 10: die(); return;
      default: receive( is_there( way ) ? way : Way::link ); return;
    }
  }
  static Way way_of( unsigned number )
  {
    return number == 3 ? Way::bulk_link : number == 2 ? Way::replaced_link : Way::link;
  }
  [[nodiscard]] bool is_there( Way way )
  {
    switch ( way ) {
      case Way::link: return witness_.tunnel().attached();
      case Way::bulk_link: return witness_.has_bulk_link();
      case Way::replaced_link: return replaced_;
    }
    return false;
  }

  // -- the network and time ---------------------------------------------------------------------------------------
  // A bulk link may come when the other one was just lost; it is given up in the next turn.
  void attach( Way way )
  {
    if ( way == Way::bulk_link ) {
      witness_.attach_bulk();
    } else {
      replaced_ = replaced_ or witness_.tunnel().attached();
      witness_.attach( input_.one_of( windows ) );
    }
  }
  void detach( Way way )
  {
    switch ( way ) {
      case Way::link: witness_.detach(); return;
      case Way::bulk_link: witness_.detach_bulk(); return;
      case Way::replaced_link: replaced_ = false; return;
    }
  }
  void pass_time()
  {
    constexpr int milliseconds[] = { 1, 20, 100, 100000 };
    witness_.now += std::chrono::milliseconds { input_.one_of( milliseconds ) };
  }
  void transmit( Way way )
  {
    if ( witness_.tunnel().attached() ) {
      constexpr std::size_t takes[] = { 0, 1, 40, 5000, std::string::npos };
      const bool bulk = way == Way::bulk_link and witness_.has_bulk_link();
      witness_.transmit( input_.one_of( takes ), bulk ? way : Way::link );
    }
  }
  void everything_now()
  {
    witness_.turn();
    witness_.transmit_all();
    witness_.check_idle();
  }
  void lose()
  {
    if ( input_.below( 4 ) == 0 ) {
      replaced_ = false;
      witness_.lost( ResetReason::forgotten );
    }
  }

  void die()
  {
    if ( input_.below( 4 ) == 0 ) {
      replaced_ = false;
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
  void receive( Way way )
  {
    if ( not is_there( way ) ) {
      return;
    }
    FrameHeader header;
    header.type = way == Way::link ? input_.one_of( types ) : input_.one_of( types_beside );
    header.session = header.type == FrameType::goodbye ? 0 : some_session();
    header.window = static_cast<std::uint32_t>( input_.one_of( windows ) );
    const Places places = places_of( header.session );
    const bool of_their_stream = header.type != FrameType::resume;
    header.sequence = near( of_their_stream ? places.theirs : places.theirs_behind );
    header.acknowledgement = near( places.ours );
    const std::string payload = payload_of( header, places );
    header.length = static_cast<std::uint16_t>( payload.size() );

    const auto decoded = decode( encode( header ) );
    if ( std::holds_alternative<Fault>( decoded )
         or witness_.receive( { std::get<FrameHeader>( decoded ), test::raw( payload ) }, way ) ) {
      detach( way );
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
  static constexpr FrameType types[]
    = { FrameType::data,   FrameType::data,  FrameType::data,   FrameType::ack,
        FrameType::end,    FrameType::open,  FrameType::opened, FrameType::resume,
        FrameType::resume, FrameType::reset, FrameType::closed, FrameType::goodbye };
  static constexpr FrameType types_beside[]
    = { FrameType::data,   FrameType::data,   FrameType::data,   FrameType::data,  FrameType::data,
        FrameType::end,    FrameType::end,    FrameType::ack,    FrameType::reset, FrameType::open,
        FrameType::resume, FrameType::closed, FrameType::goodbye };

  Input& input_;
  Side side_;
  bool replaced_ = false; // there is a link that carried the tunnel before, or was the bulk link
  Witness witness_;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput( const std::uint8_t* data, std::size_t size )
{
  Input input { data, size };
  constexpr Pool::Index chunks[] = { 2, 4, 7, 9 }; // the pool keeps a reserve from 8 on
  constexpr std::size_t windows[] = { 1000, 65536 };
  constexpr std::size_t windows_max[] = { 16384, 65536, 300000 };
  constexpr BulkMeter::Limits much[] = { { .least = 0, .span = std::chrono::milliseconds { 1 } },
                                         { .least = 1000, .span = std::chrono::milliseconds { 20 } } };
  Witness::Setup setup;
  const std::uint8_t how = input.byte();
  setup.side = how % 2 == 0 ? Side::opener : Side::acceptor;
  setup.in_place = ( how & 2U ) != 0;
  setup.bulk = much[( how >> 2U ) % 2];
  setup.chunks = input.one_of( chunks );
  setup.slots = 1 + input.below( 6 );
  setup.window = input.one_of( windows );
  setup.window_max = input.one_of( windows_max );
  setup.honest_bytes = true;
  Game { input, setup }.play();
  return 0;
}
