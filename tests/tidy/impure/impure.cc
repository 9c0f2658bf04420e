// Everything that src/core must not do. Never run: tests/tidy/pure.py has to find each of these in the library.

#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <mutex>
#include <random>
#include <thread>

namespace holdfast::tidy {

// NOLINTBEGIN(concurrency-mt-unsafe): this is what must not be done
long everything_the_core_must_not_do( std::mutex& mutex )
{
  const std::lock_guard lock { mutex };
  timespec now {};
  ::clock_gettime( CLOCK_MONOTONIC, &now );
  const auto written = ::write( 1, "x", 1 );
  std::printf( "%ld\n", static_cast<long>( written ) );
  return std::chrono::steady_clock::now().time_since_epoch().count() + now.tv_sec
         + ::socket( AF_INET, SOCK_STREAM, 0 ) + std::rand() + static_cast<long>( std::random_device {}() )
         + ( std::getenv( "HOME" ) != nullptr ? 1 : 0 );
}

void what_no_program_of_ours_does()
{
  std::thread { [] {} }.join();
}
// NOLINTEND(concurrency-mt-unsafe)

} // namespace holdfast::tidy
