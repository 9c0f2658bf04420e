#include "keeper/say.hh"

#include "keeper/standard_error.hh"

#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <ctime>

namespace holdfast {

void say( const char* name, const char* level, const char* format, ... )
{
  timespec time {};
  ::clock_gettime( CLOCK_REALTIME, &time );
  tm date {};
  ::localtime_r( &time.tv_sec, &date );
  std::array<char, 24> second {};
  std::strftime( second.data(), second.size(), "%Y-%m-%d %H:%M:%S", &date );
  std::array<char, 512> text {};
  std::va_list parts;
  va_start( parts, format );
  std::vsnprintf( text.data(), text.size(), format, parts );
  va_end( parts );
  std::array<char, 600> line {};
  const int size = std::snprintf( line.data(),
                                  line.size(),
                                  "%s.%03ld %s %s: %s\n",
                                  second.data(),
                                  time.tv_nsec / 1'000'000,
                                  name,
                                  level,
                                  text.data() );
  if ( size > 0 and static_cast<std::size_t>( size ) < line.size() ) {
    static_cast<void>( StandardError().write( line.data(), static_cast<std::size_t>( size ) ) ); // or it is lost
  }
}

const char* last_error()
{
  return std::strerror( errno ); // NOLINT(concurrency-mt-unsafe): one thread
}

} // namespace holdfast
