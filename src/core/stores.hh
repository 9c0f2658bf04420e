#pragma once

#include <atomic>
#include <cstddef>
#include <cstring>
#include <span>

namespace holdfast {

// Two things that a compiler would not do by itself about memory which others look at: those who find it when our
// process has died, and those who should find nothing there.

// Whatever was stored before this is in memory before anything that is stored after it, when the process is killed
// between the two. (Not when the machine loses power: nothing of ours outlives that.)
inline void keep_order()
{
  std::atomic_signal_fence( std::memory_order_seq_cst );
}

// Overwrites with zeros what must not be found there again, also when nobody here will ever read it.
inline void wipe( std::span<std::byte> bytes )
{
  if ( not bytes.empty() ) {
    std::memset( bytes.data(), 0, bytes.size() );
    asm volatile( "" : : "r"( bytes.data() ) : "memory" ); // as if somebody read it
  }
}

} // namespace holdfast
