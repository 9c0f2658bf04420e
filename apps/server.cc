// server SPORT: prints the messages of all its clients, each as two lines: the length and the payload.
//
//   many sockets --> Client, MessageReader --> Output --> standard output
//
// One thread, one event loop. When standard output is slower than the clients, Output fills up, no client is read
// any more, and TCP holds them back: nothing is dropped, and memory stays bounded.

#include "program.hh"
#include "standard_descriptors.hh"

#include "lines/message.hh"
#include "net/loop.hh"
#include "net/signals.hh"
#include "net/socket.hh"
#include "options/line_options.hh"
#include "options/say.hh"

#include <poll.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <chrono>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace holdfast {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t output_most = 256UL * 1024; // clients are not read above it
constexpr std::size_t reading_size = 64UL * 1024; // one turn of one client
constexpr Duration exhausted_pause = 1s;          // before accepting is tried again when descriptors ran out
constexpr Duration stop_patience = 2s;            // with a standard output that takes nothing, when we are to stop
constexpr int accepts_per_turn = 64;              // then the clients that are here have their turn

template<typename... Parts>
void say( fmt::format_string<Parts...> format, Parts&&... parts )
{
  program::say( "server", format, std::forward<Parts>( parts )... );
}

// Standard output, with the bytes that wait for it. Its descriptor may be shared with other programs, so it is not
// made non-blocking; instead we write only when it is ready, and no more than a pipe then takes for certain.
class Output : public Watcher
{
public:
  explicit Output( Loop& loop ) : loop_( loop ), waits_( program::can_be_waited_for( STDOUT_FILENO ) )
  {
    if ( waits_ ) {
      loop_.watch( *this, STDOUT_FILENO );
    }
  }
  Output( const Output& ) = delete;
  Output& operator=( const Output& ) = delete;
  ~Output() override { loop_.unwatch( *this ); }

  void print( const lines::MessageReader::Reading& message );
  // Writes what can be written now.
  void flush();

  [[nodiscard]] bool full() const { return waiting() >= output_most; }
  [[nodiscard]] std::size_t waiting() const { return bytes_.size() - written_; }
  [[nodiscard]] int error() const { return error_; } // the errno that ended it, or 0

  [[nodiscard]] std::uint32_t interest() const override { return waiting() > 0 ? std::uint32_t { EPOLLOUT } : 0; }
  void ready( std::uint32_t events ) override;

private:
  static constexpr std::size_t piece = 4096; // PIPE_BUF: what a pipe that is ready takes without blocking (pipe(7))

  [[nodiscard]] bool takes_more() const;

  Loop& loop_;
  bool waits_; // false for a regular file, which is always ready
  std::vector<std::byte> bytes_ {};
  std::size_t written_ = 0;
  int error_ = 0;
};

void Output::print( const lines::MessageReader::Reading& message )
{
  const std::string length = fmt::format( "{}\n", message.length );
  const auto raw = std::as_bytes( std::span { length } );
  bytes_.insert( bytes_.end(), raw.begin(), raw.end() );
  bytes_.insert( bytes_.end(), message.payload.begin(), message.payload.end() );
  bytes_.push_back( std::byte { '\n' } );
  loop_.touch( *this );
}

void Output::flush()
{
  while ( waiting() > 0 and error_ == 0 and takes_more() ) {
    const ssize_t n = ::write( STDOUT_FILENO, bytes_.data() + written_, std::min( waiting(), piece ) );
    if ( n >= 0 ) {
      written_ += static_cast<std::size_t>( n );
    } else if ( errno == EAGAIN ) { // somebody else made it non-blocking
      break;
    } else if ( errno != EINTR ) {
      error_ = errno;
    }
  }
  // What is written goes out of memory when that is cheap: all of it is gone, or half of what may wait is.
  if ( waiting() == 0 or written_ >= output_most / 2 ) {
    bytes_.erase( bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>( written_ ) );
    written_ = 0;
  }
  loop_.touch( *this );
}

bool Output::takes_more() const
{
  pollfd one { .fd = STDOUT_FILENO, .events = POLLOUT, .revents = 0 };
  return not waits_ or ::poll( &one, 1, 0 ) > 0;
}

