#include "sim/core_world.hh"
#include "sim/path_world.hh"
#include "sim/world.hh"

#include <charconv>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <optional>
#include <random>
#include <sstream>
#include <string>
#include <string_view>

// sim --level core|tunnel|process [--seeds N] [--first S|fresh] [--seconds T] [--trace]
// sim --level core|tunnel|process --again FILE
// sim --path NAME [--seeds N] ...: hours on a path that is bad in one way (path_world.cc)
//
// Runs the worlds S, S + 1, ... (`fresh`: from somewhere that nobody has seen) and stops at the first that goes
// wrong, or after N worlds or T seconds. --again: the seeds of a file, one a line, each with a comment after it.

namespace {

using namespace holdfast::sim;
using Clock = std::chrono::steady_clock;

struct Options
{
  std::string level = "tunnel";
  const Impairment* path = nullptr; // instead of a level
  std::uint64_t seeds = 1000;
  std::optional<std::uint64_t> first {};
  double seconds = 1e9;
  bool trace = false;
  std::string again {};
};

bool number( std::string_view text, std::uint64_t& value )
{
  const auto [at, error] = std::from_chars( text.data(), text.data() + text.size(), value );
  return error == std::errc {} and at == text.data() + text.size();
}

std::optional<Options> read( int argc, char** argv )
{
  Options options;
  for ( int i = 1; i < argc; ++i ) {
    const std::string_view option = argv[i];
    if ( option == "--trace" ) {
      options.trace = true;
      continue;
    }
    if ( i + 1 == argc ) {
      return std::nullopt;
    }
    const std::string value = argv[++i];
    std::uint64_t n = 0;
    if ( option == "--level" and ( value == "core" or value == "tunnel" or value == "process" ) ) {
      options.level = value;
    } else if ( option == "--path" and find_impairment( value ) != nullptr ) {
      options.path = find_impairment( value );
      options.level = "path " + value;
    } else if ( option == "--again" ) {
      options.again = value;
    } else if ( option == "--first" and value == "fresh" ) {
      options.first
        = ( std::uint64_t { std::random_device {}() } << 20U ) + 1; // a line of digits one can still type
    } else if ( not number( value, n ) ) {
      return std::nullopt;
    } else if ( option == "--seeds" ) {
      options.seeds = n;
    } else if ( option == "--first" ) {
      options.first = n;
    } else if ( option == "--seconds" ) {
      options.seconds = static_cast<double>( n );
    } else {
      return std::nullopt;
    }
  }
  return options;
}

// Whether the world of this seed is as it should be.
bool live_through( const Options& options, std::uint64_t seed, Tally& tally )
{
  std::optional<std::string> failure;
  if ( options.path != nullptr ) {
    failure = PathWorld { seed, *options.path, options.trace }.run( tally );
  } else if ( options.level == "core" ) {
    failure = CoreWorld { seed, options.trace }.run( tally );
  } else {
    failure
      = World { seed, options.level == "process" ? Level::process : Level::tunnel, options.trace }.run( tally );
  }
  if ( failure ) {
    std::fflush( stdout );
    std::fprintf( stderr,
                  "sim: %s seed %ju: %s; see `sim --%s%s --seeds 1 --first %ju --trace`\n",
                  options.level.c_str(),
                  seed,
                  failure->c_str(),
                  options.path == nullptr ? "level " : "",
                  options.level.c_str(),
                  seed );
  }
  return not failure;
}

// The seeds of a file, or nothing when there are none to be read.
std::optional<std::vector<std::uint64_t>> seeds_in( const std::string& file )
{
  std::vector<std::uint64_t> seeds;
  std::ifstream lines { file };
  for ( std::string line; std::getline( lines, line ); ) {
    std::string word;
    std::istringstream { line } >> word;
    std::uint64_t seed = 0;
    if ( word.empty() or word.front() == '#' ) {
      continue;
    }
    if ( not number( word, seed ) ) {
      return std::nullopt;
    }
    seeds.push_back( seed );
  }
  return seeds.empty() ? std::nullopt : std::optional { seeds };
}

void print( const Options& options, const Tally& tally, std::uint64_t worlds, double took )
{
  std::printf(
    "%s: %ju worlds (%.0f/s), %zu steps, %.1f virtual hours: %zu links dialled, %zu welcomed, %zu carried a "
    "tunnel, %zu overtaken, %zu sleeps, %zu killed, %zu started from nothing, %zu strangers, %zu sessions, %zu "
    "reset, %zu resumes, %zu early flights, %zu frames of replaced links, %zu bytes read, %zu bulk links, "
    "%zu bytes on them\n",
    options.level.c_str(),
    worlds,
    static_cast<double>( worlds ) / took,
    tally.steps,
    std::chrono::duration<double, std::ratio<3600>>( tally.time ).count(),
    tally.links,
    tally.welcomed,
    tally.attached,
    tally.overtaken,
    tally.sleeps,
    tally.kills,
    tally.restarts,
    tally.strangers,
    tally.sessions,
    tally.resets,
    tally.resumes,
    tally.early,
    tally.late,
    tally.bytes,
    tally.bulk_links,
    tally.bulk );
}

} // namespace

int main( int argc, char** argv )
{
  const auto options = read( argc, argv );
  if ( not options ) {
    std::fprintf(
      stderr,
      "sim: usage: sim [--level core|tunnel|process] [--seeds N] [--first S|fresh] [--seconds T] [--trace]\n"
      "       sim [--level core|tunnel|process] --again FILE\n"
      "       sim --path NAME [--seeds N] [--first S|fresh] [--seconds T] [--trace]\n" );
    return 2;
  }
  const auto start = Clock::now();
  const auto took = [start] { return std::chrono::duration<double> { Clock::now() - start }.count(); };
  Tally tally;
  std::uint64_t worlds = 0;
  if ( not options->again.empty() ) {
    const auto seeds = seeds_in( options->again );
    if ( not seeds ) {
      std::fprintf( stderr, "sim: %s: not a file of seeds, one a line\n", options->again.c_str() );
      return 2;
    }
    for ( const std::uint64_t seed : *seeds ) {
      if ( not live_through( *options, seed, tally ) ) {
        return 1;
      }
      ++worlds;
    }
  } else {
    const std::uint64_t first = options->first.value_or( 1 );
    for ( ; worlds < options->seeds and took() < options->seconds; ++worlds ) {
      if ( not live_through( *options, first + worlds, tally ) ) {
        return 1;
      }
    }
  }
  print( *options, tally, worlds, took() );
}
