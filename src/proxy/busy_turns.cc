#include "proxy/busy_turns.hh"

#include <algorithm>
#include <utility>

namespace holdfast {

namespace {

using namespace std::chrono_literals;

constexpr Duration long_turn = 50ms;
constexpr Duration between_lines = 10s;

} // namespace

void BusyTurns::look( const Loop& loop, Log& log )
{
  longest_ = std::max( longest_, loop.busy() );
  if ( loop.busy() > long_turn ) {
    longest_untold_ = std::max( longest_untold_, loop.busy() );
  }
  if ( longest_untold_ > Duration {} and loop.now() >= silent_until_ ) {
    silent_until_ = loop.now() + between_lines;
    log.warn( "the loop was busy for {} ms: everything waited for so long",
              std::chrono::ceil<std::chrono::milliseconds>( std::exchange( longest_untold_, {} ) ).count() );
  }
}

} // namespace holdfast
