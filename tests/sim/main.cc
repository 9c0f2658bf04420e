#include "sim/world.hh"

#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>

// sim [--seeds N] [--first S] [--trace]: runs the worlds S, S + 1, ... and stops at the first that goes wrong.

namespace {

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
  bool trace = false;
  for ( int i = 1; i < argc; ++i ) {
    const std::string_view option = argv[i];
    const bool has_value = i + 1 < argc;
    if ( option == "--trace" ) {
      trace = true;
    } else if ( not( option == "--seeds" and has_value and number( argv[++i], seeds ) )
                and not( option == "--first" and has_value and number( argv[++i], first ) ) ) {
      std::fprintf( stderr, "sim: usage: sim [--seeds N] [--first S] [--trace]\n" );
      return 2;
    }
  }

  const auto start = std::chrono::steady_clock::now();
  holdfast::sim::Tally tally;
  for ( std::uint64_t seed = first; seed < first + seeds; ++seed ) {
    if ( const auto failure = holdfast::sim::World { seed, trace }.run( tally ) ) {
      std::fprintf(
        stderr, "sim: seed %ju: %s; see `sim --seeds 1 --first %ju --trace`\n", seed, failure->c_str(), seed );
      return 1;
    }
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::printf(
    "%ju worlds (%.0f/s): %zu steps, %zu links dialled, %zu carried a tunnel, %zu overtaken, %zu tunnels made "
    "again, %zu strangers, %zu sessions, %zu reset, %zu resumes, %zu bytes read\n",
    seeds,
    static_cast<double>( seeds ) / took.count(),
    tally.steps,
    tally.links,
    tally.attached,
    tally.overtaken,
    tally.remade,
    tally.replayed,
    tally.sessions,
    tally.resets,
    tally.resumes,
    tally.bytes );
}
