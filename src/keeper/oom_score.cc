#include "keeper/oom_score.hh"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>

namespace holdfast {

namespace {

constexpr const char* file = "/proc/self/oom_score_adj";

} // namespace

int oom_score_adjustment()
{
  const int fd = ::open( file, O_RDONLY | O_CLOEXEC );
  std::array<char, 8> text {};
  if ( fd < 0 ) {
    return 0;
  }
  const ssize_t size = ::read( fd, text.data(), text.size() - 1 );
  ::close( fd );
  return size < 0 ? 0 : static_cast<int>( std::strtol( text.data(), nullptr, 10 ) );
}

bool adjust_oom_score( int adjustment )
{
  const int fd = ::open( file, O_WRONLY | O_CLOEXEC );
  if ( fd < 0 ) {
    return false;
  }
  const int written = ::dprintf( fd, "%d", adjustment );
  ::close( fd );
  return written > 0;
}

void ask_to_be_spared()
{
  const int now = oom_score_adjustment();
  if ( now > never_ended and not adjust_oom_score( never_ended ) and now > 0 ) {
    adjust_oom_score( 0 ); // where it was raised by somebody without that privilege
  }
}

} // namespace holdfast
