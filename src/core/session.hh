#pragma once

#include "core/bulk_meter.hh"
#include "core/frame.hh"
#include "core/frame_batch.hh"
#include "core/inflow.hh"
#include "core/memory.hh"
#include "core/outflow.hh"
#include "core/queue.hh"
#include "core/time.hh"

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace holdfast {

// Which end of a tunnel we are: cproxy opens sessions, sproxy accepts them.
enum class Side
{
  opener,
  acceptor
};

struct SessionLimits
{
  Outflow::Limits outflow {};
  Inflow::Limits inflow {};
  BulkMeter::Limits bulk {};
};

// One TCP connection of the app, as one of the two proxies sees it: a stream in each direction and the few facts
// about its beginning and its end that must reach the other side. Outlives links: what it still has to say on the
// present link is derived from what it has said there, and a new link simply starts from nothing said.
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
  // Both streams reached their end.
  [[nodiscard]] bool complete() const { return outflow_.finished() and inflow_.finished(); }
  [[nodiscard]] bool closed_by_peer() const { return closed_; }
  [[nodiscard]] bool over() const;

  // -- from the link ----------------------------------------------------------------------------------------------
  // Another link carries the session from now on: nothing has been said on it but what speak_early() said with that
  // hello. A session that the peer does not know yet may begin with `peer_window` bytes.
  void new_link( std::size_t peer_window, std::uint64_t hello = 0 );
  [[nodiscard]] Verdict receive( const Frame& frame );
  // Data or an end on the bulk link.
  [[nodiscard]] Verdict receive_bulk( const Frame& frame );
  // Data, an end or an acknowledgement on a link that was replaced.
  [[nodiscard]] Verdict receive_late( const Frame& frame );

  // -- to the link ------------------------------------------------------------------------------------------------
  // Whether somebody waits for what there is to say on a new link: else it only introduces itself.
  [[nodiscard]] bool is_waited_for() const;
  // Whether there is something to say on this link now, not counting acknowledgements that can wait.
  [[nodiscard]] bool has_something_to_say() const;
  // Says the next thing, one frame, if there is any; acknowledgements that can wait are said too.
  // Of its bytes at most `piece_max` at once.
  void speak( FrameBatch& batch, Time now, RoundTrip round_trip, std::size_t piece_max = FrameHeader::payload_max );
  // On a link that does not carry the session yet, behind its hello, which has this number: positions, and with
  // `data` also the bytes not acknowledged when they are few; at most early_size_max in all. Nothing if it must be
  // said after the welcome. Nothing changes for the link that carries the session now.
  void speak_early( std::vector<std::byte>& into, std::uint64_t hello, bool data, Time now, RoundTrip round_trip );
  // Bytes of a session that go into the first flight of a link. What was typed in an outage is fewer; of more the
  // peer may have the most already, and only it knows.
  static constexpr std::size_t early_bytes_max = 1024;
  static constexpr std::size_t early_size_max = 2 * FrameHeader::size + sizeof( Position ) + early_bytes_max;
  // Something that can wait a little: an acknowledgement, or room for bytes that had to be let go.
  [[nodiscard]] bool something_can_wait() const;

  // -- to the bulk link (BulkLane) --------------------------------------------------------------------------------
  void measure( Time now, BulkMeter::Limits limits );
  [[nodiscard]] bool sends_much() const { return sends_.is_bulk(); }
  [[nodiscard]] bool receives_much() const { return receives_.is_bulk(); }
  // There is a bulk link: whether our stream goes on it from now on. It changes links when all that was ever said
  // of it has been delivered, and says nothing new until then if it must. That the peer asks for something again is
  // no delivery: what was said behind that is still under way, and would be a gap once it came on the other link.
  void choose_link();
  // There is none any more; what was said there and is not acknowledged is said again. Whether that is anything.
  bool leave_bulk_link();
  // Whether there is something to say there now.
  [[nodiscard]] bool bulk_due() const { return stream_ == Stream::on_bulk_link and stream_due(); }
  // Says it: one frame, data of at most `piece_max` bytes or the end.
  void speak_bulk( FrameBatch& batch, std::size_t piece_max );

private:
  Session( Side side, SessionRecord& record, Memory memory, SessionLimits limits, std::size_t peer_window );
  [[nodiscard]] bool known() const { return record_.known != 0; }
  [[nodiscard]] bool named() const { return record_.named != 0; }
  [[nodiscard]] static std::optional<ResetReason> reason_in( std::uint8_t raw )
  {
    return raw == 0 ? std::nullopt : std::optional { static_cast<ResetReason>( raw ) };
  }
  void reset_by_peer( ResetReason reason );
  [[nodiscard]] bool stream_due() const;
  [[nodiscard]] bool stream_due_here() const;
  void speak_stream( FrameBatch& batch, FrameHeader header, std::size_t piece_max );
  [[nodiscard]] FrameHeader header( FrameType type ) const;
  [[nodiscard]] FrameHeader header_with_news( FrameType type, Time now, RoundTrip round_trip );
  void say_resume( FrameBatch& batch, Time now, RoundTrip round_trip );
  [[nodiscard]] FrameHeader resume_header() const;
  [[nodiscard]] std::array<std::byte, sizeof( Position )> next_in_bytes() const;
  [[nodiscard]] Verdict resumed( const Frame& frame );
  [[nodiscard]] static Verdict taken( const FrameHeader& header, Verdict verdict );

  Side side_;
  SessionRecord& record_;
  Outflow outflow_;
  Inflow inflow_;

  bool closed_ = false; // the peer says there is no such session

  // What was said and heard on the present link.
  struct OnLink
  {
    bool introduced = false; // we said open or resume
    bool may_send = false;   // we know from where on the peer wants our bytes
    bool opened = false;     // we said opened
    bool reset = false;      // we said reset
  };
  OnLink on_link_ {};
  // What speak_early() said last.
  struct Early
  {
    std::uint64_t hello = 0; // none
    Position delivered = 0;
    Position limit = 0;
  };
  Early early_ {};

  BulkMeter sends_ {};
  BulkMeter receives_ {};
  // Where the bytes go that we send.
  enum class Stream : std::uint8_t
  {
    on_link,
    waits, // until all that was ever said is acknowledged, saying nothing new; then it goes on the bulk link
    on_bulk_link
  };
  Stream stream_ = Stream::on_link;

  friend class Tunnel; // places of the session in the tunnel's queues
  friend class BulkLane;
  std::uint64_t touched_last_ = 0; // counts what happens in the tunnel
  Place<Session> in_turns_ {};
  Place<Session> in_greetings_ {};
  Place<Session> in_touched_ {};
  Place<Session> in_later_ {};
  Place<Session> in_fresh_ {};
  Place<Session> in_bulk_ {};
};

} // namespace holdfast
