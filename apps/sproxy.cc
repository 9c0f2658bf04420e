#include "proxy/sproxy.hh"
#include "identity/authorized_clients.hh"
#include "identity/file_watch.hh"
#include "identity/fingerprint.hh"
#include "program.hh"
#include "proxy/openssl_crypto.hh"
#include "proxy/relay.hh"
#include "proxy_options.hh"
#include "rights.hh"
#include "security_options.hh"
#include "upgrade.hh"
#include "worker.hh"

#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

namespace holdfast {
namespace {

void say_who_may_come( const SproxyConfig& config,
                       const std::optional<PrivateKey>& key,
                       const std::optional<AuthorizedClients>& clients,
                       Log& log )
{
  if ( not key ) {
    log.warn( "links are in the clear (--insecure): whoever is on the way reads everything, and may be anybody" );
    return;
  }
  log.info( "our key is {}", fingerprint( key->digest() ) );
  if ( clients ) {
    log.info( "admitting the {} keys in {}", clients->size(), clients->path() );
  } else if ( config.security.certificates ) {
    log.info( "admitting whoever has a certificate of the CA in {}", config.security.certificates->ca );
  } else {
    log.info( "anyone may come, and use {}:{} (--authorized-clients admits only whom you know)",
              config.target.host,
              config.target.port );
  }
}

// Where the list of clients is and may be replaced.
std::vector<std::string> folders_of( const std::optional<AuthorizedClients>& clients )
{
  if ( not clients ) {
    return {};
  }
  const std::filesystem::path named { clients->path() };
  std::error_code error; // then it cannot be read anyway, which the watch says
  const std::filesystem::path file = std::filesystem::canonical( named, error );
  return { std::filesystem::absolute( named ).parent_path().string(), file.parent_path().string() };
}

// The list of clients was changed.
void read_again( AuthorizedClients& clients, Sproxy& sproxy, Log& log )
{
  const auto change = clients.reload();
  if ( not change.problem.empty() ) {
    log.warn( "{}; the list from before stays in force", change.problem );
    return;
  }
  for ( const Digest& client : change.added ) {
    log.info( "admitting {} from now on", fingerprint( client ) );
  }
  for ( const Digest& client : change.removed ) {
    log.info( "not admitting {} any more", fingerprint( client ) );
  }
  sproxy.revoke( change.removed );
}

int run( int argc, char** argv, Register& shared )
{
  std::optional<Left> left = program::left_by_predecessor( shared );
  if ( argc > 1 and argv[1] == program::upgrade_word ) {
    return program::upgrade( "sproxy", argc - 1, argv + 1 );
  }
  program::SproxyOptions options;
  if ( const auto status = program::parse_sproxy( argc, argv, options ) ) {
    return *status;
  }

  SproxyConfig config;
  program::apply( options, config );
  if ( options.security.print_key ) {
    return program::print_key( config.security, host_key_file );
  }
  if ( not options.raw ) {
    program::check_congestion( config, shared );
  }
  program::raise_descriptor_limit();
  const auto log = make_log( "sproxy", options.log_level );
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
    Relay relay { loop, { config.bind, config.port, config.target }, *log };
    program::say_ready( shared, manager.get() );
    program::give_up_rights( config.security, { .program = "sproxy" }, *log );
    program::run( loop, signals, relay, manager.get() );
    return 0;
  }
  const OpensslCrypto crypto;
  const auto key = program::own_key( config.security, host_key_file );
  auto clients = program::open_authorized_clients( config );
  const auto tls = program::make_tls(
    TlsContext::Role::server, config.security, key, {}, [&]( const Digest& client ) -> std::optional<std::string> {
      if ( not clients or clients->admits( client ) ) {
        return std::nullopt;
      }
      return fmt::format( "its key {} is not in {}", fingerprint( client ), clients->path() );
    } );
  Predecessor predecessor = program::predecessor( left, shared, config.bind, config.port );
  std::optional<Sproxy> sproxy;
  std::optional<FileWatch> watch; // tells nothing before the loop waits
  if ( clients ) {
    watch.emplace( loop, clients->path(), [&] { read_again( *clients, *sproxy, *log ); } );
  }
  program::give_up_rights( config.security, { .program = "sproxy", .readable = folders_of( clients ) }, *log );
  sproxy.emplace( loop,
                  config,
                  crypto,
                  program::make_wires( tls.get(), config.congestion, *log ),
                  *log,
                  std::move( predecessor ),
                  manager.get() );
  if ( clients ) {
    read_again( *clients, *sproxy, *log ); // it may have changed before it was watched
    sproxy->keep_only( [&]( const Digest& client ) { return clients->admits( client ); } );
  }
  program::say_ready( shared, manager.get() );
  say_who_may_come( config, key, clients, *log );
  program::run( loop, signals, *sproxy, manager.get() );
  return 0;
}

} // namespace
} // namespace holdfast

// Called by the keeper (kept.cc) in the process of a worker. Nothing is thrown across.
extern "C" [[gnu::visibility( "default" )]] int holdfast_worker( int argc, char** argv, holdfast::Register* shared )
{
  return holdfast::program::run_worker( "sproxy", [&] { return holdfast::run( argc, argv, *shared ); } );
}

// Before an upgrade: whether we could go on with what the workers of another version keep. 0: yes.
extern "C" [[gnu::visibility( "default" )]] int holdfast_check_state( const holdfast::Register* shared )
{
  return holdfast::program::check_state( "sproxy", *shared );
}
