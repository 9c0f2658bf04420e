#include "proxy/cproxy.hh"

#include "net/error.hh"
#include "net/fault_point.hh"

#include <fmt/format.h>

#include <algorithm>
#include <ranges>
#include <utility>

namespace holdfast {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t scratch_size = 262144; // bytes read from a link at once
constexpr Duration farewell_patience = 1s;   // for the last words when we are stopped
constexpr Duration bulk_pause_least = 10s;   // before another bulk link is dialled when one was lost, or none came
constexpr Duration bulk_pause_most = 10min;

std::int64_t in_ms( Duration duration )
{
  return std::chrono::duration_cast<std::chrono::milliseconds>( duration ).count();
}

Dialler::Config dialler_config( const CproxyConfig& config, MakeWire wire )
{
  const auto run = static_cast<std::uint64_t>( // rises with each start, unless the clock is set back in between
    std::chrono::nanoseconds { std::chrono::system_clock::now().time_since_epoch() }.count() );
  return {
    .dials = { .sproxy = config.sproxy, .wire = std::move( wire ), .pulse = config.pulse },
    .claim = { .instance = config.instance,
               .run = run,
               .beat = config.pulse.beat,
               .window = config.first_window(),
               .capabilities = config.capabilities() },
  };
}

// What they accept are legs.
std::vector<Fd> prepared( std::vector<Fd> listeners )
{
  std::ranges::for_each( listeners, []( const Fd& listener ) { prepare_leg( listener.get() ); } );
  return listeners;
}

} // namespace

Cproxy::Cproxy( Loop& loop,
                const CproxyConfig& config,
                const Crypto& crypto,
                MakeWire wire,
                std::function<void( const Digest& sproxy )> trusted,
                Log& log,
                Predecessor predecessor,
                ServiceManager* manager )
  : loop_( loop )
  , config_( config )
  , log_( log )
  , inheritance_( std::move( predecessor ), manager, log )
  , arena_( inheritance_.arena( Side::opener, config.memory ) )
  , scratch_( private_memory( scratch_size ) )
  , record_( arena_.found().tunnels.empty() ? *arena_.tunnels().take() : *arena_.found().tunnels.front() )
  , trusted_( std::move( trusted ) )
  , end_( loop,
          batch_,
          Side::opener,
          record_,
          arena_.memory(),
          config.session_limits(),
          log,
          { .bulk_link_ended = [this]( const std::string& why ) { bulk_link_ended( why ); } },
          manager )
  , dialler_( loop,
              batch_,
              scratch_.memory(),
              crypto,
              log,
              dialler_config( config, std::move( wire ) ),
              record_,
              { .found = [this]( Dialler::Found found ) { link_found( std::move( found ) ); },
                .found_for_bulk = [this]( std::unique_ptr<LinkLeg> link ) { bulk_link_found( std::move( link ) ); },
                .gone = [this] { tunnel_lost( ResetReason::forgotten ); },
                .speak_early =
                  [this]( std::vector<std::byte>& into, std::size_t most, std::uint64_t hello, bool urgent ) {
                    pass( FaultPoint::said_hello );
                    end_.speak_early( into, most, hello, urgent );
                  } } )
  , paths_( loop, log )
  , listener_(
      loop,
      prepared( inheritance_.listeners( config.bind, config.port ) ),
      [this]( Fd socket, const Address& peer ) { app_arrived( std::move( socket ), peer ); },
      [this]( int error ) { log_.warn( "cannot accept connections for a moment: {}", error_text( error ) ); } )
{
  log_.info( "listening on {}, sproxy {}:{}", listener_.address().text(), config.sproxy.host, config.sproxy.port );
  dialler_.need( loop.now() );
  take_over();
}

Cproxy::~Cproxy() = default;

// The tunnel of the process before us waits for a link, as after any other loss. Its links and dials are nobody's.
void Cproxy::take_over()
{
  const Survey found = arena_.take_found();
  for ( const Survey::Found& session : found.sessions ) {
    if ( session.record->tunnel == record_.slot ) {
      end_.restore( session, inheritance_.socket( *session.record ) );
    }
  }
  for ( TunnelRecord* const stray : found.tunnels | std::views::drop( 1 ) ) { // somebody has scribbled over one
    Tunnel tunnel { Side::opener, *stray, arena_.memory(), {} };
    for ( const Survey::Found& session : found.sessions ) {
      if ( session.record->tunnel == stray->slot ) {
        tunnel.restore( *session.record, session.chunks ); // and given back with it
      }
    }
    arena_.tunnels().give( stray );
  }
  for ( Fd& app : inheritance_.newcomers( listener_.address() ) ) {
    const Address peer = peer_address( app.get() );
    prepare_leg( app.get() ); // an older version of us may have listened
    app_arrived( std::move( app ), peer );
  }
  inheritance_.settle( found );
}

