#include "proxy/sproxy.hh"

#include "net/error.hh"
#include "net/fault_point.hh"
#include "net/routes.hh"
#include "proxy/path_watch.hh"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace holdfast {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t scratch_size = 262144; // bytes read from a link at once; shared, so it stays in the cache
constexpr Duration target_patience = 10s;    // for a target to accept; about three SYNs (tcp(7), tcp_syn_retries)
constexpr Duration farewell_patience = 1s;   // for the last words when we are stopped
constexpr Duration retry_after = 5s;         // told to clients beyond tunnels_max
// Clients that come back at once, and how soon the next one may: a thousand take sproxy more than a second of a
// processor (docs/bench.md), and half of it should stay for those who have a link. New tunnels come after them, and
// take nothing of it: however many somebody makes, owners are let in.
constexpr Allowance::Config returning { .at_once = 1000, .every = 2ms };

Allowance::Config returning_to_each( const Siblings* siblings )
{
  const auto shards = siblings == nullptr ? 1U : static_cast<unsigned>( siblings->owners.shards() );
  return { .at_once = std::max( returning.at_once / shards, 1U ), .every = returning.every * shards };
}

bool is_door( const Siblings* siblings )
{
  return siblings == nullptr or siblings->self == 0;
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

Sproxy::Sproxy( Loop& loop,
                const SproxyConfig& config,
                const Crypto& crypto,
                MakeWire wire,
                Log& log,
                Predecessor predecessor,
                ServiceManager* manager,
                const Siblings* siblings )
  : loop_( loop )
  , config_( config )
  , crypto_( crypto )
  , log_( log )
  , inheritance_( std::move( predecessor ), manager, log )
  , arena_( inheritance_.arena( Side::acceptor, config.memory ) )
  , scratch_( private_memory( scratch_size ) )
  , admission_( crypto,
                { .beat = config.pulse.beat,
                  .window = config.first_window(),
                  .retry_after = retry_after,
                  .capabilities = config.capabilities(),
                  .tunnels_max = config.memory.sessions,
                  .tunnels_per_client = config.client_limits.tunnels },
                arena_.tunnels() )
  , ramp_( returning_to_each( siblings ) )
  , dials_( loop,
            config.target,
            target_patience,
            [this]( TunnelEnd& end, Session& session, TargetDial::Outcome outcome ) {
              target_answered( end, session, std::move( outcome ) );
            } )
  , clients_(
      loop,
      config_,
      arena_,
      batch_,
      log,
      { .session_arrived = [this]( Client& client, Session& session ) { session_arrived( client, session ); },
        .session_left = [this]( Session& session ) { dials_.give_up( session ); },
        .leaves = [this]( const Client& client ) { admission_.forget( client.record().id ); } },
      manager,
      siblings )
  , reception_(
      loop,
      batch_,
      scratch_.memory(),
      log,
      is_door( siblings ) ? inheritance_.listeners( config.bind, config.port ) : std::vector<Fd> {},
      std::move( wire ),
      config.pulse,
      [this]( LinkLeg& link, const Hello& hello ) { answer( link, hello ); },
      siblings )
  , news_( loop )
{
  if ( is_door( siblings ) ) {
    tell_if_deaf( news_, log );
    log_.info(
      "listening on {}, target {}:{}", reception_.address().text(), config.target.host, config.target.port );
  }
  take_over();
}

// The tunnels of the process before us wait for their links, as after any other loss. Its links, and its dials to
// targets, are nobody's; sessions without a target have theirs dialled again.
void Sproxy::take_over()
{
  const Survey found = arena_.take_found();
  std::vector<Client*> by_slot;
  for ( TunnelRecord* const record : found.tunnels ) {
    by_slot.resize( std::max<std::size_t>( by_slot.size(), record->slot + std::size_t { 1 } ) );
    by_slot[record->slot] = &clients_.of( *record );
    by_slot[record->slot]->recovered();
  }
  for ( const Survey::Found& session : found.sessions ) {
    by_slot[session.record->tunnel]->end().restore( session, inheritance_.socket( *session.record ) );
  }
  inheritance_.settle( found );
}

// -- links that introduce themselves ------------------------------------------------------------------------------

void Sproxy::answer( LinkLeg& link, const Hello& hello )
{
  const Time now = loop_.now();
  const Duration wait = ramp_.wait( now );
  const Admission::Decision decision = admission_.decide(
    hello, link.channel(), may_be_here( hello, link ), has_tunnel_in_use( hello, link ), wait );
  const Welcome& welcome = decision.welcome;
  if ( welcome.answer == Answer::resumed ) {
    ramp_.let_in( now );
  } else if ( welcome.answer == Answer::later and wait > Duration {} ) {
    ramp_.put_off( now );
  }
  FrameHeader header;
  header.type = FrameType::welcome;
  link.say( header, encode( welcome ) );
  if ( decision.superseded ) {
    if ( Client* const earlier = clients_.find( *decision.superseded ) ) {
      log_.info( "{}: its client started anew", earlier->name() );
      earlier->end_at_once( ResetReason::superseded );
    }
  }
  namespace level = spdlog::level;
  switch ( welcome.answer ) {
    case Answer::made:
    case Answer::resumed: welcome_client( link, hello, decision ); return;
    case Answer::joined: clients_.of( *decision.record ).take_for_bulk( reception_.take( link ), hello ); return;
    case Answer::gone:
      reception_.tell( level::info, link, "refused: no such tunnel, or not proved to be its client's" );
      break;
    case Answer::overtaken:
      reception_.tell( level::debug, link, "not needed, a later one of the same client was faster" );
      break;
    case Answer::later:
      reception_.tell( wait > Duration {} ? level::info : level::warn,
                       link,
                       wait > Duration {} ? "put off: too many clients come back at once"
                                          : "put off: too many tunnels" );
      break;
    case Answer::refused:
      reception_.tell( level::warn, link, "refused: " + reason_of( welcome.reason, hello ) );
      break;
  }
}

// Whether the tunnel that this link claims, truly or not, may be used from where it comes from.
bool Sproxy::may_be_here( const Hello& hello, const LinkLeg& link ) const
{
  const Client* const client = clients_.find( hello.tunnel );
  return client == nullptr or client->may_be_at( link.peer() );
}

// Whether the client that asks for a new tunnel has one that was heard of not long ago.
bool Sproxy::has_tunnel_in_use( const Hello& hello, const LinkLeg& link ) const
{
  if ( hello.purpose != Purpose::new_tunnel ) {
    return false;
  }
  const auto tunnel = admission_.tunnel_of( link.channel().identity, hello.instance );
  const Client* const client = tunnel ? clients_.find( *tunnel ) : nullptr;
  return client != nullptr and client->is_in_use();
}

void Sproxy::welcome_client( LinkLeg& link, const Hello& hello, const Admission::Decision& decision )
{
  if ( decision.welcome.answer == Answer::made ) {
    Client::say_birth( *decision.record, link.peer(), loop_.now() );
  }
  pass( FaultPoint::welcomed );
  clients_.of( *decision.record ).take( reception_.take( link ), hello );
}

// -- clients ------------------------------------------------------------------------------------------------------

void Sproxy::revoke( std::span<const Digest> identities )
{
  reception_.turn_out( identities );
  for ( const Digest& identity : identities ) {
    if ( Account* const account = clients_.account_of( identity ) ) {
      for ( Client* client : account->tunnels() ) {
        dismiss( *client );
      }
    }
  }
}

void Sproxy::keep_only( const std::function<bool( const Digest& identity )>& admitted )
{
  for ( const auto& [id, client] : clients_.all() ) {
    if ( not admitted( client->record().identity ) ) {
      dismiss( *client );
    }
  }
}

void Sproxy::dismiss( Client& client )
{
  if ( not client.leaves() ) {
    log_.info(
      "{}: its client is not admitted any more: ending {}", client.name(), client.end().how_many_sessions() );
    client.dismiss( ResetReason::not_admitted );
    admission_.forget( client.record().id );
  }
}

// -- sessions -----------------------------------------------------------------------------------------------------

void Sproxy::session_arrived( Client& client, Session& session )
{
  TunnelEnd& end = client.end();
  if ( dials_.is_under_way( session ) ) {
    return;
  }
  if ( const Account* const account = clients_.account_of( client.record().identity );
       account != nullptr and account->has_too_many_sessions() ) {
    end.reset( session, ResetReason::limit, "its client has as many as it may have (--client-sessions)" );
    return;
  }
  if ( config_.single ) {
    for ( const auto& [id, other_client] : clients_.all() ) {
      other_client->end().tunnel().for_each_session( [&]( Session& other ) {
        if ( &other != &session ) {
          other_client->end().reset( other, ResetReason::superseded );
        }
      } );
    }
  }
  dials_.start( end, session );
}

void Sproxy::target_answered( TunnelEnd& end, Session& session, TargetDial::Outcome outcome )
{
  if ( outcome.socket ) {
    pass( FaultPoint::dialled );
    end.add_leg( session, std::move( outcome.socket ), outcome.address.text() );
    pass( FaultPoint::connected );
    session.target_connected(); // after its socket is known: else we could die and nobody would dial again
    return;
  }
  const ResetReason reason = outcome.error == ECONNREFUSED ? ResetReason::refused
                             : outcome.error == ETIMEDOUT  ? ResetReason::timed_out
                                                           : ResetReason::unreachable;
  end.reset(
    session, reason, fmt::format( "{}:{}: {}", config_.target.host, config_.target.port, outcome.problem ) );
}

// -- its own network ----------------------------------------------------------------------------------------------

void Sproxy::look_at_network( Time now )
{
  if ( not news_.due( now ) ) {
    return;
  }
  std::map<std::string, bool> ours; // there may be thousands of links, but not of addresses
  for ( const auto& [id, client] : clients_.all() ) {
    if ( LinkLeg* const link = client->end().link() ) {
      const auto [known, is_new] = ours.try_emplace( network_of( link->local(), 32, 128 ) );
      if ( is_new ) {
        known->second = is_local( link->local() );
      }
      if ( not known->second ) {
        link->drop( fmt::format( "our address {} is gone", link->local().host() ) );
        client->touch();
      }
    }
  }
}

// -- a turn -------------------------------------------------------------------------------------------------------

void Sproxy::turn()
{
  const Time now = loop_.now();
  look_at_network( now );
  busy_turns_.look( loop_, log_ );
  reception_.turn( now );
  dials_.tick( now );
  clients_.turn( now );
  arena_.cool( now );
}

Time Sproxy::deadline() const
{
  return std::min( { reception_.deadline(),
                     arena_.deadline(),
                     dials_.deadline(),
                     news_.deadline(),
                     stop_by_,
                     clients_.deadline() } );
}

// -- the end ------------------------------------------------------------------------------------------------------

void Sproxy::stop()
{
  log_.info( "stopping; the longest turn of the loop took {:.1f} ms",
             std::chrono::duration<double, std::milli>( busy_turns_.longest() ).count() );
  reception_.close();
  for ( const auto& [id, client] : clients_.all() ) {
    client->dismiss( ResetReason::stopped );
  }
  stop_by_ = loop_.now() + farewell_patience;
}

bool Sproxy::stopped() const
{
  if ( stop_by_ == never ) {
    return false;
  }
  const bool heard = std::ranges::all_of( clients_.all(),
                                          []( const auto& entry ) { return entry.second->end().goodbye_heard(); } );
  return heard or loop_.now() >= stop_by_;
}

} // namespace holdfast
