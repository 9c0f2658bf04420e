#pragma once

#include "core/frame_batch.hh"
#include "core/round_trip.hh"
#include "core/time.hh"

namespace holdfast {

// Who has frames to say on a link, besides the link's own.
class FrameSource
{
public:
  FrameSource() = default;
  FrameSource( const FrameSource& ) = delete;
  FrameSource& operator=( const FrameSource& ) = delete;
  virtual ~FrameSource() = default;

  [[nodiscard]] virtual bool wants_to_transmit() const = 0;
  // Puts frames into the batch until it is full or there are no more. `round_trip`: of the link.
  virtual void transmit( FrameBatch& batch, Time now, RoundTrip round_trip ) = 0;
};

} // namespace holdfast
