#include "proxy/log.hh"

#include <spdlog/sinks/stdout_color_sinks.h>

namespace holdfast {

std::shared_ptr<Log> make_log( const std::string& program, const std::string& level )
{
  auto log = std::make_shared<Log>( program, std::make_shared<spdlog::sinks::stderr_color_sink_st>() );
  log->set_pattern( "%Y-%m-%d %H:%M:%S.%e %n %^%l%$: %v" );
  log->set_level( spdlog::level::from_str( level ) );
  return log;
}

} // namespace holdfast
