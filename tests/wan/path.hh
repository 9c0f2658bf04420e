#pragma once

#include "core/time.hh"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <queue>
#include <random>
#include <vector>

namespace holdfast::wan {

// What a direction of the emulated network does to frames. All of it may change while frames are under way; those
// that are keep their time of arrival.
struct Conditions
{
  Duration delay {};              // one way
  Duration jitter {};             // added to it, evenly distributed between nothing and this
  bool reorder = false;           // jitter may let a frame overtake another one
  double loss = 0;                // part of the frames that are lost, 0 to 1
  double bytes_per_second = 0;    // of the bottleneck; 0: there is none
  std::size_t queue = 16U << 20U; // bytes that may wait before the bottleneck; what does not fit is lost
  bool hole = false;              // a black hole: everything that enters is lost, silently
};

struct Counters
{
  std::uint64_t entered = 0; // frames
  std::uint64_t arrived = 0;
  std::uint64_t arrived_bytes = 0;
  std::uint64_t lost = 0;       // by chance
  std::uint64_t overflowed = 0; // the queue
  std::uint64_t swallowed = 0;  // by the black hole
  std::uint64_t refused = 0;    // by the interface it was to arrive on
  std::size_t queued_most = 0;  // bytes before the bottleneck
  Duration late_most {};        // how late we were ourselves, at most
};

// One direction of the emulated network:
//
//   enter() --> loss, hole --> queue --> bottleneck --> delay + jitter --> due frames
//
// Does no input or output and reads no clock, so that a test can play with it. Frames leave in the order they
// entered, unless jitter may reorder them. Memory is bounded by the queue, and by bytes_per_second x delay.
class Path
{
public:
  using FrameBytes = std::vector<std::byte>;

  explicit Path( std::uint64_t seed ) : chance_( seed ) {}

  Conditions& conditions() { return conditions_; }
  [[nodiscard]] const Counters& counters() const { return counters_; }

  // `on_wire`: the bytes it occupies at the bottleneck.
  void enter( FrameBytes frame, std::size_t on_wire, Time now );
  // The next frame whose time has come; nothing when there is none yet.
  [[nodiscard]] std::optional<FrameBytes> leave( Time now );
  // The frame that just left was not taken where it was to arrive.
  void refused() { ++counters_.refused; }
  // When the next frame is due; never when none is under way.
  [[nodiscard]] Time deadline() const { return under_way_.empty() ? never : under_way_.top().due; }
  // Bytes that wait before the bottleneck at this time.
  [[nodiscard]] std::size_t queued( Time now ) const;

private:
  struct UnderWay
  {
    Time due;
    std::uint64_t number; // of those due at the same time, the first to enter leaves first
    FrameBytes bytes;
    bool operator<( const UnderWay& other ) const // the queue's top is the greatest: the earliest
    {
      return due != other.due ? due > other.due : number > other.number;
    }
  };

  Conditions conditions_ {};
  Counters counters_ {};
  std::mt19937_64 chance_;
  std::priority_queue<UnderWay> under_way_ {};
  Time bottleneck_free_ {}; // it is busy until then
  Time last_due_ {};
  std::uint64_t next_number_ = 0;
};

} // namespace holdfast::wan
