#pragma once

#include "core/chain.hh"
#include "core/fault.hh"
#include "core/types.hh"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace holdfast {

// The part of an outflow that must survive us; plain data in memory which may outlive the process. Flags are 0 or
// 1; they are not bool, because whoever recovers must be able to look at any byte.
struct OutflowRecord
{
  ChainRecord kept {};               // [begin, end) = [acknowledged, committed)
  Position sent_most = 0;            // on any link
  std::uint8_t ended = 0;            // the local program ended its stream after `end`
  std::uint8_t end_acknowledged = 0; // and the peer has delivered that
};

// Local bytes on their way to the peer. One stream, seen from its source:
//
//   0 ........ acknowledged ........ sent ........ committed        (END, if ended)
//     forgotten          retained          unsent
//
// A byte is kept until the peer has delivered it, and nowhere else for longer: this is the one durable copy. The
// end of the stream occupies one position, so all of it is acknowledged when acknowledged() == committed + 1.
// Invariant: acknowledged <= sent <= sent_most <= committed (+ 1 with the end).
class Outflow
{
public:
  struct Limits
  {
    std::size_t window_max = 0;                 // bytes retained at most, whatever the peer offers
    static constexpr std::size_t ahead = 65536; // read beyond the peer's window, so that it can be filled at once
  };

  // A stream whose peer takes `window` bytes to begin with. `owner` labels its chunks, `quota` bounds them (Chain).
  // A record that is not empty needs adopt() next; nothing of it counts as sent on the present link.
  Outflow( Pool& pool,
           OutflowRecord& record,
           Limits limits,
           std::size_t window,
           std::uint32_t owner = 0,
           Quota* quota = nullptr );
  void adopt( std::span<const Pool::Index> chunks ) { kept_.adopt( chunks ); }

  // -- from the local program -------------------------------------------------------------------------------------
  // How many more bytes we would take now; 0 is how the local program is held back.
  [[nodiscard]] std::size_t room() const;
  // Space for them in slices; fill it in order, then commit what was filled (0 as well).
  [[nodiscard]] std::size_t writable( std::span<std::span<std::byte>> slices );
  void commit( std::size_t count ) { kept_.commit( count ); }
  void end() { record_.ended = 1; } // nothing is committed afterwards
  [[nodiscard]] bool ended() const { return record_.ended != 0; }

  // -- to the link ------------------------------------------------------------------------------------------------
  [[nodiscard]] Position sent() const { return sent_; }
  // Bytes at sent() that the peer's window permits, in one piece; empty when there are none.
  [[nodiscard]] std::span<const std::byte> readable();
  void consume( std::size_t count );
  [[nodiscard]] bool end_due() const { return ended() and sent_ == kept_.end(); }
  void consume_end();
  [[nodiscard]] bool something_due() const;
  // Nothing is under way on any link, or waits in a queue: not even what was asked for again since.
  [[nodiscard]] bool all_delivered() const { return acknowledged() == record_.sent_most; }
  // What comes next was said before, on whatever link.
  [[nodiscard]] bool says_again() const { return sent_ < record_.sent_most; }

  // For a link that does not carry the stream yet: the first bytes not acknowledged, in one piece, as far as the
  // peer permits. Whoever says them reports how many, for the peer may acknowledge them from then on.
  [[nodiscard]] std::span<const std::byte> beginning() const;
  void said_early( std::size_t count );

  // The peer's first window became known after the stream had begun.
  void welcome( std::size_t window ) { limit_ = std::max( limit_, kept_.begin() + window ); }
  // Another link carries the stream from now on: everything not acknowledged is unsent again.
  void rewind();

  // -- from the peer ----------------------------------------------------------------------------------------------
  // Everything before `delivered` may be forgotten; `window` more bytes are welcome. Old news changes nothing.
  [[nodiscard]] Verdict acknowledge( Position delivered, std::size_t window );
  // The peer asks for everything from `next` on again (after a move, or because it had no room); `window` counts
  // from `delivered` and replaces what it offered before.
  [[nodiscard]] Verdict replay_from( Position next, Position delivered, std::size_t window );

  [[nodiscard]] Position acknowledged() const { return kept_.begin() + record_.end_acknowledged; }
  [[nodiscard]] bool finished() const { return record_.end_acknowledged != 0; }
  [[nodiscard]] std::size_t retained() const { return kept_.size(); }
  // The session was broken off: nobody will ask for these bytes again.
  void abandon();

private:
  void forget( Position delivered );

  OutflowRecord& record_;
  Chain kept_;
  Limits limits_;
  Chain::Cursor cursor_ {};
  Position sent_;  // on the present link
  Position limit_; // the peer takes bytes before this position
};

} // namespace holdfast
