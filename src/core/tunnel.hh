#pragma once

#include "core/bulk_lane.hh"
#include "core/denials.hh"
#include "core/frame.hh"
#include "core/frame_batch.hh"
#include "core/frame_source.hh"
#include "core/memory.hh"
#include "core/queue.hh"
#include "core/session.hh"
#include "core/sessions.hh"
#include "core/time.hh"
#include "core/turns.hh"

#include <optional>
#include <vector>

namespace holdfast {

// What lasts between one cproxy and one sproxy: the sessions, and whose turn it is to speak on the link. Which
// socket that link is, is the shell's business; it says attach() when another one takes over and passes on what
// arrives.
//
// Mutate once, then drain: whatever happens (frames received, a local socket ready, time passed) only touches
// sessions. Then the shell serves them, one after another, and only there local bytes move; last, it transmits what
// they have to say:
//
//   while ( Session* session = tunnel.next_touched() ) { ... ; tunnel.served( *session, now ); }
//   while ( link is writable and tunnel.wants_to_transmit() ) { tunnel.transmit( batch, ... ); ... }
//
// Which session is served now, by us or by the shell between next_touched() and served(), is noted in the memory:
// should we crash, it may be the reason.
//
// A session stays alive until it is over() and in none of the queues; a pointer from next_touched() is good until
// served().
class Tunnel : public FrameSource
{
public:
  // The record is the caller's, and tells which session was the last.
  Tunnel( Side side, TunnelRecord& record, Memory memory, SessionLimits limits );

  // -- sessions ---------------------------------------------------------------------------------------------------
  // Opener only: a new session, or nullptr when there are as many as there may be.
  [[nodiscard]] Session* open();
  // A session that an earlier process left, with the chunks of its retained bytes. It goes on with the next link.
  Session& restore( SessionRecord& record, std::span<const Pool::Index> chunks );
  [[nodiscard]] std::size_t sessions() const { return sessions_.size(); }
  template<class F>
  void for_each_session( F f )
  {
    sessions_.for_each( f );
  }
  // Something happened to the session: it must be served in this turn.
  void touch( Session& session );
  // The next session to serve, in the order they were touched; nullptr when there is none left.
  [[nodiscard]] Session* next_touched();
  [[nodiscard]] bool has_touched() const { return not touched_.empty(); }
  // Entries in all queues, for whoever watches that they stay small.
  [[nodiscard]] std::size_t queued() const
  {
    return turns_.size() + touched_.size() + denials_.size() + bulk_.size();
  }
  void served( Session& session, Time now );

  // -- the link ---------------------------------------------------------------------------------------------------
  // A link that has proved itself carries the tunnel from now on. `peer_window`: the first window of a new session.
  // `hello`: number of the one that was said on it, if speak_early() was called for it.
  void attach( std::size_t peer_window, std::uint64_t hello = 0 );
  // What can be said on a link behind its hello, before it is known whether it will carry the tunnel: positions, so
  // that the peer can go on with its welcome, and with `data` also the last few bytes of sessions. Those where
  // something happened last come first; as many as fit into `most` bytes. Opener only.
  void speak_early( std::vector<std::byte>& into,
                    std::size_t most,
                    std::uint64_t hello,
                    bool data,
                    Time now,
                    RoundTrip round_trip );
  void detach();
  // The other end of the tunnel is lost: every session that it may know of ends with this reason, as if it had
  // reset it. Sessions it was never told of go on, and may be told to another one.
  void peer_lost( ResetReason reason );
  [[nodiscard]] bool attached() const { return attached_; }
  // With Memory::fresh the payload must stay until deliver_fresh().
  [[nodiscard]] Verdict receive( const Frame& frame );
  // The payloads received since the last call are about to go. Before, calls `deliver( session )` for each session
  // that has some of its bytes there; what is not delivered then is copied. It moves bytes of the session to its
  // program and does nothing else. Must be called before anything but receive() is.
  template<class F>
  void deliver_fresh( F deliver )
  {
    while ( Session* const session = fresh_.pop_front() ) {
      note_served( memory_, session->record().owner() );
      deliver( *session );
      session->inflow().keep();
      note_served( memory_, 0 );
    }
    if ( memory_.fresh != nullptr ) {
      memory_.fresh->clear();
    }
  }
  // The same as receive() on a link that was replaced and still had something under way. Bytes and acknowledgements
  // are as good as ever, for positions say what they mean; all else is said again on the link that carries the
  // tunnel now.
  [[nodiscard]] Verdict receive_late( const Frame& frame );
  [[nodiscard]] bool wants_to_transmit() const override
  {
    return attached_ and not( turns_.empty() and denials_.empty() );
  }
  void transmit( FrameBatch& batch, Time now, RoundTrip round_trip ) override;
  // Ended by the peer: it said goodbye with this reason.
  [[nodiscard]] std::optional<ResetReason> goodbye() const { return goodbye_; }

  // -- a second link, for bulk (BulkLane) -------------------------------------------------------------------------
  // Whether it would be of use: some session carries much, and there are others.
  [[nodiscard]] bool wants_bulk_link( Time now ) const
  {
    return attached_ and sessions_.size() > 1 and bulk_.carries_much( now );
  }
  // There is one; it belongs to the link that carries the tunnel now, and is over when another one does.
  void attach_bulk() { bulk_.attach(); }
  void detach_bulk();
  [[nodiscard]] Verdict receive_bulk( const Frame& frame ); // that arrived on it
  [[nodiscard]] FrameSource& bulk() { return bulk_; }

  // -- time -------------------------------------------------------------------------------------------------------
  [[nodiscard]] Time deadline() const { return attached_ ? turns_.deadline() : never; }
  void tick( Time now );

private:
  [[nodiscard]] Verdict hear( Session& session, const Frame& frame, Session::Link link );
  [[nodiscard]] Verdict hear_beside( const Frame& frame, Session::Link link );
  [[nodiscard]] Verdict receive_for_unknown( const FrameHeader& header );
  void look( Session& session, Time now );
  void drop_if_over( Session& session );
  [[nodiscard]] bool is_queued( const Session& session ) const;

  Side side_;
  TunnelRecord& record_;
  Memory memory_;
  Sessions sessions_;
  std::size_t peer_window_ = 0;
  bool attached_ = false;
  std::size_t said_ = 0; // bytes on this link, until they are many
  std::optional<ResetReason> goodbye_ {};

  Denials denials_ {};
  Turns turns_ {};
  BulkLane bulk_;
  std::uint64_t touches_ = 0;
  Queue<Session, &Session::in_touched> touched_ {}; // for the shell
  Queue<Session, &Session::in_fresh> fresh_ {};     // have bytes in payloads
};

} // namespace holdfast
