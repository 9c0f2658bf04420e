#include "proxy/tunnel_end.hh"

#include "net/error.hh"
#include "net/fault_point.hh"
#include "state/arena.hh"

#include <algorithm>
#include <utility>

namespace holdfast {

namespace {

using namespace std::chrono_literals;

constexpr Duration starved_pause = 10ms; // memory comes back with acknowledgements, a round trip at most

} // namespace

TunnelEnd::TunnelEnd( Loop& loop,
                      FrameBatch& batch,
                      Side side,
                      TunnelRecord& record,
                      Memory memory,
                      SessionLimits limits,
                      Log& log,
                      Events events,
                      ServiceManager* manager )
  : loop_( loop )
  , batch_( batch )
  , log_( log )
  , events_( std::move( events ) )
  , manager_( manager )
  , tunnel_( side, record, memory, limits )
  , side_( side )
  , bulk_( loop,
           batch,
           tunnel_,
           { .payloads_go = [this] { deliver_fresh(); },
             .stirred = [this] { stir(); },
             .ended =
               [this]( const std::string& why ) {
                 if ( events_.bulk_link_ended ) {
                   events_.bulk_link_ended( why );
                 }
               } } )
  , drained_( loop, batch, side, tunnel_, [this] { stir(); } )
  , drained_bulk_( loop, batch, side, tunnel_, [this] { stir(); } )
  , detached_since_( loop.now() )
{}

TunnelEnd::~TunnelEnd()
{
  for ( auto& [id, leg] : legs_ ) {
    leg.socket->break_off();
    let_go( leg );
  }
  legs_.clear(); // before the sessions they refer to
}

// -- sessions -----------------------------------------------------------------------------------------------------

void TunnelEnd::add_leg( Session& session, Fd socket, std::string program )
{
  auto leg = std::make_unique<LocalLeg>( loop_, tunnel_, session, events_.stirred, std::move( socket ) );
  if ( manager_ != nullptr ) {
    leg->guard( true );
    manager_->keep( leg->socket() );
  }
  const std::uint64_t cookie = session.record().cookie;
  legs_.insert_or_assign( session.id(), Leg { std::move( leg ), std::move( program ), cookie } );
  tunnel_.touch( session );
  stir();
}

void TunnelEnd::restore( const Survey::Found& found, Fd socket )
{
  Session& session = tunnel_.restore( *found.record, found.chunks );
  if ( session.released() ) {
    return;
  }
  const SessionRecord& record = session.record();
  const bool ends = session.reset_by_us() or session.reset_by_peer(); // serve() tells
  const bool is_to_be_dialled = side_ == Side::acceptor and record.cookie == 0 and not session.connected();
  if ( session.reset_by_us() and not socket
       and record.cookie != 0 ) { // not the program's doing, as Reunion writes it
    log_.warn( "{}: ended: its connection was not kept for us", name( session ) );
    release( session );
    tunnel_.touch( session );
  } else if ( not ends and record.blamed >= blamed_max ) {
    log_.error( "session {} was served whenever a process crashed", session.id() );
    reset( session, ResetReason::inconsistent );
  } else if ( not ends and record.cookie == 0 and side_ == Side::opener ) { // it was just being made,
    session.reset( ResetReason::by_program );
    release( session ); // and who it was for is a newcomer again
  } else if ( not ends and not socket and not is_to_be_dialled ) {
    reset( session, ResetReason::by_program, "its connection is gone" );
  }
  if ( socket and ( ends or session.released() ) ) {
    close_with_reset( socket );
    if ( manager_ != nullptr ) {
      manager_->let_go( record.cookie );
    }
  } else if ( socket ) {
    if ( side_ == Side::acceptor ) {
      session.target_connected(); // it died before it had said so
    }
    const std::string program = peer_address( socket.get() ).text();
    add_leg( session, std::move( socket ), program );
  }
  stir();
}

void TunnelEnd::reset( Session& session, ResetReason reason, const std::string& detail )
{
  if ( session.released() ) {
    return;
  }
  log_.info( "{}: ended: {}{}{}", name( session ), describe( reason ), detail.empty() ? "" : ": ", detail );
  session.reset( reason );
  if ( const auto leg = legs_.find( session.id() ); leg != legs_.end() ) {
    leg->second.socket->break_off();
  }
  release( session );
  tunnel_.touch( session );
  stir();
}

void TunnelEnd::stir()
{
  if ( events_.stirred ) {
    events_.stirred();
  }
}

void TunnelEnd::reset_all( ResetReason reason )
{
  tunnel_.for_each_session( [&]( Session& session ) { reset( session, reason ); } );
}

void TunnelEnd::say_goodbye( ResetReason reason )
{
  reset_all( reason );
  bulk_.drop();
  if ( link_ ) {
    FrameHeader header;
    header.type = FrameType::goodbye;
    const std::array why { static_cast<std::byte>( reason ) };
    link_->say( header, why );
    leaving_ = true;
    take_leave();
  }
}

void TunnelEnd::take_leave()
{
  link_->flush( batch_ );
  if ( link_->flushed() and not all_said_ ) {
    all_said_ = true;
    link_->say_no_more();
  }
}

void TunnelEnd::lost( ResetReason reason )
{
  drained_.drop(); // they are of the tunnel that was
  drained_bulk_.drop();
  tunnel_.peer_lost( reason );
}

void TunnelEnd::release( Session& session )
{
  if ( not session.released() ) {
    const auto leg = legs_.find( session.id() );
    if ( leg != legs_.end() ) {
      let_go( leg->second ); // first: if we die here, it is kept again
    }
    session.release();
    pass( FaultPoint::released );
    if ( leg != legs_.end() ) {
      legs_.erase( leg );
    }
    pass( FaultPoint::closed );
    if ( events_.session_left ) {
      events_.session_left( *this, session );
    }
  }
}

void TunnelEnd::let_go( const Leg& leg )
{
  if ( manager_ != nullptr ) {
    leg.socket->guard( false );
    manager_->let_go( leg.cookie );
  }
}

std::string TunnelEnd::how_many_sessions() const
{
  const std::size_t count = tunnel_.sessions();
  return fmt::format( "{} session{}", count, count == 1 ? "" : "s" );
}

std::string TunnelEnd::name( const Session& session ) const
{
  const auto leg = legs_.find( session.id() );
  return leg == legs_.end() ? fmt::format( "session {}", session.id() )
                            : fmt::format( "session {} ({})", session.id(), leg->second.program );
}

void TunnelEnd::serve( Session& session, Time now )
{
  if ( session.released() ) {
    return;
  }
  const auto found = legs_.find( session.id() );
  LocalLeg* const leg = found == legs_.end() ? nullptr : found->second.socket.get();

  if ( const auto reason = session.reset_by_peer() ) {
    log_.info( "{}: ended by the other side: {}", name( session ), describe( *reason ) );
    if ( leg != nullptr ) {
      leg->break_off();
    }
    release( session );
    return;
  }
  if ( const auto reason = session.reset_by_us() ) {
    // Its program is gone: it was when we wrote to it, or when we took over from a worker that died. Or the core
    // found the two sides at odds.
    const auto level = reason == ResetReason::by_program ? spdlog::level::info : spdlog::level::warn;
    const auto error = leg == nullptr ? std::nullopt : leg->failure();
    log_.log( level,
              "{}: ended: {}{}{}",
              name( session ),
              describe( *reason ),
              error ? ": " : "",
              error ? error_text( *error ) : "" );
    if ( leg != nullptr ) {
      leg->break_off();
    }
    release( session );
    return;
  }
  if ( leg == nullptr ) {
    if ( events_.session_arrived and not session.connected() ) {
      events_.session_arrived( *this, session );
    }
    return;
  }
  if ( not leg->serve( now ) ) {
    if ( const auto error = leg->failure() ) {
      log_.info( "{}: ended: {}: {}", name( session ), describe( ResetReason::by_program ), error_text( *error ) );
    } else {
      log_.debug( "{}: both streams ended", name( session ) );
    }
    release( session );
    return;
  }
  if ( leg->starved() ) {
    starved_.push_back( session.id() );
    starved_until_ = std::min( starved_until_, now + starved_pause );
  }
}

// -- the link -----------------------------------------------------------------------------------------------------

void TunnelEnd::deliver_fresh()
{
  tunnel_.deliver_fresh( [this]( Session& session ) {
    if ( const auto leg = legs_.find( session.id() ); leg != legs_.end() ) {
      leg->second.socket->write_out( loop_.now() );
    }
  } );
}

void TunnelEnd::attach( std::unique_ptr<LinkLeg> link, std::size_t peer_window, std::uint64_t hello )
{
  drained_.drop();
  drained_bulk_.drop();
  if ( link_ ) {
    drained_.take( std::move( link_ ) );
  }
  if ( auto bulk = bulk_.release() ) {
    drained_bulk_.take( std::move( bulk ) );
  }
  link_ = std::move( link );
  link_->begin_gently();
  tunnel_.attach( peer_window, hello );
  detached_since_ = loop_.now();
}

void TunnelEnd::speak_early( std::vector<std::byte>& into, std::size_t most, std::uint64_t hello, bool data )
{
  const RoundTrip round_trip = link_ ? link_->pulse().round_trips() : Duration {};
  tunnel_.speak_early( into, most, hello, data, loop_.now(), round_trip );
}

void TunnelEnd::drop_link( Time now )
{
  if ( link_ ) {
    detached_since_
      = now - link_->pulse().silence( now ); // it was away since it was last heard, not since we noticed
    link_->break_off();
    link_.reset();
    bulk_.drop();
    tunnel_.detach();
  }
}

// -- a turn -------------------------------------------------------------------------------------------------------

void TunnelEnd::turn( Time now )
{
  drained_.turn( now );
  drained_bulk_.turn( now );
  tunnel_.tick( now );
  if ( starved_until_ <= now ) {
    starved_until_ = never;
    for ( const SessionId id : std::exchange( starved_, {} ) ) {
      if ( const auto leg = legs_.find( id ); leg != legs_.end() ) {
        leg->second.socket->try_again();
      }
    }
  }
  // What is served now may be touched again by an event of the next turn, not of this one; so this ends.
  while ( Session* const session = tunnel_.next_touched() ) {
    serve( *session, now );
    tunnel_.served( *session, now );
  }
  if ( link_ and leaving_ ) {
    take_leave();
  } else if ( link_
              and ( tunnel_.wants_to_transmit() or not link_->flushed() or link_->pulse().beat_due( now ) ) ) {
    link_->transmit( batch_, &tunnel_, now );
  }
  bulk_.turn( now );
}

Time TunnelEnd::deadline() const
{
  if ( tunnel_.has_touched() or ( link_ and link_->ended() ) ) {
    return loop_.now();
  }
  Time deadline = std::min(
    { tunnel_.deadline(), starved_until_, bulk_.deadline(), drained_.deadline(), drained_bulk_.deadline() } );
  if ( link_ and not all_said_ ) {
    deadline = std::min( deadline, link_->deadline() );
    if ( link_->writable() and tunnel_.wants_to_transmit() ) {
      deadline = loop_.now(); // a turn's worth was written, and there is more
    }
  }
  return deadline;
}

} // namespace holdfast
