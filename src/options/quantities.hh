#pragma once

#include <CLI/CLI.hpp>

#include <map>
#include <string>
#include <utility>

// Quantities as a person writes them: durations, sizes, numbers.
namespace holdfast::program {

// How a person writes a quantity, and what we make of it: a plain number.
struct Unit
{
  CLI::Validator transform;
  std::string example; // "a duration such as 100ms"
};

// "100ms", "2s", "1.5h": to milliseconds.
inline Unit duration()
{
  const std::map<std::string, double> units { { "us", 1e-3 }, { "ms", 1 },    { "s", 1e3 },   { "min", 6e4 },
                                              { "m", 6e4 },   { "h", 3.6e6 }, { "d", 8.64e7 } };
  return { CLI::AsNumberWithUnit( units, CLI::AsNumberWithUnit::UNIT_REQUIRED ),
           "a duration with a unit, such as 100ms, 2s or 24h" };
}

// "64MiB", "16k", "1000000": to bytes. All prefixes are powers of 1024.
inline Unit size()
{
  return { CLI::AsSizeValue( false ), "a size, such as 64MiB or 500k" };
}

inline Unit plain()
{
  return { CLI::Validator {}, "a number" };
}

// A quantity between two bounds, which are told in `words`.
inline CLI::Validator between( double low, double high, std::string words, Unit unit = plain() )
{
  const auto check = [low, high, words = std::move( words ), unit = std::move( unit )]( std::string& text ) {
    const std::string written = text;
    double value = 0;
    try {
      if ( not unit.transform( text ).empty() or not CLI::detail::lexical_cast( text, value ) ) {
        return "'" + written + "' is not " + unit.example;
      }
    } catch ( const CLI::ValidationError& ) { // how CLI11's units refuse
      return "'" + written + "' is not " + unit.example;
    }
    return value >= low and value <= high ? std::string {} : "'" + written + "' is not between " + words;
  };
  return CLI::Validator { check, "" };
}

} // namespace holdfast::program
