#pragma once

#include "core/initiation.hh"
#include "core/memory.hh"

#include <cstddef>
#include <limits>
#include <map>
#include <optional>

namespace holdfast {

// What sproxy knows of its tunnels and how it answers a link that introduces itself. Nothing changes before the
// claim is proved; unknown, expired and not proved get the same answer, at the same cost.
//
// What it knows is in the tunnels' records, which may outlive us. It takes a slot for each tunnel it makes; the
// caller gives it back when nothing refers to the record any more, which may be later than forget(): so there
// should be more slots than tunnels_max. When all slots are taken the answer is later, too.
class Admission
{
public:
  struct Config
  {
    Duration beat {};                                                  // our heartbeat interval
    std::uint32_t window = 0;                                          // our sessions' first receive window
    Duration retry_after {};                                           // what later says
    std::size_t tunnels_max = std::numeric_limits<std::size_t>::max(); // beyond them: later
  };

  // Knows the tunnels in the slots that are taken already.
  Admission( const Crypto& crypto, Config config, Slots<TunnelRecord>& slots );

  struct Decision
  {
    Welcome welcome {};              // to be sent in any case; only made and resumed keep the link
    std::optional<Id> superseded {}; // the tunnel this instance had before: forgotten already, end it
    TunnelRecord* record = nullptr;  // of the tunnel made or resumed
  };
  [[nodiscard]] Decision decide( const Hello& hello, const Digest& binding );

  void forget( const Id& tunnel ); // unknown from now on, and after a crash as well
  [[nodiscard]] std::size_t tunnels() const { return tunnels_.size(); }

private:
  void resume( const Hello& hello, const Digest& binding, Decision& decision );

  const Crypto& crypto_;
  Config config_;
  Slots<TunnelRecord>& slots_;
  std::map<Id, TunnelRecord*> tunnels_ {};
  std::map<Id, Id> by_instance_ {}; // instance to tunnel
};

} // namespace holdfast
