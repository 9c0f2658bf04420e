#pragma once

#include "options/say.hh"

#include <CLI/CLI.hpp>

#include <optional>
#include <string>

// For the tables of options only: CLI11 is a header that takes a compiler half a minute, so no public header has
// it.
namespace holdfast::program {

// Takes the command line apart. Nothing: go on. A number: --help or --version was answered, or an option was wrong,
// which has been said in one line; exit with it.
inline std::optional<int> parse( CLI::App& app, int argc, const char* const* argv )
{
  app.set_version_flag( "--version", fmt::format( "{} {}", app.get_name(), HOLDFAST_VERSION ), "Show the version" );
  app.get_formatter()->column_width( 34 );
  try {
    app.parse( argc, argv );
    return std::nullopt;
  } catch ( const CLI::Success& answered ) {
    return app.exit( answered );
  } catch ( const CLI::ParseError& wrong ) {
    say( app.get_name(), "{} (see {} --help)", wrong.what(), app.get_name() );
    return status_usage;
  }
}

// For the name or address of a host: an unset variable of a shell is an empty argument, and nobody's name.
inline std::string is_not_empty( const std::string& text )
{
  return text.empty() ? "it is empty" : "";
}

} // namespace holdfast::program
