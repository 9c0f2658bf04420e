// bench_load: both ends of a measurement. One process is the target, others are the apps that talk to it, straight
// or through proxies:
//
//   bench_load target [--bind ADDR] [--port PORT]     says "listening on ADDR:PORT", then serves until it is killed
//   bench_load bulk HOST PORT --up --down ...         one session with as many bytes as will go through
//   bench_load pingpong HOST PORT ...                 one byte there and back, again and again
//   bench_load open HOST PORT --count N               new sessions one after another: connect to first echoed byte
//   bench_load idle HOST PORT --count N               N sessions that do nothing until standard input ends
//
// The first byte of a session tells the target what to do: 'e' echo, 'u' take what comes, 'd' send, 'b' both. Bulk
// bytes are zeros. When the app has ended its stream, the target stops sending and reports, as text behind the
// zeros, how many bytes it took in each tenth of a second. So both directions are counted where the bytes arrive,
// and nothing but the measured bytes travels while they are measured.
//
// Results are one line of JSON on standard output.

#include "net/clock.hh"
#include "net/error.hh"
#include "net/listener.hh"
#include "net/loop.hh"
#include "net/signals.hh"
#include "net/socket.hh"
#include "tool.hh"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

namespace holdfast {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t piece = 256UL * 1024; // of one read or write: large, so that the ends cost little
constexpr Duration slot = 100ms;            // the grain of what is counted
constexpr std::size_t slots_max = 36000;    // an hour
constexpr Duration patience = 30s;          // with an answer that must come

// -- what both ends do -------------------------------------------------------------------------------------------

// Bytes that arrived, by the tenth of a second in which they did.
class Series
{
public:
  explicit Series( Time start ) : start_( start ) {}
  void add( std::size_t count, Time now )
  {
    const auto at = std::min( static_cast<std::size_t>( std::max( now - start_, Duration {} ) / slot ), slots_max );
    if ( slots_.size() <= at ) {
      slots_.resize( at + 1 );
    }
    slots_[at] += count;
  }
  [[nodiscard]] std::string text() const { return fmt::format( "{}", fmt::join( slots_, "," ) ); }

private:
  Time start_;
  std::vector<std::uint64_t> slots_ {};
};

std::vector<std::byte>& buffer() // one for the whole process: what is in it does not matter
{
  static std::vector<std::byte> bytes( piece );
  return bytes;
}

const std::vector<std::byte>& zeros()
{
  static const std::vector<std::byte> bytes( piece );
  return bytes;
}

std::span<const std::byte> bytes_of( const std::string& text )
{
  return std::as_bytes( std::span { text } );
}

// -- the target --------------------------------------------------------------------------------------------------

// One session, as the target serves it.
class Served : public Watcher
{
public:
  Served( Loop& loop, Fd socket ) : loop_( loop ), socket_( std::move( socket ) ), taken_( loop.now() )
  {
    prepare_leg( socket_.get() );
    loop_.watch( *this, socket_.get() );
  }
  Served( const Served& ) = delete;
  Served& operator=( const Served& ) = delete;
  ~Served() override { loop_.unwatch( *this ); } // before the socket closes

  [[nodiscard]] bool over() const { return over_; }

  [[nodiscard]] std::uint32_t interest() const override
  {
    return ( may_read() ? std::uint32_t { EPOLLIN } : 0U ) | ( may_write() ? std::uint32_t { EPOLLOUT } : 0U );
  }

  void ready( std::uint32_t events ) override
  {
    if ( ( events & ( EPOLLIN | EPOLLHUP | EPOLLERR ) ) != 0 ) {
      take();
    }
    if ( not over_ and may_write() ) {
      give();
    }
  }

private:
  [[nodiscard]] bool sends() const { return task_ == 'd' or task_ == 'b'; }
  [[nodiscard]] bool may_read() const { return not ended_ and ( task_ != 'e' or out_.empty() ); }
  [[nodiscard]] bool may_write() const { return not over_ and ( not out_.empty() or ( sends() and not ended_ ) ); }

