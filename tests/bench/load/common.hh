#pragma once

#include "core/time.hh"
#include "load/pattern.hh"
#include "net/address.hh"
#include "net/clock.hh"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

// What both ends of a measurement share.
namespace holdfast::load {

using namespace std::chrono_literals;

inline constexpr Duration slot = 100ms;         // the grain of what is counted
inline constexpr std::size_t slots_max = 36000; // an hour
inline constexpr Duration patience = 30s;       // with an answer that must come

// Bytes that arrived, by the tenth of a second in which they did.
class Series
{
public:
  explicit Series( Time start ) : start_( start ) {}
  void add( std::size_t count, Time now )
  {
    const auto at = std::min( static_cast<std::size_t>( std::max( now - start_, Duration {} ) / slot ), slots_max );
    if ( slots_.size() <= at ) {
      slots_.resize( at + 1 );
    }
    slots_[at] += count;
  }
  void add( const std::vector<std::uint64_t>& slots )
  {
    slots_.resize( std::max( slots_.size(), slots.size() ) );
    std::ranges::transform( slots, slots_, slots_.begin(), std::plus<> {} );
  }
  [[nodiscard]] const std::vector<std::uint64_t>& slots() const { return slots_; }
  [[nodiscard]] std::string text() const { return fmt::format( "{}", fmt::join( slots_, "," ) ); }

private:
  Time start_;
  std::vector<std::uint64_t> slots_ {};
};

// One for the whole process.
inline std::span<std::byte> buffer()
{
  static std::vector<std::byte> bytes( Pattern::period );
  return bytes;
}

inline const Pattern& pattern()
{
  static const Pattern it;
  return it;
}

struct Destination
{
  std::string host {};
  std::uint16_t port = 0;
};

// target.cc
int serve( const std::string& bind, std::uint16_t port );

// apps.cc: each prints one line of JSON.
struct Bulk
{
  bool up = false;
  bool down = false;
  std::size_t streams = 1;
  Duration time {};
};
int carry( const Destination& to, const Bulk& bulk );
int pingpong( const Destination& to, std::size_t size, Duration time );
int open_again_and_again( const Destination& to, std::size_t count, std::size_t at_once );
int stay_idle( const Destination& to, std::size_t count );

} // namespace holdfast::load
