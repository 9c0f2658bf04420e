#include "wan/commands.hh"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <sstream>
#include <vector>

namespace holdfast::wan {

namespace {

using Units = std::map<std::string_view, double>;

const Units time_units { { "us", 1e-6 }, { "ms", 1e-3 }, { "s", 1 } };
const Units part_units { { "%", 0.01 }, { "", 1 } };
const Units rate_units { { "kbit", 125 }, { "mbit", 125e3 }, { "gbit", 125e6 } };
const Units size_units { { "", 1 }, { "KiB", 1024 }, { "MiB", 1048576 }, { "KB", 1e3 }, { "MB", 1e6 } };

// "50ms" in the unit 1; nothing when it is not a number with one of these units, or negative.
std::optional<double> number( const std::string& text, const Units& units )
{
  double value = 0;
  const auto [end, error] = std::from_chars( text.data(), text.data() + text.size(), value );
  const auto unit
    = units.find( std::string_view { end, static_cast<std::size_t>( text.data() + text.size() - end ) } );
  if ( error != std::errc {} or unit == units.end() or not( value >= 0 ) or not std::isfinite( value ) ) {
    return std::nullopt;
  }
  return value * unit->second;
}

std::string stats( const char* name, const Path& path )
{
  const Counters& counters = path.counters();
  return fmt::format( "{} entered={} arrived={} bytes={} lost={} overflowed={} swallowed={} refused={} "
                      "queued_most={} late_most_us={}",
                      name,
                      counters.entered,
                      counters.arrived,
                      counters.arrived_bytes,
                      counters.lost,
                      counters.overflowed,
                      counters.swallowed,
                      counters.refused,
                      counters.queued_most,
                      std::chrono::duration_cast<std::chrono::microseconds>( counters.late_most ).count() );
}

Duration seconds( double count )
{
  return std::chrono::duration_cast<Duration>( std::chrono::duration<double> { count } );
}

// The number of bytes per second, 0 for none.
std::optional<double> rate( const std::string& text )
{
  const auto amount = number( text, rate_units );
  return text == "none" ? 0 : amount and *amount > 0 ? amount : std::nullopt;
}

// Each changes the conditions as the value says; false when it makes no sense.
using Change = bool ( * )( Conditions&, const std::string& value );

template<auto member>
bool change_time( Conditions& conditions, const std::string& value )
{
  const auto amount = number( value, time_units );
  conditions.*member = amount ? seconds( *amount ) : conditions.*member;
  return amount.has_value();
}

const std::map<std::string_view, Change> changes {
  { "delay", change_time<&Conditions::delay> },
  { "jitter",
    []( Conditions& conditions, const std::string& value ) {
      conditions.reorder = false;
      return change_time<&Conditions::jitter>( conditions, value );
    } },
  { "loss",
    []( Conditions& conditions, const std::string& value ) {
      const auto amount = number( value, part_units );
      conditions.loss = amount and *amount <= 1 ? *amount : conditions.loss;
      return amount and *amount <= 1;
    } },
  { "rate",
    []( Conditions& conditions, const std::string& value ) {
      const auto amount = rate( value );
      conditions.bytes_per_second = amount.value_or( conditions.bytes_per_second );
      return amount.has_value();
    } },
  { "queue",
    []( Conditions& conditions, const std::string& value ) {
      const auto amount = number( value, size_units );
      conditions.queue = amount ? static_cast<std::size_t>( *amount ) : conditions.queue;
      return amount.has_value();
    } },
  { "hole",
    []( Conditions& conditions, const std::string& value ) {
      conditions.hole = value == "on" or ( conditions.hole and value != "off" );
      return value == "on" or value == "off";
    } },
};

bool change( Conditions& conditions, const std::vector<std::string>& words )
{
  const bool reorder = words.size() == 3 and words[0] == "jitter" and words[2] == "reorder";
  const auto found = words.size() == 2 or reorder ? changes.find( words[0] ) : changes.end();
  if ( found == changes.end() or not found->second( conditions, words[1] ) ) {
    return false;
  }
  conditions.reorder = conditions.reorder or reorder;
  return true;
}

} // namespace

std::string obey( Paths& paths, std::string_view line )
{
  std::istringstream stream { std::string { line } };
  std::vector<std::string> words;
  for ( std::string word; stream >> word; ) {
    words.push_back( word );
  }
  std::vector<std::size_t> directions { 0, 1 };
  if ( not words.empty() and ( words[0] == "ab" or words[0] == "ba" or words[0] == "both" ) ) {
    if ( words[0] != "both" ) {
      directions = { words[0] == "ab" ? std::size_t { 0 } : std::size_t { 1 } };
    }
    words.erase( words.begin() );
  }
  if ( words.size() == 1 and words[0] == "stats" ) {
    return stats( "ab", paths.path[0] ) + "  " + stats( "ba", paths.path[1] );
  }
  for ( const std::size_t direction : directions ) {
    if ( not change( paths.path[direction].conditions(), words ) ) {
      return fmt::format(
        "error: '{}' is not [ab|ba|both] followed by: delay 50ms, jitter 5ms [reorder], loss 1%, rate "
        "1gbit or none, queue 8MiB, hole on or off, stats",
        line );
    }
  }
  return "ok";
}

} // namespace holdfast::wan
