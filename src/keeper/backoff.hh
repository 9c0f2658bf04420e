#pragma once

#include <array>
#include <chrono>
#include <cstdint>

namespace holdfast {

// How long the next worker waits. One death is answered at once: sessions are waiting. Workers that die young, one
// after the other, would use a whole processor for nothing, and each start is worth some 20 ms of one.
class Backoff
{
public:
  using Duration = std::chrono::nanoseconds;

  // Who lived so long was no part of a series. A worker killed each second is replaced at once each time.
  static constexpr Duration young = std::chrono::milliseconds { 500 };

  // A worker died that had lived so long: how long to wait.
  [[nodiscard]] Duration died( Duration lived )
  {
    if ( lived >= young ) {
      hasty_ = 0;
      return waits.front();
    }
    const Duration wait = waits[hasty_ < waits.size() ? hasty_ : waits.size() - 1];
    ++hasty_;
    return wait;
  }

  // How many in a row died young.
  [[nodiscard]] std::uint32_t hasty() const { return hasty_; }

private:
  static constexpr std::array<Duration, 5> waits { std::chrono::milliseconds { 0 },
                                                   std::chrono::milliseconds { 10 },
                                                   std::chrono::milliseconds { 100 },
                                                   std::chrono::seconds { 1 },
                                                   std::chrono::seconds { 3 } };
  std::uint32_t hasty_ = 0;
};

} // namespace holdfast
