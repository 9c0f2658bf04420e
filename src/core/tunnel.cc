#include "core/tunnel.hh"

#include "core/stores.hh"

#include <algorithm>
#include <array>
#include <cassert>
#include <functional>
#include <span>
#include <utility>

namespace holdfast {

namespace {

using namespace std::chrono_literals;

// How long an acknowledgement waits for data to ride on. An echo comes back within a few milliseconds; nothing but
// the sender's memory waits for the rest.
constexpr Duration acknowledgement_delay = 20ms;

// Frames about sessions that do not exist: honest ones come once per session and link, and there are at most as
// many sessions as slots; a peer that sends more than this before we could answer is not honest.
constexpr std::size_t unknown_max = 65536;

// The first bytes on a link go in pieces of a segment's size, with the frame's header and that of TLS: TCP sends
// ten segments at once (RFC 6928) and the next ones a round trip later, and nothing of a piece is of use before all
// of it is there.
constexpr std::size_t small_at_first = 65536;

} // namespace

Tunnel::Tunnel( Side side, TunnelRecord& record, Memory memory, SessionLimits limits )
  : side_( side )
  , record_( record )
  , memory_( memory )
  , limits_( limits )
  , bulk_( memory_, limits.bulk, [this]( Session& session ) { drop_if_over( session ); } )
{}

Tunnel::~Tunnel()
{
  for ( auto& [id, session] : sessions_ ) {
    SessionRecord* const record = &session->record();
    make_free( *record );
    keep_order(); // if we die in between, its chunks are nobody's
    session.reset();
    memory_.slots.give( record );
  }
}

// -- sessions -----------------------------------------------------------------------------------------------------

Session* Tunnel::open()
{
  assert( side_ == Side::opener );
  if ( memory_.slots.full() ) {
    return nullptr;
  }
  Session* const session = make( ++record_.last_session, peer_window_ );
  give_turn( *session );
  return session;
}

Session& Tunnel::restore( SessionRecord& record, std::span<const Pool::Index> chunks )
{
  note_served( memory_, record.owner() ); // it may have killed us before, and do so here
  auto made = std::make_unique<Session>( side_, record, chunks, memory_, limits_ );
  Session& session = *made;
  sessions_.emplace( session.id(), std::move( made ) );
  touch( session );
  serve_nobody();
  return session;
}

Session* Tunnel::make( SessionId id, std::size_t peer_window )
{
  SessionRecord* const record = memory_.slots.take();
  if ( record == nullptr ) {
    return nullptr;
  }
  record->tunnel = record_.slot;
  auto session = std::make_unique<Session>( side_, id, *record, memory_, limits_, peer_window );
  return sessions_.emplace( id, std::move( session ) ).first->second.get();
}

Session* Tunnel::find( SessionId id )
{
  const auto found = sessions_.find( id );
  return found == sessions_.end() ? nullptr : found->second.get();
}

Session* Tunnel::next_touched()
{
  Session* const session = touched_.pop_front();
  if ( session != nullptr ) {
    serve( *session );
  }
  return session;
}

void Tunnel::served( Session& session, Time now )
{
  serve_nobody();
  bulk_.look( session, now );
  give_turn_or_put_off( session, now );
  drop_if_over( session );
}

void Tunnel::serve( const Session& session )
{
  note_served( memory_, session.record().owner() );
}

void Tunnel::serve_nobody()
{
  note_served( memory_, 0 );
}

void Tunnel::touch( Session& session )
{
  session.touched_last = ++touches_;
  touched_.push_back( session );
}

void Tunnel::give_turn( Session& session )
{
  turns_.push_back( session );
}

// One of those who have something to say, then one who only introduces himself.
Session* Tunnel::next_turn()
{
  const bool greets = not greetings_.empty() and ( greets_next_ or turns_.empty() );
  greets_next_ = not greets;
  return greets ? greetings_.pop_front() : turns_.pop_front();
}

void Tunnel::give_turn_or_put_off( Session& session, Time now )
{
  bulk_.give_turn( session );
  if ( greetings_.has( session ) and not session.voice().is_waited_for() ) {
    return; // all it has to say
  }
  if ( session.voice().has_something_to_say() ) {
    give_turn( session );
  } else if ( session.voice().something_can_wait() ) {
    put_off( session, now );
  }
}

void Tunnel::put_off( Session& session, Time now )
{
  if ( not later_.has( session ) ) {
    later_.push_back( session );
    later_due_ = std::min( later_due_, now + acknowledgement_delay );
  }
}

void Tunnel::drop_if_over( Session& session )
{
  if ( not session.over() or is_queued( session ) ) {
    return;
  }
  SessionRecord* const record = &session.record();
  const SessionId id = session.id();
  make_free( *record );
  keep_order(); // if we die in between, its chunks are nobody's
  sessions_.erase( id );
  memory_.slots.give( record );
}

bool Tunnel::is_queued( const Session& session ) const
{
  return turns_.has( session ) or greetings_.has( session ) or touched_.has( session ) or later_.has( session )
         or fresh_.has( session ) or bulk_.has( session );
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
  std::vector<Session*> all;
  all.reserve( sessions_.size() );
  for ( auto& [id, session] : sessions_ ) {
    all.push_back( session.get() );
  }
  const std::size_t fit = std::min( all.size(), most / FrameHeader::size );
  const auto last = []( const Session* session ) { return session->touched_last; };
  std::ranges::partial_sort( all, all.begin() + static_cast<std::ptrdiff_t>( fit ), std::greater {}, last );
  for ( Session* session : std::span { all }.first( fit ) ) {
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
  closed_.clear(); // the peer asks again on this link
  turns_.clear();
  greetings_.clear();
  std::vector<Session*> all;
  all.reserve( sessions_.size() );
  for ( auto& [id, session] : sessions_ ) {
    session->voice().new_link( peer_window, hello );
    all.push_back( session.get() );
  }
  // Where something happened last, somebody is likely to wait. Sessions that the peer does not know come in rising
  // order, for it takes an open only with a number above all it has seen.
  std::ranges::sort( all, []( const Session* a, const Session* b ) {
    if ( a->known() and b->known() ) {
      return a->touched_last > b->touched_last;
    }
    return a->known() == b->known() ? a->id() < b->id() : a->known();
  } );
  for ( Session* session : all ) {
    if ( session->voice().is_waited_for() ) {
      give_turn( *session );
    } else {
      greetings_.push_back( *session );
    }
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
  for ( auto& [id, session] : sessions_ ) {
    if ( session->lost( reason ) ) {
      touch( *session );
    }
  }
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
  Session* const session = find( header.session );
  if ( session == nullptr ) {
    return receive_for_unknown( header );
  }
  if ( const auto fault = hear( *session, frame, Session::Link::present ) ) {
    return fault;
  }
  if ( header.type == FrameType::reset ) {
    closed_.push_back(
      { header.session, std::nullopt } ); // at most one more per session than honest, see unknown_max
    if ( closed_.size() > unknown_max ) {
      return Fault::too_many_unknown;
    }
  }
  touch( *session );
  return std::nullopt;
}

Verdict Tunnel::hear( Session& session, const Frame& frame, Session::Link link )
{
  serve( session );
  const auto fault = session.receive( frame, link );
  serve_nobody();
  if ( session.inflow().has_fresh() ) {
    fresh_.push_back( session );
  }
  return fault;
}

Verdict Tunnel::receive_late( const Frame& frame )
{
  const FrameType type = frame.header.type;
  const bool is_good = type == FrameType::data or type == FrameType::end or type == FrameType::ack;
  // A session that we do not know may have been opened there; it will be opened again on the present link.
  Session* const session = is_good ? find( frame.header.session ) : nullptr;
  if ( session == nullptr ) {
    return std::nullopt;
  }
  touch( *session );
  return session->receive( frame, Session::Link::replaced );
}

Verdict Tunnel::receive_for_unknown( const FrameHeader& header )
{
  const bool is_new = side_ == Side::acceptor and header.session > record_.last_session;
  Session* const session
    = is_new and header.type == FrameType::open ? make( header.session, header.window ) : nullptr;
  if ( is_new ) {
    record_.last_session = header.session; // after it is there, so that it is not forgotten if we die in between
  }
  if ( session != nullptr ) {
    touch( *session );
    return std::nullopt;
  }
  if ( is_new and header.type == FrameType::open ) {
    closed_.push_back( { header.session, ResetReason::limit } );
  } else if ( header.type == FrameType::open or header.type == FrameType::resume
              or header.type == FrameType::reset ) {
    closed_.push_back( { header.session, std::nullopt } );
  }
  // Anything else was said before the peer heard that the session is over.
  return closed_.size() > unknown_max ? Verdict { Fault::too_many_unknown } : std::nullopt;
}

void Tunnel::transmit( FrameBatch& batch, Time now, RoundTrip round_trip )
{
  while ( not batch.full() and not closed_.empty() ) {
    const Refusal refusal = closed_.front();
    closed_.pop_front();
    FrameHeader header;
    header.session = refusal.id;
    if ( refusal.reason ) {
      header.type = FrameType::reset;
      const std::array reason { static_cast<std::byte>( *refusal.reason ) };
      batch.put_copy( header, reason );
    } else {
      header.type = FrameType::closed;
      batch.put( header );
    }
  }
  while ( not batch.full() ) {
    Session* const session = next_turn();
    if ( session == nullptr ) {
      return;
    }
    const bool was_introduced = session->voice().introduced();
    const std::size_t before = batch.bytes();
    const std::size_t piece_max = said_ < small_at_first ? FrameBatch::piece_least : batch.piece();
    serve( *session );
    session->voice().speak( batch, now, round_trip, piece_max );
    serve_nobody();
    said_ = std::min( said_ + batch.bytes() - before, small_at_first );
    if ( not was_introduced and not turns_.has( *session ) and session->voice().has_something_to_say() ) {
      turns_.push_front( *session ); // who waits has waited for more than a position
      continue;
    }
    give_turn_or_put_off( *session, now ); // one frame a turn: no session waits for another's megabytes
    drop_if_over( *session );
  }
}

// -- a second link, for bulk --------------------------------------------------------------------------------------

void Tunnel::attach_bulk()
{
  bulk_.attach();
}

void Tunnel::detach_bulk()
{
  if ( not bulk_.attached() ) {
    return;
  }
  bulk_.detach();
  for ( auto& [id, session] : sessions_ ) {
    if ( session->voice().leave_bulk_link() ) {
      touch( *session );
    }
  }
}

Verdict Tunnel::receive_bulk( const Frame& frame )
{
  if ( frame.header.type != FrameType::data and frame.header.type != FrameType::end ) {
    return Fault::out_of_order;
  }
  Session* const session = find( frame.header.session );
  if ( session == nullptr ) {
    return std::nullopt; // it was said before the peer heard that the session is over
  }
  const auto fault = hear( *session, frame, Session::Link::bulk );
  touch( *session );
  return fault;
}

// -- time ---------------------------------------------------------------------------------------------------------

void Tunnel::tick( Time now )
{
  if ( now < later_due_ ) {
    return;
  }
  later_due_ = never;
  while ( Session* const session = later_.pop_front() ) {
    if ( session->voice().something_can_wait() ) {
      give_turn( *session );
    }
    drop_if_over( *session );
  }
}

} // namespace holdfast
