#include "fuzz/seen.hh"

#include <initializer_list>
#include <optional>

namespace holdfast::fuzz {

namespace {

std::uint64_t number( std::optional<ResetReason> why )
{
  return why ? static_cast<std::uint64_t>( *why ) : 0;
}

std::string all_seen( Session& session )
{
  const Outflow& out = session.outflow();
  const Inflow& in = session.inflow();
  std::string text;
  for ( const std::uint64_t value : std::initializer_list<std::uint64_t> { in.delivered(),
                                                                           in.next(),
                                                                           in.window(),
                                                                           in.held(),
                                                                           out.acknowledged(),
                                                                           out.sent(),
                                                                           out.retained(),
                                                                           out.room(),
                                                                           session.connected(),
                                                                           in.finished(),
                                                                           in.end_due(),
                                                                           in.news(),
                                                                           in.hungry(),
                                                                           out.ended(),
                                                                           out.finished(),
                                                                           out.end_due(),
                                                                           session.closed_by_peer(),
                                                                           session.over(),
                                                                           session.released(),
                                                                           session.voice().has_something_to_say(),
                                                                           number( session.reset_by_us() ),
                                                                           number( session.reset_by_peer() ) } ) {
    text += std::to_string( value ) + ' ';
  }
  return text;
}

} // namespace

std::vector<Alive> all_alive( Tunnel& tunnel )
{
  std::vector<Alive> all;
  tunnel.for_each_session( [&]( Session& session ) {
    all.emplace_back( session.id(),
                      session.inflow().delivered(),
                      session.inflow().next(),
                      session.closed_by_peer(),
                      number( session.reset_by_us() ),
                      number( session.reset_by_peer() ) );
  } );
  return all;
}

std::map<SessionId, Lasting> all_that_lasts( Tunnel& tunnel )
{
  std::map<SessionId, Lasting> all;
  tunnel.for_each_session( [&]( Session& session ) {
    const Outflow& out = session.outflow();
    const Position delivered = session.inflow().delivered();
    const Alive alive {
      session.id(), delivered, delivered, false, number( session.reset_by_us() ), number( session.reset_by_peer() )
    };
    all[session.id()] = { alive, out.acknowledged(), out.retained(), out.ended(), session.connected() };
  } );
  return all;
}

std::string all_seen( Tunnel& tunnel, const TunnelRecord& record, test::TestMemory& memory )
{
  std::map<SessionId, std::string> sessions;
  tunnel.for_each_session( [&]( Session& session ) { sessions[session.id()] = all_seen( session ); } );
  std::string all = std::to_string( number( tunnel.goodbye() ) ) + ' '
                    + std::to_string( tunnel.deadline().time_since_epoch().count() ) + ' '
                    + std::to_string( memory.outflow().used() ) + ' ' + std::to_string( memory.inflow().used() )
                    + ' ' + std::to_string( tunnel.queued() ) + ' ' + std::to_string( record.last_session ) + '\n';
  for ( const auto& [id, text] : sessions ) {
    all += "session " + std::to_string( id ) + ": " + text + '\n';
  }
  return all;
}

std::string all_seen( SessionId id, const test::Program& program )
{
  return "program " + std::to_string( id ) + ": " + std::to_string( program.to_write.size() ) + ' '
         + std::to_string( program.saw_end ) + ' ' + std::to_string( number( program.saw_reset ) ) + ' '
         + std::to_string( program.closed ) + ' ' + program.read + '\n';
}

std::set<SessionId> sessions_with_news( Tunnel& tunnel )
{
  std::set<SessionId> all;
  tunnel.for_each_session( [&]( Session& session ) {
    if ( session.inflow().news() ) {
      all.insert( session.id() );
    }
  } );
  return all;
}

Session* find( Tunnel& tunnel, SessionId id )
{
  Session* found = nullptr;
  tunnel.for_each_session( [&]( Session& session ) { found = session.id() == id ? &session : found; } );
  return found;
}

Hearing how_is( Session* session )
{
  if ( session == nullptr ) {
    return {};
  }
  return { session->inflow().next(),
           session->record().outflow.sent_most,
           session->inflow().hungry(),
           not session->reset_by_us() };
}

} // namespace holdfast::fuzz
