// Greetings from anybody: what decodes, encodes to the same bytes again (but for those a later version may add),
// and what sproxy decides about it changes nothing for the tunnels it has.

#include "core/admission.hh"
#include "core/initiation.hh"

#include <algorithm>
#include <cstdint>
#include <cstdlib>

using namespace holdfast;

namespace {

// Not cryptography: enough to tell a right proof from a wrong one, and fast.
struct StandIn : Crypto
{
  [[nodiscard]] Digest mac( std::span<const std::byte> key, std::span<const std::byte> message ) const override
  {
    std::uint64_t hash = 0xcbf29ce484222325; // FNV-1a
    const auto add = [&hash]( std::span<const std::byte> bytes ) {
      for ( const std::byte byte : bytes ) {
        hash = ( hash ^ std::to_integer<std::uint64_t>( byte ) ) * 0x100000001b3;
      }
    };
    add( key );
    add( message );
    Digest digest {};
    for ( std::size_t i = 0; i < digest.size(); ++i ) {
      digest[i] = static_cast<std::byte>( hash >> ( 8 * ( i % 8 ) ) );
    }
    return digest;
  }
  void random( std::span<std::byte> into ) const override { std::ranges::fill( into, std::byte { 7 } ); }
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput( const std::uint8_t* data, std::size_t size )
{
  const auto bytes = std::as_bytes( std::span { data, size } );
  if ( const auto decoded = decode_welcome( bytes ); const auto* welcome = std::get_if<Welcome>( &decoded ) ) {
    if ( std::get<Welcome>( decode_welcome( encode( *welcome ) ) ) != *welcome ) {
      std::abort();
    }
  }
  const auto decoded = decode_hello( bytes );
  const auto* hello = std::get_if<Hello>( &decoded );
  if ( hello == nullptr ) {
    return 0;
  }
  if ( std::get<Hello>( decode_hello( encode( *hello ) ) ) != *hello ) {
    std::abort();
  }
  const StandIn crypto;
  Admission admission { crypto, { .tunnels_max = 2 } };
  Hello owner;
  owner.instance.fill( std::byte { 0x55 } );
  owner.attempt = 1;
  const Welcome made = admission.decide( owner, {} ).welcome;
  const auto decision = admission.decide( *hello, {} );
  const bool of_the_owner = hello->instance == owner.instance;
  if ( decision.superseded and not of_the_owner ) {
    std::abort(); // a stranger ended somebody's tunnel
  }
  if ( decision.welcome.answer == Answer::resumed and hello->tunnel != made.tunnel ) {
    std::abort();
  }
  return 0;
}
