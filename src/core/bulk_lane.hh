#pragma once

#include "core/frame_source.hh"
#include "core/memory.hh"
#include "core/queue.hh"
#include "core/session.hh"

#include <functional>
#include <optional>
#include <utility>

namespace holdfast {

// The streams of a tunnel that carry much, and the bulk link: one of their own, beside the link that carries the
// tunnel, if there is one. What is lost there, or waits there in a full queue, holds up nobody who types.
//
// On it goes nothing but the data and the ends of these streams. All else of their sessions, acknowledgements too,
// stays on the other link. A stream changes links only when all that was said of it has been delivered, so its
// bytes never overtake each other; each side decides for what it sends. If the bulk link is lost, what was not
// acknowledged is said again on the other one.
class BulkLane : public FrameSource
{
public:
  // `after_turn`: is told of each session that has had its turn here.
  BulkLane( const Memory& memory, BulkMeter::Limits limits, std::function<void( Session& )> after_turn )
    : memory_( memory ), limits_( limits ), after_turn_( std::move( after_turn ) )
  {}

  // -- the link ---------------------------------------------------------------------------------------------------
  void attach() { attached_ = true; }
  // The caller calls Voice::leave_bulk_link() for all sessions, unless they are all on a new link anyway.
  void detach();
  [[nodiscard]] bool attached() const { return attached_; }
  // A stream carried much a moment ago, in any of the two directions: a bulk link would be of use if there is
  // anybody else.
  [[nodiscard]] bool carries_much( Time now ) const { return much_ and now - *much_ < 2 * limits_.span; }

  // -- sessions ---------------------------------------------------------------------------------------------------
  // Something happened to it: judges how much it carries, and where its stream belongs.
  void look( Session& session, Time now );
  // It has something to say here, perhaps.
  void give_turn( Session& session );
  [[nodiscard]] bool has( const Session& session ) const { return turns_.has( session ); }
  [[nodiscard]] std::size_t size() const { return turns_.size(); }

  [[nodiscard]] bool wants_to_transmit() const override { return attached_ and not turns_.empty(); }
  void transmit( FrameBatch& batch, Time, RoundTrip ) override;

private:
  // Nobody here waits for a keystroke, and each of their programs is woken once for so many bytes.
  static constexpr std::size_t turn_max = 4 * FrameHeader::payload_max;

  static void speak( Session& session, FrameBatch& batch );

  const Memory& memory_;
  BulkMeter::Limits limits_;
  std::function<void( Session& )> after_turn_;
  bool attached_ = false;
  std::optional<Time> much_ {}; // was carried then
  Queue<Session, &Session::in_bulk> turns_ {};
};

} // namespace holdfast
