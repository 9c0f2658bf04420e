#pragma once

#include "core/allowance.hh"

namespace holdfast {

// How fast clients may come back, when an outage ends for all of them at the same moment. Each costs a handshake
// and an exchange of positions; those who have a link already wait meanwhile. So many may come at once, and then so
// many a second; the others are told when, one after another, so that they do not come together again.
//
//   const Duration wait = ramp.wait( now );   none: it may come in
//   ramp.let_in( now ) or ramp.put_off( now ), whichever was done
class Ramp
{
public:
  explicit Ramp( Allowance::Config config ) : config_( config ), allowance_( config ) {}

  [[nodiscard]] Duration wait( Time now ) const
  {
    return allowance_.next() <= now ? Duration {} : std::max( allowance_.next(), slot_ ) - now;
  }
  void let_in( Time now ) { static_cast<void>( allowance_.take( now ) ); }
  void put_off( Time now ) { slot_ = now + wait( now ) + config_.every; }

private:
  Allowance::Config config_;
  Allowance allowance_;
  Time slot_ {}; // of the next one who is put off, at the earliest
};

} // namespace holdfast
