#pragma once

#include "core/initiation.hh"

#include <optional>
#include <string>
#include <string_view>

namespace holdfast {

// How a person sees the identity of a key (net/tls.hh, key_digest): `SHA256:` and the digest in base64 (RFC 4648,
// section 4) without padding, 50 characters together. The form is that of ssh-keygen(1).
[[nodiscard]] std::string fingerprint( const Digest& digest );

// Exactly what fingerprint() writes, and nothing else: no padding, no spaces, and the last character may have no
// bits that do not belong to the digest, so that there is one way to write each.
[[nodiscard]] std::optional<Digest> parse_fingerprint( std::string_view text );

} // namespace holdfast
