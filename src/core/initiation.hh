#pragma once

#include "core/fault.hh"
#include "core/time.hh"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <variant>
#include <vector>

namespace holdfast {

// How a link introduces itself. cproxy's first frame is a hello: a new tunnel, or one to resume. sproxy's first
// frame is a welcome with its answer. Payload layouts: docs/PROTOCOL.md, "Initiation".

using Id = std::array<std::byte, 16>;     // of a tunnel, of a client instance
using Digest = std::array<std::byte, 32>; // HMAC-SHA256, a secret, a nonce, a channel binding, an identity

// What the layer below says about one link; all zero on a link in the clear.
struct Channel
{
  Digest binding {};  // known to the two ends of this very link and to nobody else: a TLS exporter (RFC 9266)
  Digest identity {}; // of the other end, which has proved to this link that it is: SHA-256 of its public key
};

inline constexpr std::uint8_t protocol_version = 1;

enum class Purpose : std::uint8_t
{
  new_tunnel = 1,
  resume = 2,
  join = 3, // a second link, for bulk, beside the one that carries the tunnel (BulkLane)
};

// What a hello offers and the welcome takes up; on the wire one bit each.
inline constexpr std::uint32_t bulk_link_capability = 1;

enum class Answer : std::uint8_t
{
  made = 1,      // a new tunnel was made
  resumed = 2,   // the tunnel goes on; positions follow
  gone = 3,      // unknown, expired or not proved: which one is not told. Only this ends a tunnel
  later = 4,     // not now; try again after `retry_after`
  refused = 5,   // will not be served like this; Refusal says why
  overtaken = 6, // proved, but a later attempt of the same client was faster: this link is not needed
  joined = 7,    // this link is the bulk link of the tunnel from now on
};

// With `refused`. In a later version there may be more reasons: one that we do not know is read as none.
enum class Refusal : std::uint8_t
{
  none = 0,
  version = 1, // of the protocol
  place = 2,   // proved, but this tunnel may not be resumed from where the link comes from
  tunnels = 3, // this client has as many tunnels as it may have
};

struct Hello
{
  static constexpr std::size_t size = 164;

  std::uint8_t version = protocol_version;        // the highest spoken
  std::uint8_t version_lowest = protocol_version; // the lowest spoken
  Purpose purpose = Purpose::new_tunnel;
  std::uint32_t capabilities = 0; // offered
  Duration beat {};               // this side's heartbeat interval; microseconds on the wire
  std::uint32_t window = 0;       // each session's first receive window on this side, bytes
  Id instance {};                 // of the client; a new tunnel ends the earlier ones of its instance
  std::uint64_t run = 0;          // of the client: rises each time it starts; attempts count within it
  Id tunnel {};                   // to resume, or to join
  std::uint64_t attempt = 0; // rises with each link of a tunnel; an older one loses. To join: of the link there is
  Digest nonce {};
  Digest proof {};        // of possession of the tunnel's latest secret, see prove_hello
  Digest proof_before {}; // and of the one before; all zero if there is none (secrets.hh)

  bool operator==( const Hello& ) const = default;
};

struct Welcome
{
  static constexpr std::size_t size = 112;

  std::uint8_t version = protocol_version; // the one chosen
  Answer answer = Answer::refused;
  Refusal reason = Refusal::none;
  std::uint32_t capabilities = 0; // those of the hello that count on this link
  Duration beat {};
  std::uint32_t window = 0;
  Duration retry_after {}; // with `later`; milliseconds on the wire
  Id tunnel {};
  std::uint64_t attempt = 0; // the hello's
  Digest nonce {};
  Digest proof {};

  bool operator==( const Welcome& ) const = default;
};

[[nodiscard]] std::vector<std::byte> encode( const Hello& hello );
[[nodiscard]] std::vector<std::byte> encode( const Welcome& welcome );
[[nodiscard]] std::variant<Hello, Fault> decode_hello( std::span<const std::byte> payload );
[[nodiscard]] std::variant<Welcome, Fault> decode_welcome( std::span<const std::byte> payload );

// The cryptography the core needs and does not have: given from outside (OpenSSL in the proxies).
class Crypto
{
public:
  Crypto() = default;
  Crypto( const Crypto& ) = delete;
  Crypto& operator=( const Crypto& ) = delete;
  virtual ~Crypto() = default;
  // HMAC-SHA256 (RFC 2104).
  [[nodiscard]] virtual Digest mac( std::span<const std::byte> key, std::span<const std::byte> message ) const = 0;
  // Fills with unpredictable bytes.
  virtual void random( std::span<std::byte> into ) const = 0;
};

// Whether two digests are equal, in a time that does not depend on where they differ.
[[nodiscard]] bool same( const Digest& a, const Digest& b );

// A tunnel's secret, made by both sides when the tunnel is made. `binding` is what only the two ends of this link
// know (the TLS exporter; all zero on a link in the clear, where the secret protects against strangers but not
// against somebody who reads along).
[[nodiscard]] Digest make_secret( const Crypto& crypto,
                                  const Digest& binding,
                                  const Hello& hello,
                                  const Welcome& welcome );
// What the hello of a resume, and the welcome that answers it, carry as proof on a link with this binding.
[[nodiscard]] Digest prove_hello( const Crypto& crypto,
                                  const Digest& secret,
                                  const Digest& binding,
                                  const Hello& hello );
[[nodiscard]] Digest prove_welcome( const Crypto& crypto,
                                    const Digest& secret,
                                    const Digest& binding,
                                    const Hello& hello,
                                    const Welcome& welcome );
// What takes the place of the secret that the two proved themselves with, once they have.
[[nodiscard]] Digest next_secret( const Crypto& crypto,
                                  const Digest& secret,
                                  const Digest& binding,
                                  const Hello& hello,
                                  const Welcome& welcome );

} // namespace holdfast
