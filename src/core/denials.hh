#pragma once

#include "core/fault.hh"
#include "core/frame.hh"
#include "core/frame_batch.hh"

#include <array>
#include <cstddef>
#include <deque>
#include <optional>

namespace holdfast {

// Sessions that the peer speaks of and that we do not have, or shall not have: what is to be said about each of
// them on the present link, first in, first out. On another link the peer asks again.
class Denials
{
public:
  // Honest frames about sessions that do not exist come once per session and link, and there are at most as many
  // sessions as slots, and one more for each that was reset; a peer that sends more than this before we could
  // answer is not honest.
  static constexpr std::size_t most = 65536;

  // It is closed, or reset for this reason.
  [[nodiscard]] Verdict add( SessionId id, std::optional<ResetReason> reason = std::nullopt )
  {
    denied_.push_back( { id, reason } );
    return size() > most ? Verdict { Fault::too_many_unknown } : std::nullopt;
  }
  void clear() { denied_.clear(); }
  [[nodiscard]] bool empty() const { return denied_.empty(); }
  [[nodiscard]] std::size_t size() const { return denied_.size(); }

  // Until the batch is full, or nobody is left.
  void transmit( FrameBatch& batch )
  {
    for ( ; not batch.full() and not empty(); denied_.pop_front() ) {
      const auto [id, reason] = denied_.front();
      if ( reason ) {
        const std::array payload { static_cast<std::byte>( *reason ) };
        batch.put_copy( { .type = FrameType::reset, .session = id }, payload );
      } else {
        batch.put( { .type = FrameType::closed, .session = id } );
      }
    }
  }

private:
  struct Denied
  {
    SessionId id;
    std::optional<ResetReason> reason;
  };
  std::deque<Denied> denied_ {};
};

} // namespace holdfast
