#include "load/common.hh"
#include "net/error.hh"
#include "net/socket.hh"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <deque>
#include <iterator>
#include <sstream>

namespace holdfast::load {

namespace {

// Waits until one of them is ready; none is, when it did not become so in time.
void wait_for( std::vector<pollfd>& sockets, Duration most )
{
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>( std::max( most, Duration {} ) ).count();
  if ( ::poll( sockets.data(), sockets.size(), static_cast<int>( ms ) ) < 0 and errno != EINTR ) {
    fail( "poll" );
  }
}

bool wait_for( int fd, short events, Duration most )
{
  std::vector<pollfd> one { { .fd = fd, .events = events, .revents = 0 } };
  wait_for( one, most );
  return one.front().revents != 0;
}

Address address_of( const Destination& to )
{
  const auto address = literal_address( to.host, to.port );
  if ( not address ) {
    throw StartupError( fmt::format( "'{}' is not an IPv4 or IPv6 address", to.host ) );
  }
  return *address;
}

Fd begin_to_connect( const Destination& to )
{
  Connecting connecting = connect_to( address_of( to ) );
  if ( not connecting.fd ) {
    fail( fmt::format( "cannot connect to {}", address_of( to ).text() ), connecting.error );
  }
  prepare_leg( connecting.fd.get() );
  return std::move( connecting.fd );
}

Fd connect_now( const Destination& to )
{
  Fd fd = begin_to_connect( to );
  const int error = wait_for( fd.get(), POLLOUT, patience ) ? pending_error( fd.get() ) : ETIMEDOUT;
  if ( error != 0 ) {
    fail( fmt::format( "cannot connect to {}", address_of( to ).text() ), error );
  }
  return fd;
}

void set_blocking( int fd )
{
  timeval most { .tv_sec = std::chrono::duration_cast<std::chrono::seconds>( patience ).count(), .tv_usec = 0 };
  ::setsockopt( fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most );
  if ( ::fcntl( fd, F_SETFL, ::fcntl( fd, F_GETFL ) & ~O_NONBLOCK ) != 0 ) {
    fail( "fcntl" );
  }
}

// On a blocking socket.
void send_whole( int fd, std::span<const std::byte> bytes )
{
  while ( not bytes.empty() ) {
    const ssize_t sent = ::send( fd, bytes.data(), bytes.size(), MSG_NOSIGNAL );
    if ( sent < 0 ) {
      fail( "send" );
    }
    bytes = bytes.subspan( static_cast<std::size_t>( sent ) );
  }
}

constexpr std::array echo_task { std::byte { 'e' } };

Fd open_echo( const Destination& to )
{
  Fd fd = connect_now( to );
  set_blocking( fd.get() );
  send_whole( fd.get(), echo_task );
  return fd;
}

// A message there and back, on a blocking socket: nothing but system calls on our side.
Duration round_trip( int fd, std::span<const std::byte> message )
{
  static std::vector<std::byte> echo( message.size() );
  const Time before = read_clock();
  send_whole( fd, message );
  const ssize_t got = ::recv( fd, echo.data(), message.size(), MSG_WAITALL );
  if ( got != static_cast<ssize_t>( message.size() ) ) {
    fail( "waiting for the echo", got < 0 ? errno : ECONNRESET );
  }
  const Duration time = read_clock() - before;
  if ( not std::ranges::equal( message, std::span { echo }.first( message.size() ) ) ) {
    throw StartupError( "the echo is wrong" );
  }
  return time;
}

// Times as their middle and their tails, in microseconds: members of an object.
std::string in_words( std::vector<Duration> times )
{
  std::ranges::sort( times );
  const auto at = [&]( double part ) {
    const auto index = static_cast<std::size_t>( part * static_cast<double>( times.size() - 1 ) );
    return std::chrono::duration<double, std::micro> { times[index] }.count();
  };
  return fmt::format( R"("count":{},"min":{:.1f},"p50":{:.1f},"p99":{:.1f},"max":{:.1f})",
                      times.size(),
                      at( 0 ),
                      at( 0.5 ),
                      at( 0.99 ),
                      at( 1 ) );
}

// One bulk session: fills its stream, or keeps it open, until stop(); takes what comes until the target has
// reported.
class BulkSession
{
public:
  BulkSession( const Destination& to, const Bulk& bulk )
    : socket_( connect_now( to ) ), up_( bulk.up ), counts_( bulk.down ), taken_( read_clock() )
  {
    const auto task = std::byte( static_cast<unsigned char>( up_ and bulk.down ? 'b' : bulk.down ? 'd' : 'u' ) );
    static_cast<void>( send( socket_.get(), std::span { &task, 1 } ) ); // one byte has room in a new socket
  }

