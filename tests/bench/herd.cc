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
//   report    what there was since the mark, as JSON: see report()
//
// and ends when standard input does.

#include "net/clock.hh"
#include "net/error.hh"
#include "net/openssl.hh"
#include "net/tls.hh"
#include "proxy/cproxy.hh"
#include "proxy/openssl_crypto.hh"
#include "tool.hh"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <openssl/evp.h>

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <deque>
#include <memory>
#include <string>
#include <vector>

namespace holdfast {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t record_size = 32; // what an app sends at once: some keystrokes
constexpr Duration tick = 5ms;          // the grain of when apps send

double in_ms( Duration duration )
{
  return std::chrono::duration<double, std::milli>( duration ).count();
}

// The byte at this position of this app's stream: eight at a time from a hash (splitmix64's finalizer), so that a
// byte that is lost, doubled or another app's does not fit.
std::byte pattern( std::uint64_t app, std::uint64_t position )
{
  std::uint64_t mixed = ( app << 40U ) + position / 8 + 0x9E3779B97F4A7C15U;
  mixed = ( mixed ^ ( mixed >> 30U ) ) * 0xBF58476D1CE4E5B9U;
  mixed = ( mixed ^ ( mixed >> 27U ) ) * 0x94D049BB133111EBU;
  mixed ^= mixed >> 31U;
  return static_cast<std::byte>( mixed >> ( position % 8 * 8 ) );
}

// One app: sends a record now and then, and checks what comes back.
class App : public Watcher
{
public:
  App( Loop& loop, std::uint64_t number, std::uint16_t port, Duration every )
    : loop_( loop ), number_( number ), every_( every ), next_( loop.now() )
  {
    Connecting connecting = connect_to( *literal_address( "127.0.0.1", port ) );
    if ( not connecting.fd ) {
      fail( "connect", connecting.error );
    }
    socket_ = std::move( connecting.fd );
    prepare_leg( socket_.get() );
    loop_.watch( *this, socket_.get() );
  }
  App( const App& ) = delete;
  App& operator=( const App& ) = delete;
  ~App() override { loop_.unwatch( *this ); } // before the socket closes

  [[nodiscard]] std::uint32_t interest() const override
  {
    return lost_ ? 0U : EPOLLIN | ( connected_ ? 0U : std::uint32_t { EPOLLOUT } );
  }

  void ready( std::uint32_t events ) override
  {
    if ( not connected_ and ( events & EPOLLOUT ) != 0 ) {
      connected_ = true;
      const std::array task { std::byte { 'e' } }; // bench_load's target: echo
      lost_ = lost_ or send( socket_.get(), task ).kind != Transfer::Kind::moved;
    }
    while ( not lost_ ) {
      std::array<std::byte, 4096> bytes;
      const Transfer got = receive( socket_.get(), bytes );
      if ( got.kind == Transfer::Kind::would_block ) {
        return;
      }
      lost_ = got.kind != Transfer::Kind::moved;
      take( std::span { bytes }.first( got.count ) );
    }
    loop_.mute( *this );
  }

  void speak( Time now )
  {
    if ( not connected_ or lost_ or now < next_ ) {
      return;
    }
    next_ = std::max( next_ + every_, now ); // those who were late do not come together from then on
    std::array<std::byte, record_size> record;
    for ( std::byte& byte : record ) {
      byte = pattern( number_, sent_++ );
    }
    lost_ = send( socket_.get(), record ).count != record.size(); // the socket has room for minutes of this
    said_.push_back( now );
  }

  void mark( Time now )
  {
    marked_ = now;
    had_ = received_;
    back_ = never;
    worst_ = {};
  }
  [[nodiscard]] bool heard() const { return received_ > 0; }
  [[nodiscard]] bool lost() const { return lost_; }
  [[nodiscard]] bool wrong() const { return wrong_; }
  [[nodiscard]] bool is_back() const { return back_ != never; }
  [[nodiscard]] Duration took() const { return back_ - marked_; }
  [[nodiscard]] Duration worst() const { return worst_; } // echo since the mark

private:
  void take( std::span<const std::byte> bytes )
  {
    const Time now = read_clock();
    for ( const std::byte byte : bytes ) {
      wrong_ = wrong_ or byte != pattern( number_, received_ );
      if ( ++received_ % record_size == 0 and not said_.empty() ) {
        worst_ = std::max( worst_, now - said_.front() );
        said_.pop_front();
      }
    }
    if ( received_ > had_ and back_ == never ) {
      back_ = now;
    }
  }

