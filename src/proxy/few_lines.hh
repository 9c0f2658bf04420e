#pragma once

#include "core/time.hh"
#include "proxy/log.hh"

#include <string>
#include <string_view>

namespace holdfast {

// Lines of the log about one kind of event, which many may cause at once. One line each is useful for a few; of a
// thousand in a second the first 20 are said (each thread of an sproxy counts for itself), and how many more there
// were once the second is over. At the level debug all of them are.
//
//   lines.say( now, level, "..." ) for each; lines.tick( now ) once a turn, and at deadline() at the latest
class FewLines
{
public:
  // `kind`: as it follows a number, such as "tunnels resumed".
  FewLines( Log& log, std::string kind );

  void say( Time now, spdlog::level::level_enum level, std::string_view line );
  void tick( Time now );
  [[nodiscard]] Time deadline() const; // when it says how many more there were

private:
  Log& log_;
  std::string kind_;
  Time since_ {}; // the second began then
  unsigned said_ = 0;
  unsigned more_ = 0; // not said
};

} // namespace holdfast
