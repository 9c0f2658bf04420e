#include "proxy/link_leg.hh"

#include "net/error.hh"
#include "proxy/slices.hh"

#include <sys/epoll.h>

#include <algorithm>

namespace holdfast {

namespace {

using namespace std::chrono_literals;

// A heartbeat or a keystroke queues behind the bytes that wait unsent in the kernel, or in the wire. So they are no
// more than what the path carries in a time that nobody feels, and is still a few times what the loop is late with;
// at the most what makes system calls cheap. Half of them is a batch: the kernel asks for the next one when half
// has been sent (TCP_NOTSENT_LOWAT), and a keystroke also waits for the batch before its own.
constexpr Duration queue_time = 10ms;
constexpr Duration queue_time_most = 40ms; // of a loop that is often late
constexpr std::size_t queue_least = 4096;
constexpr Duration fit_every = 50ms;
constexpr int reads_per_turn = 4;
constexpr int gentle_writes = 8; // in a round trip: two of ten segments may be used up by TLS
constexpr int gentle_round_trips = 2;
constexpr int writes_per_turn = 8;

std::size_t bytes_within( Duration time, std::uint64_t bytes_per_second )
{
  return static_cast<std::size_t>( static_cast<double>( bytes_per_second )
                                   * std::chrono::duration<double>( time ).count() );
}

} // namespace

LinkLeg::LinkLeg( Loop& loop,
                  LinkOwner& owner,
                  std::unique_ptr<Wire> wire,
                  bool connecting,
                  FrameType greeting,
                  Pulse::Config pulse,
                  std::span<std::byte> scratch )
  : loop_( loop )
  , owner_( &owner )
  , wire_( std::move( wire ) )
  , connecting_( connecting )
  , reader_( greeting )
  , pulse_( pulse, loop.now() )
  , scratch_( scratch )
  , born_( loop.now() )
  , local_( local_address( wire_->socket().get() ) )
{
  const int socket = wire_->socket().get();
  prepare_link( socket, static_cast<int>( queue_max_ ) );
  if ( not connecting_ ) {
    peer_ = peer_address( socket );
  }
  loop_.watch( *this, socket );
}

LinkLeg::~LinkLeg()
{
  loop_.unwatch( *this ); // before the socket closes
}

void LinkLeg::drop( std::string reason )
{
  if ( not ended_ ) {
    ended_ = std::move( reason );
  }
}

void LinkLeg::let_in()
{
  held_ = false;
  knocks_ = false;
  loop_.touch( *this );
  if ( wire_->is_open() ) {
    read_in();
  } else {
    open_wire();
  }
}

std::unique_ptr<Wire> LinkLeg::take_wire()
{
  loop_.unwatch( *this );
  return std::move( wire_ );
}

void LinkLeg::begin_with( std::span<const std::byte> read )
{
  read_frames( read );
  read_in();
}

void LinkLeg::linger()
{
  lingers_ = true;
  wire_->say_no_more();
  loop_.touch( *this );
  read_on();
}

void LinkLeg::read_on()
{
  for ( int i = 0; i < reads_per_turn and lingers_; ++i ) {
    const Transfer got = receive( wire_->socket().get(), scratch_ );
    if ( got.kind == Transfer::Kind::would_block ) {
      return;
    }
    lingers_ = got.kind == Transfer::Kind::moved;
  }
}

void LinkLeg::break_off()
{
  loop_.unwatch( *this );
  close_with_reset( wire_->socket() );
}

std::uint32_t LinkLeg::interest() const
{
  if ( ended_ ) {
    return lingers_ ? std::uint32_t { EPOLLIN } : 0U;
  }
  if ( connecting_ ) {
    return EPOLLOUT;
  }
  if ( held_ ) {
    return knocks_ ? 0U : std::uint32_t { EPOLLIN };
  }
  if ( not wire_->is_open() ) {
    return wire_->opens_when_writable() ? EPOLLOUT : EPOLLIN;
  }
  return EPOLLIN | ( writable_ or wire_->sends_when_readable() ? 0U : std::uint32_t { EPOLLOUT } );
}

void LinkLeg::ready( std::uint32_t events )
{
  owner_->stirred();
  if ( lingers_ ) {
    read_on();
    return;
  }
  if ( held_ ) {
    knocks_ = true;
    loop_.mute( *this );
    return;
  }
  if ( ended_ ) { // its socket may still report; it goes at the end of the turn
    loop_.mute( *this );
    return;
  }
  if ( connecting_ ) {
    finish_connecting();
    return;
  }
  if ( not wire_->is_open() ) {
    open_wire();
    return;
  }
  if ( ( events & EPOLLOUT ) != 0 ) {
    writable_ = wire_->flush();
  }
  if ( ( events & ( EPOLLIN | EPOLLERR | EPOLLHUP ) ) != 0 ) {
    const bool waited = wire_->sends_when_readable();
    read_in();
    writable_ = writable_ or ( waited and not wire_->sends_when_readable() );
  }
}

Time LinkLeg::deadline() const
{
  const Time look = pulse_.next_look( loop_.now(), writable() );
  return paused_until_ > loop_.now() ? std::min( look, paused_until_ ) : look;
}

bool LinkLeg::suspicious( Time now )
{
  if ( pulse_.suspicious( now ) and connected() ) {
    const PathState path = path_state( wire_->socket().get() );
    pulse_.seen( now - path.since_last_segment );
    if ( reader_.held() > 0 or wire_->in_record() ) {
      pulse_.awaits_rest( path.round_trip );
    }
  }
  return pulse_.suspicious( now );
}

void LinkLeg::finish_connecting()
{
  if ( const int error = pending_error( wire_->socket().get() ); error != 0 ) {
    drop( error_text( error ) );
    return;
  }
  connecting_ = false;
  reach_ = loop_.now() - born_;
  peer_ = peer_address( wire_->socket().get() );
  pulse_.heard( loop_.now() );
  open_wire();
}

void LinkLeg::open_wire()
{
  if ( not wire_->open() ) {
    drop( wire_->problem() );
  } else if ( wire_->is_open() ) {
    writable_ = true;
    if ( wire_->refused_early() ) {
      rest_.clear();
      starts_over_ = true;
    }
    read_in(); // what came together with the end of the handshake
  }
}

void LinkLeg::read_in()
{
  for ( int i = 0; not ended_; ++i ) {
    const Transfer got = wire_->receive( scratch_, i >= reads_per_turn );
    if ( wire_->stirred() ) {
      pulse_.heard( loop_.now() ); // a large record takes long on a slow path
    }
    switch ( got.kind ) {
      case Transfer::Kind::moved: break;
      case Transfer::Kind::would_block: return;
      case Transfer::Kind::ended: drop( "the other side closed it" ); return;
      case Transfer::Kind::failed: drop_for( got ); return;
    }
    read_frames( scratch_.first( got.count ) );
    if ( got.count < scratch_.size() ) {
      return; // the socket is empty; if more came meanwhile, the loop says so
    }
  }
}

void LinkLeg::read_frames( std::span<const std::byte> bytes )
{
  reader_.feed( bytes );
  tell_frames( bytes );
  owner_->payloads_go();
  reader_.done();
}

void LinkLeg::tell_frames( std::span<const std::byte> bytes )
{
  while ( const auto frame = reader_.next() ) {
    if ( frame->header.type == FrameType::heartbeat ) {
      pulse_.heartbeat_heard( frame->header, loop_.now() );
    } else {
      pulse_.carried( loop_.now() );
      owner_->frame_arrived( *this, *frame );
    }
    if ( ended_ ) {
      return;
    }
  }
  if ( const auto fault = reader_.fault() ) {
    constexpr std::byte tls_handshake { 0x16 }; // RFC 8446, 5.1
    const bool is_tls = fault == Fault::not_holdfast and bytes.front() == tls_handshake;
    drop( is_tls ? "it speaks TLS; was only this side started with --insecure?"
                 : std::string { describe( *fault ) } );
  }
}

void LinkLeg::drop_for( const Transfer& failed )
{
  drop( failed.error == EPROTO and not wire_->problem().empty() ? wire_->problem() : error_text( failed.error ) );
}

void LinkLeg::transmit( FrameBatch& batch, FrameSource* source, Time now )
{
  loop_.touch( *this );
  if ( source != nullptr and source->wants_to_transmit() and now >= fit_next_ ) {
    fit_next_ = now + fit_every;
    fit_queue();
  }
  for ( int i = 0; i < writes_per_turn and writable(); ++i ) {
    batch.start( rest_, batch_max() );
    // Bytes that wait are as good a sign of life; on a link slower than its heartbeats these would pile up behind
    // them.
    if ( connected() and pulse_.beat_due( now ) and batch.empty() ) {
      batch.put( pulse_.beat( now ) );
    }
    const std::size_t before = batch.bytes();
    if ( source != nullptr and not batch.full() ) {
      source->transmit( batch, now, pulse_.round_trips() );
    }
    if ( batch.bytes() > before ) {
      pulse_.carried( now );
    }
    if ( batch.empty() ) {
      batch.finish( 0 );
      return;
    }
    write( batch );
  }
}

std::size_t LinkLeg::batch_max() const
{
  return queue_max_ == FrameBatch::bytes_max ? queue_max_ : queue_max_ / 2;
}

// There is something to say: so if the kernel ran dry, it had too little, be it that the path has become faster or
// that we were late; but never so much that it would be felt, however late we are.
void LinkLeg::fit_queue()
{
  const PathState path = path_state( wire_->socket().get() );
  if ( path.rate == 0 ) {
    return;
  }
  const std::size_t carried = bytes_within( queue_time, path.rate );
  const std::size_t more = std::min( 2 * queue_max_, bytes_within( queue_time_most, path.rate ) );
  const std::size_t wanted = path.ran_dry ? std::max( carried, more ) : carried;
  const std::size_t fits = std::clamp( wanted, queue_least, FrameBatch::bytes_max );
  if ( fits > queue_max_ or fits < queue_max_ - queue_max_ / 4 ) {
    queue_max_ = fits;
    set_unsent_max( wire_->socket().get(), static_cast<int>( fits ) );
  }
}

void LinkLeg::begin_gently()
{
  const Duration round_trip = path_state( wire_->socket().get() ).round_trip;
  distance_ = round_trip / gentle_writes;
  gentle_until_ = loop_.now() + gentle_round_trips * round_trip;
}

void LinkLeg::flush( FrameBatch& batch )
{
  if ( flushed() or not writable() ) {
    return;
  }
  loop_.touch( *this );
  batch.start( rest_ );
  write( batch );
}

void LinkLeg::write( FrameBatch& batch )
{
  const Transfer sent = wire_->send( io_vectors( batch.slices() ) );
  writable_ = sent.kind == Transfer::Kind::moved and sent.count == batch.bytes() and not wire_->owes();
  // The kernel takes more than we want it to hold: it fills the buffer it has begun, 64 KiB, before it looks. Where
  // that is much, it has to say first that what it has is nearly sent.
  writable_ = writable_ and queue_max_ == FrameBatch::bytes_max;
  if ( const Time now = loop_.now(); now < gentle_until_ ) {
    paused_until_ = now + distance_;
  }
  batch.finish( sent.count );
  if ( sent.kind == Transfer::Kind::failed ) {
    drop_for( sent );
  }
}

} // namespace holdfast
