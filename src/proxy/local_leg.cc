#include "proxy/local_leg.hh"

#include "core/stores.hh"
#include "net/fault_point.hh"
#include "net/ledger.hh"
#include "proxy/slices.hh"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>

namespace holdfast {

namespace {

constexpr std::size_t slices_per_read = leg_read_max / Pool::chunk_size;
constexpr std::size_t slices_per_write = leg_write_max / Pool::chunk_size;

} // namespace

LocalLeg::LocalLeg( Loop& loop, Tunnel& tunnel, Session& session, const std::function<void()>& stirred, Fd socket )
  : loop_( loop ), tunnel_( tunnel ), session_( session ), stirred_( stirred ), socket_( std::move( socket ) )
{
  remember_socket();
  loop_.watch( *this, socket_.get() );
}

LocalLeg::~LocalLeg()
{
  loop_.unwatch( *this ); // before the socket closes
}

void LocalLeg::remember_socket()
{
  SessionRecord& record = session_.record();
  if ( record.cookie == 0 ) { // else it is known, from the process before us
    record.syn = counts_syn( socket_.get() ) ? 1 : 0;
    keep_order();
    record.cookie = cookie_of( socket_.get() );
    pass( FaultPoint::known );
  }
}

std::uint32_t LocalLeg::interest() const
{
  std::uint32_t events = 0;
  if ( session_.outflow().room() > 0 and not starved_ ) {
    events |= EPOLLIN;
  }
  if ( not writable_ and not session_.inflow().empty() ) {
    events |= EPOLLOUT;
  }
  return events;
}

void LocalLeg::ready( std::uint32_t events )
{
  readable_ = readable_ or ( events & EPOLLIN ) != 0;
  writable_ = writable_ or ( events & EPOLLOUT ) != 0;
  hung_up_ = hung_up_ or ( events & ( EPOLLERR | EPOLLHUP ) ) != 0;
  tunnel_.touch( session_ );
  if ( stirred_ ) {
    stirred_();
  }
}

bool LocalLeg::serve( Time now )
{
  write_out( now );
  read_in();
  loop_.touch( *this );
  const bool done = session_.outflow().ended() and session_.inflow().finished();
  return not failure_ and not done;
}

void LocalLeg::write_out( Time now )
{
  Inflow& inflow = session_.inflow();
  while ( not failure_ and writable_ and not inflow.empty() ) {
    std::array<std::span<const std::byte>, slices_per_write> slices;
    const auto count = inflow.readable( slices );
    const auto vectors = io_vectors( std::span<const std::span<const std::byte>> { slices.data(), count } );
    const Transfer sent = send( socket_.get(), vectors );
    pass( sent.kind == Transfer::Kind::failed ? FaultPoint::failed : FaultPoint::sent );
    switch ( sent.kind ) {
      case Transfer::Kind::moved: inflow.consume( sent.count, now ); break;
      case Transfer::Kind::would_block: writable_ = false; break;
      case Transfer::Kind::ended:
      case Transfer::Kind::failed: failed( sent.error ); break;
    }
  }
  if ( not failure_ and inflow.end_due() ) {
    ::shutdown( socket_.get(), SHUT_WR ); // fails only if the connection has, which reading will tell
    pass( FaultPoint::sent_end );
    inflow.consume_end();
  }
}

void LocalLeg::read_in()
{
  Outflow& outflow = session_.outflow();
  if ( failure_ or not( readable_ or hung_up_ ) ) {
    return;
  }
  if ( outflow.ended() ) { // nothing more to read
    heed_hang_up();
    return;
  }
  std::array<std::span<std::byte>, slices_per_read> slices;
  const auto count = outflow.writable( slices );
  if ( count == 0 ) { // no room: what remains to be read stays with the kernel
    starved_ = outflow.room() > 0;
    heed_hang_up();
    return;
  }
  const auto vectors = io_vectors( std::span<const std::span<std::byte>> { slices.data(), count } );
  const Transfer got = receive( socket_.get(), vectors ); // from here on the kernel counts them as read by us
  pass( got.kind == Transfer::Kind::ended    ? FaultPoint::received_end
        : got.kind == Transfer::Kind::failed ? FaultPoint::failed
                                             : FaultPoint::received );
  outflow.commit( got.count ); // and from here on they survive us
  readable_ = false;
  hung_up_ = false;
  switch ( got.kind ) {
    case Transfer::Kind::moved:
    case Transfer::Kind::would_block: break;
    case Transfer::Kind::ended: outflow.end(); break;
    case Transfer::Kind::failed: failed( got.error ); break;
  }
}

// A hang-up is an error, which ends the session now, or both directions being closed, of which epoll would remind
// us for ever although there is nothing we can do yet.
void LocalLeg::heed_hang_up()
{
  if ( hung_up_ ) {
    if ( const int error = pending_error( socket_.get() ); error != 0 ) {
      pass( FaultPoint::failed );
      failed( error );
    } else {
      loop_.mute( *this );
    }
  }
  readable_ = false;
  hung_up_ = false;
}

void LocalLeg::try_again()
{
  starved_ = false;
  readable_ = true;
  tunnel_.touch( session_ );
}

void LocalLeg::failed( int error )
{
  failure_ = error;
  session_.reset( ResetReason::by_program );
}

void LocalLeg::break_off()
{
  loop_.unwatch( *this );
  close_with_reset( socket_ );
  pass( FaultPoint::broken_off );
}

} // namespace holdfast
