#pragma once

#include "core/chain.hh"
#include "core/fault.hh"
#include "core/fresh.hh"
#include "core/round_trip.hh"
#include "core/time.hh"
#include "core/types.hh"

#include <cstddef>
#include <optional>
#include <span>

namespace holdfast {

// The part of an inflow that must survive us; plain data in memory which may outlive the process.
struct InflowRecord
{
  Position delivered = 0;         // bytes written into the local socket
  std::uint8_t end_delivered = 0; // 0 or 1: it was told that the stream ends there
};

// The peer's bytes on their way to the local socket, and how many more we take. One stream, seen from its sink:
//
//   0 ........ delivered ........ received ........ limit
//     with the kernel     held          welcome
//
// Held are first those in chunks of the pool, then those that have just arrived and still lie where they were read
// into (Fresh), until keep().
//
// What is held here is a copy: the peer keeps every byte until it is delivered. So nothing here needs to survive
// us, and when memory is short bytes that arrive are simply let go and asked for again later (replay_due), which is
// why windows need no reservation. What comes twice is dropped by position. Invariant: delivered <= received <=
// limit. The first two only grow; the limit falls when bytes are asked for again, but whoever keeps to an earlier
// offer is not to blame: the new one may be lost with its link.
class Inflow
{
public:
  struct Limits
  {
    std::size_t window_initial = 65536;
    std::size_t window_max = 0;
  };

  // `fresh`: bytes that place() is given stay there until keep(). Null: they may go at once.
  Inflow( Pool& pool, InflowRecord& record, Limits limits, Quota* quota = nullptr, Fresh* fresh = nullptr );

  // -- from the link ----------------------------------------------------------------------------------------------
  [[nodiscard]] Verdict place( Position at, std::span<const std::byte> bytes );
  [[nodiscard]] Verdict place_end( Position at ); // `at`: one past the last byte
  // The same from a bulk link, which the peer may have lost before us: then all of it is said again on the other
  // link. So a gap means nothing here; and a hole is filled only there, by bytes that were asked for, or what is
  // still under way there beyond it would be a gap.
  [[nodiscard]] Verdict place_bulk( Position at, std::span<const std::byte> bytes );
  // The same from a link that was replaced. Bytes beyond our offer mean nothing here either: a process that died
  // may have offered more. Nothing stays where it is.
  [[nodiscard]] Verdict place_late( Position at, std::span<const std::byte> bytes );
  [[nodiscard]] Verdict place_end_late( Position at );
  // The bytes that were placed go from where they lie: those not delivered yet are copied, as far as there is
  // memory.
  void keep();
  [[nodiscard]] bool has_fresh() const { return fresh_.bytes() > 0; }

  // -- to the local program ---------------------------------------------------------------------------------------
  [[nodiscard]] bool empty() const { return held() == 0; }
  [[nodiscard]] std::size_t readable( std::span<std::span<const std::byte>> slices ) const;
  void consume( std::size_t count, Time now ); // written into the local socket
  [[nodiscard]] bool end_due() const { return end_ and empty() and not finished(); }
  void consume_end();

  // -- to the peer ------------------------------------------------------------------------------------------------
  [[nodiscard]] Position delivered() const { return record_.delivered + record_.end_delivered; }
  // What we have and need not be sent again.
  [[nodiscard]] Position next() const { return received() + ( end_ ? 1 : 0 ); }
  [[nodiscard]] std::size_t window() const { return static_cast<std::size_t>( limit_ - record_.delivered ); }
  // Something worth a frame of its own has been delivered since the last told(): the sooner half of a window
  // counts.
  [[nodiscard]] bool news() const { return delivered() != told_ or offer_is_old_; }
  [[nodiscard]] bool urgent_news() const;
  // A frame carries delivered() and window() now. Before: lets the window grow with the rate, `round_trip` being
  // the link's.
  void prepare_news( Time now, RoundTrip round_trip );
  void told()
  {
    told_ = delivered();
    offer_is_old_ = false;
  }
  // What the peer knows on this link is what it was told some time ago: this.
  void told_before( Position delivered, Position limit )
  {
    told_ = delivered;
    offer_is_old_ = limit != limit_;
  }
  [[nodiscard]] Position limit() const { return limit_; }
  // Bytes were let go and there is room again: the peer must be asked to go on from next().
  [[nodiscard]] bool replay_due() const;
  void replay_asked(); // a resume frame carries next() and window()
  [[nodiscard]] bool hungry() const { return hole_ == Hole::let_go; }

  [[nodiscard]] bool finished() const { return record_.end_delivered != 0; }
  [[nodiscard]] std::size_t held() const { return held_.size() + fresh_.bytes(); }
  // The session was broken off: nobody will read these bytes.
  void abandon();

private:
  enum class Hole
  {
    none,
    let_go, // bytes had to be let go
    asked   // and were asked for again; until they come, whatever comes behind them is no surprise
  };

  [[nodiscard]] Position received() const { return held_.end() + fresh_.bytes(); }
  void take( std::span<const std::byte> bytes );
  [[nodiscard]] static std::size_t of_use( Duration least );

  InflowRecord& record_;
  Limits limits_;
  ChainRecord held_record_ {};
  Chain held_; // [delivered, received), but for the last ones:
  Fresh* views_;
  Fresh::List fresh_ {};
  Position limit_;
  Position offered_most_; // the highest limit ever told
  std::size_t window_;
  Position told_;
  bool offer_is_old_ = false; // the peer goes by an earlier limit
  std::optional<Position> end_ {};
  Hole hole_ = Hole::none;
  Time rate_since_ {}; // the rate is what was delivered from here
  Position rate_from_;
  double per_trip_ = 0; // bytes delivered in a round trip, when last looked at
};

} // namespace holdfast
