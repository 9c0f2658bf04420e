#include "proxy/cproxy.hh"
#include "identity/instance.hh"
#include "program.hh"
#include "proxy/openssl_crypto.hh"
#include "proxy/relay.hh"
#include "proxy_options.hh"

namespace holdfast {
namespace {

int run( int argc, char** argv )
{
  program::CproxyOptions options;
  if ( const auto status = program::parse_cproxy( argc, argv, options ) ) {
    return *status;
  }

  program::raise_descriptor_limit();
  const auto log = make_log( "cproxy", options.log_level );
  const HostPort far { options.host, static_cast<std::uint16_t>( options.far_port ) };
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
  config.instance
    = client_instance( crypto,
                       StateDirectory { state_directory( options.state_folder ) },
                       fmt::format( "{} {} {} {}", options.bind, options.port, options.host, options.far_port ) );
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
