#include "proxy/cproxy.hh"
#include "identity/instance.hh"
#include "options/proxy_options.hh"
#include "program.hh"
#include "proxy/host_trust.hh"
#include "proxy/openssl_crypto.hh"
#include "proxy/relay.hh"
#include "rights.hh"
#include "security.hh"
#include "upgrade.hh"
#include "worker.hh"

#include <utility>

namespace holdfast {
namespace {

int run( int argc, char** argv, Register& shared )
{
  std::optional<Left> left = program::left_by_predecessor( shared );
  if ( argc > 1 and argv[1] == program::upgrade_word ) {
    return program::upgrade( "cproxy", argc - 1, argv + 1 );
  }
  program::CproxyOptions options;
  if ( const auto status = program::parse_cproxy( argc, argv, options ) ) {
    return *status;
  }

  CproxyConfig config;
  program::apply( options, config );
  if ( options.security.print_key ) {
    return program::print_key( config.security, client_key_file );
  }
  if ( not options.raw ) {
    program::check_congestion( config, shared );
  }
  program::raise_descriptor_limit();
  const auto log = make_log( "cproxy", options.log_level );
  Loop loop;
  const Signals signals { loop };
  const auto manager = program::service_manager( loop, shared, *log );
  if ( options.raw ) {
    if ( left ) {
      left->close(); // its connections were its own
    }
    if ( manager ) {
      manager->let_go_rest();
    }
    Relay relay { loop, { config.bind, config.port, config.sproxy }, *log };
    program::say_ready( shared, manager.get() );
    program::give_up_rights( config.security, { .program = "cproxy" }, *log );
    program::run( loop, signals, relay, manager.get() );
    return 0;
  }
  const OpensslCrypto crypto;
  const StateDirectory state = program::open_state_directory( config.security );
  config.instance = client_instance(
    crypto, state, fmt::format( "{} {} {} {}", options.bind, options.port, options.host, options.far_port ) );
  const auto key = program::own_key( config.security, client_key_file );
  const KnownHosts known { state };
  HostTrust trust { config.sproxy, config.fingerprints, known, *log };
  const bool has_ca = config.security.certificates.has_value();
  const auto tls = program::make_tls(
    TlsContext::Role::client, config.security, key, config.sproxy.host, [&]( const Digest& sproxy ) {
      return has_ca ? std::nullopt : trust.objection( sproxy );
    } );
  const auto trusted = [&]( const Digest& sproxy ) {
    if ( key and not has_ca ) {
      trust.met( sproxy );
    }
  };
  if ( tls ) {
    tls->ask_for( config.sproxy.host );
  }
  Predecessor predecessor = program::predecessor( left, shared, config.bind, config.port );
  program::give_up_rights( config.security, { .program = "cproxy", .writable = { state.path() } }, *log );
  Cproxy cproxy { loop,
                  config,
                  crypto,
                  program::make_wires( tls.get(), config.congestion, *log ),
                  trusted,
                  *log,
                  std::move( predecessor ),
                  manager.get() };
  program::say_ready( shared, manager.get() );
  program::run( loop, signals, cproxy, manager.get() );
  return 0;
}

} // namespace
} // namespace holdfast

// Called by the keeper (kept.cc) in the process of a worker. Nothing is thrown across.
extern "C" [[gnu::visibility( "default" )]] int holdfast_worker( int argc, char** argv, holdfast::Register* shared )
{
  return holdfast::program::run_worker( "cproxy", [&] { return holdfast::run( argc, argv, *shared ); } );
}

// Before an upgrade: whether we could go on with what the workers of another version keep. 0: yes.
extern "C" [[gnu::visibility( "default" )]] int holdfast_check_state( const holdfast::Register* shared )
{
  return holdfast::program::check_state( "cproxy", *shared );
}
