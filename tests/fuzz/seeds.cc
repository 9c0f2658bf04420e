// fuzz_seeds FOLDER: writes first inputs into FOLDER/link and FOLDER/tunnel, those that chance would hardly find:
// what honest peers say, with greetings whose proofs are right, and lives with a second link for bulk. Run it when
// frames, greetings or the formats of the two targets change, then tests/fuzz/run --merge.

#include "core/admission.hh"
#include "core/claim.hh"
#include "unit/core/crypto.hh"
#include "unit/core/pair.hh"

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

using namespace holdfast;

namespace {

constexpr Duration beat = std::chrono::milliseconds { 100 };

// The two bytes that link_fuzz.cc begins with.
std::string scene( unsigned flags, unsigned sizes )
{
  return { static_cast<char>( flags ), static_cast<char>( sizes ) };
}

constexpr unsigned acceptor = 1;
constexpr unsigned greets = 2;
constexpr unsigned resumes = 4;
constexpr unsigned two_sessions = 32;
constexpr unsigned large = 4 * 2 + 3; // nine chunks, a window of 64 KiB
constexpr unsigned bulk = 4;          // the input comes on a link for bulk; without `greets`
constexpr unsigned replaced = 32;     // of the sizes: or on one that was replaced

// What tunnel_fuzz.cc reads: a scene, then operations one after another.
class Life
{
public:
  enum Where : unsigned
  {
    link = 0,
    replaced_link = 0x80,
    bulk_link = 0xc0
  };

  // `chunks`, 0 to 3: from two up to nine.
  Life( Side side, unsigned chunks, bool in_place )
  {
    add( ( side == Side::opener ? 0U : 1U ) + ( in_place ? 2U : 0U ) );
    add( chunks ).add( 5 ).add( 1 ).add( 2 ); // six slots, a window of 64 KiB, up to 300,000 bytes
  }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

  Life& attach( unsigned window = 3 ) { return add( 0 ).add( window ); } // 2: 1000, 3: 64 KiB, 4: 1,000,000
  Life& join() { return add( 0 + bulk_link ); }
  Life& cut( Where where ) { return add( 1 + where ); }
  Life& time_passes() { return add( 2 ).add( 1 ); }
  Life& turn() { return add( 3 ); }
  Life& all_at_once() { return add( 5 ); }
  Life& transmit_some( Where where ) { return add( 4 + where ).add( 2 ); }
  Life& open() { return add( 6 ); }
  Life& reads( bool all ) { return add( 7 ).add( 0 ).add( 2 ).add( all ? 3 : 0 ); }
  Life& ends() { return add( 7 ).add( 0 ).add( 0 ); }
  Life& writes( unsigned count = 2 ) { return add( 8 ).add( 0 ).add( count ); } // 2: 16,384 bytes, 3: 40,000
  // The peer, about session 1. `length`, 0 to 4: from one byte up to a full frame.
  Life& hears_data( Where where, unsigned length, bool leaves_a_gap = false )
  {
    says( where, 0, leaves_a_gap ? 0U : exactly( 0, 3 ), exactly( 1, 4 ) );
    return add( length );
  }
  Life& hears_end( Where where ) { return says( where, where == link ? 4 : 5, exactly( 0, 3 ), exactly( 1, 4 ) ); }
  Life& hears_open() { return says( link, 5, exactly( 1, 3 ), exactly( 3, 4 ) ); }
  // It wants what comes after all that it has acknowledged.
  Life& hears_resume() { return says( link, 7, exactly( 0, 3 ), exactly( 1, 4 ) ).add( exactly( 1, 4 ) ); }
  Life& hears_that_all_is_delivered( Where where = link )
  {
    return says( where, where == link ? 3 : 7, exactly( 0, 3 ), exactly( 0, 4 ) );
  }

private:
  Life& add( unsigned byte )
  {
    bytes_ += static_cast<char>( byte );
    return *this;
  }
  Life& says( Where where, unsigned type, unsigned sequence, unsigned acknowledgement )
  {
    return add( 11 + where ).add( type ).add( 0 ).add( 3 ).add( sequence ).add( acknowledgement );
  }
  // At one of so many places, not near it.
  static unsigned exactly( unsigned place, unsigned places )
  {
    const unsigned first = 5U << 5U;
    return first + ( place + places - first % places ) % places;
  }

