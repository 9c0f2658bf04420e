#include "net/listener.hh"

#include "net/fault_point.hh"

#include <fcntl.h>
#include <sys/epoll.h>

#include <cerrno>
#include <utility>

namespace holdfast {

namespace {

constexpr Duration pause_length = std::chrono::seconds { 1 };
constexpr int accepted_per_turn = 64;

} // namespace

struct Listener::Door : Watcher
{
  Listener& listener;
  Fd socket;

  Door( Listener& owner, Fd fd ) : listener( owner ), socket( std::move( fd ) )
  {
    listener.loop_.watch( *this, socket.get() );
  }
  Door( const Door& ) = delete;
  Door& operator=( const Door& ) = delete;
  ~Door() override { listener.loop_.unwatch( *this ); } // before the socket closes
  [[nodiscard]] std::uint32_t interest() const override
  {
    return listener.paused_until_ == never ? std::uint32_t { EPOLLIN } : 0U;
  }
  void ready( std::uint32_t /*events*/ ) override { listener.accept( socket.get() ); }
};

Listener::Listener( Loop& loop, std::vector<Fd> sockets, Arrived arrived, Exhausted exhausted, int spare )
  : loop_( loop ), arrived_( std::move( arrived ) ), exhausted_( std::move( exhausted ) ), spare_( spare )
{
  for ( Fd& socket : sockets ) {
    doors_.push_back( std::make_unique<Door>( *this, std::move( socket ) ) );
  }
  if ( only_spare_ones_left() ) {
    paused_until_ = loop_.now(); // the process before us may have taken them: looks again at the first tick
  }
}

Listener::~Listener() = default;

Address Listener::address() const
{
  return doors_.empty() ? Address {} : local_address( doors_.front()->socket.get() );
}

void Listener::close()
{
  doors_.clear();
}

void Listener::tick( Time now )
{
  if ( paused_until_ <= now ) {
    if ( only_spare_ones_left() ) {
      paused_until_ = now + pause_length;
      return;
    }
    paused_until_ = never;
    for ( const auto& door : doors_ ) {
      loop_.touch( *door );
    }
  }
}

void Listener::accept( int socket )
{
  for ( int i = 0; i < accepted_per_turn; ++i ) {
    Accepted accepted = accept_from( socket );
    if ( accepted.fd ) {
      pass( FaultPoint::accepted );
      const bool last = spare_ > 0 and is_among_the_last( accepted.fd.get(), spare_ );
      arrived_( std::move( accepted.fd ), accepted.peer );
      if ( last ) {
        pause( EMFILE );
        return;
      }
      continue;
    }
    if ( accepted.exhausted ) {
      pause( accepted.error );
    }
    return;
  }
}

void Listener::pause( int error )
{
  paused_until_ = loop_.now() + pause_length;
  for ( const auto& door : doors_ ) {
    loop_.touch( *door );
  }
  exhausted_( error );
}

// The descriptor that would be given next tells.
bool Listener::only_spare_ones_left() const
{
  if ( spare_ == 0 or doors_.empty() ) {
    return false;
  }
  const Fd next { ::fcntl( doors_.front()->socket.get(), F_DUPFD_CLOEXEC, 0 ) };
  return not next or is_among_the_last( next.get(), spare_ );
}

} // namespace holdfast
