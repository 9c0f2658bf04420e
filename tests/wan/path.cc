#include "wan/path.hh"

#include <algorithm>
#include <utility>

namespace holdfast::wan {

namespace {

Duration seconds( double count )
{
  return std::chrono::duration_cast<Duration>( std::chrono::duration<double> { count } );
}

} // namespace

std::size_t Path::queued( Time now ) const
{
  if ( bottleneck_free_ <= now or conditions_.bytes_per_second <= 0 ) {
    return 0;
  }
  const double wait = std::chrono::duration<double> { bottleneck_free_ - now }.count();
  return static_cast<std::size_t>( wait * conditions_.bytes_per_second );
}

void Path::enter( FrameBytes frame, std::size_t on_wire, Time now )
{
  ++counters_.entered;
  if ( conditions_.hole ) {
    ++counters_.swallowed;
    return;
  }
  std::uniform_real_distribution<double> evenly { 0, 1 };
  if ( conditions_.loss > 0 and evenly( chance_ ) < conditions_.loss ) {
    ++counters_.lost;
    return;
  }
  Time through = now; // the bottleneck
  if ( conditions_.bytes_per_second > 0 ) {
    const std::size_t waiting = queued( now );
    if ( waiting > 0 and waiting + on_wire > conditions_.queue ) { // an idle bottleneck takes any one frame
      ++counters_.overflowed;
      return;
    }
    counters_.queued_most = std::max( counters_.queued_most, waiting + on_wire );
    through = std::max( now, bottleneck_free_ )
              + seconds( static_cast<double>( on_wire ) / conditions_.bytes_per_second );
    bottleneck_free_ = through;
  }
  Time due = through + conditions_.delay
             + seconds( evenly( chance_ ) * std::chrono::duration<double> { conditions_.jitter }.count() );
  if ( not conditions_.reorder ) {
    due = std::max( due, last_due_ );
  }
  last_due_ = std::max( due, last_due_ );
  under_way_.push( { due, next_number_++, std::move( frame ) } );
}

std::optional<Path::FrameBytes> Path::leave( Time now )
{
  if ( under_way_.empty() or under_way_.top().due > now ) {
    return std::nullopt;
  }
  auto& first = const_cast<UnderWay&>( under_way_.top() ); // its bytes are not what it is sorted by
  FrameBytes frame = std::move( first.bytes );
  counters_.late_most = std::max( counters_.late_most, now - first.due );
  under_way_.pop();
  ++counters_.arrived;
  counters_.arrived_bytes += frame.size();
  return frame;
}

} // namespace holdfast::wan
