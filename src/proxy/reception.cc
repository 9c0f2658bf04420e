#include "proxy/reception.hh"

#include "net/error.hh"

#include <algorithm>
#include <utility>

namespace holdfast {

namespace {

using namespace std::chrono_literals;

constexpr Duration patience = 5s;           // from accept to hello; a handshake over a satellite takes one
constexpr std::size_t strangers_max = 1024; // the oldest goes first
constexpr unsigned lines_max = 20;          // log lines a second about links that led to nothing

} // namespace

Reception::Reception( Loop& loop,
                      FrameBatch& batch,
                      std::span<std::byte> scratch,
                      Log& log,
                      std::vector<Fd> listeners,
                      Pulse::Config pulse,
                      Introduced introduced )
  : loop_( loop )
  , batch_( batch )
  , scratch_( scratch )
  , log_( log )
  , pulse_( pulse )
  , introduced_( std::move( introduced ) )
  , listener_(
      loop,
      std::move( listeners ),
      [this]( Fd socket, const Address& /*peer*/ ) { arrived( std::move( socket ) ); },
      [this]( int error ) { log_.warn( "cannot accept links for a moment: {}", error_text( error ) ); },
      0 ) // links may use the descriptors that sessions spare
{}

void Reception::arrived( Fd socket )
{
  if ( strangers_.size() >= strangers_max ) {
    log_end_of( *strangers_.front().link );
    strangers_.pop_front();
  }
  strangers_.push_back(
    { std::make_unique<LinkLeg>( loop_, *this, std::move( socket ), false, FrameType::hello, pulse_, scratch_ ) } );
}

void Reception::frame_arrived( LinkLeg& link, const Frame& frame )
{
  if ( frame.header.type != FrameType::hello ) {
    return; // said before it had read our no
  }
  const auto decoded = decode_hello( frame.payload );
  if ( const auto* fault = std::get_if<Fault>( &decoded ) ) {
    link.drop( std::string { describe( *fault ) } );
    return;
  }
  for ( Stranger& stranger : strangers_ ) {
    if ( stranger.link.get() == &link ) {
      stranger.answered = true;
    }
  }
  introduced_( link, std::get<Hello>( decoded ) );
}

std::unique_ptr<LinkLeg> Reception::take( const LinkLeg& link )
{
  const auto at
    = std::ranges::find_if( strangers_, [&]( const Stranger& stranger ) { return stranger.link.get() == &link; } );
  auto taken = std::move( at->link );
  strangers_.erase( at );
  return taken;
}

void Reception::close()
{
  listener_.close();
  strangers_.clear();
}

void Reception::turn( Time now )
{
  listener_.tick( now );
  for ( auto at = strangers_.begin(); at != strangers_.end(); ) {
    LinkLeg& link = *at->link;
    if ( at->answered and not link.ended() ) {
      link.transmit( batch_, nullptr, now );
    }
    if ( not link.ended() and now - link.born() >= patience ) {
      link.drop( "it did not introduce itself in time" );
    }
    if ( not link.ended() ) {
      ++at;
      continue;
    }
    if ( not at->answered ) {
      log_end_of( link );
    }
    at = strangers_.erase( at );
  }
}

// One line each, but not a thousand a second.
void Reception::log_end_of( const LinkLeg& link )
{
  const Time now = loop_.now();
  if ( now - lines_since_ >= 1s ) {
    if ( lines_ > lines_max ) {
      log_.info( "{} more links that led to nothing", lines_ - lines_max );
    }
    lines_since_ = now;
    lines_ = 0;
  }
  if ( ++lines_ <= lines_max ) {
    log_.info(
      "link from {}: dropped: {}", link.peer().text(), link.ended().value_or( "too many handshakes at once" ) );
  }
}

Time Reception::deadline() const
{
  const Time impatient = strangers_.empty() ? never : strangers_.front().link->born() + patience;
  return std::min( listener_.deadline(), impatient );
}

} // namespace holdfast
