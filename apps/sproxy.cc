#include "proxy/sproxy.hh"
#include "program.hh"
#include "proxy/openssl_crypto.hh"
#include "proxy/relay.hh"
#include "proxy_options.hh"

namespace holdfast {
namespace {

int run( int argc, char** argv )
{
  program::SproxyOptions options;
  if ( const auto status = program::parse_sproxy( argc, argv, options ) ) {
    return *status;
  }

  program::raise_descriptor_limit();
  const auto log = make_log( "sproxy", options.log_level );
  Loop loop;
  const Signals signals { loop };
  if ( options.raw ) {
    Relay relay { loop, { options.bind, static_cast<std::uint16_t>( options.port ), options.target }, *log };
    program::run( loop, signals, relay );
    return 0;
  }
  const OpensslCrypto crypto;
  SproxyConfig config;
  program::apply( options, config );
  config.target = options.target;
  config.single = options.single;
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
