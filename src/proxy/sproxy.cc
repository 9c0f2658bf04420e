#include "proxy/sproxy.hh"

#include "net/error.hh"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace holdfast {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t scratch_size = 262144; // bytes read from a link at once; shared, so it stays in the cache
constexpr Duration target_patience = 10s;    // for a target to accept; about three SYNs (tcp(7), tcp_syn_retries)
constexpr Duration empty_patience = 60s; // a tunnel without link and sessions is forgotten: nothing is lost with it
constexpr Duration farewell_patience = 1s; // for the last words when we are stopped
constexpr Duration retry_after = 5s;       // told to clients beyond tunnels_max

constexpr Digest nobody {}; // the identity of all clients on links in the clear

std::string short_name( const Id& id )
{
  return fmt::format( "{:02x}{:02x}{:02x}{:02x}",
                      std::to_integer<unsigned>( id[0] ),
                      std::to_integer<unsigned>( id[1] ),
                      std::to_integer<unsigned>( id[2] ),
                      std::to_integer<unsigned>( id[3] ) );
}

std::string reason_of( Refusal refusal, const Hello& hello )
{
  switch ( refusal ) {
    case Refusal::version: break;
    case Refusal::place: return "its tunnel may not be used from there (--roam)";
    case Refusal::tunnels: return "its client has as many tunnels as it may have (--client-tunnels)";
    case Refusal::none: return "for no reason";
  }
  return fmt::format( "it speaks protocol version {}, not {}", hello.version, protocol_version );
}

} // namespace

// One client's tunnel, with or without a link.
struct Sproxy::Client : LinkOwner
{
  Sproxy& sproxy;
  TunnelRecord& record;
  Id id;
  std::string name; // for the log
  TunnelEnd end;
  Time made;
  Address home;                // the client's, when the tunnel was made
  std::string last_address {}; // of the client, to see it move
  Time leaves_by = never;      // it was told goodbye, and is over when it has heard that, or then
  bool over = false;           // to be removed in this turn

  Client( Sproxy& owner, TunnelRecord& tunnel, const Address& address )
    : sproxy( owner )
    , record( tunnel )
    , id( tunnel.id )
    , name( "tunnel " + short_name( tunnel.id ) )
    , end(
        owner.loop_,
        owner.batch_,
        Side::acceptor,
        record,
        owner.memory_for( record.identity ),
        owner.config_.session_limits(),
        owner.log_,
        { .session_arrived = [this]( TunnelEnd&, Session& session ) { sproxy.session_arrived( *this, session ); },
          .session_left = [&owner]( TunnelEnd&, Session& session ) { owner.dials_.erase( &session ); } } )
    , made( owner.loop_.now() )
    , home( address )
  {}

  void frame_arrived( LinkLeg& link, const Frame& frame ) override
  {
    Admission::confirm( record );
    if ( const auto fault = end.tunnel().receive( frame ) ) {
      link.drop( std::string { describe( *fault ) } );
    }
  }
};

Sproxy::Sproxy( Loop& loop, const SproxyConfig& config, const Crypto& crypto, MakeWire wire, Log& log )
  : loop_( loop )
  , config_( config )
  , crypto_( crypto )
  , log_( log )
  , arena_( config.memory )
  , scratch_( private_memory( scratch_size ) )
  , admission_( crypto,
                { .beat = config.pulse.beat,
                  .window = config.first_window(),
                  .retry_after = retry_after,
                  .tunnels_max = config.memory.sessions,
                  .tunnels_per_client = config.client_limits.tunnels },
                arena_.tunnels() )
  , reception_( loop,
                batch_,
                scratch_.memory(),
                log,
                listen_for( config.bind, config.port ),
                std::move( wire ),
                config.pulse,
                [this]( LinkLeg& link, const Hello& hello ) { answer( link, hello ); } )
{
  log_.info( "listening on {}, target {}:{}", reception_.address().text(), config.target.host, config.target.port );
}