// -- apps ---------------------------------------------------------------------------------------------------------

void Cproxy::app_arrived( Fd socket, const Address& peer )
{
  Session* const session = end_.tunnel().open();
  if ( session == nullptr ) {
    log_.warn( "connection from {}: refused: there are {} sessions already (--max-sessions)",
               peer.text(),
               config_.memory.sessions );
    close_with_reset( socket );
    return;
  }
  pass( FaultPoint::opened );
  if ( end_.link() == nullptr and end_.tunnel().sessions() == 1 ) {
    end_.wait_from(
      loop_.now() ); // --keep is about sessions; how long there was no link before them does not count
  }
  end_.add_leg( *session, std::move( socket ), peer.text() );
  log_.debug( "{}: opened{}", end_.name( *session ), end_.link() != nullptr ? "" : ", waits for a link" );
}

// -- the link -----------------------------------------------------------------------------------------------------

void Cproxy::link_found( Dialler::Found found )
{
  pass( FaultPoint::welcomed );
  const std::string local = found.link->local().text();
  const std::string far = found.link->peer().text();
  if ( found.resumed ) {
    log_.info( "moved: link from {} to {} after {} ms, carrying {}",
               local,
               far,
               in_ms( found.search ),
               end_.how_many_sessions() );
  } else {
    log_.info( "connected: link from {} to {}", local, far );
    trusted_( found.link->channel().identity );
  }
  found.link->set_owner( *this );
  paths_.link_found( *found.link, found.interface, loop_.now() );
  end_.attach( std::move( found.link ), found.window, found.hello );
  interface_ = found.interface;
  may_have_bulk_ = found.may_have_bulk;
  dials_for_bulk_ = false;
  bulk_not_before_ = {};
  bulk_pause_ = bulk_pause_least;
}

// -- a second link, for bulk --------------------------------------------------------------------------------------

void Cproxy::look_for_bulk_link( Time now )
{
  LinkLeg* const link = end_.link();
  if ( dials_for_bulk_ and not dialler_.dials_for_bulk() ) { // nobody there, or we are refused
    dials_for_bulk_ = false;
    put_off_bulk_link( now );
  }
  if ( not may_have_bulk_ or link == nullptr or end_.bulk_link() != nullptr or now < bulk_not_before_
       or dialler_.needed() or dials_for_bulk_ or not end_.tunnel().wants_bulk_link( now ) ) {
    return;
  }
  dials_for_bulk_ = true;
  dialler_.dial_for_bulk( link->peer(), interface_ );
}

void Cproxy::bulk_link_found( std::unique_ptr<LinkLeg> link )
{
  log_.debug( "second link, for bulk, from {} to {}", link->local().text(), link->peer().text() );
  dials_for_bulk_ = false;
  end_.attach_bulk( std::move( link ) );
}

// Something on the way may not like it: then we ask ever more rarely, until there is another link.
void Cproxy::bulk_link_ended( const std::string& why )
{
  if ( why.empty() ) {
    log_.debug( "second link, for bulk: not needed any more" );
    return;
  }
  log_.debug( "second link, for bulk, lost: {}", why );
  put_off_bulk_link( loop_.now() );
}

void Cproxy::put_off_bulk_link( Time now )
{
  bulk_not_before_ = now + bulk_pause_;
  bulk_pause_ = std::min( 2 * bulk_pause_, bulk_pause_most );
}

void Cproxy::frame_arrived( LinkLeg& link, const Frame& frame )
{
  if ( const auto fault = end_.tunnel().receive( frame ) ) {
    link.drop( std::string { describe( *fault ) } );
  }
}

