#pragma once

#include "core/initiation.hh"

#include <random>

namespace holdfast::test {

// Deterministic, keyed and fast, and that is all: the logic around it must not care which keyed hash it is given.
// The proofs in the document are checked with OpenSSL's (protocol_md_test.cc).
class TestCrypto : public Crypto
{
public:
  explicit TestCrypto( std::uint64_t seed = 1 ) : engine_( seed ) {}

  [[nodiscard]] Digest mac( std::span<const std::byte> key, std::span<const std::byte> message ) const override
  {
    std::uint64_t state = 0x243f6a8885a308d3;
    const auto mix = [&state]( std::uint64_t value ) {
      state = ( state ^ value ) * 0x9e3779b97f4a7c15;
      state ^= state >> 29U;
    };
    for ( const auto bytes : { key, message } ) {
      mix( bytes.size() );
      for ( const std::byte byte : bytes ) {
        mix( std::to_integer<std::uint64_t>( byte ) );
      }
    }
    Digest digest;
    for ( std::byte& byte : digest ) {
      mix( 1 );
      byte = static_cast<std::byte>( state >> 56U );
    }
    return digest;
  }
  void random( std::span<std::byte> into ) const override
  {
    for ( std::byte& byte : into ) {
      byte = static_cast<std::byte>( engine_() );
    }
  }

private:
  mutable std::mt19937_64 engine_;
};

} // namespace holdfast::test
