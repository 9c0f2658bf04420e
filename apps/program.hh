#pragma once

#include "net/error.hh"
#include "net/fd.hh"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

// What every main does in the same way.
namespace holdfast::program {

inline constexpr int status_trouble = 1; // the world did not let us
inline constexpr int status_usage = 2;   // the options were wrong

// One line for a person: "client: cannot connect to ...". It may quote what somebody typed, so nothing in it may
// break the line or be obeyed by a terminal.
template<typename... Parts>
void say( std::string_view name, fmt::format_string<Parts...> format, Parts&&... parts )
{
  std::string line = fmt::format( format, std::forward<Parts>( parts )... );
  std::ranges::replace_if(
    line, []( unsigned char c ) { return c < 0x20 or c == 0x7f; }, '?' );
  fmt::print( stderr, "{}: {}\n", name, line );
}

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

// Runs main's body. What it throws ends the program with one line: only starting up throws (net/error.hh).
template<typename Body>
int run_main( const char* name, Body body ) noexcept
{
  try {
    return body();
  } catch ( const std::exception& trouble ) {
    std::fprintf( stderr, "%s: %s\n", name, trouble.what() ); // unlike fmt, it cannot throw
    return status_trouble;
  }
}

// SIGINT and SIGTERM become something to read, in turn with everything else; SIGPIPE becomes EPIPE.
// Throws StartupError.
inline Fd stop_signals()
{
  struct sigaction ignored = {};
  ignored.sa_handler = SIG_IGN;
  ::sigaction( SIGPIPE, &ignored, nullptr );
  sigset_t signals {};
  ::sigemptyset( &signals );
  ::sigaddset( &signals, SIGINT );
  ::sigaddset( &signals, SIGTERM );
  ::pthread_sigmask( SIG_BLOCK, &signals, nullptr );
  Fd fd { ::signalfd( -1, &signals, SFD_CLOEXEC | SFD_NONBLOCK ) };
  if ( not fd ) {
    fail( "signalfd" );
  }
  return fd;
}

// Which signal came; nothing when none did.
inline std::optional<int> taken_signal( const Fd& signals )
{
  signalfd_siginfo info {};
  if ( ::read( signals.get(), &info, sizeof info ) != ssize_t { sizeof info } ) {
    return std::nullopt;
  }
  return static_cast<int>( info.ssi_signo );
}

// Whether epoll(7) can wait for it. Regular files and /dev/null it refuses: they are always ready.
inline bool can_be_waited_for( int fd )
{
  const Fd trial { ::epoll_create1( EPOLL_CLOEXEC ) };
  epoll_event event {};
  return trial and ::epoll_ctl( trial.get(), EPOLL_CTL_ADD, fd, &event ) == 0;
}

} // namespace holdfast::program
