// A link as a whole. The input is what a hostile or confused peer sends to one end of a tunnel, greeting included
// if it likes; FrameReader, Admission or Claim, and Tunnel judge it. Or the link is one for bulk beside the one
// that carries the tunnel, or one that did before. It is fed whole, byte by byte, and in odd pieces: the outcome
// must be the same, which is everything that can be seen of every session, what the programs read, what is
// transmitted then, and what is said on the next link. Fed once more with programs at work between the pieces,
// which read bytes from where they have arrived, the outcome may differ, and only what witness.hh says must hold.

#include "fuzz/witness.hh"

#include "core/admission.hh"
#include "core/claim.hh"
#include "unit/core/crypto.hh"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

using namespace holdfast;
using namespace holdfast::fuzz;

namespace {

constexpr Duration beat = std::chrono::milliseconds { 100 };

// The beginning of the input: what there is before the peer speaks.
struct Scene
{
  Side side = Side::opener;
  bool greets = false;                   // the input begins with the greeting, else that is behind us
  bool resumes = false;                  // with a greeting: cproxy asks for its tunnel (else for a new one)
  Witness::Way way = Witness::Way::link; // that the input comes on; without a greeting
  bool drops = false;       // at the end the tunnel goes with all its sessions (else they are finished)
  std::size_t sessions = 0; // that exist already, some with bytes on their way
  Witness::Setup setup {};
  std::size_t appetite = 0; // of the programs
  std::size_t window = 0;   // of the peer, for new sessions
  std::size_t step = 1;     // odd pieces
};

Scene scene_of( Input& input )
{
  Scene scene;
  const std::uint8_t flags = input.byte();
  const std::uint8_t sizes = input.byte();
  scene.side = ( flags & 1U ) != 0 ? Side::acceptor : Side::opener;
  scene.greets = ( flags & 2U ) != 0;
  scene.resumes = ( flags & 4U ) != 0;
  scene.drops = ( flags & 8U ) != 0;
  scene.sessions = ( flags >> 4U ) & 3U;
  scene.appetite = ( flags & 64U ) != 0 ? 7 : std::string::npos;
  scene.appetite = ( flags & 128U ) != 0 ? 0 : scene.appetite;
  constexpr Pool::Index chunks[] = { 2, 4, 7, 9 }; // the pool keeps a reserve from 8 on
  constexpr std::size_t windows[] = { 0, 100, 65536, 4294967295 };
  scene.setup.side = scene.side;
  scene.setup.chunks = chunks[sizes & 3U];
  scene.setup.slots = 4;
  scene.setup.window = ( sizes & 16U ) != 0 ? 300 : 65536; // small enough to be exceeded by a short input
  scene.window = windows[( sizes >> 2U ) & 3U];
  scene.step = 2U + ( sizes >> 4U );
  if ( not scene.greets and scene.resumes ) {
    scene.way = ( sizes & 32U ) != 0 ? Witness::Way::replaced_link : Witness::Way::bulk_link;
  }
  scene.setup.bulk = { .least = 0, .span = std::chrono::milliseconds { 1 } };
  return scene;
}

FrameType greeting_of_the_peer( Side side )
{
  return side == Side::opener ? FrameType::welcome : FrameType::hello;
}

// One end, from its beginning to the end of the link.
class Story
{
public:
  explicit Story( const Scene& scene )
    : scene_( scene )
    , witness_( scene.setup )
    , reader_( greeting_of_the_peer( scene.side ) )
    , claim_( crypto_, { .beat = beat, .window = 65536 }, tunnel_records_[2] )
    , admission_( crypto_, { .beat = beat, .window = 65536 }, tunnels_ )
  {
    have_a_tunnel();
    have_sessions();
    if ( scene.greets ) {
      witness_.detach();
      if ( scene.side == Side::opener ) {
        if ( not scene.resumes ) {
          claim_.forget();
        }
        hello_ = claim_.hello( {} );
      }
    } else {
      attached_ = true;
      have_another_link();
      reader_.feed( test::raw( greeting_ ) );
      static_cast<void>( reader_.next() );
    }
  }

