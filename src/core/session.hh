#pragma once

#include "core/frame.hh"
#include "core/inflow.hh"
#include "core/memory.hh"
#include "core/outflow.hh"
#include "core/queue.hh"
#include "core/time.hh"
#include "core/voice.hh"

#include <cstdint>
#include <optional>
#include <span>

namespace holdfast {

struct SessionLimits
{
  Outflow::Limits outflow {};
  Inflow::Limits inflow {};
  BulkMeter::Limits bulk {};
};

// One TCP connection of the app, as one of the two proxies sees it: a stream in each direction, and the few facts
// about its beginning and its end that must reach the other side. Here is its life and what it hears; what it says
// is its voice's business. Outlives links.
//
// The session is over for us when the shell has released it (its local socket is closed) and nothing about it can
// matter to the peer any more:
//
//   how it ended               over when
//   both streams to their end  our end is acknowledged, theirs delivered, that was told once, and the session was
//                              introduced on the link there is, or was last
//   reset by us                the peer said closed, or never heard of the session
//   reset by the peer          at once (closed is said by the tunnel, which needs no session for it)
//   closed by the peer         at once: it forgets only sessions that are over on its side
//
// Should the last word be lost with its link, the side that still waits resumes the session on the next one, and is
// told "closed" there.
//
// All that must survive our process is in the record; what is in here can be thrown away and built again from it.
class Session
{
public:
  // Uses a record that was taken for it, and names it; or one that an earlier process left, with the chunks that
  // hold its retained bytes, in order.
  Session( Side side,
           SessionId id,
           SessionRecord& record,
           Memory memory,
           SessionLimits limits,
           std::size_t peer_window );
  Session( Side side,
           SessionRecord& record,
           std::span<const Pool::Index> chunks,
           Memory memory,
           SessionLimits limits );
  Session( const Session& ) = delete;
  Session& operator=( const Session& ) = delete;
  ~Session() = default;

  [[nodiscard]] SessionId id() const { return record_.session; }
  [[nodiscard]] SessionRecord& record() { return record_; }
  [[nodiscard]] const SessionRecord& record() const { return record_; }

  // -- from the local program -------------------------------------------------------------------------------------
  Outflow& outflow() { return outflow_; }
  Inflow& inflow() { return inflow_; }
  void target_connected() { record_.connected = 1; } // acceptor only
  [[nodiscard]] bool connected() const { return record_.connected != 0; }
  // The local program, or we for it, broke the session off. The first reason counts.
  void reset( ResetReason reason );
  // The peer is no more. True if it may have known of the session: then it counts as reset by the peer.
  bool lost( ResetReason reason );
  // The shell has closed the local socket and does not look at the session again.
  void release() { record_.released = 1; }
  [[nodiscard]] bool released() const { return record_.released != 0; }

  // -- the end ----------------------------------------------------------------------------------------------------
  [[nodiscard]] std::optional<ResetReason> reset_by_us() const { return reason_in( record_.reset_ours ); }
  [[nodiscard]] std::optional<ResetReason> reset_by_peer() const { return reason_in( record_.reset_theirs ); }
  [[nodiscard]] bool closed_by_peer() const { return voice_.closed_by_peer(); }
  // Both streams reached their end.
  [[nodiscard]] bool complete() const { return outflow_.finished() and inflow_.finished(); }
  [[nodiscard]] bool over() const;

  // -- from the peer ----------------------------------------------------------------------------------------------
  [[nodiscard]] bool known() const { return record_.known != 0; } // it has spoken of the session
  // The one that carries the session; the bulk link beside it, on which data and ends come; one that was replaced,
  // on which data, ends and acknowledgements still count.
  enum class Link : std::uint8_t
  {
    present,
    bulk,
    replaced
  };
  [[nodiscard]] Verdict receive( const Frame& frame, Link link = Link::present );

  // -- to the peer ------------------------------------------------------------------------------------------------
  Voice& voice() { return voice_; }
  [[nodiscard]] const Voice& voice() const { return voice_; }

  // -- to its tunnel ----------------------------------------------------------------------------------------------
  // Where it stands in the queues there, and when something happened to it last, in touches.
  Place<Session> in_turns {};
  Place<Session> in_greetings {};
  Place<Session> in_later {};
  Place<Session> in_touched {};
  Place<Session> in_fresh {};
  Place<Session> in_bulk {};
  std::uint64_t touched_last = 0;

private:
  Session( Side side, SessionRecord& record, Memory memory, SessionLimits limits, std::size_t peer_window );
  [[nodiscard]] static std::optional<ResetReason> reason_in( std::uint8_t raw )
  {
    return raw == 0 ? std::nullopt : std::optional { static_cast<ResetReason>( raw ) };
  }
  [[nodiscard]] bool named() const { return record_.named != 0; }
  void reset_by_peer( ResetReason reason );
  [[nodiscard]] Verdict receive_beside( const Frame& frame, Link link );
  [[nodiscard]] static Verdict taken( const FrameHeader& header, Verdict verdict );
  [[nodiscard]] Verdict resumed( const Frame& frame );

  Side side_;
  SessionRecord& record_;
  Outflow outflow_;
  Inflow inflow_;
  Voice voice_ { side_, record_, outflow_, inflow_ };
};

} // namespace holdfast
