#pragma once

#include "fuzz/facts.hh"

#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

namespace holdfast::fuzz {

// What can be seen of a tunnel and its sessions at a moment, for comparing it with another moment. Nothing is
// changed.

// What a fault must leave as it is: who lives, and what was delivered and arrived.
using Alive = std::tuple<SessionId, Position, Position, bool, std::uint64_t, std::uint64_t>;
[[nodiscard]] std::vector<Alive> all_alive( Tunnel& tunnel );

// What a death of the process must leave as it is.
using Lasting = std::tuple<Alive, Position, std::size_t, bool, bool>;
[[nodiscard]] std::map<SessionId, Lasting> all_that_lasts( Tunnel& tunnel );

// Everything of the tunnel that can be seen; not what programs have read.
[[nodiscard]] std::string all_seen( Tunnel& tunnel, const TunnelRecord& record, test::TestMemory& memory );
[[nodiscard]] std::string all_seen( SessionId id, const test::Program& program );

// Those that have something to acknowledge.
[[nodiscard]] std::set<SessionId> sessions_with_news( Tunnel& tunnel );

// The session, or nullptr.
[[nodiscard]] Session* find( Tunnel& tunnel, SessionId id );

// How a session is before and after it hears something.
struct Hearing
{
  Position next = 0;
  Position sent_most = 0;
  bool hungry = false;
  bool hears = false; // it is there, and not over because of us
};
[[nodiscard]] Hearing how_is( Session* session );

} // namespace holdfast::fuzz
