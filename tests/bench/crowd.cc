// bench_crowd: the apps of many sessions in one process, which say nothing unless they are told to.
//
//   bench_crowd HOST PORT        a cproxy, or any relay, whose target is `bench_load target`
//
// It does what the lines of standard input say, and answers each with one line:
//
//   open N    as many sessions as are missing to N are opened, and each has had an echo. "open"
//   close     all are closed. "closed"
//   mark      time begins now: whoever gets an echo beyond what he has had until now is back. "marked"
//   say       every app says a record of its own pattern. "done"; "mark and say" is both
//   report    what there was since the mark, as JSON: see EchoApps::report()
//
// and ends when standard input does.

#include "echo_app.hh"
#include "net/error.hh"
#include "orders.hh"
#include "tool.hh"

#include <CLI/CLI.hpp>

#include <csignal>
#include <cstdlib>
#include <string_view>

namespace holdfast {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t opening_max = 64; // at a time: fewer than any queue of connections holds
constexpr Duration only_when_told = 24h;

class Crowd
{
public:
  Crowd( Loop& loop, const Address& to ) : loop_( loop ), to_( to ) {}

  [[nodiscard]] std::string obey( const std::string& order )
  {
    if ( order.starts_with( "open " ) ) {
      wanted_ = std::strtoul( order.c_str() + std::string_view { "open " }.size(), nullptr, 10 );
      return "";
    }
    if ( order == "close" ) {
      wanted_ = 0;
      opening_.clear();
      apps_.all().clear();
      return "closed";
    }
    return apps_.obey( order );
  }

  void turn()
  {
    if ( wanted_ == 0 ) {
      return;
    }
    std::erase_if( opening_, []( const EchoApp* app ) { return app->heard() or app->lost(); } );
    while ( apps_.all().size() < wanted_ and opening_.size() < opening_max ) {
      apps_.all().push_back( std::make_unique<EchoApp>( loop_, ++number_, to_, only_when_told ) );
      opening_.push_back( apps_.all().back().get() );
    }
    for ( EchoApp* app : opening_ ) { // their first record, once they are connected
      app->speak( loop_.now() );
    }
    if ( opening_.empty() and apps_.all().size() >= wanted_ ) {
      wanted_ = 0;
      Orders::answer( "open" );
    }
  }

private:
  Loop& loop_;
  Address to_;
  EchoApps apps_ {};
  std::uint64_t number_ = 0; // of the last one
  std::size_t wanted_ = 0;   // 0: all are there
  std::vector<EchoApp*> opening_ {};
};

int run( int argc, char** argv )
{
  std::string host;
  std::uint16_t port = 0;
  CLI::App app { "The apps of many sessions, which speak when they are told to." };
  app.add_option( "HOST", host, "An address" )->required();
  app.add_option( "PORT", port )->required();
  CLI11_PARSE( app, argc, argv );
  const auto to = literal_address( host, port );
  if ( not to ) {
    throw StartupError( fmt::format( "'{}' is not an address", host ) );
  }
  std::signal( SIGPIPE, SIG_IGN );
  raise_descriptor_limit();
  Loop loop;
  Crowd crowd { loop, *to };
  Orders orders { loop, [&crowd]( const std::string& order ) { return crowd.obey( order ); } };
  while ( not orders.over() ) {
    crowd.turn();
    loop.wait( never );
  }
  return 0;
}

} // namespace
} // namespace holdfast

int main( int argc, char** argv )
{
  return holdfast::run_tool( "bench_crowd", holdfast::run, argc, argv );
}
