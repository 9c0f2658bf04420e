#include "proxy/inheritance.hh"

#include "net/clock.hh"
#include "net/error.hh"
#include "net/fault_point.hh"
#include "proxy/local_leg.hh"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

namespace holdfast {

namespace {

std::string how_many( std::size_t count, std::string_view what )
{
  return fmt::format( "{} {}{}", count, what, count == 1 ? "" : "s" );
}

} // namespace

std::vector<Fd> take_or_make_listeners( Left& left, std::string_view host, std::uint16_t port )
{
  std::vector<Fd> listeners = left.take_listeners( host, port );
  return listeners.empty() ? listen_for( host, port ) : std::move( listeners );
}

Inheritance::Inheritance( Predecessor predecessor, ServiceManager* manager, Log& log )
  : left_( predecessor.left == nullptr ? nothing_ : *predecessor.left )
  , crashed_( predecessor.crashed )
  , listeners_( std::move( predecessor.listeners ) )
  , memory_( std::move( predecessor.memory ) )
  , others_follow_( predecessor.others_follow )
  , manager_( manager )
  , log_( log )
  , since_( read_clock() )
  , reunion_( left_, leg_read_max, leg_write_max )
{}

Arena Inheritance::arena( Side side, Arena::Config config )
{
  Arena arena = found_or_new( side, config );
  if ( manager_ != nullptr ) {
    manager_->keep( arena.memfd().get() );
  }
  return arena;
}

Arena Inheritance::found_or_new( Side side, Arena::Config config )
{
  for ( Fd& memfd : memory_.empty() ? left_.take_memory( Arena::name ) : std::exchange( memory_, {} ) ) {
    try {
      const Mend mend = [this]( SessionRecord& record ) {
        const bool fits = reunion_.mend( record );
        pass( FaultPoint::mended );
        return fits;
      };
      recovers_ = true;
      return Arena { { .side = side, .memfd = std::move( memfd ), .crashed = crashed_, .mend = mend } };
    } catch ( const StartupError& problem ) {
      recovers_ = false;
      log_.warn( "starting anew, without the sessions there were: {}", problem.what() );
    }
  }
  return Arena { config };
}

std::vector<Fd> Inheritance::listeners( std::string_view host, std::uint16_t port )
{
  std::vector<Fd> listeners
    = listeners_.empty() ? take_or_make_listeners( left_, host, port ) : std::move( listeners_ );
  if ( manager_ != nullptr ) {
    std::ranges::for_each( listeners, [this]( const Fd& socket ) { manager_->keep( socket.get() ); } );
  }
  return listeners;
}

std::vector<Fd> Inheritance::newcomers( const Address& listener )
{
  return recovers_ ? left_.take_newcomers( listener ) : std::vector<Fd> {};
}

void Inheritance::settle( const Survey& found )
{
  pass( FaultPoint::taken_over );
  if ( not others_follow_ ) {
    left_.close();
  }
  if ( manager_ != nullptr and not others_follow_ ) {
    manager_->let_go_rest();
  }
  if ( not recovers_ ) {
    return;
  }
  log_.info( "recovered: {} in {} in {:.1f} ms",
             how_many( found.sessions.size(), "session" ),
             how_many( found.tunnels.size(), "tunnel" ),
             std::chrono::duration<double, std::milli>( read_clock() - since_ ).count() );
  if ( found.broken > 0 ) {
    log_.warn( "what was left of {} makes no sense any more: closed",
               how_many( found.broken, "session or tunnel" ) );
  }
  const Reunion::Tally& tally = reunion_.tally();
  log_.debug( "not booked: bytes read in {}, bytes written in {}; connections lost: {}",
              how_many( tally.read, "session" ),
              how_many( tally.written, "session" ),
              tally.failed );
}

} // namespace holdfast