Sproxy::~Sproxy()
{
  dials_.clear();
  clients_.clear(); // their sessions live in the arena
}

// -- links that introduce themselves ------------------------------------------------------------------------------

void Sproxy::answer( LinkLeg& link, const Hello& hello )
{
  const Admission::Decision decision
    = admission_.decide( hello, link.channel(), may_be_here( hello, link ), has_tunnel_in_use( hello, link ) );
  const Welcome& welcome = decision.welcome;
  FrameHeader header;
  header.type = FrameType::welcome;
  link.say( header, encode( welcome ) );
  if ( decision.superseded ) {
    if ( const auto earlier = clients_.find( *decision.superseded ); earlier != clients_.end() ) {
      log_.info( "{}: its client started anew", earlier->second->name );
      end_client( *earlier->second, ResetReason::superseded );
    }
  }
  namespace level = spdlog::level;
  switch ( welcome.answer ) {
    case Answer::made:
    case Answer::resumed: welcome_client( link, hello, decision ); return;
    case Answer::gone:
      reception_.tell( level::info, link, "refused: no such tunnel, or not proved to be its client's" );
      break;
    case Answer::overtaken:
      reception_.tell( level::debug, link, "not needed, a later one of the same client was faster" );
      break;
    case Answer::later: reception_.tell( level::warn, link, "put off: too many tunnels" ); break;
    case Answer::refused:
      reception_.tell( level::warn, link, "refused: " + reason_of( welcome.reason, hello ) );
      break;
  }
}

// Whether the tunnel that this link claims, truly or not, may be used from where it comes from.
bool Sproxy::may_be_here( const Hello& hello, const LinkLeg& link ) const
{
  const auto client = clients_.find( hello.tunnel );
  if ( config_.roam == Roam::anywhere or client == clients_.end() ) {
    return true;
  }
  const bool exactly = config_.roam == Roam::nowhere;
  const unsigned bits_v4 = exactly ? 32 : 24; // a network as most are cut
  const unsigned bits_v6 = exactly ? 128 : 64;
  return network_of( link.peer(), bits_v4, bits_v6 ) == network_of( client->second->home, bits_v4, bits_v6 );
}

// Whether the client that asks for a new tunnel had one that was heard of not long ago.
bool Sproxy::has_tunnel_in_use( const Hello& hello, const LinkLeg& link ) const
{
  if ( hello.purpose != Purpose::new_tunnel ) {
    return false;
  }
  const Digest identity = link.channel().identity;
  return std::ranges::any_of( clients_, [&]( const auto& entry ) {
    const Client& client = *entry.second;
    const bool is_heard
      = client.end.link() != nullptr or loop_.now() - client.end.detached_since() < config_.pulse.patience;
    return client.record.identity == identity and client.record.instance == hello.instance and is_heard;
  } );
}

void Sproxy::welcome_client( LinkLeg& link, const Hello& hello, const Admission::Decision& decision )
{
  const Id& id = decision.welcome.tunnel;
  auto& client = clients_[id];
  const std::string address = link.peer().text();
  if ( not client ) {
    client = std::make_unique<Client>( *this, *decision.record, link.peer() );
    log_.info( "{}: new, link from {}", client->name, address );
  } else {
    log_.info( "{}: resumed, link from {} (was {}), carrying {}",
               client->name,
               address,
               client->last_address,
               client->end.how_many_sessions() );
  }
  client->last_address = address;
  link.pulse().peer_beats_every( hello.beat );
  link.set_owner( *client );
  client->end.attach( reception_.take( link ), hello.window, loop_.now() );
}

Memory Sproxy::memory_for( const Digest& identity )
{
  Memory memory = arena_.memory();
  if ( identity != nobody ) {
    const auto most = static_cast<Pool::Index>( config_.client_limits.memory / Pool::chunk_size );
    memory.quotas = &quotas_.try_emplace( identity, std::max( most, Pool::Index { 1 } ) ).first->second;
  }
  return memory;
}