  void take()
  {
    const Transfer got = receive( socket_.get(), buffer() );
    switch ( got.kind ) {
      case Transfer::Kind::would_block: return;
      case Transfer::Kind::failed: over_ = true; return;
      case Transfer::Kind::ended: end(); return;
      case Transfer::Kind::moved: break;
    }
    auto bytes = std::span<const std::byte> { buffer() }.first( got.count );
    if ( task_ == 0 ) {
      task_ = static_cast<char>( bytes.front() );
      bytes = bytes.subspan( 1 );
      taken_ = Series { loop_.now() };
    }
    if ( task_ == 'e' ) {
      out_.assign( reinterpret_cast<const char*>( bytes.data() ), bytes.size() );
    } else {
      taken_.add( bytes.size(), read_clock() );
    }
  }

  void end()
  {
    ended_ = true;
    if ( task_ == 'e' ) {
      over_ = true;
    } else {
      out_ = taken_.text() + "\n";
    }
  }

  void give()
  {
    const auto from = out_.empty() ? std::span { zeros() } : bytes_of( out_ );
    const Transfer sent = send( socket_.get(), from );
    if ( sent.kind == Transfer::Kind::failed ) {
      over_ = true;
    } else if ( not out_.empty() ) {
      out_.erase( 0, sent.count );
      over_ = over_ or ( ended_ and out_.empty() );
    }
  }

  Loop& loop_;
  Fd socket_;
  char task_ = 0;      // what it is to do, once it was said
  bool ended_ = false; // the app ended its stream
  bool over_ = false;
  std::string out_ {}; // to be echoed, or the report
  Series taken_;
};

int target( const std::string& bind, std::uint16_t port )
{
  Loop loop;
  const Signals signals { loop };
  std::vector<std::unique_ptr<Served>> sessions;
  const Listener listener { loop,
                            listen_for( bind, port ),
                            [&]( Fd socket, const Address& ) {
                              sessions.push_back( std::make_unique<Served>( loop, std::move( socket ) ) );
                            },
                            []( int error ) { fail( "the target cannot accept a session", error ); } };
  fmt::print( "listening on {}\n", listener.address().text() );
  std::fflush( stdout );
  while ( signals.stops() == 0 ) {
    loop.wait( never );
    std::erase_if( sessions, []( const auto& session ) { return session->over(); } );
  }
  return 0;
}

// -- the apps ----------------------------------------------------------------------------------------------------

struct Destination
{
  std::string host {};
  std::uint16_t port = 0;
};

// Waits until the socket is ready; false when it did not become so in time.
bool wait_for( int fd, short events, Duration most )
{
  pollfd one { .fd = fd, .events = events, .revents = 0 };
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>( std::max( most, Duration {} ) ).count();
  return ::poll( &one, 1, static_cast<int>( ms ) ) > 0;
}

Fd connect_now( const Destination& to )
{
  const auto address = literal_address( to.host, to.port );
  if ( not address ) {
    throw StartupError( fmt::format( "'{}' is not an IPv4 or IPv6 address", to.host ) );
  }
  Connecting connecting = connect_to( *address );
  if ( connecting.fd and not wait_for( connecting.fd.get(), POLLOUT, patience ) ) {
    connecting.error = ETIMEDOUT;
  } else if ( connecting.fd ) {
    connecting.error = pending_error( connecting.fd.get() );
  }
  if ( connecting.error != 0 ) {
    fail( fmt::format( "cannot connect to {}", address->text() ), connecting.error );
  }
  prepare_leg( connecting.fd.get() );
  return std::move( connecting.fd );
}

void send_all( int fd, std::string_view text )
{
  auto rest = std::as_bytes( std::span { text } );
  while ( not rest.empty() ) {
    const Transfer sent = send( fd, rest );
    if ( sent.kind == Transfer::Kind::failed ) {
      fail( "send", sent.error );
    }
    rest = rest.subspan( sent.count );
    if ( not rest.empty() and not wait_for( fd, POLLOUT, patience ) ) {
      fail( "send", ETIMEDOUT );
    }
  }
}

void set_blocking( int fd )
{
  timeval most { .tv_sec = std::chrono::duration_cast<std::chrono::seconds>( patience ).count(), .tv_usec = 0 };
  ::setsockopt( fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most );
  if ( ::fcntl( fd, F_SETFL, ::fcntl( fd, F_GETFL ) & ~O_NONBLOCK ) != 0 ) {
    fail( "fcntl" );
  }
}

// One byte there and back, on a blocking socket: nothing but two system calls on our side.
Duration round_trip( int fd )
{
  char byte = 'x';
  const Time before = read_clock();
  if ( ::send( fd, &byte, 1, MSG_NOSIGNAL ) != 1 ) {
    fail( "send" );
  }
  const ssize_t got = ::recv( fd, &byte, 1, 0 );
  if ( got != 1 ) {
    fail( "waiting for the echo", got == 0 ? ECONNRESET : errno );
  }
  return read_clock() - before;
}

// Times as their middle and their tails, in microseconds.
void print_times( std::vector<Duration> times )
{
  std::ranges::sort( times );
  const auto at = [&]( double part ) {
    const auto index = static_cast<std::size_t>( part * static_cast<double>( times.size() - 1 ) );
    return std::chrono::duration<double, std::micro> { times[index] }.count();
  };
  fmt::print( R"({{"count":{},"min":{:.1f},"p50":{:.1f},"p99":{:.1f},"max":{:.1f}}})"
              "\n",
              times.size(),
              at( 0 ),
              at( 0.5 ),
              at( 0.99 ),
              at( 1 ) );
}

// One bulk session: fills its stream, or keeps it open, until `stop`; takes what comes until the target has
// reported.
class BulkSession
{
public:
  BulkSession( const Destination& to, bool up, bool down ) : socket_( connect_now( to ) ), up_( up ), down_( down )
  {
    send_all( socket_.get(), up and down ? "b" : down ? "d" : "u" );
  }

