#pragma once

#include "fuzz/input.hh"
#include "unit/core/pair.hh"

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace holdfast::fuzz {

// What a witness is told before anything happens.
struct Setup
{
  Side side = Side::opener;
  Pool::Index chunks = 16;
  std::size_t slots = 8;
  std::size_t window = 65536;
  std::size_t window_max = 1U << 20U;
  bool honest_bytes = false; // the peer's bytes are stream( position, peer_stream( id ) )
  bool in_place = false;     // payloads stay until payloads_go()
  BulkMeter::Limits bulk {};
};

// Where something is said.
enum class Way
{
  link,
  bulk_link,
  replaced_link
};
// Whether a frame may do anything where it comes beside the link. On the link all may.
[[nodiscard]] bool means_something( FrameType type, Way way );

constexpr std::uint64_t our_stream( SessionId id )
{
  return id;
}
constexpr std::uint64_t peer_stream( SessionId id )
{
  return id + 1000;
}

[[nodiscard]] bool is_alive( Session& session );

// What is known of one session from what was said about it, by the peer and by us, on whatever link; and whether
// what is said next, what the session has become and what its program has read fit. Sessions and programs are only
// looked at. It outlives the session, for the program is still there and the peer may still speak of it.
class Facts
{
public:
  explicit Facts( const Setup& setup ) : setup_( setup ) {} // which must stay

  // -- how it begins; what was said before means nothing
  void opened_by_us( std::size_t peer_window ) { limit_ = peer_window; }
  void opened_by_peer( std::size_t window );

  // -- its program. Returns what it writes.
  [[nodiscard]] std::string write( SessionId id, std::size_t count );
  void may_be_reset() { may_be_reset_ = true; } // somebody gives a reason for it

  // -- what happens to links, and to us
  void link_comes( std::size_t peer_window );
  void bulk_link_goes();
  void process_dies();

  // -- what the peer says: before we judge it, and when it was no fault. `session`: if there is one; `next`: of its
  // inflow, before.
  void listen( const Frame& frame, Way way, Session* session );
  void accepted( const Frame& frame, Position next );
  void note_hole( Session& session ) { hole_ = hole_ or session.inflow().hungry(); }
  [[nodiscard]] bool has_hole() const { return hole_; }

  // -- what we say, as the peer would hear it. `session` and `program`: if there are any.
  void note_sent( Session& session );
  void hear( const Frame& frame, Way way, Session* session, const test::Program* program );

  // -- whether all fits
  void check_program( SessionId id, const test::Program& program );
  void check_session( Session& session ) const;
  // On the link that there is, when all that was due is done.
  void check_stuck( Session& session, bool has_bulk_link ) const;
  void check_said( Session& session ) const;
  void check_told( Session& session ) const;

private:
  void hear_introduction( FrameType type );
  void hear_data( const Frame& frame ) const;
  void hear_end( const FrameHeader& header, const test::Program* program ) const;
  void hear_stream( Position from, Position after, Way way, Session* session );
  void hear_acknowledgement( const FrameHeader& header, Way way, const test::Program* program );
  [[nodiscard]] bool all_arrived( std::string_view read ) const;

  const Setup& setup_;
  Position written_ = 0;   // by its program, ever
  Position limit_ = 0;     // the largest window that the peer ever offered ends here
  Position sent_most_ = 0; // ever
  Position told_ = 0;      // our latest acknowledgement
  Position offered_ = 0;   // the end of the largest window that we ever offered
  bool known_ = false;     // the peer has named it
  bool introduced_ = false;
  bool may_send_ = false; // and the peer has said from where on it wants our bytes, or need not
  bool said_reset_ = false;
  bool may_be_reset_ = false; // somebody gave a reason for it
  Position told_here_ = 0;    // as `told_`, on this link; 0 goes without saying
  Way stream_on_ = Way::link; // where our stream was said last
  Position said_most_ = 0;    // of it, on any link
  Position goes_on_ = 0;      // there, if that is not acknowledged yet
  bool hole_ = false;         // bytes were let go, and have not come again on the link
  std::vector<std::pair<Position, test::Bytes>> arrived_ {};
  std::set<Position> ends_ {};
  std::size_t checked_ = 0; // of what its program read
};

} // namespace holdfast::fuzz