// News are a reason to look, never a verdict: what is wrong with the link shows here, or in its silence.
void Cproxy::look_at_network( Time now )
{
  LinkLeg* const link = end_.link();
  if ( loop_.slept() > Duration {} ) {
    log_.info( "this machine slept for {} s",
               std::chrono::duration_cast<std::chrono::seconds>( loop_.slept() ).count() );
    woke_ = now;
    dialler_.hurry( now );
  }
  if ( paths_.news( now ) ) {
    dialler_.network_changed( now );
    if ( link != nullptr and not is_local( link->local() ) ) {
      link->drop( fmt::format( "its address {} is gone", link->local().host() ) );
      dialler_.need( now );
      dialler_.hurry( now );
    } else if ( link != nullptr ) {
      paths_.look( *link, now );
    }
  }
  if ( link != nullptr and paths_.is_time_for_another( *link, now ) and not dialler_.needed() ) {
    log_.debug( "another way to {} is preferred now: dialling beside the link", link->peer().text() );
    dialler_.dial_beside( link->peer() );
  }
}

bool Cproxy::is_in_doubt( LinkLeg& link, Time now ) const
{
  const Time heard = now - link.pulse().silence( now );
  return link.suspicious( now ) or ( woke_ and heard <= *woke_ and link.born() < *woke_ );
}

void Cproxy::look_after_link( Time now )
{
  LinkLeg* const link = end_.link();
  if ( link == nullptr ) {
    dialler_.need( now );
    return;
  }
  if ( const auto reason = end_.tunnel().goodbye() ) {
    log_.warn( "sproxy said goodbye: {}", describe( *reason ) );
    tunnel_lost( *reason );
    return;
  }
  link->pulse().excuse( loop_.late(), now );
  if ( not link->ended() and link->pulse().hopeless( now ) ) {
    link->drop( "silent for too long" );
  }
  if ( link->ended() ) {
    log_.info( "link to {} lost: {}", link->peer().text(), *link->ended() );
    end_.drop_link( now );
    dialler_.need( now );
  } else if ( const bool in_doubt = is_in_doubt( *link, now ); in_doubt and not dialler_.needed() ) {
    log_.info( "nothing heard from {} for {} ms: dialling beside it",
               link->peer().text(),
               in_ms( link->pulse().silence( now ) ) );
    dialler_.need( now );
  } else if ( not in_doubt and dialler_.needed()
              and now - link->pulse().silence( now ) > dialler_.needed_since() ) {
    // Bytes have come, not only segments that the kernel saw: after a black hole those arrive at once, and the
    // stream goes on only when a timer has run out that was doubled again and again meanwhile.
    log_.info( "heard from {} again", link->peer().text() );
    dialler_.need_no_more();
  }
}

void Cproxy::tunnel_lost( ResetReason reason )
{
  dialler_.forget_tunnel();
  end_.lost( reason );
  end_.drop_link( loop_.now() );
  dialler_.need( loop_.now() );
}

// -- a turn -------------------------------------------------------------------------------------------------------

void Cproxy::turn()
{
  const Time now = loop_.now();
  listener_.tick( now );
  if ( stop_by_ == never ) {
    look_at_network( now );
    look_after_link( now );
    look_for_bulk_link( now );
    dialler_.turn( now );
  }
  end_.turn( now );
  if ( now >= expiry() ) {
    log_.warn( "no link for too long (--keep): ending {}", end_.how_many_sessions() );
    end_.reset_all( ResetReason::expired );
    tunnel_lost( ResetReason::expired );
  }
  arena_.cool( now );
}

Time Cproxy::expiry() const
{
  const bool waiting = end_.link() == nullptr and end_.tunnel().sessions() > 0;
  return waiting ? end_.detached_since() + config_.keep : never;
}

Time Cproxy::deadline() const
{
  const Time news = stop_by_ == never ? paths_.deadline( end_.link() != nullptr ) : never;
  return std::min(
    { listener_.deadline(), arena_.deadline(), stop_by_, end_.deadline(), dialler_.deadline(), expiry(), news } );
}

// -- the end ------------------------------------------------------------------------------------------------------

void Cproxy::stop()
{
  log_.info( "stopping" );
  listener_.close();
  dialler_.stop();
  end_.say_goodbye( ResetReason::stopped );
  stop_by_ = loop_.now() + farewell_patience;
}

bool Cproxy::stopped() const
{
  return stop_by_ != never and ( end_.goodbye_heard() or loop_.now() >= stop_by_ );
}

} // namespace holdfast
