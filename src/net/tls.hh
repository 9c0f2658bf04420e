#pragma once

#include "core/initiation.hh"

#include <openssl/types.h>

namespace holdfast {

// The identity of whoever holds this key: SHA-256 of the public key as SubjectPublicKeyInfo in DER (RFC 5280, 4.1),
// the same that `openssl pkey -pubin -outform DER | openssl dgst -sha256` prints.
[[nodiscard]] Digest key_digest( EVP_PKEY& key );

} // namespace holdfast
