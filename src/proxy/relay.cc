#include "proxy/relay.hh"

#include "net/error.hh"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <utility>

namespace holdfast {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t buffer_size = 131072; // a direction
constexpr Duration target_patience = 10s;

} // namespace

// Two connections and the bytes between them. Each direction: read into the buffer while it is empty, write it out,
// pass the end on when it is drained.
struct Relay::Pair
{
  struct End : Watcher
  {
    Loop& loop;
    Pair& pair;
    Fd socket {};
    std::vector<std::byte> buffer {}; // read here, to be written to the other end
    std::size_t filled = 0;
    std::size_t written = 0;
    bool ended = false;     // read to its end
    bool passed_on = false; // the end was passed on to the other side

    End( Loop& the_loop, Pair& the_pair ) : loop( the_loop ), pair( the_pair ) {}
    ~End() override { loop.unwatch( *this ); } // before the socket closes
    void start( Fd fd )
    {
      socket = std::move( fd );
      prepare_leg( socket.get() );
      buffer.resize( buffer_size );
      loop.watch( *this, socket.get() );
    }
    [[nodiscard]] bool empty() const { return written == filled; }
    [[nodiscard]] std::uint32_t interest() const override
    {
      if ( not pair.running() ) {
        return 0;
      }
      const End& other = pair.other( *this );
      return ( empty() and not ended ? std::uint32_t { EPOLLIN } : 0U )
             | ( not other.empty() ? std::uint32_t { EPOLLOUT } : 0U );
    }
    void ready( std::uint32_t events ) override { pair.move( *this, events ); }
  };

  Relay& relay;
  std::string name;
  End near; // the connection that arrived
  End far;  // the target's
  std::optional<TargetDial> dial {};
  bool over = false;
  bool broken = false;

  Pair( Relay& owner, Fd socket, const Address& peer )
    : relay( owner ), name( peer.text() ), near( owner.loop_, *this ), far( owner.loop_, *this )
  {
    near.start( std::move( socket ) );
    dial.emplace( owner.loop_, owner.config_.target, target_patience, [this]( TargetDial::Outcome outcome ) {
      if ( outcome.socket ) {
        far.start( std::move( outcome.socket ) );
        near.loop.touch( near );
      } else {
        end( "target: " + outcome.problem );
      }
    } );
  }

  [[nodiscard]] bool running() const { return far.socket.get() >= 0 and not over; }
  End& other( const End& one ) { return &one == &near ? far : near; }

  void end( const std::string& problem )
  {
    relay.log_.info( "connection from {}: ended: {}", name, problem );
    over = true;
    broken = true;
  }

  void move( End& ready, std::uint32_t events )
  {
    if ( not running() ) {
      ready.loop.mute( ready ); // a hang-up while the target is dialled: seen when it can be read
      return;
    }
    pump( ready, other( ready ), ( events & ( EPOLLIN | EPOLLHUP | EPOLLERR ) ) != 0 );
    pump( other( ready ), ready, false );
    ready.loop.touch( near );
    ready.loop.touch( far );
    over = over or ( near.passed_on and far.passed_on );
  }

  // Moves bytes from one end to the other.
  void pump( End& from, End& to, bool readable )
  {
    if ( readable and from.empty() and not from.ended and not over ) {
      const Transfer got = receive( from.socket.get(), from.buffer );
      from.written = 0;
      from.filled = got.count;
      from.ended = got.kind == Transfer::Kind::ended;
      if ( got.kind == Transfer::Kind::failed ) {
        end( error_text( got.error ) );
      }
    } else if ( readable and not over ) {
      if ( const int error = pending_error( from.socket.get() ); error != 0 ) {
        end( error_text( error ) );
      } else if ( from.interest() == 0 ) {
        from.loop.mute( from );
      }
    }
    while ( not from.empty() and not over ) {
      const auto rest = std::span { from.buffer }.subspan( from.written, from.filled - from.written );
      const Transfer sent = send( to.socket.get(), rest );
      if ( sent.kind == Transfer::Kind::failed ) {
        end( error_text( sent.error ) );
      }
      if ( sent.kind != Transfer::Kind::moved ) {
        break;
      }
      from.written += sent.count;
    }
    if ( from.ended and from.empty() and not from.passed_on and not over ) {
      from.passed_on = true;
      ::shutdown( to.socket.get(), SHUT_WR ); // fails only if the connection has, which reading will tell
    }
  }

  void close()
  {
    near.loop.unwatch( near );
    near.loop.unwatch( far );
    if ( broken ) {
      close_with_reset( near.socket );
      close_with_reset( far.socket );
    }
  }
};

Relay::Relay( Loop& loop, const Config& config, Log& log )
  : loop_( loop )
  , config_( config )
  , log_( log )
  , listener_(
      loop,
      listen_for( config.bind, config.port ),
      [this]( Fd socket, const Address& peer ) { arrived( std::move( socket ), peer ); },
      [this]( int error ) { log_.warn( "cannot accept connections for a moment: {}", error_text( error ) ); } )
{
  log_.info(
    "listening on {}, relaying to {}:{}", listener_.address().text(), config.target.host, config.target.port );
}

Relay::~Relay() = default;

void Relay::arrived( Fd socket, const Address& peer )
{
  pairs_.push_back( std::make_unique<Pair>( *this, std::move( socket ), peer ) );
}

void Relay::turn()
{
  const Time now = loop_.now();
  listener_.tick( now );
  for ( auto at = pairs_.begin(); at != pairs_.end(); ) {
    Pair& pair = **at;
    if ( pair.dial and pair.dial->tick( now ) ) {
      pair.dial.reset();
    }
    if ( pair.over ) {
      pair.close();
      at = pairs_.erase( at );
    } else {
      ++at;
    }
  }
}

Time Relay::deadline() const
{
  Time deadline = listener_.deadline();
  for ( const auto& pair : pairs_ ) {
    if ( pair->over ) {
      return loop_.now();
    }
    if ( pair->dial ) {
      deadline = std::min( deadline, pair->dial->deadline() );
    }
  }
  return deadline;
}

void Relay::stop()
{
  log_.info( "stopping" );
  listener_.close();
  pairs_.clear();
  stopped_ = true;
}

} // namespace holdfast