// -- clients ------------------------------------------------------------------------------------------------------

void Sproxy::look_after( Client& client, Time now )
{
  if ( client.over ) {
    return;
  }
  TunnelEnd& end = client.end;
  if ( client.leaves_by != never ) {
    end.turn( now );
    client.over = end.goodbye_heard() or now >= client.leaves_by;
    return;
  }
  if ( config_.age_max and now - client.made >= *config_.age_max ) {
    log_.info( "{}: as old as a tunnel may become (--max-age): ending {}", client.name, end.how_many_sessions() );
    dismiss( client, ResetReason::too_old );
    return;
  }
  if ( const auto reason = end.tunnel().goodbye() ) {
    log_.info( "{}: the client said goodbye: {}", client.name, describe( *reason ) );
    end_client( client, *reason );
    return;
  }
  if ( LinkLeg* const link = end.link() ) {
    link->pulse().excuse( loop_.late(), now );
    if ( not link->ended() and link->pulse().hopeless( now ) ) {
      link->drop( "silent for too long" );
    }
    if ( link->ended() ) {
      log_.info( "{}: link from {} lost: {}; keeping {}",
                 client.name,
                 client.last_address,
                 *link->ended(),
                 end.how_many_sessions() );
      end.drop_link( now );
    }
  }
  end.turn( now );
  if ( end.link() == nullptr ) {
    const Duration away = now - end.detached_since();
    if ( away >= config_.keep ) {
      log_.info( "{}: detached for too long: ending {}", client.name, end.how_many_sessions() );
      end_client( client, ResetReason::expired );
    } else if ( end.tunnel().sessions() == 0 and away >= empty_patience ) {
      end_client( client, ResetReason::expired );
    }
  }
}

// Ends a tunnel that its client still uses, and tells it.
void Sproxy::dismiss( Client& client, ResetReason reason )
{
  admission_.forget( client.id );
  client.end.say_goodbye( reason );
  client.leaves_by = loop_.now() + farewell_patience;
}

void Sproxy::revoke( std::span<const Digest> identities )
{
  reception_.turn_out( identities );
  for ( auto& [id, client] : clients_ ) {
    if ( std::ranges::find( identities, client->record.identity ) != identities.end() and not client->over
         and client->leaves_by == never ) {
      log_.info(
        "{}: its client is not admitted any more: ending {}", client->name, client->end.how_many_sessions() );
      dismiss( *client, ResetReason::not_admitted );
    }
  }
}

void Sproxy::end_client( Client& client, ResetReason reason )
{
  admission_.forget( client.id );
  client.end.reset_all( reason );
  client.over = true;
}

// -- sessions -----------------------------------------------------------------------------------------------------

void Sproxy::session_arrived( Client& client, Session& session )
{
  TunnelEnd& end = client.end;
  if ( dials_.contains( &session ) ) {
    return;
  }
  if ( has_too_many_sessions( client.record.identity ) ) {
    end.reset( session, ResetReason::limit, "its client has as many as it may have (--client-sessions)" );
    return;
  }
  if ( config_.single ) {
    for ( auto& [id, other_client] : clients_ ) {
      other_client->end.tunnel().for_each_session( [&]( Session& other ) {
        if ( &other != &session ) {
          other_client->end.reset( other, ResetReason::superseded );
        }
      } );
    }
  }
  dials_[&session] = std::make_unique<TargetDial>(
    loop_, config_.target, target_patience, [this, &end, &session]( TargetDial::Outcome outcome ) {
      target_answered( end, session, std::move( outcome ) );
    } );
}

