#pragma once

#include <spdlog/logger.h>

#include <memory>
#include <string>

namespace holdfast {

// One line an event on standard error: time, program, level, what. Coloured only on a terminal. Nobody ever waits
// for it: what cannot be written at once is lost, and the next line that can be is preceded by how many are
// missing.
using Log = spdlog::logger;

// `level`: trace, debug, info, warn, error or off.
[[nodiscard]] std::shared_ptr<Log> make_log( const std::string& program, const std::string& level );

} // namespace holdfast
