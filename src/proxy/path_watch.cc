#include "proxy/path_watch.hh"

namespace holdfast {

namespace {

// An IPv6 host changes its temporary address every day, within its network, and the ones before stay good for a
// week (RFC 8981): no reason to move.
bool is_another_source( const Address& one, const Address& other )
{
  return one.length != 0 and network_of( one, 32, 64 ) != network_of( other, 32, 64 );
}

} // namespace

void tell_if_deaf( const NetworkNews& news, Log& log )
{
  if ( not news.problem().empty() ) {
    log.info( "the kernel does not tell us when the network changes ({}): only silence will", news.problem() );
  }
}

PathWatch::PathWatch( Loop& loop, Log& log ) : news_( loop )
{
  tell_if_deaf( news_, log );
}

void PathWatch::link_found( const LinkLeg& link, unsigned interface, Time now )
{
  interface_ = interface;
  if ( interface == 0 ) {
    const auto route = routes_.to( link.peer() );
    interface_ = route and not is_another_source( route->source, link.local() ) ? route->interface : 0;
  }
  settling_.prefers_another( false, now ); // than the link before
  look( link, now );
  if ( interface != 0 ) {
    settling_.tried( now ); // what the kernel prefers was dialled as well, and did not get through
  }
}

void PathWatch::look( const LinkLeg& link, Time now )
{
  settling_.prefers_another( prefers_another( link ), now );
}

bool PathWatch::prefers_another( const LinkLeg& link )
{
  const auto route = routes_.to( link.peer() );
  return route
         and ( is_another_source( route->source, link.local() )
               or ( interface_ != 0 and route->interface != interface_ ) );
}

bool PathWatch::is_time_for_another( const LinkLeg& link, Time now )
{
  if ( now < settling_.due() ) {
    return false;
  }
  look( link, now ); // there may be news that it was not time for
  if ( now < settling_.due() ) {
    return false;
  }
  settling_.tried( now );
  return true;
}

} // namespace holdfast