  std::string bytes_ {};
};

class Seeds
{
public:
  explicit Seeds( std::string folder ) : folder_( std::move( folder ) ) {}

  void write_all()
  {
    conversations();
    limits();
    limits_beside();
    greetings();
    streams_that_move();
    streams_that_come_back();
    holes();
  }

private:
  void write( const char* name, const std::string& input, const char* target = "link" )
  {
    const std::string folder = folder_ + "/" + target;
    std::filesystem::create_directories( folder );
    std::ofstream { folder + "/" + name, std::ios::binary } << input;
    std::printf( "%s/%s: %zu bytes\n", target, name, input.size() );
  }
  void write( const char* name, const Life& life ) { write( name, life.bytes(), "tunnel" ); }

  // What each end says while two programs talk, as the other end hears it.
  void conversations()
  {
    test::Pair pair;
    pair.connect();
    pair.open()->to_write = "a question\n";
    pair.run();
    pair.target().to_write = "an answer, and more of it\n";
    pair.target().ends = true;
    pair.run();
    pair.open()->resets = true;
    auto& opener = pair.opener.legs.at( 1 ).program;
    opener.to_write = test::stream( 0, 2000 );
    opener.ends = true;
    const auto heard = talk( pair );
    write( "conversation-of-an-opener", scene( acceptor, large ) + heard.first );
    write( "conversation-of-an-acceptor", scene( two_sessions, large ) + heard.second );
  }
  // Step by step, the bytes that each end transmits on one more link.
  static std::pair<std::string, std::string> talk( test::Pair& pair )
  {
    std::pair<std::string, std::string> said;
    pair.cut();
    pair.opener.tunnel.attach( 65536 );
    pair.acceptor.tunnel.attach( 65536 );
    test::Pipe up { FrameType::hello };
    test::Pipe down { FrameType::welcome };
    up.wire = test::greeting( FrameType::hello );
    down.wire = test::greeting( FrameType::welcome );
    FrameBatch batch;
    for ( int i = 0; i < 60; ++i ) {
      pair.now += std::chrono::milliseconds { 10 };
      pair.opener.turn( pair.now );
      pair.acceptor.turn( pair.now );
      carry( up, batch, pair.opener, pair.acceptor, pair.now, said.first );
      carry( down, batch, pair.acceptor, pair.opener, pair.now, said.second );
    }
    return said;
  }
  static void carry( test::Pipe& pipe,
                     FrameBatch& batch,
                     test::End& from,
                     test::End& to,
                     Time now,
                     std::string& said )
  {
    const std::size_t greeting = said.empty() ? pipe.wire.size() : 0;
    pipe.fill( batch, &from.tunnel, now );
    said += pipe.wire.substr( greeting );
    static_cast<void>( pipe.deliver( std::string::npos, [&]( const Frame& frame ) -> Verdict {
      const bool is_greeting = frame.header.type == FrameType::hello or frame.header.type == FrameType::welcome;
      return is_greeting ? std::nullopt : to.tunnel.receive( frame );
    } ) );
  }

  // As far as a peer may go, and one step further.
  void limits()
  {
    constexpr unsigned one_session = 16;
    constexpr unsigned narrow = large + 16; // we take 300 bytes
    constexpr unsigned stingy = 4 + 3;      // the peer takes 100
    FrameHeader data { .type = FrameType::data, .window = 65536, .session = 1 };
    write( "all-of-the-window",
           scene( acceptor | one_session, narrow ) + test::frame( data, std::string( 300, 'x' ) ) );
    write( "more-than-the-window",
           scene( acceptor | one_session, narrow ) + test::frame( data, std::string( 301, 'x' ) ) );
    FrameHeader ack { .type = FrameType::ack, .window = 1000, .session = 2, .acknowledgement = 100 };
    write( "acknowledges-all-that-was-sent", scene( two_sessions, stingy ) + test::frame( ack ) );
    ack.acknowledgement = 101;
    write( "acknowledges-what-was-not-sent", scene( two_sessions, stingy ) + test::frame( ack ) );
  }

