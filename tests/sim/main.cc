#include "sim/world.hh"

#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string_view>

// sim [--level tunnel|process] [--seeds N] [--first S] [--trace]: runs the worlds S, S + 1, ... and stops at the
// first that goes wrong.

namespace {

using namespace holdfast::sim;

bool number( const char* text, std::uint64_t& value )
{
  const char* const end = text + std::strlen( text );
  const auto [at, error] = std::from_chars( text, end, value );
  return error == std::errc {} and at == end;
}

} // namespace

int main( int argc, char** argv )
{
  std::uint64_t seeds = 1000;
  std::uint64_t first = 1;
  std::string_view level = "tunnel";
  bool trace = false;
  for ( int i = 1; i < argc; ++i ) {
    const std::string_view option = argv[i];
    const bool has_value = i + 1 < argc;
    if ( option == "--trace" ) {
      trace = true;
    } else if ( option == "--level" and has_value ) {
      level = argv[++i];
    } else if ( not( option == "--seeds" and has_value and number( argv[++i], seeds ) )
                and not( option == "--first" and has_value and number( argv[++i], first ) ) ) {
      level = "";
    }
  }
  if ( level != "tunnel" and level != "process" ) {
    std::fprintf( stderr, "sim: usage: sim [--level tunnel|process] [--seeds N] [--first S] [--trace]\n" );
    return 2;
  }

  const auto start = std::chrono::steady_clock::now();
  Tally tally;
  for ( std::uint64_t seed = first; seed < first + seeds; ++seed ) {
    if ( const auto failure
         = World { seed, level == "process" ? Level::process : Level::tunnel, trace }.run( tally ) ) {
      std::fprintf( stderr,
                    "sim: %s seed %ju: %s; see `sim --level %s --seeds 1 --first %ju --trace`\n",
                    level.data(),
                    seed,
                    failure->c_str(),
                    level.data(),
                    seed );
      return 1;
    }
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::printf( "%s: %ju worlds (%.0f/s): %zu steps, %.0f virtual hours, %zu links dialled, %zu carried a tunnel, "
               "%zu overtaken, "
               "%zu sleeps, %zu killed, %zu started from nothing, %zu strangers, %zu sessions, %zu reset, %zu "
               "resumes, %zu bytes read\n",
               level.data(),
               seeds,
               static_cast<double>( seeds ) / took.count(),
               tally.steps,
               std::chrono::duration<double, std::ratio<3600>>( tally.time ).count(),
               tally.links,
               tally.attached,
               tally.overtaken,
               tally.sleeps,
               tally.kills,
               tally.restarts,
               tally.strangers,
               tally.sessions,
               tally.resets,
               tally.resumes,
               tally.bytes );
}
