// fuzz_seeds FOLDER: writes the first inputs of link_fuzz, those that chance would hardly find: what honest peers
// say, with greetings whose proofs are right. Run it when frames or greetings change, then tests/fuzz/run --merge.

#include "core/admission.hh"
#include "core/claim.hh"
#include "unit/core/crypto.hh"
#include "unit/core/pair.hh"

#include <cstdio>
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

class Seeds
{
public:
  explicit Seeds( std::string folder ) : folder_( std::move( folder ) ) {}

  void write_all()
  {
    conversations();
    limits();
    greetings();
  }

private:
  void write( const char* name, const std::string& input )
  {
    std::ofstream { folder_ + "/" + name, std::ios::binary } << input;
    std::printf( "%s: %zu bytes\n", name, input.size() );
  }

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