  // The same on a link for bulk, and on one that was replaced.
  void limits_beside()
  {
    constexpr unsigned one_session = 16;
    constexpr unsigned narrow = large + 16;
    FrameHeader data { .type = FrameType::data, .window = 65536, .session = 1 };
    FrameHeader end { .type = FrameType::end, .window = 65536, .session = 1, .sequence = 300 };
    const FrameHeader resume { .type = FrameType::resume, .window = 65536, .session = 1 };
    const std::string all = test::frame( data, std::string( 300, 'x' ) );
    const std::string more = test::frame( data, std::string( 301, 'x' ) );
    data.sequence = 10;
    const std::string gap = test::frame( data, "x" );
    data.session = 77;
    const std::string strange = test::frame( data, "x" );
    for ( const unsigned side : { 0U, acceptor } ) {
      const bool opens = side == 0;
      const std::string on_bulk = scene( side | bulk | one_session, narrow );
      write( opens ? "bulk-to-an-opener" : "bulk-to-an-acceptor",
             on_bulk + gap + strange + all + test::frame( end ) );
      write( opens ? "too-much-bulk-to-an-opener" : "too-much-bulk-to-an-acceptor", on_bulk + more );
    }
    write( "bulk-that-is-none",
           scene( acceptor | bulk | one_session, narrow ) + test::frame( resume, "01234567" ) );
    write( "late",
           scene( acceptor | bulk | one_session, narrow + replaced ) + gap + strange + more + all
             + test::frame( resume, "01234567" ) + test::frame( end ) );
  }

  // As link_fuzz.cc's Story makes its tunnel, so that the proofs are right there too.
  void greetings()
  {
    const test::TestCrypto crypto;
    TunnelRecord records[3] {};
    Slots<TunnelRecord> slots { std::span { records }.first( 2 ) };
    Admission admission { crypto, { .beat = beat, .window = 65536 }, slots };
    Hello hello;
    hello.beat = beat;
    hello.attempt = 1;
    const Welcome made = admission.decide( hello, {}, true ).welcome;
    const Digest secret = make_secret( crypto, {}, hello, made );
    hello.purpose = Purpose::resume;
    hello.tunnel = made.tunnel;
    hello.attempt = 2;
    hello.proof = prove_hello( crypto, secret, {}, hello );
    write( "resume",
           scene( acceptor | greets | two_sessions, large ) + framed( FrameType::hello, encode( hello ) ) );
    hello.proof[0] ^= std::byte { 1 };
    write( "resume-unproved", scene( acceptor | greets, large ) + framed( FrameType::hello, encode( hello ) ) );

    const test::TestCrypto other;
    Claim claim { other, { .beat = beat, .window = 65536 }, records[2] };
    Hello first = claim.hello( {} );
    const Welcome answer { .answer = Answer::made, .beat = beat, .attempt = first.attempt };
    const Digest shared = make_secret( other, {}, first, answer );
    static_cast<void>( claim.answered( first, answer, {} ) );
    const Hello again = claim.hello( {} );
    Welcome resumed { .answer = Answer::resumed, .beat = beat, .window = 65536, .attempt = again.attempt };
    resumed.tunnel = again.tunnel;
    resumed.proof = prove_welcome( other, shared, {}, again, resumed );
    write( "resumed",
           scene( greets | resumes | two_sessions, large ) + framed( FrameType::welcome, encode( resumed ) ) );
    resumed.answer = Answer::gone;
    write( "gone", scene( greets | resumes, large ) + framed( FrameType::welcome, encode( resumed ) ) );
    const Welcome new_one { .answer = Answer::made, .beat = beat, .window = 65536, .attempt = 2 };
    write( "made", scene( greets | two_sessions, large ) + framed( FrameType::welcome, encode( new_one ) ) );
  }
  static std::string framed( FrameType type, const std::vector<std::byte>& payload )
  {
    return test::frame( { .type = type }, test::text( payload ) )
           + test::frame( { .type = FrameType::ack, .window = 65536, .session = 1 } );
  }

