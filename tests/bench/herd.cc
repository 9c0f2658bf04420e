// bench_herd: many clients in one process. Each is a whole cproxy (the real one, with a loop, a key and a tunnel of
// its own) and an app that sends it a known pattern and checks the echo byte for byte. They are cheap because only
// those are looked at to whom something happened: their loops are waited for in one loop above them.
//
//   bench_herd SIP SPORT --count 1000 --ports 20000    cproxies listen on 127.0.0.1:20000 and above
//
// sproxy's target must be `bench_load target`. Says "ready" when every session has had an echo. Then it does what
// the lines of standard input say, and answers each with one line:
//
//   mark      time begins now: whoever gets an echo beyond what he has had until now is back. "marked"
//   say       every app says a record, whether it is time or not. "done"; "mark and say" is both
//   report    what there was since the mark, as JSON: see EchoApps::report()
//
// and ends when standard input does.

#include "echo_app.hh"
#include "net/error.hh"
#include "net/openssl.hh"
#include "net/tls.hh"
#include "orders.hh"
#include "proxy/cproxy.hh"
#include "proxy/openssl_crypto.hh"
#include "tool.hh"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <openssl/evp.h>

#include <sys/epoll.h>

#include <algorithm>
#include <csignal>
#include <memory>
#include <string>
#include <vector>

namespace holdfast {
namespace {

using namespace std::chrono_literals;

constexpr Duration tick = 5ms; // the grain of when apps send

// One cproxy, within the loop of all.
class Client : public Watcher
{
public:
  Client( Loop& above, const CproxyConfig& config, const Crypto& crypto, Log& log )
    : above_( above )
    , key_( ::EVP_PKEY_Q_keygen( nullptr, nullptr, "ED25519" ) )
    , tls_( TlsContext::Role::client, *key_, []( const Digest& ) { return std::optional<std::string> {}; } )
    , cproxy_(
        loop_,
        config,
        crypto,
        [this]( Fd socket ) { return tls_.wire( std::move( socket ) ); },
        []( const Digest& ) {},
        log )
  {
    above_.watch( *this, loop_.descriptor() );
  }
  Client( const Client& ) = delete;
  Client& operator=( const Client& ) = delete;
  ~Client() override { above_.unwatch( *this ); }

  [[nodiscard]] std::uint32_t interest() const override { return EPOLLIN; }
  void ready( std::uint32_t /*events*/ ) override { turn(); }

  void turn()
  {
    loop_.wait( std::min( due_, above_.now() ) ); // does not wait
    cproxy_.turn();
    due_ = cproxy_.deadline();
    loop_.settle();
  }
  [[nodiscard]] Time due() const { return due_; }

private:
  Loop& above_;
  Loop loop_ {};
  std::unique_ptr<EVP_PKEY, Deleter<::EVP_PKEY_free>> key_;
  TlsContext tls_;
  Cproxy cproxy_;
  Time due_ {};
};

struct Options
{
  std::string host {};
  std::uint16_t far_port = 0;
  std::size_t count = 1000;
  std::uint16_t ports = 20000;
  unsigned every_ms = 200;
  std::string log_level = "error";
};

class Herd
{
public:
  Herd( Loop& loop, const Options& options ) : loop_( loop ), log_( make_log( "herd", options.log_level ) )
  {
    CproxyConfig config;
    config.bind = "127.0.0.1";
    config.memory = { .sessions = 2, .memory = 1U << 20U };
    config.sproxy = { options.host, options.far_port };
    for ( std::size_t i = 0; i < options.count; ++i ) {
      config.port = static_cast<std::uint16_t>( options.ports + i );
      crypto_.random( config.instance );
      clients_.push_back( std::make_unique<Client>( loop_, config, crypto_, *log_ ) );
      apps_.all().push_back( std::make_unique<EchoApp>(
        loop_, i, *literal_address( config.bind, config.port ), std::chrono::milliseconds { options.every_ms } ) );
    }
  }

  [[nodiscard]] Time deadline() const
  {
    Time deadline = next_tick_;
    for ( const auto& client : clients_ ) {
      deadline = std::min( deadline, client->due() );
    }
    return deadline;
  }

  void turn()
  {
    const Time now = loop_.now();
    if ( now >= next_tick_ ) {
      next_tick_ = now + tick;
      for ( const auto& app : apps_.all() ) {
        app->speak( now );
      }
    }
    for ( const auto& client : clients_ ) {
      if ( client->due() <= now ) {
        client->turn();
      }
    }
  }

  [[nodiscard]] bool all_heard() const
  {
    return std::ranges::all_of( apps_.all(), []( const auto& app ) { return app->heard(); } );
  }

  [[nodiscard]] std::string obey( const std::string& order ) { return apps_.obey( order ); }

private:
  Loop& loop_;
  OpensslCrypto crypto_ {};
  std::shared_ptr<Log> log_;
  std::vector<std::unique_ptr<Client>> clients_ {};
  EchoApps apps_ {};
  Time next_tick_ {};
};

// Eight dials, a link, an app's two ends, a listener, two loops' and the sessions' memory for each.
void descriptors_for( std::size_t clients )
{
  const auto limit = raise_descriptor_limit();
  if ( limit < 15 * clients + 100 ) {
    throw StartupError( fmt::format( "{} descriptors are too few (ulimit -n)", limit ) );
  }
}

int run( int argc, char** argv )
{
  Options options;
  CLI::App app { "Many cproxies in one process, each with an app that checks its echo." };
  app.add_option( "SIP", options.host )->required();
  app.add_option( "SPORT", options.far_port )->required();
  app.add_option( "--count", options.count, "clients" )->capture_default_str();
  app.add_option( "--ports", options.ports, "the first of their ports" )->capture_default_str();
  app.add_option( "--every", options.every_ms, "ms between what an app sends" )->capture_default_str();
  app.add_option( "--log-level", options.log_level, "of the cproxies" )->capture_default_str();
  CLI11_PARSE( app, argc, argv );

  std::signal( SIGPIPE, SIG_IGN );
  descriptors_for( options.count );
  Loop loop;
  Herd herd { loop, options };
  Orders orders { loop, [&herd]( const std::string& order ) { return herd.obey( order ); } };
  bool ready = false;
  while ( not orders.over() ) {
    loop.wait( herd.deadline() );
    herd.turn();
    if ( not ready and herd.all_heard() ) {
      ready = true;
      Orders::answer( "ready" );
    }
  }
  return 0;
}

} // namespace
} // namespace holdfast

int main( int argc, char** argv )
{
  return holdfast::run_tool( "bench_herd", holdfast::run, argc, argv );
}
