#include "proxy/clients.hh"

#include <algorithm>
#include <utility>

namespace holdfast {

namespace {

using namespace std::chrono_literals;

constexpr Duration turn_max = 15ms; // after so long, clients wait for the next turn

constexpr Digest nobody {}; // the identity of all clients on links in the clear

} // namespace

Clients::Clients( Loop& loop,
                  const SproxyConfig& config,
                  Arena& arena,
                  FrameBatch& batch,
                  Log& log,
                  Events events,
                  ServiceManager* manager,
                  const Siblings* siblings )
  : loop_( loop )
  , config_( config )
  , arena_( arena )
  , batch_( batch )
  , log_( log )
  , events_( std::move( events ) )
  , manager_( manager )
  , siblings_( siblings )
  , made_( log, "new tunnels" )
  , resumed_( log, "tunnels resumed" )
  , lost_( log, "links of tunnels lost" )
{}

// -- who there is -------------------------------------------------------------------------------------------------

Client& Clients::of( TunnelRecord& record )
{
  auto& client = clients_[record.id];
  if ( not client ) {
    Account* const account = open_account( record.identity );
    client = make( record, account == nullptr ? nullptr : &account->quotas() );
    if ( account != nullptr ) {
      account->opened( *client );
    }
    if ( siblings_ != nullptr ) {
      client->belongs_here(
        siblings_->owners.claim( Owners::who( record.identity, record.instance ), siblings_->self ) );
    }
  }
  return *client;
}

std::unique_ptr<Client> Clients::make( TunnelRecord& record, Quotas* quotas )
{
  Memory memory = arena_.memory();
  memory.quotas = quotas;
  return std::make_unique<Client>( loop_,
                                   agenda_,
                                   batch_,
                                   record,
                                   memory,
                                   config_,
                                   log_,
                                   Client::Events { .session_arrived = events_.session_arrived,
                                                    .session_left = events_.session_left,
                                                    .link_changed =
                                                      [this]( Client::Change change, std::string_view line ) {
                                                        lines_about( change ).say(
                                                          loop_.now(), spdlog::level::info, line );
                                                      } },
                                   manager_ );
}

Client* Clients::find( const Id& tunnel ) const
{
  const auto client = clients_.find( tunnel );
  return client == clients_.end() ? nullptr : client->second.get();
}

// Nobody can be told from anybody else, and has none.
Account* Clients::open_account( const Digest& identity )
{
  return identity == nobody ? nullptr : &accounts_.try_emplace( identity, config_.client_limits ).first->second;
}

Account* Clients::account_of( const Digest& identity )
{
  const auto account = accounts_.find( identity );
  return account == accounts_.end() ? nullptr : &account->second;
}

// -- a turn -------------------------------------------------------------------------------------------------------

void Clients::turn( Time now )
{
  for ( FewLines* lines : { &made_, &resumed_, &lost_ } ) {
    lines->tick( now );
  }
  agenda_.begin( now );
  while ( Agenda::Item* const item = agenda_.next() ) {
    look_after( static_cast<Client&>( *item ) ); // nobody else is on this agenda
    if ( loop_.elapsed() >= turn_max ) {
      return;
    }
  }
}

void Clients::look_after( Client& client )
{
  client.turn();
  if ( client.leaves() ) {
    events_.leaves( client );
  }
  if ( client.over() ) {
    remove( client );
  } else {
    agenda_.put_off( client, client.deadline() );
  }
}

void Clients::remove( Client& client )
{
  TunnelRecord& record = client.record();
  const auto account = accounts_.find( record.identity );
  if ( account != accounts_.end() ) {
    account->second.closed( client );
  }
  clients_.erase( record.id ); // its sessions go first: their records name the tunnel's
  arena_.tunnels().give( &record );
  if ( account != accounts_.end() and account->second.tunnels().empty() ) {
    accounts_.erase( account );
  }
}

Time Clients::deadline() const
{
  return std::min( { agenda_.deadline( loop_.now() ), made_.deadline(), resumed_.deadline(), lost_.deadline() } );
}

FewLines& Clients::lines_about( Client::Change change )
{
  switch ( change ) {
    case Client::Change::made: break;
    case Client::Change::resumed: return resumed_;
    case Client::Change::lost: return lost_;
  }
  return made_;
}

} // namespace holdfast
