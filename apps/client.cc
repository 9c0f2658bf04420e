// client SIP SPORT: sends every line of standard input to a server as one message (lines/message.hh).
//
//   standard input --> LineSplitter --> pending_ --> socket
//
// The functions appear in the order of a life: find the server, connect, send, end.

#include "program.hh"
#include "standard_descriptors.hh"

#include "lines/line_splitter.hh"
#include "lines/message.hh"
#include "net/clock.hh"
#include "net/socket.hh"
#include "options/line_options.hh"
#include "options/say.hh"

#include <netdb.h>
#include <poll.h>

#include <array>
#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace holdfast {
namespace {

using namespace std::chrono_literals;

constexpr int status_refused_lines = 3;           // everything went well, but some lines were too long to be sent
constexpr Duration connect_patience = 10s;        // per address; the kernel would try for two minutes
constexpr Duration end_patience = 10s;            // for the server to confirm the end by closing
constexpr std::size_t pending_most = 64UL * 1024; // enough to keep the socket busy; above it, nothing is read
constexpr std::size_t reading_size = 16UL * 1024; // one read; at worst (empty lines) it becomes four times as much

template<typename... Parts>
void say( fmt::format_string<Parts...> format, Parts&&... parts )
{
  program::say( "client", format, std::forward<Parts>( parts )... );
}

std::vector<Address> find( const std::string& host, std::uint16_t port )
{
  if ( const auto literal = literal_address( host, port ) ) {
    return { *literal };
  }
  addrinfo hints {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int problem = ::getaddrinfo( host.c_str(), std::to_string( port ).c_str(), &hints, &found );
  if ( problem != 0 ) {
    throw StartupError( fmt::format( "cannot find the address of '{}': {}",
                                     host,
                                     problem == EAI_SYSTEM ? error_text( errno ) : ::gai_strerror( problem ) ) );
  }
  const std::unique_ptr<addrinfo, void ( * )( addrinfo* )> owner { found, ::freeaddrinfo };
  std::vector<Address> addresses;
  for ( const addrinfo* one = found; one != nullptr; one = one->ai_next ) {
    Address address;
    std::memcpy( &address.storage, one->ai_addr, one->ai_addrlen );
    address.length = one->ai_addrlen;
    addresses.push_back( address );
  }
  return addresses;
}

int milliseconds_until( Time deadline )
{
  if ( deadline == never ) {
    return -1;
  }
  const auto left = std::chrono::ceil<std::chrono::milliseconds>( deadline - read_clock() );
  return static_cast<int>( std::max<std::int64_t>( left.count(), 0 ) );
}

// 0, or the errno that kept us from being connected.
int connect( const Address& address, Fd& connected )
{
  Connecting connecting = connect_to( address );
  if ( not connecting.fd ) {
    return connecting.error;
  }
  pollfd waiting { .fd = connecting.fd.get(), .events = POLLOUT, .revents = 0 };
  const Time deadline = read_clock() + connect_patience;
  int ready = 0;
  do {
    ready = ::poll( &waiting, 1, milliseconds_until( deadline ) );
  } while ( ready < 0 and errno == EINTR );
  if ( ready <= 0 ) {
    return ready == 0 ? ETIMEDOUT : errno;
  }
  if ( const int refused = pending_error( connecting.fd.get() ) ) {
    return refused;
  }
  connected = std::move( connecting.fd );
  return 0;
}

// The first of the addresses that takes us; each that does not is named, the last one in the exception.
Fd connect_to_one_of( const std::vector<Address>& addresses )
{
  Fd connected;
  for ( std::size_t i = 0; i < addresses.size(); ++i ) {
    const int error = connect( addresses[i], connected );
    if ( error == 0 ) {
      break;
    }
    if ( i + 1 == addresses.size() ) {
      fail( fmt::format( "cannot connect to {}", addresses[i].text() ), error );
    }
    say( "cannot connect to {}: {}; trying the next address", addresses[i].text(), error_text( error ) );
  }
  return connected;
}

// Sends lines until the input ends, a signal comes or the server goes; then run() is over with an exit status.
//
// Waits with poll(2) and not with net/loop.hh: epoll refuses regular files, and standard input may well be one.
class Sending
{
public:
  Sending( Fd socket, Fd signals )
    : socket_( std::move( socket ) )
    , signals_( std::move( signals ) )
    , server_( peer_address( socket_.get() ).text() )
  {
    prepare_leg( socket_.get() );
  }

  int run();

private:
  using Waiting = std::array<pollfd, 3>; // for a signal, the server, standard input

  void wait();
  void serve( const Waiting& waiting );
  void read_input();
  void take( std::span<const std::byte> input );
  void take_line( const lines::LineSplitter::Line& line );
  void end_of_input();
  void send_pending();
  void heard_from_server();
  void signalled( int signal );
  void end( int status );
  void lost( std::string_view what );

  [[nodiscard]] bool wants_input() const { return not input_ended_ and pending_.size() - sent_ < pending_most; }
  [[nodiscard]] bool all_sent() const { return sent_ == pending_.size(); }

  Fd socket_;
  Fd signals_;
  std::string server_;
  lines::LineSplitter splitter_ {};
  std::vector<std::byte> pending_ {}; // messages on their way into the socket
  std::size_t sent_ = 0;              // how much of that is in it
  bool input_ended_ = false;
  bool end_sent_ = false; // the server knows that nothing more comes
  Time deadline_ = never; // for the server to close, once the input has ended
  bool refused_lines_ = false;
  std::optional<int> interrupted_ {}; // the signal that ended the input
  std::optional<int> status_ {};      // there once everything is over
};

int Sending::run()
{
  while ( not status_ ) {
    wait();
  }
  return *status_;
}

void Sending::wait()
{
  const short server_events = all_sent() ? POLLIN : POLLIN | POLLOUT;
  Waiting waiting { pollfd { .fd = signals_.get(), .events = POLLIN, .revents = 0 },
                    pollfd { .fd = socket_.get(), .events = server_events, .revents = 0 },
                    pollfd { .fd = wants_input() ? STDIN_FILENO : -1, .events = POLLIN, .revents = 0 } };
  const int ready = ::poll( waiting.data(), waiting.size(), milliseconds_until( deadline_ ) );
  if ( ready < 0 and errno != EINTR ) {
    return lost( fmt::format( "poll: {}", error_text( errno ) ) );
  }
  if ( ready > 0 ) {
    serve( waiting );
  }
  // Only now: after a stop of our own (SIGSTOP, suspend) the deadline is long over while the answer is already
  // here.
  if ( not status_ and read_clock() >= deadline_ ) {
    say(
      "{} has not closed the connection within {} s after the last line, so whether all of it arrived is not known",
      server_,
      std::chrono::duration_cast<std::chrono::seconds>( end_patience ).count() );
    end( program::status_trouble );
  }
}

void Sending::serve( const Waiting& waiting )
{
  if ( const auto signal = program::taken_signal( signals_ ) ) {
    signalled( *signal );
  }
  if ( ( waiting[1].revents & ( POLLIN | POLLHUP | POLLERR ) ) != 0 and not status_ ) {
    heard_from_server();
  }
  if ( waiting[2].revents != 0 and wants_input() and not status_ ) {
    read_input();
  }
  if ( not status_ ) {
    send_pending();
  }
}

void Sending::read_input()
{
  std::array<std::byte, reading_size> space {};
  const ssize_t n = ::read( STDIN_FILENO, space.data(), space.size() );
  if ( n > 0 ) {
    return take( std::span { space }.first( static_cast<std::size_t>( n ) ) );
  }
  if ( n == 0 ) {
    return end_of_input();
  }
  if ( errno != EINTR and errno != EAGAIN ) { // EAGAIN: somebody made our standard input non-blocking
    say( "cannot read standard input: {}", error_text( errno ) );
    end( program::status_trouble );
  }
}

void Sending::take( std::span<const std::byte> input )
{
  while ( const auto line = splitter_.next( input ) ) {
    take_line( *line );
  }
}

void Sending::take_line( const lines::LineSplitter::Line& line )
{
  if ( line.too_long ) {
    say( "line {} is longer than {} bytes and was not sent", line.number, lines::LineSplitter::line_max );
    refused_lines_ = true;
  } else {
    lines::append_message( pending_, line.text );
  }
}

void Sending::end_of_input()
{
  if ( const auto last = splitter_.end() ) {
    take_line( *last );
  }
  input_ended_ = true;
  deadline_ = read_clock() + end_patience;
}

void Sending::send_pending()
{
  while ( not all_sent() ) {
    const Transfer transfer = send( socket_.get(), std::span<const std::byte> { pending_ }.subspan( sent_ ) );
    if ( transfer.kind == Transfer::Kind::would_block ) {
      return;
    }
    if ( transfer.kind != Transfer::Kind::moved ) {
      return lost( error_text( transfer.error ) );
    }
    sent_ += transfer.count;
    deadline_ = input_ended_ ? read_clock() + end_patience : never; // it moves
  }
  pending_.clear();
  sent_ = 0;
  if ( input_ended_ and not end_sent_ ) {
    // The server reads to the end of the stream and then closes: only then we know that it has everything.
    ::shutdown( socket_.get(), SHUT_WR );
    end_sent_ = true;
  }
}

void Sending::heard_from_server()
{
  std::array<std::byte, 4096> space {}; // a server has nothing to say; what it says nevertheless is dropped
  const Transfer transfer = receive( socket_.get(), std::span<std::byte> { space } );
  switch ( transfer.kind ) {
    case Transfer::Kind::moved:
    case Transfer::Kind::would_block: return;
    case Transfer::Kind::failed: return lost( error_text( transfer.error ) );
    case Transfer::Kind::ended: break;
  }
  if ( not end_sent_ ) {
    return lost( "the server closed the connection" );
  }
  end( interrupted_ ? 128 + *interrupted_ : refused_lines_ ? status_refused_lines : 0 );
}

// The first signal ends the input: whole messages that wait are still sent, so that the server is not left with
// half of one. The second one ends us.
void Sending::signalled( int signal )
{
  if ( interrupted_ ) {
    return end( 128 + signal );
  }
  interrupted_ = signal;
  input_ended_ = true;
  deadline_ = read_clock() + end_patience;
}

void Sending::lost( std::string_view what )
{
  say( "lost the connection to {}: {}", server_, what );
  end( program::status_trouble );
}

void Sending::end( int status )
{
  if ( not status_ ) {
    status_ = status;
  }
}

int run( const std::string& host, std::uint16_t port )
{
  if ( ::fcntl( STDIN_FILENO, F_GETFD ) < 0 ) {
    fail( "cannot read standard input" );
  }
  program::keep_standard_descriptors();
  Fd socket = connect_to_one_of( find( host, port ) ); // until here, a signal simply ends us
  return Sending { std::move( socket ), program::stop_signals() }.run();
}

} // namespace
} // namespace holdfast

int main( int argc, char** argv )
{
  return holdfast::program::run_main( "client", [&] {
    std::string host;
    std::uint16_t port = 0;
    const auto status = holdfast::program::parse_client( argc, argv, host, port );
    return status ? *status : holdfast::run( host, port );
  } );
}
