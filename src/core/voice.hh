#pragma once

#include "core/frame.hh"
#include "core/frame_batch.hh"
#include "core/inflow.hh"
#include "core/link_choice.hh"
#include "core/memory.hh"
#include "core/outflow.hh"

#include <array>
#include <cstdint>
#include <vector>

namespace holdfast {

// What a session says. Derived, each time somebody asks, from its record, from its streams, and from what it has
// said on the present link; a new link simply starts from nothing said. Refers to the parts of its session, and
// keeps nothing that would have to survive us.
class Voice
{
public:
  Voice( Side side, SessionRecord& record, Outflow& outflow, Inflow& inflow )
    : side_( side ), record_( record ), outflow_( outflow ), inflow_( inflow )
  {}

  // -- what it has heard ------------------------------------------------------------------------------------------
  // Another link carries the session from now on: nothing has been said on it but what speak_early() said with that
  // hello. A session that the peer does not know yet may begin with `peer_window` bytes.
  void new_link( std::size_t peer_window, std::uint64_t hello = 0 );
  // On this link the peer has introduced the session, which counts for both, or said from where on it wants our
  // bytes.
  void peer_introduced() { said_.introduced = said_.may_send = true; }
  void peer_asked() { said_.may_send = true; }
  // The peer has no such session: there is nobody to speak to.
  void peer_closed() { closed_ = true; }
  [[nodiscard]] bool closed_by_peer() const { return closed_; }

  // -- to the link ------------------------------------------------------------------------------------------------
  [[nodiscard]] bool introduced() const { return said_.introduced; }
  // Whether somebody waits for what there is to say on a new link: else it only introduces itself.
  [[nodiscard]] bool is_waited_for() const;
  // Whether there is something to say on this link now, not counting acknowledgements that can wait.
  [[nodiscard]] bool has_something_to_say() const;
  // Something that can wait a little: an acknowledgement, or room for bytes that had to be let go.
  [[nodiscard]] bool something_can_wait() const;
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

  // -- to the bulk link (BulkLane, LinkChoice) --------------------------------------------------------------------
  bool measure( Time now, BulkMeter::Limits limits ) { return choice_.measure( outflow_, inflow_, now, limits ); }
  void choose_link() { choice_.choose( outflow_ ); }
  bool leave_bulk_link() { return choice_.leave_bulk_link( outflow_ ); }
  // Whether there is something to say there now.
  [[nodiscard]] bool bulk_due() const { return choice_.on_bulk_link() and goes_on() and stream_due(); }
  // Says it: one frame, data of at most `piece_max` bytes or the end.
  void speak_bulk( FrameBatch& batch, std::size_t piece_max );

private:
  enum class Word : std::uint8_t
  {
    nothing,
    open,
    opened,
    resume,
    stream, // data, or the end
    ack,
    reset
  };
  struct Resume
  {
    FrameHeader header {};
    std::array<std::byte, sizeof( Position )> next {};
  };
  [[nodiscard]] Word next() const;
  [[nodiscard]] bool goes_on() const
  {
    return not closed_ and record_.reset_ours == 0 and record_.reset_theirs == 0;
  }
  [[nodiscard]] bool target_is_there() const { return side_ == Side::acceptor and record_.connected != 0; }
  [[nodiscard]] bool stream_due() const { return said_.may_send and outflow_.something_due(); } // if it goes on
  void say_resume( FrameBatch& batch, Time now, RoundTrip round_trip );
  void speak_stream( FrameBatch& batch, FrameHeader header, std::size_t piece_max );
  [[nodiscard]] FrameHeader header( FrameType type ) const;
  [[nodiscard]] FrameHeader header_with_news( FrameType type, Time now, RoundTrip round_trip );
  [[nodiscard]] Resume resume() const;

  Side side_;
  bool closed_ = false;
  // What was said and heard on the present link.
  struct Said
  {
    bool introduced = false; // open or resume
    bool may_send = false;   // we know from where on the peer wants our bytes
    bool opened = false;
    bool reset = false;
  };
  Said said_ {};
  SessionRecord& record_;
  Outflow& outflow_;
  Inflow& inflow_;
  LinkChoice choice_ {};
  // What speak_early() said last.
  struct Early
  {
    std::uint64_t hello = 0; // none
    Position delivered = 0;
    Position limit = 0;
  };
  Early early_ {};
};

} // namespace holdfast
