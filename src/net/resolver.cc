#include "net/resolver.hh"

#include <ares.h>
#include <netdb.h>
#include <sys/epoll.h>
#include <sys/time.h>

#include <cstring>
#include <map>

namespace holdfast {

namespace {

void initialise_library()
{
  static const int status = ares_library_init( ARES_LIB_INIT_ALL ); // once per process (ares_library_init(3))
  static_cast<void>( status );
}

std::vector<Address> addresses_of( const ares_addrinfo& found )
{
  std::vector<Address> addresses;
  for ( const ares_addrinfo_node* node = found.nodes; node != nullptr; node = node->ai_next ) {
    Address address;
    if ( node->ai_addrlen <= sizeof address.storage ) {
      std::memcpy( &address.storage, node->ai_addr, node->ai_addrlen );
      address.length = node->ai_addrlen;
      addresses.push_back( address );
    }
  }
  return addresses;
}

} // namespace

// One lookup with its own c-ares channel. c-ares opens and closes the sockets; we only wait for them.
struct Resolver::Lookup
{
  struct Socket : Watcher
  {
    Lookup& lookup;
    int fd;
    std::uint32_t wanted;

    Socket( Lookup& owner, int number, std::uint32_t events ) : lookup( owner ), fd( number ), wanted( events ) {}
    [[nodiscard]] std::uint32_t interest() const override { return wanted; }
    void ready( std::uint32_t events ) override
    {
      const bool in = ( events & ( EPOLLIN | EPOLLERR | EPOLLHUP ) ) != 0;
      const bool out = ( events & EPOLLOUT ) != 0;
      lookup.process( in ? fd : ARES_SOCKET_BAD, out ? fd : ARES_SOCKET_BAD ); // may destroy this socket's watcher
    }
  };

  Lookup( Loop& the_loop, Done the_done ) : loop( the_loop ), done( std::move( the_done ) ) {}
  ~Lookup()
  {
    done = nullptr; // abandoned: c-ares calls back with ARES_EDESTRUCTION
    if ( channel != nullptr ) {
      ares_destroy( channel );
    }
  }
  Lookup( const Lookup& ) = delete;
  Lookup& operator=( const Lookup& ) = delete;

  void process( ares_socket_t in, ares_socket_t out ) { ares_process_fd( channel, in, out ); }

  static void socket_changed( void* self, ares_socket_t fd, int readable, int writable )
  {
    auto& lookup = *static_cast<Lookup*>( self );
    const std::uint32_t wanted
      = ( readable != 0 ? std::uint32_t { EPOLLIN } : 0U ) | ( writable != 0 ? std::uint32_t { EPOLLOUT } : 0U );
    if ( wanted == 0 ) {
      lookup.sockets.erase( fd );
      return;
    }
    auto& socket = lookup.sockets[fd];
    if ( socket ) {
      socket->wanted = wanted;
      lookup.loop.touch( *socket );
    } else {
      socket = std::make_unique<Socket>( lookup, fd, wanted );
      lookup.loop.watch( *socket, fd );
    }
  }

  static void answered( void* self, int status, int /*timeouts*/, ares_addrinfo* found )
  {
    auto& lookup = *static_cast<Lookup*>( self );
    if ( found != nullptr ) {
      lookup.addresses = addresses_of( *found );
      ares_freeaddrinfo( found );
    }
    if ( status != ARES_SUCCESS ) {
      lookup.problem = ares_strerror( status );
    } else if ( lookup.addresses.empty() ) {
      lookup.problem = "the name has no address";
    }
    lookup.finished = true;
  }

  Loop& loop;
  Done done;
  ares_channel channel = nullptr;
  std::map<ares_socket_t, std::unique_ptr<Socket>> sockets {};
  std::vector<Address> addresses {};
  std::string problem {};
  bool finished = false; // answered; told to the caller by the next tick, outside of c-ares' own call
};

Resolver::Resolver( Loop& loop ) : loop_( loop )
{
  initialise_library();
}

Resolver::~Resolver() = default;

bool Resolver::busy() const
{
  return lookup_ != nullptr;
}

void Resolver::lookup( const std::string& host, std::uint16_t port, Done done )
{
  lookup_.reset();
  if ( const auto literal = literal_address( host, port ) ) {
    done( { *literal }, {} );
    return;
  }
  auto lookup = std::make_unique<Lookup>( loop_, std::move( done ) );
  ares_options options {};
  options.sock_state_cb = Lookup::socket_changed;
  options.sock_state_cb_data = lookup.get();
  options.timeout = 1000; // ms for the first try of each server; a moved machine should ask again soon
  options.tries = 3;
  const int status
    = ares_init_options( &lookup->channel, &options, ARES_OPT_SOCK_STATE_CB | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES );
  if ( status != ARES_SUCCESS ) {
    lookup->channel = nullptr;
    lookup->done( {}, ares_strerror( status ) );
    return;
  }
  ares_addrinfo_hints hints {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = ARES_AI_NUMERICSERV;
  lookup_ = std::move( lookup );
  ares_getaddrinfo(
    lookup_->channel, host.c_str(), std::to_string( port ).c_str(), &hints, Lookup::answered, lookup_.get() );
}

Time Resolver::deadline() const
{
  if ( not lookup_ ) {
    return never;
  }
  if ( lookup_->finished ) {
    return loop_.now();
  }
  timeval wait {};
  if ( ares_timeout( lookup_->channel, nullptr, &wait ) == nullptr ) {
    return never;
  }
  return loop_.now() + std::chrono::seconds { wait.tv_sec } + std::chrono::microseconds { wait.tv_usec };
}

void Resolver::tick( Time now )
{
  static_cast<void>( now ); // c-ares reads its own clock
  if ( not lookup_ ) {
    return;
  }
  if ( not lookup_->finished ) {
    lookup_->process( ARES_SOCKET_BAD, ARES_SOCKET_BAD );
  }
  if ( lookup_->finished ) {
    const auto answered = std::move( lookup_ ); // the callback may start the next lookup
    answered->done( std::move( answered->addresses ), std::move( answered->problem ) );
  }
}

} // namespace holdfast
