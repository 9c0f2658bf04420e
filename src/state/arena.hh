#pragma once

#include "core/memory.hh"
#include "core/pool.hh"
#include "net/fd.hh"

#include <cstddef>
#include <cstdint>
#include <span>

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

// The memory of all sessions of a process, with a bound:
//
//   one memfd (sparse, shared, can outlive us)        ordinary memory (sparse, private)
//   | head | session records | next | chunks ... |    | next | chunks ... |
//            who, positions     local bytes until              peer's bytes until
//                               acknowledged: Outflow          delivered: Inflow, a copy
//
// The two sets of chunks are of equal size, `memory` bytes each; pages are only taken when touched, and returned to
// the system when more than a few MiB of free chunks have piled up (cool()). None of it goes into core dumps.
class Arena
{
public:
  struct Config
  {
    std::size_t sessions = 0; // at most
    std::size_t memory = 0;   // bytes of retained data at most; rounded up to whole chunks
  };

  // Throws StartupError when the system does not give the memory.
  explicit Arena( Config config );

  [[nodiscard]] Memory memory() { return { outflow_, inflow_, slots_ }; }
  // Returns pages of chunks that have long been free. Cheap when there are none; call once a turn.
  void cool();

private:
  struct Layout;
  Arena( const Layout& layout, Config config );

  Fd fd_;
  Mapping shared_;
  Mapping ordinary_;
  Pool outflow_;
  Pool inflow_;
  Slots slots_;
};

} // namespace holdfast
