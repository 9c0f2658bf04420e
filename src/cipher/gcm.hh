#pragma once

#include <intel-ipsec-mb.h>

#include <array>
#include <cstddef>
#include <span>

namespace holdfast {

// One direction of one TLS connection in AES-128-GCM: a key, and one message (a record) after the other. A message
// has a nonce, then bytes that are only authenticated (in one piece, or none), then those that are encrypted as
// well, and a tag. All calculation is libipsec-mb's; here is the order of things, and what must not happen out of
// it:
//
// - each message needs a begin() with its nonce, so none is said with that of the one before because somebody
// forgot
//   to; that they differ is up to who calls, as RFC 8446, 5.3 has it;
// - what was decrypted is worth something only when finish() has said so;
// - keys and messages are wiped with the object.
//
// What returns false was out of order, or is not what the other end has said.
class Gcm
{
public:
  using Bytes = std::span<const unsigned char>;
  static constexpr std::size_t key_size = 16;
  static constexpr std::size_t nonce_size = 12; // the only one that TLS has (RFC 8446, 5.3)
  static constexpr std::size_t tag_size = 16;

  // The library's functions for this processor, or nullptr when it has no memory. Threads may share them: nothing
  // in there changes any more. They live as long as the process.
  [[nodiscard]] static IMB_MGR* library();

  Gcm() = default;
  Gcm( const Gcm& ) = delete;
  Gcm& operator=( const Gcm& ) = delete;
  ~Gcm();

  // A key, or a nonce, or both; what is empty stays as it was, but a new key needs a new nonce.
  [[nodiscard]] bool begin( bool encrypts, Bytes key, Bytes nonce );
  [[nodiscard]] bool authenticate( Bytes additional );
  // Writes as many bytes as there are in `from`, which may be at the same place.
  [[nodiscard]] bool transform( unsigned char* to, Bytes from );
  // Ends the message. Decrypting, it is true only if the tag is the expected one.
  [[nodiscard]] bool finish();

  // Before a message that is to be decrypted ends.
  [[nodiscard]] bool expect( Bytes tag );
  // Of the last message that was encrypted; empty before there is one.
  [[nodiscard]] Bytes tag() const;

private:
  enum class Stage
  {
    idle,    // there is no nonce
    begun,   // there is one, and nothing of the message
    message, // what is only authenticated is behind us
    ended,   // there is a tag, and no nonce any more
  };

  gcm_key_data key_ {};
  gcm_context_data message_ {};
  std::array<unsigned char, nonce_size> nonce_ {};
  std::array<unsigned char, tag_size> tag_ {};
  Stage stage_ = Stage::idle;
  bool encrypts_ = false;
  bool has_key_ = false;
  bool expects_ = false; // the tag is the expected one
};

} // namespace holdfast
