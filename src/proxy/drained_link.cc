#include "proxy/drained_link.hh"

#include <string>
#include <utility>

namespace holdfast {

namespace {

using namespace std::chrono_literals;

// Three trips over a satellite. What comes later was said again on the new link.
constexpr Duration patience = 2s;

} // namespace

DrainedLink::DrainedLink( Loop& loop, FrameBatch& batch, Side side, Tunnel& tunnel, std::function<void()> stirred )
  : loop_( loop ), batch_( batch ), side_( side ), tunnel_( tunnel ), stirred_( std::move( stirred ) )
{}

void DrainedLink::take( std::unique_ptr<LinkLeg> link )
{
  drop();
  if ( link->ended() or link->suspicious( loop_.now() ) ) {
    link->break_off(); // nothing comes on it any more
    return;
  }
  link_ = std::move( link );
  link_->set_owner( *this );
  until_ = loop_.now() + patience;
  all_said_ = false;
}

void DrainedLink::drop()
{
  if ( link_ ) {
    link_->break_off();
    link_.reset();
  }
}

void DrainedLink::frame_arrived( LinkLeg& link, const Frame& frame )
{
  if ( const auto fault = tunnel_.receive_late( frame ) ) {
    link.drop( std::string { describe( *fault ) } );
  }
}

// cproxy ends its direction when all is said, sproxy then sees the end of it and closes, and cproxy the end of
// that: so each has read all that the other one had said.
void DrainedLink::turn( Time now )
{
  if ( not link_ ) {
    return;
  }
  link_->flush( batch_ );
  if ( side_ == Side::opener and link_->flushed() and not all_said_ ) {
    all_said_ = true;
    link_->say_no_more();
  }
  if ( link_->ended() ) {
    link_.reset();
  } else if ( now >= until_ ) {
    drop();
  }
}

Time DrainedLink::deadline() const
{
  if ( not link_ ) {
    return never;
  }
  return link_->ended() ? loop_.now() : until_;
}

} // namespace holdfast
