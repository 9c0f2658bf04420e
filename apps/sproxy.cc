#include "proxy/sproxy.hh"
#include "program.hh"
#include "proxy/openssl_crypto.hh"
#include "proxy/relay.hh"
#include "proxy_options.hh"

namespace holdfast {
namespace {

int run( int argc, char** argv )
{
  program::ProxyOptions options;
  options.bind = "*";
  std::string target = "127.0.0.1:23";
  bool single = false;

  CLI::App app {
    "sproxy: the far end of cproxy. Connects the sessions that cproxies bring to the target, and keeps them\n"
    "while their machines move or are away.",
    "sproxy"
  };
  app.add_option( "SPORT", options.port, "Port for the cproxies" )
    ->required()
    ->check( program::between( 0, 65535, "0 and 65535" ) )
    ->type_name( "PORT" );
  app.add_option( "--target", target, "Connect sessions to this" )->type_name( "HOST:PORT" )->capture_default_str();
  app.add_flag( "--single", single, "One session at a time: a new one closes the one before" );
  program::add_proxy_options( app, options );
  app.footer( "Example: sproxy 5000 --target 127.0.0.1:22\n"
              "Exit status: 0 stopped by SIGINT or SIGTERM, 1 trouble (said in one line), 2 wrong options." );
  if ( const auto status = program::parse( app, argc, argv ) ) {
    return *status;
  }
  const auto target_address = parse_host_port( target );
  if ( not target_address ) {
    program::say(
      "sproxy", "--target: '{}' is not HOST:PORT, such as 127.0.0.1:23 or [::1]:23 (see sproxy --help)", target );
    return program::status_usage;
  }

  program::raise_descriptor_limit();
  const auto log = make_log( "sproxy", options.log_level );
  Loop loop;
  const Signals signals { loop };
  if ( options.raw ) {
    Relay relay { loop, { options.bind, static_cast<std::uint16_t>( options.port ), *target_address }, *log };
    program::run( loop, signals, relay );
    return 0;
  }
  const OpensslCrypto crypto;
  SproxyConfig config;
  program::apply( options, config );
  config.target = *target_address;
  config.single = single;
  Sproxy sproxy { loop, config, crypto, *log };
  program::run( loop, signals, sproxy );
  return 0;
}

} // namespace
} // namespace holdfast

int main( int argc, char** argv )
{
  holdfast::program::keep_standard_descriptors();
  return holdfast::program::run_main( "sproxy", [&] { return holdfast::run( argc, argv ); } );
}
