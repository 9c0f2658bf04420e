#include "keeper/say.hh"

#include <unistd.h>

#include <array>
#include <cstdarg>
#include <cstdio>
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
  const long milliseconds = time.tv_nsec / 1'000'000;
  ::dprintf( STDERR_FILENO, "%s.%03ld %s %s: %s\n", second.data(), milliseconds, name, level, text.data() );
}

} // namespace holdfast
