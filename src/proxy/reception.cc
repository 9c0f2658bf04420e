#include "proxy/reception.hh"

#include "net/error.hh"

#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <random>
#include <utility>

namespace holdfast {

namespace {

using namespace std::chrono_literals;

constexpr Duration patience = 5s;           // from accept to hello; a handshake over a satellite takes one
constexpr std::size_t strangers_max = 1024; // then one goes, of the network that has the most here
constexpr std::size_t crowd = 64;           // strangers whose memory is worth giving back
constexpr Duration letting_in_max = 8ms;    // in a turn: some ten handshakes (docs/bench.md)
constexpr unsigned network_v4 = 32;         // bits of an address that say who somebody is, when turns are counted:
constexpr unsigned network_v6 = 64;         // whoever has one IPv6 address has 2^64

} // namespace

Reception::Reception( Loop& loop,
                      FrameBatch& batch,
                      std::span<std::byte> scratch,
                      Log& log,
                      std::vector<Fd> listeners,
                      MakeWire wire,
                      Pulse::Config pulse,
                      Introduced introduced,
                      const Siblings* siblings )
  : loop_( loop )
  , batch_( batch )
  , scratch_( scratch )
  , log_( log )
  , wire_( std::move( wire ) )
  , pulse_( pulse )
  , introduced_( std::move( introduced ) )
  , siblings_( siblings )
  , turnstile_( {}, std::random_device {}(), loop.now() )
  , lines_( log, "links that led to nothing" )
  , listener_(
      loop,
      std::move( listeners ),
      [this]( Fd socket, const Address& /*peer*/ ) {
        arrived( wire_( std::move( socket ) ), loop_.now() ).link->hold();
      },
      [this]( int error ) { log_.warn( "cannot accept links for a moment: {}", error_text( error ) ); },
      spare_for_next ) // links may use the descriptors that sessions spare
{}

Reception::Stranger& Reception::arrived( std::unique_ptr<Wire> wire, Time since )
{
  if ( strangers_.size() >= strangers_max ) {
    const auto out = strangers_.find( turnstile_.most_expendable() );
    tell_end_of( *out->second.link );
    let_go( out );
  }
  auto link
    = std::make_unique<LinkLeg>( loop_, *this, std::move( wire ), false, FrameType::hello, pulse_, scratch_ );
  turnstile_.arrived( ++last_, network_of( link->peer(), network_v4, network_v6 ) );
  guests_[link.get()] = last_;
  return strangers_.try_emplace( last_, Stranger { .link = std::move( link ), .since = since } ).first->second;
}

void Reception::take_over( Passage passage )
{
  if ( closed_ ) {
    return;
  }
  Stranger& stranger = arrived( std::move( passage.wire ), passage.since );
  stranger.knocked = true;
  stranger.claim = std::move( passage.claim );
  stranger.link->begin_with( passage.read ); // may be taken() then
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
  Stranger& stranger = find( link )->second;
  const auto& hello = std::get<Hello>( decoded );
  if ( not belongs_here( stranger, hello ) ) {
    append_frame( stranger.to_read, frame.header, frame.payload );
    const auto behind = link.unread();
    stranger.to_read.insert( stranger.to_read.end(), behind.begin(), behind.end() );
    link.drop( "it goes to another thread" ); // reads no more here
    return;
  }
  stranger.answered = true;
  introduced_( link, hello );
}

bool Reception::belongs_here( Stranger& stranger, const Hello& hello )
{
  if ( siblings_ == nullptr ) {
    return true;
  }
  if ( not stranger.claim ) { // else it was handed over, with its claim
    stranger.claim = siblings_->owners.claim( Owners::who( stranger.link->channel().identity, hello.instance ) );
  }
  return stranger.claim.shard() == siblings_->self;
}

void Reception::hand_over( Stranger& stranger )
{
  siblings_->hand_over( { .wire = stranger.link->take_wire(),
                          .read = std::move( stranger.to_read ),
                          .since = stranger.since,
                          .claim = std::move( stranger.claim ) } );
}

std::unique_ptr<LinkLeg> Reception::take( const LinkLeg& link )
{
  const auto stranger = find( link );
  guests_.erase( &link );
  auto taken = std::move( stranger->second.link );
  let_go( stranger );
  return taken;
}

Reception::Strangers::iterator Reception::find( const LinkLeg& link )
{
  return strangers_.find( guests_.at( &link ) );
}

Reception::Strangers::iterator Reception::let_go( Strangers::iterator stranger )
{
  turnstile_.left( stranger->first );
  guests_.erase( stranger->second.link.get() );
  return strangers_.erase( stranger );
}

void Reception::close()
{
  closed_ = true;
  listener_.close();
  while ( not strangers_.empty() ) {
    let_go( strangers_.begin() );
  }
}

void Reception::turn( Time now )
{
  listener_.tick( now );
  lines_.tick( now );
  let_some_in( now );
  impatient_ = never;
  for ( auto at = strangers_.begin(); at != strangers_.end(); ) {
    if ( look_after( at->second, now ) ) {
      impatient_ = std::min( impatient_, at->second.since + patience );
      ++at;
    } else {
      at = let_go( at );
    }
  }
  give_back_memory();
}

void Reception::let_some_in( Time now )
{
  for ( auto& [guest, stranger] : strangers_ ) {
    if ( stranger.link->knocks() and not stranger.knocked ) {
      stranger.knocked = true;
      turnstile_.knocked( guest );
    }
  }
  const Duration end = loop_.elapsed() + letting_in_max;
  while ( const auto guest = turnstile_.next( now ) ) {
    let_in( *guest );
    if ( loop_.elapsed() >= end ) {
      return;
    }
  }
}

void Reception::let_in( Turnstile::Guest guest )
{
  LinkLeg& link = *strangers_.at( guest ).link;
  if ( link.left() ) {
    turnstile_.took_nothing( guest );
    link.drop( "it left before its turn" );
  } else {
    link.let_in(); // may be taken() then
  }
}

bool Reception::look_after( Stranger& stranger, Time now )
{
  LinkLeg& link = *stranger.link;
  if ( not stranger.to_read.empty() ) {
    hand_over( stranger );
    return false;
  }
  const bool in_time = now - stranger.since < patience;
  if ( stranger.leaving ) {
    return link.lingers() and in_time;
  }
  if ( stranger.answered ) {
    link.flush( batch_ );
  }
  if ( not in_time ) {
    link.drop( "it did not introduce itself in time" );
  }
  if ( not link.ended() ) {
    return true;
  }
  if ( not stranger.answered ) {
    tell_end_of( link );
  }
  if ( not link.connected() and in_time ) { // why it was not let in is on its way
    stranger.leaving = true;
    link.linger();
  }
  return link.lingers();
}

void Reception::tell( spdlog::level::level_enum level, const LinkLeg& link, std::string_view what )
{
  lines_.say( loop_.now(), level, fmt::format( "link from {}: {}", link.peer().text(), what ) );
}

void Reception::tell_end_of( const LinkLeg& link )
{
  tell( spdlog::level::info, link, "dropped: " + link.ended().value_or( "too many handshakes at once" ) );
}

// What a crowd has used stays with us otherwise: malloc keeps what it may need again.
void Reception::give_back_memory()
{
  most_ = std::max( most_, strangers_.size() );
  if ( strangers_.empty() and most_ >= crowd ) {
    ::malloc_trim( 0 );
  }
  if ( strangers_.empty() ) {
    most_ = 0;
  }
}

void Reception::turn_out( std::span<const Digest> identities )
{
  for ( auto& [guest, stranger] : strangers_ ) {
    LinkLeg& link = *stranger.link;
    if ( link.connected() and std::ranges::find( identities, link.channel().identity ) != identities.end() ) {
      stranger.to_read.clear(); // it goes nowhere
      link.drop( "its client is not admitted any more" );
    }
  }
}

Time Reception::deadline() const
{
  return std::min( { listener_.deadline(), lines_.deadline(), turnstile_.deadline(), impatient_ } );
}

} // namespace holdfast