  void run( Duration time )
  {
    taken_ = Series { read_clock() };
    const Time stop = read_clock() + time;
    for ( Time now = read_clock(); not ended_; now = read_clock() ) {
      if ( sending_ and now >= stop ) {
        ::shutdown( socket_.get(), SHUT_WR );
        sending_ = false;
      }
      const short events = sending_ and up_ ? POLLIN | POLLOUT : POLLIN;
      if ( wait_for( socket_.get(), events, sending_ ? stop - now : patience ) ) {
        give();
        take();
      } else if ( not sending_ ) {
        fail( "waiting for the target's report", ETIMEDOUT );
      }
    }
    if ( report_.empty() or report_.back() != '\n' ) {
      throw StartupError( "the session ended without the target's report" );
    }
    report_.pop_back();
  }

  void print() const
  {
    fmt::print( R"({{"slot":{},"up":[{}],"down":[{}]}})"
                "\n",
                std::chrono::duration<double> { slot }.count(),
                report_,
                down_ ? taken_.text() : "" );
  }

private:
  void give()
  {
    if ( sending_ and up_ ) {
      if ( const Transfer sent = send( socket_.get(), zeros() ); sent.kind == Transfer::Kind::failed ) {
        fail( "send", sent.error );
      }
    }
  }

  void take()
  {
    const Transfer got = receive( socket_.get(), buffer() );
    if ( got.kind == Transfer::Kind::failed ) {
      fail( "receive", got.error );
    }
    ended_ = got.kind == Transfer::Kind::ended;
    if ( got.count == 0 ) {
      return;
    }
    taken_.add( got.count, read_clock() );
    const auto fresh = std::span { buffer() }.first( got.count );
    const auto text
      = std::find( fresh.rbegin(), fresh.rend(), std::byte { 0 } ).base(); // what is not zeros is report
    report_.append( reinterpret_cast<const char*>( std::to_address( text ) ),
                    static_cast<std::size_t>( fresh.end() - text ) );
  }

