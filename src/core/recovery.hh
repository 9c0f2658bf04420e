#pragma once

#include "core/memory.hh"
#include "core/session.hh"

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

namespace holdfast {

// What a process that died has left in its records, judged like the input of a stranger: whoever died may have
// scribbled over them first.
//
//   const Survey found = survey( side, tunnels, sessions, labels, mend );      looks, and clears what makes no
//   sense pool.recover( ... ); slots.recover( ... ); tunnel_slots.recover( ... );    start from what is left for
//   each found session: its tunnel.restore( record, chunks );              each goes on with the next link
//
// A session whose record or whose bytes do not fit together is cleared, and no other one suffers: its peer, when it
// asks, hears that it is not known any more. A wrong number that could be right (a smaller `end`, another
// `delivered`) is not noticed here; the peer notices some of them (ResetReason::inconsistent).
struct Survey
{
  struct Found
  {
    SessionRecord* record;
    std::vector<Pool::Index> chunks; // of its retained bytes, in order
  };
  std::vector<TunnelRecord*> tunnels {};
  std::vector<Found> sessions {}; // each of one of these tunnels, no two with the same number in one tunnel
  std::size_t broken = 0;         // tunnels and sessions that were cleared because they made no sense
  // Sessions that were cleared because their tunnel was being ended. Acceptor only.
  std::size_t ended = 0;
};

// Somebody who knows better than a session's record how far its local socket has come (the kernel does) corrects
// the record. Returns false if the two cannot be of the same session.
using Mend = std::function<bool( SessionRecord& )>;

// After it, exactly what is in the Survey is not free, and exactly their chunks have an owner. `mend` is asked
// about each session whose record makes sense, before its bytes are looked for.
[[nodiscard]] Survey survey( Side side,
                             std::span<TunnelRecord> tunnels,
                             std::span<SessionRecord> sessions,
                             std::span<Pool::Label> labels,
                             const Mend& mend = {} );

} // namespace holdfast
