#pragma once

#include "net/loop.hh"
#include "proxy/log.hh"

namespace holdfast {

// How long the loop's turns take. While one lasts, nobody is heard and nobody answered, so a long one is worth a
// line of the log: from 50 ms on, half a heartbeat, and one line in ten seconds about the longest of them.
class BusyTurns
{
public:
  // Once a turn.
  void look( const Loop& loop, Log& log );
  [[nodiscard]] Duration longest() const { return longest_; } // of all

private:
  Duration longest_ {};
  Duration longest_untold_ {}; // among those worth a line
  Time silent_until_ {};
};

} // namespace holdfast
