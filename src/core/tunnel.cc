#include "core/tunnel.hh"

#include <algorithm>
#include <cassert>
#include <span>

namespace holdfast {

namespace {

// The first bytes on a link go in pieces of a segment's size, with the frame's header and that of TLS: TCP sends
// ten segments at once (RFC 6928) and the next ones a round trip later, and nothing of a piece is of use before all
// of it is there.
constexpr std::size_t small_at_first = 65536;

} // namespace

Tunnel::Tunnel( Side side, TunnelRecord& record, Memory memory, SessionLimits limits )
  : side_( side )
  , record_( record )
  , memory_( memory )
  , sessions_( side, record.slot, memory_, limits )
  , bulk_( memory_, limits.bulk, [this]( Session& session ) { drop_if_over( session ); } )
{}

// -- sessions -----------------------------------------------------------------------------------------------------

Session* Tunnel::open()
{
  assert( side_ == Side::opener );
  if ( memory_.slots.full() ) {
    return nullptr;
  }
  Session* const session = sessions_.make( ++record_.last_session, peer_window_ );
  turns_.give( *session );
  return session;
}

Session& Tunnel::restore( SessionRecord& record, std::span<const Pool::Index> chunks )
{
  note_served( memory_, record.owner() ); // it may have killed us before, and do so here
  Session& session = sessions_.restore( record, chunks );
  note_served( memory_, 0 );
  touch( session );
  return session;
}

void Tunnel::touch( Session& session )
{
  session.touched_last = ++touches_;
  touched_.push_back( session );
}

Session* Tunnel::next_touched()
{
  Session* const session = touched_.pop_front();
  if ( session != nullptr ) {
    note_served( memory_, session->record().owner() );
  }
  return session;
}

void Tunnel::served( Session& session, Time now )
{
  note_served( memory_, 0 );
  bulk_.look( session, now );
  look( session, now );
}

// It may have something to say (again), or else nothing more at all.
void Tunnel::look( Session& session, Time now )
{
  bulk_.give_turn( session );
  turns_.look( session, now );
  drop_if_over( session );
}

void Tunnel::drop_if_over( Session& session )
{
  if ( session.over() and not is_queued( session ) ) {
    sessions_.drop( session );
  }
}

bool Tunnel::is_queued( const Session& session ) const
{
  return turns_.has( session ) or touched_.has( session ) or fresh_.has( session ) or bulk_.has( session );
}

// -- the link -----------------------------------------------------------------------------------------------------

void Tunnel::speak_early( std::vector<std::byte>& into,
                          std::size_t most,
                          std::uint64_t hello,
                          bool data,
                          Time now,
                          RoundTrip round_trip )
{
  assert( side_ == Side::opener );
  for ( Session* const session : sessions_.latest_first( most / FrameHeader::size ) ) {
    if ( into.size() + Voice::early_size_max > most ) {
      return;
    }
    session->voice().speak_early( into, hello, data, now, round_trip );
  }
}

void Tunnel::attach( std::size_t peer_window, std::uint64_t hello )
{
  attached_ = true;
  said_ = 0;
  peer_window_ = peer_window;
  bulk_.detach();
  denials_.clear();
  turns_.clear();
  for ( Session* const session : sessions_.in_order_of_a_link() ) {
    session->voice().new_link( peer_window, hello );
    turns_.begin( *session );
    touched_.push_back( *session ); // the peer's first window may let its program write more
  }
}

void Tunnel::detach()
{
  attached_ = false;
  detach_bulk();
}

void Tunnel::peer_lost( ResetReason reason )
{
  detach();
  goodbye_.reset();
  sessions_.for_each( [&]( Session& session ) {
    if ( session.lost( reason ) ) {
      touch( session );
    }
  } );
}

Verdict Tunnel::receive( const Frame& frame )
{
  const FrameHeader& header = frame.header;
  if ( header.type == FrameType::goodbye ) {
    goodbye_ = reset_reason( frame.payload.front() );
    return std::nullopt;
  }
  if ( header.session == 0 ) {
    return Fault::out_of_order;
  }
  Session* const session = sessions_.find( header.session );
  if ( session == nullptr ) {
    return receive_for_unknown( header );
  }
  if ( const auto fault = hear( *session, frame, Session::Link::present ) ) {
    return fault;
  }
  if ( header.type == FrameType::reset ) {
    if ( const auto fault = denials_.add( header.session ) ) {
      return fault;
    }
  }
  touch( *session );
  return std::nullopt;
}

Verdict Tunnel::hear( Session& session, const Frame& frame, Session::Link link )
{
  note_served( memory_, session.record().owner() );
  const auto fault = session.receive( frame, link );
  note_served( memory_, 0 );
  if ( session.inflow().has_fresh() ) {
    fresh_.push_back( session );
  }
  return fault;
}

// On another link than the one that carries the tunnel.
Verdict Tunnel::hear_beside( const Frame& frame, Session::Link link )
{
  Session* const session = sessions_.find( frame.header.session );
  if ( session == nullptr ) {
    return std::nullopt; // it is over, or will be opened again on the present link
  }
  touch( *session );
  return hear( *session, frame, link );
}

Verdict Tunnel::receive_late( const Frame& frame )
{
  const FrameType type = frame.header.type;
  const bool is_good = type == FrameType::data or type == FrameType::end or type == FrameType::ack;
  return is_good ? hear_beside( frame, Session::Link::replaced ) : std::nullopt;
}

Verdict Tunnel::receive_for_unknown( const FrameHeader& header )
{
  const bool is_new = side_ == Side::acceptor and header.session > record_.last_session;
  Session* const session
    = is_new and header.type == FrameType::open ? sessions_.make( header.session, header.window ) : nullptr;
  if ( is_new ) {
    record_.last_session = header.session; // after it is there, so that it is not forgotten if we die in between
  }
  if ( session != nullptr ) {
    touch( *session );
    return std::nullopt;
  }
  if ( is_new and header.type == FrameType::open ) {
    return denials_.add( header.session, ResetReason::limit );
  }
  if ( header.type == FrameType::open or header.type == FrameType::resume or header.type == FrameType::reset ) {
    return denials_.add( header.session );
  }
  return std::nullopt; // said before the peer heard that the session is over
}

void Tunnel::transmit( FrameBatch& batch, Time now, RoundTrip round_trip )
{
  denials_.transmit( batch );
  while ( not batch.full() ) {
    Session* const session = turns_.next();
    if ( session == nullptr ) {
      return;
    }
    const bool was_introduced = session->voice().introduced();
    const std::size_t before = batch.bytes();
    const std::size_t piece_max = said_ < small_at_first ? FrameBatch::piece_least : batch.piece();
    note_served( memory_, session->record().owner() );
    session->voice().speak( batch, now, round_trip, piece_max );
    note_served( memory_, 0 );
    said_ = std::min( said_ + batch.bytes() - before, small_at_first );
    if ( not was_introduced and not turns_.has_turn( *session ) and session->voice().has_something_to_say() ) {
      turns_.give_first( *session ); // who waits has waited for more than a position
      continue;
    }
    look( *session, now ); // one frame a turn: no session waits for another's megabytes
  }
}

// -- a second link, for bulk --------------------------------------------------------------------------------------

void Tunnel::detach_bulk()
{
  if ( not bulk_.attached() ) {
    return;
  }
  bulk_.detach();
  sessions_.for_each( [this]( Session& session ) {
    if ( session.voice().leave_bulk_link() ) {
      touch( session );
    }
  } );
}

Verdict Tunnel::receive_bulk( const Frame& frame )
{
  const FrameType type = frame.header.type;
  const bool is_good = type == FrameType::data or type == FrameType::end;
  return is_good ? hear_beside( frame, Session::Link::bulk ) : Verdict { Fault::out_of_order };
}

// -- time ---------------------------------------------------------------------------------------------------------

void Tunnel::tick( Time now )
{
  while ( Session* const session = turns_.overdue( now ) ) {
    drop_if_over( *session );
  }
}

} // namespace holdfast