  [[nodiscard]] bool ended() const { return ended_; }
  [[nodiscard]] pollfd waits_for() const
  {
    return { .fd = ended_ ? -1 : socket_.get(),
             .events = static_cast<short>( may_send() ? POLLIN | POLLOUT : POLLIN ),
             .revents = 0 };
  }
  void ready( short events )
  {
    if ( may_send() and ( events & POLLOUT ) != 0 ) {
      give();
    }
    if ( ( events & ~POLLOUT ) != 0 ) {
      take();
    }
  }
  void stop() { stopping_ = true; }

  // By where they arrived: at the target, as it says, or here.
  void add_to( Series& up, Series& down ) const
  {
    std::vector<std::uint64_t> counts;
    std::istringstream words { report_ };
    for ( std::string word; std::getline( words, word, ',' ) and word != "\n"; ) {
      counts.push_back( std::stoull( word ) );
    }
    if ( up_ ) {
      up.add( counts );
    }
    if ( counts_ ) {
      down.add( taken_.slots() );
    }
  }

private:
  [[nodiscard]] bool may_send() const { return not said_all_ and ( up_ or stopping_ ); }

  // Not every relay lets one side end its stream before the other: so the end is a byte.
  void give()
  {
    static constexpr std::array all { std::byte { '.' } };
    const Transfer sent = send( socket_.get(), stopping_ ? all : pattern().from( sent_ ) );
    if ( sent.kind == Transfer::Kind::failed ) {
      fail( "send", sent.error );
    }
    sent_ += sent.count;
    said_all_ = stopping_ and sent.count > 0;
  }

  void take()
  {
    const Transfer got = receive( socket_.get(), buffer() );
    if ( got.kind == Transfer::Kind::failed ) {
      fail( "receive", got.error );
    }
    if ( got.kind == Transfer::Kind::ended ) {
      throw StartupError( "the session ended without the target's report" );
    }
    const auto fresh = std::span<const std::byte> { buffer() }.first( got.count );
    const auto bulk = report_.empty() ? pattern_part( fresh ) : fresh.first( 0 );
    if ( not pattern().is_at( received_, bulk ) ) {
      throw StartupError( fmt::format( "the app got a wrong byte, after {} right ones", received_ ) );
    }
    received_ += bulk.size();
    if ( not bulk.empty() ) {
      taken_.add( bulk.size(), read_clock() );
    }
    const auto text = fresh.subspan( bulk.size() );
    report_.append( reinterpret_cast<const char*>( text.data() ), text.size() );
    ended_ = not report_.empty() and report_.back() == '\n';
  }

  Fd socket_;
  bool up_;
  bool counts_; // what comes down
  bool stopping_ = false;
  bool said_all_ = false;
  bool ended_ = false; // the target has reported
  std::uint64_t sent_ = 0;
  std::uint64_t received_ = 0;
  Series taken_;
  std::string report_ {};
};

// One new session, from connect to its first echoed byte.
class Opening
{
public:
  explicit Opening( const Destination& to ) : began_( read_clock() ), socket_( begin_to_connect( to ) ) {}

