#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace holdfast {

// The peer's mistake (never ours, never the network's): why this link must be dropped. The session stays as it was.
enum class Fault : std::uint8_t
{
  not_holdfast,     // the first bytes are not a greeting of this protocol
  unknown_type,     // a frame type that was not agreed upon
  bad_length,       // a payload length that the type does not allow
  bad_session,      // a session number where there may be none, or none where there must be one
  bad_field,        // a field outside its range
  out_of_order,     // a frame that may not come at this point (a second greeting, data before the greeting)
  ahead_of_sent,    // acknowledges or asks for bytes that were never sent
  gap,              // data that does not follow what came before
  beyond_window,    // more data than the window allows
  after_end,        // data after the end of its stream, or a second, different end
  too_many_unknown, // a flood of frames for sessions that do not exist
};

// What every function that handles the peer's input returns: nothing when all is well.
using Verdict = std::optional<Fault>;

// One phrase for the log: "the peer sent ...".
[[nodiscard]] constexpr std::string_view describe( Fault fault )
{
  switch ( fault ) {
    case Fault::not_holdfast: return "it does not speak Holdfast";
    case Fault::unknown_type: return "it sent a frame of unknown type";
    case Fault::bad_length: return "it sent a frame with an impossible length";
    case Fault::bad_session: return "it sent a frame with an impossible session number";
    case Fault::bad_field: return "it sent a frame with a field out of range";
    case Fault::out_of_order: return "it sent a frame that may not come at this point";
    case Fault::ahead_of_sent: return "it acknowledged bytes that were never sent";
    case Fault::gap: return "it left out bytes";
    case Fault::beyond_window: return "it sent more than the window allows";
    case Fault::after_end: return "it sent data after the end of its stream";
    case Fault::too_many_unknown: return "it sent too many frames for sessions that do not exist";
  }
  return "it made an unknown mistake";
}

} // namespace holdfast