  Loop& loop_;
  std::uint64_t number_;
  Duration every_;
  Time next_;
  Fd socket_ {};
  bool connected_ = false;
  bool lost_ = false;
  bool wrong_ = false;
  std::uint64_t sent_ = 0;
  std::uint64_t received_ = 0;
  std::deque<Time> said_ {}; // records without an echo
  Time marked_ {};
  std::uint64_t had_ = 0; // bytes, at the mark
  Time back_ = never;
  Duration worst_ {};
};

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
      apps_.push_back(
        std::make_unique<App>( loop_, i, config.port, std::chrono::milliseconds { options.every_ms } ) );
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
      for ( const auto& app : apps_ ) {
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
    return std::ranges::all_of( apps_, []( const auto& app ) { return app->heard(); } );
  }

  void mark()
  {
    const Time now = read_clock();
    for ( const auto& app : apps_ ) {
      app->mark( now );
    }
  }

  // Milliseconds from the mark until half, nine tenths and all of the sessions that are back were; the longest
  // echo, of one that was said since the mark or heard after it; sessions lost, and those with a wrong byte.
  [[nodiscard]] std::string report() const
  {
    std::vector<double> back;
    double worst = 0;
    for ( const auto& app : apps_ ) {
      worst = std::max( worst, in_ms( app->worst() ) );
      if ( app->is_back() ) {
        back.push_back( in_ms( app->took() ) );
      }
    }
    std::ranges::sort( back );
    const auto at
      = [&]( std::size_t percent ) { return back.empty() ? 0 : back[( back.size() * percent + 99 ) / 100 - 1]; };
    return fmt::format(
      R"({{"count":{},"back":{},"p50":{:.1f},"p90":{:.1f},"max":{:.1f},"echo":{:.1f},"lost":{},"wrong":{}}})",
      apps_.size(),
      back.size(),
      at( 50 ),
      at( 90 ),
      at( 100 ),
      worst,
      std::ranges::count_if( apps_, []( const auto& app ) { return app->lost(); } ),
      std::ranges::count_if( apps_, []( const auto& app ) { return app->wrong(); } ) );
  }

private:
  Loop& loop_;
  OpensslCrypto crypto_ {};
  std::shared_ptr<Log> log_;
  std::vector<std::unique_ptr<Client>> clients_ {};
  std::vector<std::unique_ptr<App>> apps_ {};
  Time next_tick_ {};
};

// What standard input says.
class Orders : public Watcher
{
public:
  Orders( Loop& loop, Herd& herd ) : loop_( loop ), herd_( herd )
  {
    ::fcntl( STDIN_FILENO, F_SETFL, ::fcntl( STDIN_FILENO, F_GETFL ) | O_NONBLOCK );
    loop_.watch( *this, STDIN_FILENO );
  }
  Orders( const Orders& ) = delete;
  Orders& operator=( const Orders& ) = delete;
  ~Orders() override { loop_.unwatch( *this ); }

  [[nodiscard]] bool over() const { return over_; }
  [[nodiscard]] std::uint32_t interest() const override { return EPOLLIN; }
  void ready( std::uint32_t /*events*/ ) override
  {
    std::array<char, 256> text;
    const ssize_t got = ::read( STDIN_FILENO, text.data(), text.size() );
    over_ = got == 0 or ( got < 0 and errno != EAGAIN and errno != EINTR );
    for ( ssize_t i = 0; i < got; ++i ) {
      const char letter = text[static_cast<std::size_t>( i )];
      if ( letter != '\n' ) {
        line_ += letter;
        continue;
      }
      if ( line_ == "mark" ) {
        herd_.mark();
        fmt::print( "marked\n" );
      } else if ( line_ == "report" ) {
        fmt::print( "{}\n", herd_.report() );
      }
      std::fflush( stdout );
      line_.clear();
    }
  }

private:
  Loop& loop_;
  Herd& herd_;
  std::string line_ {};
  bool over_ = false;
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
  Orders orders { loop, herd };
  bool ready = false;
  while ( not orders.over() ) {
    loop.wait( herd.deadline() );
    herd.turn();
    if ( not ready and herd.all_heard() ) {
      ready = true;
      fmt::print( "ready\n" );
      std::fflush( stdout );
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