  [[nodiscard]] pollfd waits_for() const
  {
    return { .fd = socket_.get(), .events = static_cast<short>( sent_ ? POLLIN : POLLOUT ), .revents = 0 };
  }
  // How long it took, when it is done.
  std::optional<Duration> ready()
  {
    if ( not sent_ ) {
      if ( const int error = pending_error( socket_.get() ); error != 0 ) {
        fail( "cannot connect", error );
      }
      sent_ = true;
      send_whole( socket_.get(), std::array { std::byte { 'e' }, std::byte { 'x' } } );
      return std::nullopt;
    }
    std::array<std::byte, 1> echo {};
    const Transfer got = receive( socket_.get(), echo );
    if ( got.kind == Transfer::Kind::would_block ) {
      return std::nullopt;
    }
    if ( got.kind != Transfer::Kind::moved ) {
      fail( "waiting for the echo", got.kind == Transfer::Kind::failed ? got.error : ECONNRESET );
    }
    return read_clock() - began_;
  }

private:
  Time began_;
  Fd socket_;
  bool sent_ = false;
};

} // namespace

int carry( const Destination& to, const Bulk& bulk )
{
  std::deque<BulkSession> sessions;
  for ( std::size_t i = 0; i < bulk.streams; ++i ) {
    sessions.emplace_back( to, bulk );
  }
  const Time stop = read_clock() + bulk.time;
  Time heard = read_clock();
  while ( not std::ranges::all_of( sessions, &BulkSession::ended ) ) {
    const Time now = read_clock();
    if ( now >= stop ) {
      std::ranges::for_each( sessions, &BulkSession::stop );
      if ( now >= heard + patience ) {
        fail( "waiting for the target's report", ETIMEDOUT );
      }
    }
    std::vector<pollfd> sockets;
    std::ranges::transform( sessions, std::back_inserter( sockets ), &BulkSession::waits_for );
    wait_for( sockets, now < stop ? stop - now : patience );
    for ( std::size_t i = 0; i < sockets.size(); ++i ) {
      if ( sockets[i].revents != 0 ) {
        sessions[i].ready( sockets[i].revents );
        heard = now;
      }
    }
  }
  Series up { stop };
  Series down { stop };
  for ( const BulkSession& session : sessions ) {
    session.add_to( up, down );
  }
  fmt::print( R"({{"slot":{},"up":[{}],"down":[{}]}})"
              "\n",
              std::chrono::duration<double> { slot }.count(),
              up.text(),
              down.text() );
  return 0;
}

int pingpong( const Destination& to, std::size_t size, Duration time )
{
  const Fd fd = open_echo( to );
  const auto message = pattern().from( 0 ).first( size );
  std::vector<Duration> times;
  const Time start = read_clock();
  for ( Time now = start; now < start + time; now = read_clock() ) {
    const Duration one = round_trip( fd.get(), message );
    if ( now < start + time / 10 ) {
      times.clear(); // the first ones fill caches; one of them is kept, should there be no more
    }
    times.push_back( one );
  }
  fmt::print( "{{{}}}\n", in_words( std::move( times ) ) );
  return 0;
}

int open_again_and_again( const Destination& to, std::size_t count, std::size_t at_once )
{
  std::vector<Duration> times;
  std::vector<std::optional<Opening>> openings( std::min( count, at_once ) );
  std::size_t begun = openings.size();
  const Time start = read_clock();
  for ( auto& opening : openings ) {
    opening.emplace( to );
  }
  while ( times.size() < count ) {
    std::vector<pollfd> sockets;
    for ( const auto& opening : openings ) {
      sockets.push_back( opening ? opening->waits_for() : pollfd { .fd = -1, .events = 0, .revents = 0 } );
    }
    wait_for( sockets, patience );
    if ( std::ranges::none_of( sockets, []( const pollfd& each ) { return each.revents != 0; } ) ) {
      fail( "waiting for the echo", ETIMEDOUT );
    }
    for ( std::size_t i = 0; i < sockets.size(); ++i ) {
      if ( sockets[i].revents == 0 ) {
        continue;
      }
      if ( const auto time = openings[i]->ready() ) {
        times.push_back( *time );
        openings[i].reset();
        if ( begun < count ) {
          ++begun;
          openings[i].emplace( to );
        }
      }
    }
  }
  const std::chrono::duration<double> took = read_clock() - start;
  fmt::print( R"({{"per_second":{:.1f},{}}})"
              "\n",
              static_cast<double>( count ) / took.count(),
              in_words( std::move( times ) ) );
  return 0;
}

int stay_idle( const Destination& to, std::size_t count )
{
  std::vector<Fd> sessions;
  for ( std::size_t i = 0; i < count; ++i ) {
    sessions.push_back( open_echo( to ) );
    round_trip( sessions.back().get(), echo_task );
  }
  fmt::print( "{{\"open\":{}}}\n", sessions.size() );
  std::fflush( stdout );
  char byte {};
  while ( ::read( STDIN_FILENO, &byte, 1 ) > 0 ) {
  }
  return 0;
}

} // namespace holdfast::load
