#pragma once

namespace holdfast {

// AES-128-GCM (NIST SP 800-38D) for the records of TLS by Intel's libipsec-mb, which uses the vector AES
// instructions of a processor (VAES): about three times as fast as OpenSSL before 3.1, which does not know them
// (docs/performance.md).
//
// Returns the property query (property(7)) with which SSL_CTX_new_ex() takes that cipher from there, and everything
// else from OpenSSL itself; or nullptr, with which all is OpenSSL's, where it would not be faster or must not be
// used: with a newer OpenSSL, another processor, a build without the library, or if the machine's default is FIPS.
// The first call adds the cipher to the process, as a provider (provider(7)) that is built in, until the process
// ends; who asks OpenSSL for AES-128-GCM and not for a provider may get it from there then. May be called from any
// thread.
[[nodiscard]] const char* vaes_gcm();

} // namespace holdfast