void Output::ready( std::uint32_t events )
{
  if ( ( events & ( EPOLLERR | EPOLLHUP ) ) != 0 and waiting() == 0 ) {
    error_ = EPIPE; // whoever read it has gone; a pipe tells so even when nothing is to be written
  } else {
    flush();
  }
}

class Server;

// One connection. Knows which of the messages under way is its own.
class Client : public Watcher
{
public:
  Client( Server& server, Loop& loop, Accepted accepted )
    : server_( server ), loop_( loop ), fd_( std::move( accepted.fd ) ), name_( accepted.peer.text() )
  {
    prepare_leg( fd_.get() );
    loop_.watch( *this, fd_.get() );
  }
  Client( const Client& ) = delete;
  Client& operator=( const Client& ) = delete;
  ~Client() override { loop_.unwatch( *this ); }

  [[nodiscard]] std::uint32_t interest() const override;
  void ready( std::uint32_t events ) override;

private:
  // Each returns whether the client stays.
  [[nodiscard]] bool take( std::span<const std::byte> input );
  [[nodiscard]] bool gone( int error ) const;

  Server& server_;
  Loop& loop_;
  Fd fd_;
  std::string name_; // its address
  lines::MessageReader reader_ {};
};

class Listener : public Watcher
{
public:
  Listener( Server& server, Loop& loop, Fd fd ) : server_( server ), loop_( loop ), fd_( std::move( fd ) )
  {
    loop_.watch( *this, fd_.get() );
  }
  Listener( const Listener& ) = delete;
  Listener& operator=( const Listener& ) = delete;
  ~Listener() override { loop_.unwatch( *this ); }

  [[nodiscard]] std::uint32_t interest() const override
  {
    return try_again_ == never ? std::uint32_t { EPOLLIN } : 0;
  }
  void ready( std::uint32_t events ) override;

  // While descriptors are out, the connection that waits would wake us again and again: so we do not listen for a
  // while.
  [[nodiscard]] Time deadline() const { return try_again_; }
  void listen_again();

private:
  Server& server_;
  Loop& loop_;
  Fd fd_;
  Time try_again_ = never; // when listening goes on, never: it goes on now
  bool complained_ = false;
};

class Server
{
public:
  explicit Server( std::uint16_t port );

  int run();

  void welcome( Accepted accepted );
  void leave( int fd );
  // Space for one reading, shared by all clients: nobody keeps anything in it.
  [[nodiscard]] std::span<std::byte> space() { return space_; }
  [[nodiscard]] Output& output() { return output_; }

private:
  void turn();
  void drain();

  Loop loop_ {};
  Signals signals_ { loop_ };
  Output output_ { loop_ };
  std::vector<std::byte> space_ = std::vector<std::byte>( reading_size );
  std::vector<std::unique_ptr<Listener>> listeners_ {};
  std::unordered_map<int, std::unique_ptr<Client>> clients_ {}; // by descriptor
};

Server::Server( std::uint16_t port )
{
  auto listening = listen_for( "*", port ); // both families
  const std::string address = local_address( listening.front().get() ).text();
  for ( Fd& fd : listening ) {
    listeners_.push_back( std::make_unique<Listener>( *this, loop_, std::move( fd ) ) );
  }
  say( "listening on port {}", address.substr( address.rfind( ':' ) + 1 ) );
}

int Server::run()
{
  while ( signals_.stops() == 0 and output_.error() == 0 ) {
    turn();
  }
  listeners_.clear();
  clients_.clear();
  drain();
  if ( output_.error() != 0 ) {
    say( "cannot write to standard output: {}", error_text( output_.error() ) );
    return program::status_trouble;
  }
  if ( output_.waiting() > 0 ) {
    say( "stopped, with {} bytes of messages not printed: standard output does not take them", output_.waiting() );
    return program::status_trouble;
  }
  return 0;
}

// What clients have handed over is still printed, as long as standard output takes some of it now and then. A
// second signal ends that, too.
void Server::drain()
{
  output_.flush();
  Time deadline = loop_.now() + stop_patience;
  while ( output_.waiting() > 0 and output_.error() == 0 and signals_.stops() < 2 and loop_.now() < deadline ) {
    const std::size_t before = output_.waiting();
    loop_.wait( deadline );
    output_.flush();
    if ( output_.waiting() < before ) {
      deadline = loop_.now() + stop_patience;
    }
  }
}

