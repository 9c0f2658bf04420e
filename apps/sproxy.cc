#include "proxy/sproxy.hh"
#include "blame.hh"
#include "identity/authorized_clients.hh"
#include "identity/file_watch.hh"
#include "identity/fingerprint.hh"
#include "net/ledger.hh"
#include "options/proxy_options.hh"
#include "program.hh"
#include "proxy/openssl_crypto.hh"
#include "proxy/relay.hh"
#include "proxy/shards.hh"
#include "rights.hh"
#include "security.hh"
#include "upgrade.hh"
#include "worker.hh"

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
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
void read_again( AuthorizedClients& clients, Shards& shards, Log& log )
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
  shards.in_each( [removed = change.removed]( Sproxy& sproxy ) { sproxy.revoke( removed ); } );
}

constexpr std::uint64_t memory_least = 1048576; // of a thread: what --memory must be, too

// A memory has one thread, and there are as many as there are memories, or more
// (docs/decisions/0014-more-cores.md). Each has its part of what all may have together.
std::size_t share_out( program::SproxyOptions& options, const std::optional<Left>& left )
{
  const std::size_t threads
    = std::max<std::size_t>( options.threads, left ? left->count_memory( Arena::name ) : 0 );
  const auto part = [threads]( std::uint64_t whole ) { return ( whole + threads - 1 ) / threads; };
  options.max_sessions = part( options.max_sessions );
  options.memory = std::max( part( options.memory ), memory_least );
  return threads;
}

// Each a loop of its own; the first one is there already.
std::vector<std::unique_ptr<Loop>> more_loops( std::size_t count )
{
  std::vector<std::unique_ptr<Loop>> loops;
  while ( loops.size() < count ) {
    loops.push_back( std::make_unique<Loop>() );
  }
  return loops;
}

int relay( Loop& loop,
           const Signals& signals,
           const SproxyConfig& config,
           Register& shared,
           std::optional<Left>& left,
           ServiceManager* manager,
           Log& log )
{
  if ( left ) {
    left->close(); // its connections were its own
  }
  if ( manager != nullptr ) {
    manager->let_go_rest();
  }
  Relay relay { loop, { config.bind, config.port, config.target }, log };
  program::say_ready( shared, manager );
  program::give_up_rights( config.security, { .program = "sproxy" }, log );
  program::run( loop, signals, relay, manager );
  return 0;
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

  const std::size_t threads = share_out( options, left );
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
    return relay( loop, signals, config, shared, left, manager.get(), *log );
  }
  const auto loops = more_loops( threads - 1 );
  std::vector<Loop*> all_loops { &loop };
  std::vector<std::unique_ptr<ServiceManager>> managers; // a thread speaks for itself
  for ( const auto& other : loops ) {
    all_loops.push_back( other.get() );
    managers.push_back( program::service_manager( *other, shared, *log ) );
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
  std::optional<Shards> shards;
  std::optional<FileWatch> watch; // tells nothing before the loop waits
  if ( clients ) {
    watch.emplace( loop, clients->path(), [&] { read_again( *clients, *shards, *log ); } );
  }
  program::give_up_rights(
    config.security, { .program = "sproxy", .readable = folders_of( clients ), .threads = threads > 1 }, *log );
  std::vector<Predecessor> parts
    = parts_of( std::move( predecessor ), threads, std::exchange( shared.crashed_memory, 0 ) );
  shards.emplace( all_loops, [&]( std::size_t shard, const Siblings* siblings ) {
    ServiceManager* const its_manager = shard == 0 ? manager.get() : managers[shard - 1].get();
    if ( shard > 0 and its_manager != nullptr ) {
      its_manager->take_rest_of( shard == 1 ? *manager : *managers[shard - 2] );
    }
    return std::make_unique<Sproxy>( *all_loops[shard],
                                     config,
                                     crypto,
                                     program::make_wires( tls.get(), config.congestion, *log ),
                                     *log,
                                     std::move( parts[shard] ),
                                     its_manager,
                                     siblings );
  } );
  if ( clients ) {
    read_again( *clients, *shards, *log ); // it may have changed before it was watched
    shards->in_each( [&]( Sproxy& sproxy ) {
      sproxy.keep_only( [&]( const Digest& client ) { return clients->admits( client ); } );
    } );
  }
  if ( threads > 1 ) {
    program::write_down_crashes( shared );
  }
  shards->start( []( const Sproxy& sproxy ) { program::served_memory = inode_of( sproxy.memory() ); } );
  program::say_ready( shared, manager.get() );
  say_who_may_come( config, key, clients, *log );
  program::run( loop, signals, *shards, manager.get() );
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
