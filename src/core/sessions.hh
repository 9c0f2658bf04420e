#pragma once

#include "core/memory.hh"
#include "core/session.hh"

#include <cstddef>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

namespace holdfast {

// The sessions of a tunnel, by number. Each has a slot of the memory for its record from the moment it is made, and
// is in one piece or not at all for whoever finds the memory when we have died: when it goes, its record is free
// before its bytes are.
//
// A session stays where it is until it is dropped.
class Sessions
{
public:
  // `tunnel`: the slot of the tunnel, which is noted in their records. The memory must outlive us.
  Sessions( Side side, std::uint32_t tunnel, const Memory& memory, SessionLimits limits )
    : side_( side ), tunnel_( tunnel ), memory_( memory ), limits_( limits )
  {}
  Sessions( const Sessions& ) = delete;
  Sessions& operator=( const Sessions& ) = delete;
  ~Sessions();

  // A new one, or nullptr when there are as many as there may be.
  [[nodiscard]] Session* make( SessionId id, std::size_t peer_window );
  // One that an earlier process left, with the chunks of its retained bytes.
  Session& restore( SessionRecord& record, std::span<const Pool::Index> chunks );
  [[nodiscard]] Session* find( SessionId id ) const;
  void drop( Session& session );

  [[nodiscard]] std::size_t size() const { return all_.size(); }
  template<class F>
  void for_each( F f )
  {
    for ( auto& [id, session] : all_ ) {
      f( *session );
    }
  }
  // Where something happened last, somebody is likely to wait: those first, and `most` of them at most.
  [[nodiscard]] std::vector<Session*> latest_first( std::size_t most ) const;
  // All in the order in which they may introduce themselves on a new link: those that the peer knows, the latest
  // first; then the others in rising order, for it takes an open only with a number above all it has seen.
  [[nodiscard]] std::vector<Session*> in_order_of_a_link() const;

private:
  void end( std::unique_ptr<Session>& session );
  [[nodiscard]] std::vector<Session*> all() const;

  Side side_;
  std::uint32_t tunnel_;
  const Memory& memory_;
  SessionLimits limits_;
  std::unordered_map<SessionId, std::unique_ptr<Session>> all_ {};
};

} // namespace holdfast
