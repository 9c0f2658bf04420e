#include "proxy/cproxy.hh"
#include "program.hh"
#include "proxy/instance.hh"
#include "proxy/openssl_crypto.hh"
#include "proxy/relay.hh"
#include "proxy_options.hh"

namespace holdfast {
namespace {

int run( int argc, char** argv )
{
  program::ProxyOptions options;
  options.bind = "127.0.0.1";
  std::string host;
  std::string state_folder;
  unsigned port = 0;

  CLI::App app { "cproxy: keeps the TCP sessions of this machine's programs alive while its address changes.\n"
                 "Programs connect to LPORT here; sproxy on SIP connects them to their target.",
                 "cproxy" };
  app.add_option( "LPORT", options.port, "Port for the programs" )
    ->required()
    ->check( program::between( 0, 65535, "0 and 65535" ) )
    ->type_name( "PORT" );
  app.add_option( "SIP", host, "Where sproxy runs: a name, an IPv4 or an IPv6 address" )
    ->required()
    ->type_name( "HOST" );
  app.add_option( "SPORT", port, "sproxy's port" )
    ->required()
    ->check( program::between( 1, 65535, "1 and 65535" ) )
    ->type_name( "PORT" );
  program::add_proxy_options( app, options );
  app.add_option( "--state-dir", state_folder, "Where to keep who we are (default $XDG_STATE_HOME/holdfast)" )
    ->type_name( "DIR" );
  app.footer( "Example: cproxy 2323 server.example.org 5000, then telnet localhost 2323.\n"
              "Exit status: 0 stopped by SIGINT or SIGTERM, 1 trouble (said in one line), 2 wrong options." );
  if ( const auto status = program::parse( app, argc, argv ) ) {
    return *status;
  }

  program::raise_descriptor_limit();
  const auto log = make_log( "cproxy", options.log_level );
  const HostPort far { host, static_cast<std::uint16_t>( port ) };
  Loop loop;
  const Signals signals { loop };
  if ( options.raw ) {
    Relay relay { loop, { options.bind, static_cast<std::uint16_t>( options.port ), far }, *log };
    program::run( loop, signals, relay );
    return 0;
  }
  const OpensslCrypto crypto;
  CproxyConfig config;
  program::apply( options, config );
  config.sproxy = far;
  config.instance = client_instance(
    crypto, state_directory( state_folder ), fmt::format( "{} {} {} {}", options.bind, options.port, host, port ) );
  Cproxy cproxy { loop, config, crypto, *log };
  program::run( loop, signals, cproxy );
  return 0;
}

} // namespace
} // namespace holdfast

int main( int argc, char** argv )
{
  holdfast::program::keep_standard_descriptors();
  return holdfast::program::run_main( "cproxy", [&] { return holdfast::run( argc, argv ); } );
}
