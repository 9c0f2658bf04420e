#pragma once

#include "core/initiation.hh"
#include "core/memory.hh"

#include <cstddef>
#include <limits>
#include <map>
#include <optional>
#include <utility>

namespace holdfast {

// What sproxy knows of its tunnels and how it answers a link that introduces itself. Nothing changes before the
// claim is proved; unknown, expired, not proved and another client's get the same answer, at the same cost.
//
// A tunnel belongs to the identity that made it: nobody else can resume it, also with its secret, and nobody else
// ends it by asking for a new one. On links in the clear all have the same identity, which is none.
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
    std::uint32_t capabilities = 0;                                    // those we have
    std::size_t tunnels_max = std::numeric_limits<std::size_t>::max(); // beyond them: later
    // Of one identity; beyond them: refused. Not for links in the clear, where nobody can be told from another.
    std::size_t tunnels_per_client = std::numeric_limits<std::size_t>::max();
  };

  // Knows the tunnels in the slots that are taken already.
  Admission( const Crypto& crypto, Config config, Slots<TunnelRecord>& slots );

  struct Decision
  {
    Welcome welcome {};              // to be sent in any case; only made, resumed and joined keep the link
    std::optional<Id> superseded {}; // the tunnel this client had before: forgotten already, end it
    TunnelRecord* record = nullptr;  // of the tunnel made, resumed or joined
  };
  // `place_allowed`: whether hello.tunnel, if there is one and it is proved to be the client's, may be resumed from
  // where this link comes from.
  // `earlier_is_heard`: whether the tunnel that this client has already, if there is one, was heard of not long
  // ago. Then a hello of a run before that one's is not the client's last word: it was said by a process that has
  // ended.
  // `wait`: if not none, whoever would be let in is told to come back after that, and nothing else happens.
  [[nodiscard]] Decision decide( const Hello& hello,
                                 const Channel& channel,
                                 bool place_allowed,
                                 bool earlier_is_heard = false,
                                 Duration wait = {} );

  // A frame came, on the link that carries this tunnel now, that cproxy says only when it has been welcomed there
  // (neither a heartbeat nor an early one): so it has the secret of that welcome. Cheap; call it with each.
  static void confirm( TunnelRecord& record )
  {
    if ( record.secrets.has_before != 0 ) {
      settle( record.secrets );
    }
  }

  // The one that this client has, if any.
  [[nodiscard]] std::optional<Id> tunnel_of( const Digest& identity, const Id& instance ) const;
  void forget( const Id& tunnel ); // unknown from now on, and after a crash as well
  [[nodiscard]] std::size_t tunnels() const { return tunnels_.size(); }

private:
  using Owner = std::pair<Digest, Id>; // identity and instance: they have one tunnel at most
  static Owner owner( const TunnelRecord& record ) { return { record.identity, record.instance }; }

  // The tunnel, with which of its secrets that was proved; no tunnel: unknown, another one's, or not proved.
  struct Proved
  {
    TunnelRecord* tunnel;
    const Digest* secret;
  };
  [[nodiscard]] Proved proved( const Hello& hello, const Channel& channel ) const;
  void resume( const Hello& hello, const Channel& channel, bool place_allowed, Duration wait, Decision& decision );
  void join( const Hello& hello, const Channel& channel, bool place_allowed, Decision& decision );
  void make( const Hello& hello, const Channel& channel, bool earlier_is_heard, Duration wait, Decision& decision );
  [[nodiscard]] bool has_enough( const Digest& identity ) const;
  static void put_off( Welcome& welcome, Duration wait );

  const Crypto& crypto_;
  Config config_;
  Slots<TunnelRecord>& slots_;
  std::map<Id, TunnelRecord*> tunnels_ {};
  std::map<Owner, Id> by_owner_ {};
};

} // namespace holdfast
