#pragma once

#include "core/initiation.hh"

namespace holdfast {

// The core's cryptography, from OpenSSL. Throws StartupError if OpenSSL cannot do what it always can (then nothing
// this process says could be trusted).
class OpensslCrypto : public Crypto
{
public:
  [[nodiscard]] Digest mac( std::span<const std::byte> key, std::span<const std::byte> message ) const override;
  void random( std::span<std::byte> into ) const override;
};

} // namespace holdfast