  // A session that carries so much that it counts as bulk, as a bulk link comes.
  static Life life_with_bulk( Side side, unsigned chunks, bool in_place, unsigned window = 3 )
  {
    Life life { side, chunks, in_place };
    life.open().attach( window );
    if ( side == Side::acceptor ) {
      life.hears_open();
    }
    life.all_at_once().writes().all_at_once().time_passes().hears_that_all_is_delivered().all_at_once();
    return life.join();
  }
  void streams_that_move()
  {
    for ( const Side side : { Side::opener, Side::acceptor } ) {
      Life life = life_with_bulk( side, 3, side == Side::opener, 4 );
      life.hears_data( Life::bulk_link, 3 ).writes().all_at_once().hears_data( Life::bulk_link, 3 ).all_at_once();
      life.writes( 3 ).writes( 3 ).writes( 3 ).time_passes().all_at_once();
      life.hears_that_all_is_delivered().all_at_once();
      life.ends().hears_data( Life::bulk_link, 2 ).hears_end( Life::bulk_link ).all_at_once();
      life.hears_that_all_is_delivered().all_at_once();
      write( side == Side::opener ? "bulk-of-an-opener" : "bulk-of-an-acceptor", life );
    }
    Life waits { Side::opener, 3, true };
    waits.open().attach().all_at_once().writes().all_at_once().time_passes().join().writes().all_at_once();
    waits.hears_resume().all_at_once().hears_that_all_is_delivered().all_at_once();
    write( "bulk-waits-and-says-again", waits );
  }
  // With a bulk link that is lost, or when another link carries the tunnel.
  void streams_that_come_back()
  {
    Life lost = life_with_bulk( Side::opener, 3, true );
    lost.writes().turn().transmit_some( Life::bulk_link ).hears_data( Life::bulk_link, 3 ).cut( Life::bulk_link );
    lost.all_at_once().join().hears_that_all_is_delivered().writes().turn().cut( Life::link ).all_at_once();
    lost.attach().hears_resume().all_at_once();
    write( "bulk-link-is-lost", lost );

    Life moved = life_with_bulk( Side::acceptor, 3, false );
    moved.writes().all_at_once().hears_data( Life::bulk_link, 3 ).attach().hears_data( Life::replaced_link, 2 );
    moved.hears_that_all_is_delivered( Life::replaced_link ).hears_end( Life::replaced_link ).hears_resume();
    moved.writes().all_at_once().join().writes().all_at_once();
    write( "bulk-while-the-link-moves", moved );

    Life heard { Side::opener, 3, true };
    heard.open().attach().all_at_once().join().hears_data( Life::bulk_link, 2 ).all_at_once().time_passes();
    heard.all_at_once().attach().all_at_once();
    write( "heard-on-the-bulk-link-only", heard );

    Life offered { Side::opener, 3, true };
    offered.open()
      .attach( 2 )
      .all_at_once()
      .attach( 2 )
      .all_at_once()
      .hears_data( Life::replaced_link, 2 )
      .writes()
      .all_at_once();
    write( "window-of-a-replaced-link", offered );
  }
  // Bytes are let go on one link, asked for again, and come on several.
  void holes()
  {
    for ( const Life::Where where : { Life::link, Life::bulk_link } ) {
      Life life = life_with_bulk( Side::opener, 0, where == Life::link );
      life.reads( false );
      for ( int i = 0; i < 3; ++i ) {
        life.hears_data( where, 4 );
      }
      life.all_at_once().hears_data( Life::bulk_link, 2 ).reads( true ).all_at_once().time_passes().all_at_once();
      life.hears_data( Life::bulk_link, 2 )
        .hears_data( Life::link, 2, true )
        .hears_data( Life::bulk_link, 2, true );
      life.hears_data( Life::link, 3 ).all_at_once().attach().hears_data( Life::replaced_link, 2 ).all_at_once();
      write( where == Life::link ? "hole-on-the-link" : "hole-on-the-bulk-link", life );
    }
    Life again = life_with_bulk( Side::opener, 0, true );
    again.reads( false ).hears_data( Life::bulk_link, 4 ).hears_data( Life::bulk_link, 4 );
    again.hears_data( Life::bulk_link, 4 ).all_at_once().reads( true ).all_at_once().time_passes().all_at_once();
    again.reads( false ).hears_data( Life::bulk_link, 4 ).hears_data( Life::bulk_link, 4 );
    again.hears_data( Life::bulk_link, 4 ).hears_end( Life::bulk_link ).all_at_once();
    write( "hole-again-before-the-end", again );
  }

  std::string folder_;
};

} // namespace

int main( int argc, char** argv )
{
  if ( argc != 2 ) {
    std::fprintf( stderr, "usage: fuzz_seeds FOLDER\n" );
    return 2;
  }
  Seeds { argv[1] }.write_all();
  return 0;
}
