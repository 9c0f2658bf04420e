#include "proxy/target_dial.hh"

#include "net/error.hh"
#include "net/socket.hh"

#include <sys/epoll.h>

#include <algorithm>

namespace holdfast {

TargetDial::TargetDial( Loop& loop, const HostPort& target, Duration patience, Done done )
  : loop_( loop ), resolver_( loop ), until_( loop.now() + patience ), done_( std::move( done ) )
{
  resolver_.lookup( target.host, target.port, [this]( std::vector<Address> addresses, std::string problem ) {
    if ( addresses.empty() ) {
      finish( { .error = EHOSTUNREACH, .problem = std::move( problem ) } );
      return;
    }
    addresses_ = std::move( addresses );
    try_next();
  } );
}

TargetDial::~TargetDial()
{
  loop_.unwatch( *this ); // before the socket closes
}

void TargetDial::try_next()
{
  loop_.unwatch( *this );
  socket_.reset();
  while ( next_ < addresses_.size() ) {
    trying_ = addresses_[next_++];
    Connecting connecting = connect_to( trying_, spare_for_links );
    last_error_ = connecting.fd ? outcome_of_connect( connecting.fd.get(), trying_ ) : connecting.error;
    if ( last_error_ == 0 ) {
      connected( std::move( connecting.fd ) );
      return;
    }
    if ( last_error_ == EALREADY ) {
      socket_ = std::move( connecting.fd );
      loop_.watch( *this, socket_.get() );
      return;
    }
  }
  finish( { .address = trying_, .error = last_error_, .problem = error_text( last_error_ ) } );
}

std::uint32_t TargetDial::interest() const
{
  return EPOLLOUT;
}

void TargetDial::ready( std::uint32_t /*events*/ )
{
  if ( const int error = pending_error( socket_.get() ); error != 0 ) {
    last_error_ = error;
    try_next();
    return;
  }
  loop_.unwatch( *this );
  connected( std::move( socket_ ) );
}

void TargetDial::connected( Fd socket )
{
  prepare_leg( socket.get() );
  finish( { .socket = std::move( socket ), .address = trying_ } );
}

void TargetDial::finish( Outcome outcome )
{
  outcome_ = std::move( outcome );
}

Time TargetDial::deadline() const
{
  return outcome_ ? loop_.now() : std::min( until_, resolver_.deadline() );
}

bool TargetDial::tick( Time now )
{
  resolver_.tick( now );
  if ( not outcome_ and now >= until_ ) {
    const std::string tried = trying_.length == 0 ? "its name was not resolved in time" : error_text( ETIMEDOUT );
    finish( { .address = trying_, .error = ETIMEDOUT, .problem = tried } );
  }
  if ( not outcome_ ) {
    return false;
  }
  Outcome outcome = std::move( *outcome_ );
  const Done done = std::move( done_ ); // this may be destroyed by the call
  done( std::move( outcome ) );
  return true;
}

} // namespace holdfast