  // Returns whether the link is still good.
  bool feed( std::span<const std::byte> bytes )
  {
    if ( fault_ or turned_away_ ) {
      return false;
    }
    reader_.feed( bytes );
    while ( const auto frame = reader_.next() ) {
      fault_ = judge( *frame );
      if ( fault_ or turned_away_ ) {
        end_link();
        return false;
      }
    }
    witness_.payloads_go();
    check( reader_.held() < FrameHeader::size + FrameHeader::payload_max, "the reader holds more than a frame" );
    check( attached_ or scene_.side == Side::opener
             or reader_.held() < FrameHeader::size + FrameHeader::greeting_payload_max,
           "a stranger makes us hold more than a greeting" );
    fault_ = reader_.fault();
    if ( fault_ ) {
      end_link();
    }
    return not fault_;
  }
  void work()
  {
    witness_.now += std::chrono::milliseconds { 1 };
    witness_.turn();
    if ( witness_.tunnel().attached() ) {
      witness_.transmit_all();
      witness_.check_idle();
    }
  }
  // What becomes of it all: told now, later, and to the next link.
  std::string end()
  {
    std::string told = snapshot();
    work();
    witness_.now += std::chrono::seconds { 1 };
    work();
    told += snapshot();
    witness_.attach( 65536 );
    work();
    told += snapshot();
    if ( scene_.drops ) {
      witness_.drop();
    } else {
      witness_.finish();
    }
    return told;
  }

private:
  std::string snapshot()
  {
    return std::to_string( fault_ ? static_cast<int>( *fault_ ) : -1 ) + ( turned_away_ ? " turned away " : " " )
           + std::to_string( attached_ ) + '\n' + witness_.snapshot();
  }

  // There was a link once, and on it a tunnel was made.
  void have_a_tunnel()
  {
    Hello first;
    first.beat = beat;
    first.attempt = 1;
    if ( scene_.side == Side::acceptor ) {
      static_cast<void>( admission_.decide( first, {}, true ) );
    } else {
      first = claim_.hello( {} );
      Welcome made { .answer = Answer::made, .beat = beat, .attempt = first.attempt };
      check( claim_.answered( first, made, {} ) == Claim::Outcome::made, "a tunnel could not be made" );
    }
    witness_.attach( scene_.window );
  }
  // Each of them further than the one before: introduced, written to, its end said.
  void have_sessions()
  {
    for ( std::size_t i = 0; i < scene_.sessions; ++i ) {
      SessionId id = i + 1;
      if ( scene_.side == Side::opener ) {
        id = witness_.open().value();
      } else {
        const FrameHeader open { .type = FrameType::open, .window = 1000, .session = id };
        check( not witness_.receive( { open, {} } ), "an open was taken for a fault" );
        witness_.turn();
      }
      witness_.end().legs.at( id ).program.takes = scene_.appetite;
      witness_.write( id, i * 300 );
      if ( i == 2 ) {
        witness_.ends( id );
      }
    }
    work();
  }

  // Besides the one that the sessions have spoken on.
  void have_another_link()
  {
    switch ( scene_.way ) {
      case Witness::Way::link: return;
      case Witness::Way::bulk_link: witness_.attach_bulk(); break;
      case Witness::Way::replaced_link: witness_.attach( scene_.window ); break;
    }
    for ( auto& [id, leg] : witness_.end().legs ) {
      witness_.write( id, 300 );
    }
    work();
    work(); // what all carry counts as much by now
  }
  void end_link()
  {
    switch ( scene_.way ) {
      case Witness::Way::link: witness_.detach(); return;
      case Witness::Way::bulk_link: witness_.detach_bulk(); return;
      case Witness::Way::replaced_link: return;
    }
  }

