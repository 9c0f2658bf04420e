#include "core/initiation.hh"

#include "core/bytes.hh"

#include <algorithm>
#include <string_view>

namespace holdfast {

namespace {

constexpr std::uint32_t magic = 0x48465354; // "HFST"

constexpr Duration beat_min = std::chrono::milliseconds { 1 };
constexpr Duration beat_max = std::chrono::hours { 1 };

std::uint32_t microseconds( Duration duration )
{
  return static_cast<std::uint32_t>( std::chrono::duration_cast<std::chrono::microseconds>( duration ).count() );
}

bool beat_is_possible( Duration beat )
{
  return beat >= beat_min and beat <= beat_max;
}

Refusal refusal( std::uint8_t raw )
{
  return raw <= static_cast<std::uint8_t>( Refusal::tunnels ) ? static_cast<Refusal>( raw ) : Refusal::none;
}

void append( std::vector<std::byte>& to, std::span<const std::byte> bytes )
{
  to.insert( to.end(), bytes.begin(), bytes.end() );
}

void append( std::vector<std::byte>& to, std::string_view text )
{
  append( to, std::as_bytes( std::span { text } ) );
}

// Everything the two sides said about which tunnel and which attempt, under a label that says who speaks and why.
std::vector<std::byte> statement( std::string_view label,
                                  const Digest& binding,
                                  const Id& tunnel,
                                  const Hello& hello )
{
  std::vector<std::byte> message;
  append( message, label );
  append( message, binding );
  append( message, tunnel );
  std::array<std::byte, 8> attempt;
  ByteWriter { attempt }.number( hello.attempt );
  append( message, attempt );
  append( message, hello.nonce );
  return message;
}

// And what the answer added to it.
std::vector<std::byte> statement( std::string_view label,
                                  const Digest& binding,
                                  const Hello& hello,
                                  const Welcome& welcome )
{
  auto message = statement( label, binding, hello.tunnel, hello );
  append( message, welcome.nonce );
  return message;
}

} // namespace

std::vector<std::byte> encode( const Hello& hello )
{
  std::vector<std::byte> raw( Hello::size );
  ByteWriter write { raw };
  write.number( magic );
  write.number( hello.version );
  write.number( hello.version_lowest );
  write.number( static_cast<std::uint8_t>( hello.purpose ) );
  write.number( std::uint8_t { 0 } );
  write.number( hello.capabilities );
  write.number( microseconds( hello.beat ) );
  write.number( hello.window );
  write.bytes( hello.instance );
  write.number( hello.run );
  write.bytes( hello.tunnel );
  write.number( hello.attempt );
  write.bytes( hello.nonce );
  write.bytes( hello.proof );
  write.bytes( hello.proof_before );
  return raw;
}

std::vector<std::byte> encode( const Welcome& welcome )
{
  std::vector<std::byte> raw( Welcome::size );
  ByteWriter write { raw };
  write.number( magic );
  write.number( welcome.version );
  write.number( static_cast<std::uint8_t>( welcome.answer ) );
  write.number( static_cast<std::uint8_t>( welcome.reason ) );
  write.number( std::uint8_t { 0 } );
  write.number( welcome.capabilities );
  write.number( microseconds( welcome.beat ) );
  write.number( welcome.window );
  write.number( static_cast<std::uint32_t>(
    std::chrono::duration_cast<std::chrono::milliseconds>( welcome.retry_after ).count() ) );
  write.bytes( welcome.tunnel );
  write.number( welcome.attempt );
  write.bytes( welcome.nonce );
  write.bytes( welcome.proof );
  return raw;
}

std::variant<Hello, Fault> decode_hello( std::span<const std::byte> payload )
{
  if ( payload.size() < Hello::size ) { // a later version may add to the end
    return Fault::bad_length;
  }
  ByteReader read { payload };
  Hello hello;
  if ( read.number<std::uint32_t>() != magic ) {
    return Fault::not_holdfast;
  }
  hello.version = read.number<std::uint8_t>();
  hello.version_lowest = read.number<std::uint8_t>();
  hello.purpose = static_cast<Purpose>( read.number<std::uint8_t>() );
  static_cast<void>( read.number<std::uint8_t>() );
  hello.capabilities = read.number<std::uint32_t>();
  hello.beat = std::chrono::microseconds { read.number<std::uint32_t>() };
  hello.window = read.number<std::uint32_t>();
  read.bytes( hello.instance );
  hello.run = read.number<std::uint64_t>();
  read.bytes( hello.tunnel );
  hello.attempt = read.number<std::uint64_t>();
  read.bytes( hello.nonce );
  read.bytes( hello.proof );
  read.bytes( hello.proof_before );
  if ( hello.purpose < Purpose::new_tunnel or hello.purpose > Purpose::join or hello.version < hello.version_lowest
       or not beat_is_possible( hello.beat ) ) {
    return Fault::bad_field;
  }
  return hello;
}

std::variant<Welcome, Fault> decode_welcome( std::span<const std::byte> payload )
{
  if ( payload.size() < Welcome::size ) {
    return Fault::bad_length;
  }
  ByteReader read { payload };
  Welcome welcome;
  if ( read.number<std::uint32_t>() != magic ) {
    return Fault::not_holdfast;
  }
  welcome.version = read.number<std::uint8_t>();
  const auto answer = read.number<std::uint8_t>();
  welcome.reason = refusal( read.number<std::uint8_t>() );
  static_cast<void>( read.number<std::uint8_t>() );
  welcome.capabilities = read.number<std::uint32_t>();
  welcome.beat = std::chrono::microseconds { read.number<std::uint32_t>() };
  welcome.window = read.number<std::uint32_t>();
  welcome.retry_after = std::chrono::milliseconds { read.number<std::uint32_t>() };
  read.bytes( welcome.tunnel );
  welcome.attempt = read.number<std::uint64_t>();
  read.bytes( welcome.nonce );
  read.bytes( welcome.proof );
  if ( answer < static_cast<std::uint8_t>( Answer::made ) or answer > static_cast<std::uint8_t>( Answer::joined )
       or not beat_is_possible( welcome.beat ) ) {
    return Fault::bad_field;
  }
  welcome.answer = static_cast<Answer>( answer );
  return welcome;
}

bool same( const Digest& a, const Digest& b )
{
  unsigned difference = 0;
  for ( std::size_t i = 0; i < a.size(); ++i ) {
    difference |= std::to_integer<unsigned>( a[i] ^ b[i] );
  }
  return difference == 0;
}

Digest make_secret( const Crypto& crypto, const Digest& binding, const Hello& hello, const Welcome& welcome )
{
  std::vector<std::byte> key;
  append( key, hello.nonce );
  append( key, welcome.nonce );
  return crypto.mac( key, statement( "holdfast 1 secret", binding, welcome.tunnel, hello ) );
}

Digest prove_hello( const Crypto& crypto, const Digest& secret, const Digest& binding, const Hello& hello )
{
  const auto* const label = hello.purpose == Purpose::join ? "holdfast 1 join" : "holdfast 1 hello";
  return crypto.mac( secret, statement( label, binding, hello.tunnel, hello ) );
}

Digest prove_welcome( const Crypto& crypto,
                      const Digest& secret,
                      const Digest& binding,
                      const Hello& hello,
                      const Welcome& welcome )
{
  return crypto.mac( secret, statement( "holdfast 1 welcome", binding, hello, welcome ) );
}

Digest next_secret( const Crypto& crypto,
                    const Digest& secret,
                    const Digest& binding,
                    const Hello& hello,
                    const Welcome& welcome )
{
  return crypto.mac( secret, statement( "holdfast 1 rotate", binding, hello, welcome ) );
}

} // namespace holdfast
