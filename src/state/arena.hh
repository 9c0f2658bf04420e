#pragma once

#include "core/memory.hh"
#include "core/pool.hh"
#include "core/recovery.hh"
#include "core/time.hh"
#include "net/fd.hh"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace holdfast {

// A mapping, unmapped with its owner.
class Mapping
{
public:
  Mapping() = default;
  explicit Mapping( std::span<std::byte> memory ) : memory_( memory ) {}
  Mapping( Mapping&& other ) noexcept : memory_( other.memory_ ) { other.memory_ = {}; }
  Mapping& operator=( Mapping&& other ) = delete;
  Mapping( const Mapping& ) = delete;
  Mapping& operator=( const Mapping& ) = delete;
  ~Mapping();

  [[nodiscard]] std::span<std::byte> memory() const { return memory_; }

private:
  std::span<std::byte> memory_ {};
};

// Ordinary memory for bytes that pass through: in no core dump. Throws StartupError.
[[nodiscard]] Mapping private_memory( std::size_t bytes );

// A session that was served when process after process crashed, so many in a row, is the reason for all we know: it
// is better closed. The first crash may have been chance.
inline constexpr unsigned blamed_max = 2;

// The memory of all sessions of a process, with a bound:
//
//   one memfd (sparse, shared, can outlive us)                ordinary memory (sparse, private)
//   | head | tunnel, session records | labels | chunks ... |   | next | next | chunks ... |
//            who, positions            whose    local bytes until               peer's bytes until
//                                               acknowledged: Outflow           delivered: Inflow, a copy
//
// The two sets of chunks are of equal size, `memory` bytes each; pages are only taken when touched, and returned to
// the system when more than a few MiB of free chunks have piled up (cool()). None of it goes into core dumps.
class Arena
{
public:
  static constexpr const char* name = "holdfast"; // of the memfd
  struct Config
  {
    std::size_t sessions = 0; // at most; as many tunnels, and some that are being ended
    std::size_t memory = 0;   // bytes of retained data at most; rounded up to whole chunks
  };

  // Throws StartupError when the system does not give the memory.
  explicit Arena( Config config );
  // What a process left that has died.
  struct Remains
  {
    Side side;
    Fd memfd;
    bool crashed = false; // it made a mistake, and the session that it served may be the reason: see blamed_max
    const Mend& mend {};  // survey()
  };
  // Goes on with that. Throws StartupError, and changes nothing, when it is not of this layout. The caller gives
  // each session that was found() to its tunnel.
  explicit Arena( Remains remains );

  // Throws StartupError if what lies there is not of this layout.
  static void check( const Fd& left );

  [[nodiscard]] Memory memory() { return { outflow_, inflow_, slots_, nullptr, serves_, &fresh_ }; }
  [[nodiscard]] Slots<TunnelRecord>& tunnels() { return tunnels_; }
  // What was found by the constructor that goes on, until it is taken; empty after the other one.
  [[nodiscard]] const Survey& found() const { return found_; }
  [[nodiscard]] Survey take_found() { return std::exchange( found_, {} ); }
  [[nodiscard]] const Fd& memfd() const { return fd_; }
  // Overwrites what lies in free chunks, and returns pages of those that nobody needed for a while. Cheap when
  // there are none; call once a turn, and at the deadline: what was forgotten is overwritten 40 ms later at the
  // latest, unless its chunk is in use again (Pool).
  void cool( Time now );
  [[nodiscard]] Time deadline() const { return std::min( sweep_at_, cool_at_ ); }

private:
  struct Layout;
  Arena( const Layout& layout, Fd&& fd );
  static Layout layout_of( const Fd& left );

  Fd fd_;
  Mapping shared_;
  Mapping ordinary_;
  Pool outflow_;
  Pool inflow_;
  std::uint32_t* serves_; // in the head
  Slots<TunnelRecord> tunnels_;
  Slots<SessionRecord> slots_;
  Fresh fresh_ {};
  Survey found_ {};
  Time sweep_at_ = never;
  Time cool_at_ = never;
};

} // namespace holdfast
