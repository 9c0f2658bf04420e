#pragma once

#include <cstdint>
#include <optional>
#include <string>

// The options of client and server.
namespace holdfast::program {

// Take the command line apart. Nothing: go on. A number: --help or --version was answered, or an option was wrong,
// which has been said in one line; exit with it.
std::optional<int> parse_client( int argc, const char* const* argv, std::string& host, std::uint16_t& port );
std::optional<int> parse_server( int argc, const char* const* argv, std::uint16_t& port );

} // namespace holdfast::program
