#pragma once

#include "core/initiation.hh"

#include <cstddef>
#include <map>
#include <optional>

namespace holdfast {

// What sproxy knows of its tunnels and how it answers a link that introduces itself. Nothing changes before the
// claim is proved; unknown, expired and not proved get the same answer, at the same cost.
class Admission
{
public:
  struct Config
  {
    Duration beat {};            // our heartbeat interval
    std::uint32_t window = 0;    // our sessions' first receive window
    std::size_t tunnels_max = 0; // beyond them: later
    Duration retry_after {};     // what later says
  };

  Admission( const Crypto& crypto, Config config ) : crypto_( crypto ), config_( config ) {}

  struct Decision
  {
    Welcome welcome {};              // to be sent in any case; only made and resumed keep the link
    std::optional<Id> superseded {}; // the tunnel this instance had before: end it, and forget() it
  };
  [[nodiscard]] Decision decide( const Hello& hello, const Digest& binding );

  void forget( const Id& tunnel ); // unknown from now on
  [[nodiscard]] std::size_t tunnels() const { return tunnels_.size(); }

private:
  struct Ticket
  {
    Id instance;
    std::uint64_t run;
    Digest secret;
    std::uint64_t attempt; // the highest proved
  };

  [[nodiscard]] Answer resume( const Hello& hello, const Digest& binding, Welcome& welcome );

  const Crypto& crypto_;
  Config config_;
  std::map<Id, Ticket> tunnels_ {};
  std::map<Id, Id> by_instance_ {}; // instance to tunnel
};

} // namespace holdfast