  Fd socket_;
  bool up_, down_;
  bool sending_ = true; // our stream is open; with `up` it is being filled
  bool ended_ = false;  // the target's stream has
  Series taken_ { Time {} };
  std::string report_ {};
};

int bulk( const Destination& to, bool up, bool down, Duration time )
{
  BulkSession session { to, up, down };
  session.run( time );
  session.print();
  return 0;
}

int pingpong( const Destination& to, Duration time )
{
  const Fd fd = connect_now( to );
  set_blocking( fd.get() );
  send_all( fd.get(), "e" );
  std::vector<Duration> times;
  const Time start = read_clock();
  for ( Time now = start; now < start + time; now = read_clock() ) {
    const Duration one = round_trip( fd.get() );
    if ( now < start + time / 10 ) {
      times.clear(); // the first ones fill caches; one of them is kept, should there be no more
    }
    times.push_back( one );
  }
  print_times( std::move( times ) );
  return 0;
}

Fd open_session( const Destination& to )
{
  Fd fd = connect_now( to );
  set_blocking( fd.get() );
  send_all( fd.get(), "e" );
  round_trip( fd.get() );
  return fd;
}

int open_again_and_again( const Destination& to, std::size_t count )
{
  std::vector<Duration> times;
  for ( std::size_t i = 0; i < count; ++i ) {
    const Time before = read_clock();
    const Fd fd = open_session( to );
    times.push_back( read_clock() - before );
  }
  print_times( std::move( times ) );
  return 0;
}

int stay_idle( const Destination& to, std::size_t count )
{
  std::vector<Fd> sessions;
  for ( std::size_t i = 0; i < count; ++i ) {
    sessions.push_back( open_session( to ) );
  }
  fmt::print( "{{\"open\":{}}}\n", sessions.size() );
  std::fflush( stdout );
  char byte {};
  while ( ::read( STDIN_FILENO, &byte, 1 ) > 0 ) {
  }
  return 0;
}

int run( int argc, char** argv )
{
  CLI::App app { "Both ends of a measurement: a target, and apps that talk to it.", "bench_load" };
  app.require_subcommand( 1 );
  Destination to;
  std::string bind = "127.0.0.1";
  double seconds = 1;
  std::size_t count = 100;
  bool up = false;
  bool down = false;
  const auto command = [&]( const char* name, const char* help ) {
    CLI::App* const sub = app.add_subcommand( name, help );
    sub->add_option( "HOST", to.host, "An address" )->required();
    sub->add_option( "PORT", to.port )->required();
    return sub;
  };
  auto* const be_target = app.add_subcommand( "target", "Serve what the other commands ask for" );
  be_target->add_option( "--bind", bind )->capture_default_str();
  be_target->add_option( "--port", to.port, "0: the system chooses" )->capture_default_str();
  auto* const be_bulk = command( "bulk", "As many bytes as will go through one session" );
  be_bulk->add_flag( "--up", up, "Towards the target" );
  be_bulk->add_flag( "--down", down, "From the target" );
  be_bulk->add_option( "--seconds", seconds )->capture_default_str();
  auto* const be_pingpong = command( "pingpong", "One byte there and back, again and again" );
  be_pingpong->add_option( "--seconds", seconds )->capture_default_str();
  auto* const be_open = command( "open", "New sessions one after another, each until its first echoed byte" );
  be_open->add_option( "--count", count )->check( CLI::PositiveNumber )->capture_default_str();
  auto* const be_idle = command( "idle", "Many sessions that do nothing until standard input ends" );
  be_idle->add_option( "--count", count )->check( CLI::PositiveNumber )->capture_default_str();
  CLI11_PARSE( app, argc, argv );

  raise_descriptor_limit(); // with fewer than it takes, accept or connect says so
  const Duration time { std::llround( seconds * 1e9 ) };
  if ( be_target->parsed() ) {
    return target( bind, to.port );
  }
  if ( be_bulk->parsed() ) {
    return bulk( to, up, down, time );
  }
  if ( be_pingpong->parsed() ) {
    return pingpong( to, time );
  }
  return be_open->parsed() ? open_again_and_again( to, count ) : stay_idle( to, count );
}

} // namespace
} // namespace holdfast

int main( int argc, char** argv )
{
  return holdfast::run_tool( "bench_load", holdfast::run, argc, argv );
}