void Server::turn()
{
  Time deadline = never;
  for ( const auto& listener : listeners_ ) {
    deadline = std::min( deadline, listener->deadline() );
  }
  const bool held_back = output_.full(); // what the loop is told now, as the interest of every client
  loop_.wait( deadline );
  for ( const auto& listener : listeners_ ) {
    if ( listener->deadline() <= loop_.now() ) {
      listener->listen_again();
    }
  }
  output_.flush(); // every message is on its way before we wait again
  if ( held_back and not output_.full() ) {
    for ( const auto& [fd, client] : clients_ ) {
      loop_.touch( *client );
    }
  }
}

void Server::welcome( Accepted accepted )
{
  const int fd = accepted.fd.get();
  clients_.emplace( fd, std::make_unique<Client>( *this, loop_, std::move( accepted ) ) );
}

void Server::leave( int fd )
{
  clients_.erase( fd );
}

void Listener::ready( std::uint32_t /*events*/ )
{
  for ( int i = 0; i < accepts_per_turn; ++i ) {
    Accepted accepted = accept_from( fd_.get() );
    if ( accepted.exhausted ) {
      if ( not complained_ ) {
        say( "cannot accept more clients for now: {}; those that wait are accepted when others leave",
             error_text( accepted.error ) );
      }
      complained_ = true;
      try_again_ = loop_.now() + exhausted_pause;
      return;
    }
    if ( not accepted.fd ) {
      complained_ = false; // nobody waits: the shortage, if there was one, is over
      return;
    }
    server_.welcome( std::move( accepted ) );
  }
}

void Listener::listen_again()
{
  try_again_ = never;
  loop_.touch( *this );
}

std::uint32_t Client::interest() const
{
  return server_.output().full() ? 0 : std::uint32_t { EPOLLIN };
}

void Client::ready( std::uint32_t events )
{
  if ( server_.output().full() ) {
    if ( ( events & ( EPOLLHUP | EPOLLERR ) ) != 0 ) {
      loop_.mute( *this ); // it is heard again when there is room for what it may have left
    }
    return;
  }
  const auto space = server_.space();
  const Transfer transfer = receive( fd_.get(), space );
  bool stays = true;
  switch ( transfer.kind ) {
    case Transfer::Kind::moved: stays = take( space.first( transfer.count ) ); break;
    case Transfer::Kind::would_block: break;
    case Transfer::Kind::ended:
    case Transfer::Kind::failed: stays = gone( transfer.error ); break;
  }
  if ( not stays ) {
    server_.leave( fd_.get() ); // destroys this client
  }
}

bool Client::take( std::span<const std::byte> input )
{
  while ( const auto reading = reader_.next( input ) ) {
    if ( reading->kind == lines::MessageReader::Reading::Kind::too_long ) {
      say( "dropped the client at {}: it announced a message of {} bytes, the limit is {}",
           name_,
           reading->length,
           lines::payload_max );
      return false;
    }
    server_.output().print( *reading );
  }
  return true;
}

bool Client::gone( int error ) const
{
  const std::string reason = error == 0 ? "it closed the connection" : error_text( error );
  if ( reader_.unfinished() > 0 ) {
    say( "lost the client at {} in the middle of a message, of which {} bytes had come: {}",
         name_,
         reader_.unfinished(),
         reason );
  } else if ( error != 0 ) {
    say( "lost the client at {}: {}", name_, reason );
  }
  return false;
}

int run( std::uint16_t port )
{
  if ( ::fcntl( STDOUT_FILENO, F_GETFD ) < 0 ) {
    fail( "cannot write to standard output" );
  }
  program::keep_standard_descriptors();
  return Server { port }.run();
}

} // namespace
} // namespace holdfast

int main( int argc, char** argv )
{
  return holdfast::program::run_main( "server", [&] {
    std::uint16_t port = 0;
    const auto status = holdfast::program::parse_server( argc, argv, port );
    return status ? *status : holdfast::run( port );
  } );
}
