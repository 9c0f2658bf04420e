#include "proxy/log.hh"

#include "keeper/standard_error.hh"

#include <fmt/format.h>
#include <spdlog/details/os.h>
#include <spdlog/sinks/base_sink.h>

#include <cstdint>
#include <cstdio>
#include <mutex>
#include <string>
#include <string_view>

namespace holdfast {

namespace {

class Sink final : public spdlog::sinks::base_sink<std::mutex>
{
private:
  void sink_it_( const spdlog::details::log_msg& message ) override
  {
    spdlog::memory_buf_t buffer;
    formatter_->format( message, buffer );
    const std::string line { buffer.data(), buffer.size() };
    if ( missing_ > 0 and write( fmt::format( "(lines missing here, which nobody took: {})\n", missing_ ) ) ) {
      missing_ = 0;
    }
    if ( missing_ > 0 or not write( coloured( line, message ) ) ) {
      ++missing_;
    }
  }
  void flush_() override {}

  // False: not all of it was taken. What was begun is not gone on with: the next line begins on a line of its own.
  bool write( std::string text )
  {
    if ( is_cut_ ) {
      text.insert( 0, 1, '\n' );
    }
    const ssize_t taken = standard_error_.write( text.data(), text.size() );
    const bool whole = taken == static_cast<ssize_t>( text.size() );
    is_cut_ = whole ? false : is_cut_ or taken > 0;
    return whole;
  }

  [[nodiscard]] std::string coloured( std::string line, const spdlog::details::log_msg& message ) const
  {
    if ( has_colours_ and message.color_range_end > message.color_range_start ) {
      line.insert( message.color_range_end, "\033[m" );
      line.insert( message.color_range_start, colour( message.level ) );
    }
    return line;
  }

  static std::string_view colour( spdlog::level::level_enum level )
  {
    switch ( level ) {
      case spdlog::level::trace: return "\033[37m";
      case spdlog::level::debug: return "\033[36m";
      case spdlog::level::info: return "\033[32m";
      case spdlog::level::warn: return "\033[33m\033[1m";
      case spdlog::level::err: return "\033[31m\033[1m";
      case spdlog::level::critical: return "\033[1m\033[41m";
      case spdlog::level::off:
      case spdlog::level::n_levels: break;
    }
    return "";
  }

  StandardError standard_error_ {};
  bool has_colours_ = spdlog::details::os::in_terminal( stderr ) and spdlog::details::os::is_color_terminal();
  bool is_cut_ = false;
  std::uint64_t missing_ = 0;
};

} // namespace

std::shared_ptr<Log> make_log( const std::string& program, const std::string& level )
{
  auto log = std::make_shared<Log>( program, std::make_shared<Sink>() );
  log->set_pattern( "%Y-%m-%d %H:%M:%S.%e %n %^%l%$: %v" );
  log->set_level( spdlog::level::from_str( level ) );
  return log;
}

} // namespace holdfast
