#include "proxy/bulk_link.hh"

#include <algorithm>
#include <utility>

namespace holdfast {

namespace {

using namespace std::chrono_literals;

constexpr Duration patience = 3s; // with silence: longer than a full queue and a lost segment last
constexpr Duration idle_max = 10s;
constexpr Duration unused = idle_max / 2; // its end is no loss: the other side may be the first to find it idle

} // namespace

BulkLink::BulkLink( Loop& loop, FrameBatch& batch, Tunnel& tunnel, Events events )
  : loop_( loop ), batch_( batch ), tunnel_( tunnel ), events_( std::move( events ) )
{}

void BulkLink::take( std::unique_ptr<LinkLeg> link )
{
  drop();
  link_ = std::move( link );
  link_->set_owner( *this );
  used_ = loop_.now();
  tunnel_.attach_bulk();
}

void BulkLink::drop()
{
  if ( const auto link = release() ) {
    link->break_off();
  }
}

std::unique_ptr<LinkLeg> BulkLink::release()
{
  if ( link_ ) {
    tunnel_.detach_bulk();
  }
  return std::move( link_ );
}

void BulkLink::give_up( const std::string& why )
{
  const std::string reason = why; // it may lie in the link, which goes
  drop();
  events_.ended( reason );
}

void BulkLink::frame_arrived( LinkLeg& link, const Frame& frame )
{
  used_ = loop_.now();
  if ( const auto fault = tunnel_.receive_bulk( frame ) ) {
    link.drop( std::string { describe( *fault ) } );
  }
}

void BulkLink::turn( Time now )
{
  if ( not link_ ) {
    return;
  }
  if ( link_->ended() ) {
    const std::string why = now - used_ >= unused ? std::string {} : *link_->ended(); // a copy: the link goes first
    give_up( why );
  } else if ( not tunnel_.attached() ) {
    give_up( "it is alone" ); // the link there was is lost meanwhile
  } else if ( link_->suspicious( now ) and link_->pulse().silence( now ) >= patience ) {
    give_up( "silent for too long" );
  } else if ( now - used_ >= idle_max and link_->flushed() ) {
    give_up( {} );
  } else if ( tunnel_.bulk().wants_to_transmit() or not link_->flushed() or link_->pulse().beat_due( now ) ) {
    used_ = tunnel_.bulk().wants_to_transmit() ? now : used_;
    link_->transmit( batch_, &tunnel_.bulk(), now );
  }
}

Time BulkLink::deadline() const
{
  if ( not link_ ) {
    return never;
  }
  if ( link_->ended() or ( link_->writable() and tunnel_.bulk().wants_to_transmit() ) ) {
    return loop_.now();
  }
  return std::min( link_->deadline(), used_ + idle_max );
}

} // namespace holdfast
