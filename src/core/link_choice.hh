#pragma once

#include "core/bulk_meter.hh"
#include "core/inflow.hh"
#include "core/outflow.hh"

#include <cstdint>

namespace holdfast {

// Where the bytes of a session go that we send: on the link that carries the tunnel, or on the bulk link beside it.
// Goes by how much they are, and is asked before each frame. A stream changes links when all that was ever said of
// it has been delivered, and says nothing new until then if it must. That the peer asks for something again is no
// delivery: what was said behind that is still under way, and would be a gap once it came on the other link.
class LinkChoice
{
public:
  // How far the streams have come. Whether any of them carries much.
  bool measure( const Outflow& outflow, const Inflow& inflow, Time now, BulkMeter::Limits limits )
  {
    sends_.look( outflow.acknowledged(), now, limits );
    receives_.look( inflow.delivered(), now, limits );
    return sends_.is_bulk() or receives_.is_bulk();
  }
  // There is a bulk link: whether our stream goes on it from now on.
  void choose( const Outflow& outflow )
  {
    if ( outflow.all_delivered() ) {
      stream_ = sends_.is_bulk() ? Stream::on_bulk_link : Stream::on_link;
    } else if ( stream_ != Stream::on_bulk_link ) {
      stream_ = sends_.is_bulk() ? Stream::waits : Stream::on_link;
    }
  }
  // There is none any more; what was said there and is not acknowledged is said again. Whether that is anything.
  bool leave_bulk_link( Outflow& outflow )
  {
    const Stream before = stream_;
    if ( before == Stream::on_bulk_link ) {
      outflow.rewind();
    }
    stream_ = Stream::on_link;
    return before != Stream::on_link;
  }
  // Another link carries the tunnel, and nothing was said on any.
  void new_link() { stream_ = Stream::on_link; }

  // Where the stream goes on now; while it waits, nowhere but with what it says again.
  [[nodiscard]] bool on_bulk_link() const { return stream_ == Stream::on_bulk_link; }
  [[nodiscard]] bool on_link( const Outflow& outflow ) const
  {
    return stream_ == Stream::on_link or ( stream_ == Stream::waits and outflow.says_again() );
  }

private:
  enum class Stream : std::uint8_t
  {
    on_link,
    waits, // until all that was ever said is acknowledged; then it goes on the bulk link
    on_bulk_link
  };

  BulkMeter sends_ {};
  BulkMeter receives_ {};
  Stream stream_ = Stream::on_link;
};

} // namespace holdfast