bool Sproxy::has_too_many_sessions( const Digest& identity ) const
{
  if ( identity == nobody ) {
    return false;
  }
  std::size_t sessions = 0; // those that are over and not forgotten yet included
  for ( const auto& [id, client] : clients_ ) {
    sessions += client->record.identity == identity ? client->end.tunnel().sessions() : 0;
  }
  if ( sessions <= config_.client_limits.sessions ) {
    return false;
  }
  sessions = 0;
  for ( const auto& [id, client] : clients_ ) {
    if ( client->record.identity == identity ) {
      client->end.tunnel().for_each_session(
        [&]( const Session& session ) { sessions += session.reset_by_us() ? 0U : 1U; } );
    }
  }
  return sessions > config_.client_limits.sessions;
}

void Sproxy::target_answered( TunnelEnd& end, Session& session, TargetDial::Outcome outcome )
{
  dials_.erase( &session );
  if ( outcome.socket ) {
    session.target_connected();
    end.add_leg( session, std::move( outcome.socket ), outcome.address.text() );
    return;
  }
  const ResetReason reason = outcome.error == ECONNREFUSED ? ResetReason::refused
                             : outcome.error == ETIMEDOUT  ? ResetReason::timed_out
                                                           : ResetReason::unreachable;
  end.reset(
    session, reason, fmt::format( "{}:{}: {}", config_.target.host, config_.target.port, outcome.problem ) );
}

void Sproxy::tick_dials( Time now )
{
  // A dial that tells its outcome removes itself, so walk over a list of those under way now.
  std::vector<const Session*> under_way;
  under_way.reserve( dials_.size() );
  for ( const auto& [session, dial] : dials_ ) {
    if ( dial->deadline() <= now ) {
      under_way.push_back( session );
    }
  }
  for ( const Session* session : under_way ) {
    if ( const auto dial = dials_.find( session ); dial != dials_.end() ) {
      dial->second->tick( now );
    }
  }
}

// -- a turn -------------------------------------------------------------------------------------------------------

void Sproxy::turn()
{
  const Time now = loop_.now();
  reception_.turn( now );
  tick_dials( now );
  for ( auto& [id, client] : clients_ ) {
    look_after( *client, now );
  }
  for ( auto at = clients_.begin(); at != clients_.end(); ) {
    if ( at->second->over ) {
      TunnelRecord& record = at->second->record;
      const Digest identity = record.identity;
      at = clients_.erase( at ); // its sessions go first: their records name the tunnel's
      arena_.tunnels().give( &record );
      const auto has_it = [&]( const auto& entry ) { return entry.second->record.identity == identity; };
      if ( std::ranges::none_of( clients_, has_it ) ) {
        quotas_.erase( identity );
      }
    } else {
      ++at;
    }
  }
  arena_.cool();
}

Time Sproxy::deadline() const
{
  Time deadline = std::min( reception_.deadline(), stop_by_ );
  for ( const auto& [session, dial] : dials_ ) {
    deadline = std::min( deadline, dial->deadline() );
  }
  for ( const auto& [id, client] : clients_ ) {
    deadline = std::min( { deadline, client->end.deadline(), client->leaves_by } );
    if ( config_.age_max ) {
      deadline = std::min( deadline, client->made + *config_.age_max );
    }
    if ( client->end.link() == nullptr ) {
      const Duration patience
        = client->end.tunnel().sessions() == 0 ? std::min( empty_patience, config_.keep ) : config_.keep;
      deadline = std::min( deadline, client->end.detached_since() + patience );
    }
  }
  return deadline;
}

// -- the end ------------------------------------------------------------------------------------------------------

void Sproxy::stop()
{
  log_.info( "stopping" );
  reception_.close();
  for ( auto& [id, client] : clients_ ) {
    client->end.say_goodbye( ResetReason::stopped );
  }
  stop_by_ = loop_.now() + farewell_patience;
}

bool Sproxy::stopped() const
{
  if ( stop_by_ == never ) {
    return false;
  }
  const bool heard
    = std::ranges::all_of( clients_, []( const auto& entry ) { return entry.second->end.goodbye_heard(); } );
  return heard or loop_.now() >= stop_by_;
}

} // namespace holdfast