  Verdict judge( const Frame& frame )
  {
    const FrameHeader& header = frame.header;
    if ( header.type == FrameType::heartbeat ) {
      return std::nullopt;
    }
    if ( header.type == FrameType::hello or header.type == FrameType::welcome ) {
      const std::string before = witness_.snapshot();
      const auto fault = scene_.side == Side::opener ? welcomed( frame ) : introduced( frame );
      check( witness_.snapshot() == before or attached_, "an effect before the proof" );
      return fault;
    }
    const auto fault = witness_.receive( frame, scene_.way );
    set_appetites();
    return fault;
  }
  Verdict introduced( const Frame& frame )
  {
    const auto decoded = decode_hello( frame.payload );
    if ( const auto* fault = std::get_if<Fault>( &decoded ) ) {
      return *fault;
    }
    const auto& hello = std::get<Hello>( decoded );
    const auto decision = admission_.decide( hello, {}, true );
    attach_if( decision.welcome.answer == Answer::resumed, hello.window ); // `made` is another tunnel
    return std::nullopt;
  }
  Verdict welcomed( const Frame& frame )
  {
    const auto decoded = decode_welcome( frame.payload );
    if ( const auto* fault = std::get_if<Fault>( &decoded ) ) {
      return *fault;
    }
    const auto& welcome = std::get<Welcome>( decoded );
    const auto outcome = claim_.answered( hello_, welcome, {} );
    if ( outcome == Claim::Outcome::made ) {
      witness_.lost( ResetReason::forgotten ); // the tunnel before is no more
    }
    attach_if( outcome == Claim::Outcome::made or outcome == Claim::Outcome::resumed, welcome.window );
    return std::nullopt;
  }
  void attach_if( bool proved, std::size_t window )
  {
    turned_away_ = not proved;
    if ( proved ) {
      attached_ = true;
      witness_.attach( window );
    }
  }
  void set_appetites()
  {
    for ( auto& [id, leg] : witness_.end().legs ) {
      leg.program.takes = scene_.appetite;
    }
  }

  Scene scene_;
  Witness witness_;
  FrameReader reader_;
  const test::TestCrypto crypto_ {};
  TunnelRecord tunnel_records_[3] {};
  Slots<TunnelRecord> tunnels_ { std::span { tunnel_records_ }.first( 2 ) };
  Claim claim_;
  Admission admission_;
  Hello hello_ {};
  const std::string greeting_ = test::greeting( greeting_of_the_peer( scene_.side ) );
  Verdict fault_ {};
  bool attached_ = false; // the link carries the tunnel
  bool turned_away_ = false;
};

std::string fed( const Scene& scene, std::span<const std::byte> bytes, std::size_t step )
{
  Story story { scene };
  for ( std::size_t at = 0; at < bytes.size(); at += step ) {
    if ( not story.feed( bytes.subspan( at, std::min( step, bytes.size() - at ) ) ) ) {
      break;
    }
  }
  return story.end();
}

void fed_at_work( Scene scene, std::span<const std::byte> bytes )
{
  scene.setup.in_place = true;
  Story story { scene };
  const std::size_t step = scene.step * scene.step;
  for ( std::size_t at = 0; at < bytes.size(); at += step ) {
    if ( not story.feed( bytes.subspan( at, std::min( step, bytes.size() - at ) ) ) ) {
      break;
    }
    story.work();
  }
  static_cast<void>( story.end() );
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput( const std::uint8_t* data, std::size_t size )
{
  Input input { data, size };
  const Scene scene = scene_of( input );
  const std::string whole = fed( scene, input.rest(), std::max<std::size_t>( input.rest().size(), 1 ) );
  check( fed( scene, input.rest(), 1 ) == whole, "byte by byte has another outcome than all at once" );
  check( fed( scene, input.rest(), scene.step ) == whole, "in pieces it has another outcome than all at once" );
  fed_at_work( scene, input.rest() );
  return 0;
}
