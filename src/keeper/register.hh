#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace holdfast {

// The page that the keeper and its workers share, one worker after the other; it outlives them, and the keeper
// itself when that is replaced by a newer one. Zero-filled at first. Each field has one writer, named here. To a
// keeper the worker is a stranger: nothing that a worker wrote decides more than whether another worker is started.
//
// The layout is a promise to older and newer programs. A field is added by taking it from the reserved ones, where
// 0 has to mean "not known"; for any other change `version` becomes another one.
struct Register
{
  static constexpr std::uint64_t right_magic = 0x5453'4146'444c'4f48; // "HOLDFAST", as it lies in memory
  static constexpr std::uint32_t right_version = 1;

  // The keeper writes these, before a worker starts.
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t size;       // of this struct
  std::uint32_t generation; // workers started so far, the present one included: the first one finds 1
  std::uint32_t hasty;      // how many workers before this one died young (Backoff::young), one after the other
  std::int32_t keeper;      // process id
  std::int32_t worker;      // process id
  std::int32_t last_worker; // the one before; 0: there was none
  std::int32_t last_status; // how that one ended, as waitpid(2) says it
  std::int64_t last_death;  // when the keeper heard of it: CLOCK_BOOTTIME in nanoseconds
  // The keeper's own descriptors in the table that both have: a worker leaves them alone. -1: none.
  std::array<std::int32_t, 4> own_descriptors;
  std::uint64_t signal_mask; // what workers start with; a keeper that replaces this one finds all blocked
  std::uint32_t refused;     // upgrades that were asked for and did not come about
  std::uint32_t keeper_padding;
  std::array<std::uint64_t, 5> keeper_reserved;

  // Workers write these.
  std::uint32_t ready; // 1: a worker has been up and listening, so from now on a crash is survived. Never 0 again
  std::uint32_t up;    // the generation that came up last: it listens
  std::uint64_t crashed_memory; // inode of what the thread served that crashed, of a worker with several
  std::array<std::uint64_t, 14> worker_reserved;

  // What a worker leaves for its successor, such as the descriptor of its memory. The keeper does not look at it.
  std::array<std::uint64_t, 64> left;

  std::array<std::uint64_t, 417> reserved; // up to one page

  [[nodiscard]] bool is_ours() const
  {
    return magic == right_magic and version == right_version and size == sizeof( Register );
  }
  [[nodiscard]] bool is_keepers( int descriptor ) const
  {
    for ( const std::int32_t own : own_descriptors ) {
      if ( own == descriptor ) {
        return true;
      }
    }
    return false;
  }
};

static_assert( std::is_trivially_copyable_v<Register> and std::is_standard_layout_v<Register> );
static_assert( offsetof( Register, magic ) == 0 );
static_assert( offsetof( Register, version ) == 8 );
static_assert( offsetof( Register, size ) == 12 );
static_assert( offsetof( Register, generation ) == 16 );
static_assert( offsetof( Register, hasty ) == 20 );
static_assert( offsetof( Register, keeper ) == 24 );
static_assert( offsetof( Register, worker ) == 28 );
static_assert( offsetof( Register, last_worker ) == 32 );
static_assert( offsetof( Register, last_status ) == 36 );
static_assert( offsetof( Register, last_death ) == 40 );
static_assert( offsetof( Register, own_descriptors ) == 48 );
static_assert( offsetof( Register, signal_mask ) == 64 );
static_assert( offsetof( Register, refused ) == 72 );
static_assert( offsetof( Register, keeper_padding ) == 76 );
static_assert( offsetof( Register, keeper_reserved ) == 80 );
static_assert( offsetof( Register, ready ) == 120 );
static_assert( offsetof( Register, up ) == 124 );
static_assert( offsetof( Register, crashed_memory ) == 128 );
static_assert( offsetof( Register, worker_reserved ) == 136 );
static_assert( offsetof( Register, left ) == 248 );
static_assert( offsetof( Register, reserved ) == 760 );
static_assert( sizeof( Register ) == 4096 );

} // namespace holdfast
