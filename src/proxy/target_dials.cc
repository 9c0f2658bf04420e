#include "proxy/target_dials.hh"

#include <algorithm>
#include <utility>
#include <vector>

namespace holdfast {

TargetDials::TargetDials( Loop& loop, HostPort target, Duration patience, Done done )
  : loop_( loop ), target_( std::move( target ) ), patience_( patience ), done_( std::move( done ) )
{}

void TargetDials::start( TunnelEnd& end, Session& session )
{
  if ( is_under_way( session ) ) {
    return;
  }
  dials_[&session] = std::make_unique<TargetDial>(
    loop_, target_, patience_, [this, &end, &session]( TargetDial::Outcome outcome ) {
      give_up( session );
      done_( end, session, std::move( outcome ) );
    } );
}

void TargetDials::tick( Time now )
{
  // A dial that tells its outcome removes itself, and may take others along, so walk over a list of those under
  // way.
  std::vector<const Session*> due;
  for ( const auto& [session, dial] : dials_ ) {
    if ( dial->deadline() <= now ) {
      due.push_back( session );
    }
  }
  for ( const Session* session : due ) {
    if ( const auto dial = dials_.find( session ); dial != dials_.end() ) {
      dial->second->tick( now );
    }
  }
}

Time TargetDials::deadline() const
{
  Time deadline = never;
  for ( const auto& [session, dial] : dials_ ) {
    deadline = std::min( deadline, dial->deadline() );
  }
  return deadline;
}

} // namespace holdfast
