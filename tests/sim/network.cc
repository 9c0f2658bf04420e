#include "sim/network.hh"

#include <algorithm>

namespace holdfast::sim {

using namespace test;

namespace {

constexpr std::size_t piece_max = 1400; // bytes of a segment
constexpr std::size_t piece_headers = 60;
constexpr Duration retransmission_min = 200ms; // TCP_RTO_MIN of Linux
constexpr Duration delayed_acknowledgement = 40ms;

} // namespace

Duration Wire::trip( Chance& chance ) const
{
  return path->delay + Duration { chance.below( static_cast<std::size_t>( path->jitter.count() ) + 1 ) };
}

void Wire::send_on_path( std::string_view bytes, Time now, Chance& chance )
{
  for ( ; not bytes.empty(); bytes.remove_prefix( std::min( piece_max, bytes.size() ) ) ) {
    const std::string_view piece = bytes.substr( 0, piece_max );
    line_free_ = std::max( line_free_, now );
    if ( path->rate > 0 ) {
      line_free_ += ( piece.size() + piece_headers ) * Duration { 1s } / static_cast<std::int64_t>( path->rate );
    }
    Time at = line_free_ + trip( chance );
    for ( Duration timer = std::max<Duration>( retransmission_min, 2 * path->delay + path->jitter );
          loses( chance );
          timer *= 2 ) {
      at += timer + path->delay;
    }
    sights_.insert( at );
    const bool held_up = not pieces_.empty() and pieces_.back().at > at;
    if ( not loses( chance ) ) { // its acknowledgement
      back->sights_.insert( at + ( held_up ? Duration {} : delayed_acknowledgement ) + trip( chance ) );
    }
    pieces_.push_back( { held_up ? pieces_.back().at : at, std::string { piece } } );
  }
}

Time Wire::last_sight( Time now )
{
  while ( not sights_.empty() and *sights_.begin() <= now ) {
    last_sight_ = *sights_.begin();
    sights_.erase( sights_.begin() );
  }
  return last_sight_;
}

void Wire::send( std::string_view bytes, Time now, Chance& chance )
{
  if ( path and not dead() ) {
    under_way_ += bytes.size();
    send_on_path( bytes, now, chance );
    return;
  }
  const std::size_t through = std::min( lives, bytes.size() );
  if ( through > 0 ) {
    Time at = now + delay + Duration { chance.below( static_cast<std::size_t>( jitter.count() ) + 1 ) };
    if ( not pieces_.empty() ) {
      at = std::max( at, pieces_.back().at ); // TCP does not reorder
    }
    pieces_.push_back( { at, std::string { bytes.substr( 0, through ) } } );
  }
  if ( lives != all_of_it ) {
    lives -= through;
  }
  if ( through < bytes.size() ) {
    pieces_.push_back( { never, std::string { bytes.substr( through ) } } );
  }
  under_way_ += bytes.size();
}

std::string Wire::arrived( Time now, std::size_t most )
{
  if ( pieces_.empty() or now < stalled_until or now < pieces_.front().at ) {
    return {};
  }
  Piece& first = pieces_.front();
  std::string bytes;
  if ( most >= first.bytes.size() ) {
    bytes = std::move( first.bytes );
    pieces_.pop_front();
  } else {
    bytes = first.bytes.substr( 0, most );
    first.bytes.erase( 0, most );
  }
  under_way_ -= bytes.size();
  return bytes;
}

Time Wire::next_arrival() const
{
  return pieces_.empty() ? never : std::max( pieces_.front().at, stalled_until );
}

void Wire::drop_all()
{
  pieces_.clear();
  under_way_ = 0;
}

void transmit( Link::Place& place, FrameBatch& batch, FrameSource* source, Time host_now, Time now, Chance& chance )
{
  constexpr int writes_max = 8;
  Wire& wire = *place.out;
  bool writable = place.open and not place.gone;
  for ( int i = 0; i < writes_max and writable; ++i ) {
    batch.start( wire.rest );
    if ( place.pulse->beat_due( host_now ) and batch.empty() ) {
      batch.put( place.pulse->beat( host_now ) );
    }
    const std::size_t before = batch.bytes();
    if ( source != nullptr and not batch.full() ) {
      source->transmit( batch, host_now, place.pulse->round_trips() );
    }
    if ( batch.bytes() > before ) {
      place.pulse->carried( host_now );
    }
    const std::size_t taken = std::min( batch.bytes(), wire.room() );
    writable = taken > 0 and taken == batch.bytes();
    if ( taken > 0 ) {
      wire.send( std::string_view { gathered( batch ) }.substr( 0, taken ), now, chance );
    }
    batch.finish( taken );
  }
}

Link& Network::dial( std::size_t near_host, Time now )
{
  Link& link = links.emplace_back( ++dialled, near_host );
  if ( weather.path ) {
    link.up.back = &link.down;
    link.down.back = &link.up;
    for ( Wire* wire : { &link.up, &link.down } ) {
      wire->path = weather.path;
      wire->delay = weather.path->delay;
      wire->capacity = weather.path->capacity;
    }
    link.connected = now + 2 * weather.path->delay;
    return link;
  }
  for ( Wire* wire : { &link.up, &link.down } ) {
    wire->delay = Duration { chance_.below( 2 * static_cast<std::size_t>( weather.delay.count() ) + 1 ) };
    wire->jitter = weather.jitter;
    // Never less than 20 KB/s, so that a world comes to its end.
    const auto trip = static_cast<std::size_t>( ( 2 * weather.delay + weather.jitter ) / 1ms );
    wire->capacity
      = 20 * trip + ( weather.small_buffers ? chance_.between( 1, 400 ) : chance_.between( 2000, 80'000 ) );
  }
  const Dials dials = weather.calm ? Dials::succeed : weather.dials;
  if ( dials == Dials::vanish ) {
    link.up.lives = link.down.lives = 0;
    link.far.open = false;
    return link;
  }
  link.connected = now + link.up.delay + link.down.delay;
  if ( dials == Dials::are_closed ) {
    link.far.open = false;
    link.near.told = link.connected;
    return link;
  }
  if ( not weather.calm and weather.life_max > 0 and chance_.below( 4 ) > 0 ) {
    link.up.lives = chance_.below( weather.life_max );
    link.down.lives = chance_.once_in( 2 ) ? chance_.below( weather.life_max ) : all_of_it;
  }
  return link;
}

void Network::close( Link& link, Link::Place& place, Time now )
{
  Link::Place& other = &place == &link.near ? link.far : link.near;
  if ( not place.open ) {
    return;
  }
  place.open = false;
  place.in->drop_all();
  if ( other.open and not place.out->dead() ) {
    if ( chance_.once_in( 2 ) ) { // a reset overtakes what the other end has not read yet
      place.out->drop_all();
    }
    other.told
      = std::min( other.told, std::max( now, place.out->stalled_until ) + place.out->delay + place.out->jitter );
  }
}

void Network::harm( Link& link, Time now )
{
  switch ( chance_.below( 6 ) ) {
    case 0: // one direction dies
      link.up.lives = 0;
      break;
    case 1: link.down.lives = 0; break;
    case 2: // a black hole
      link.up.lives = link.down.lives = 0;
      break;
    case 3: // reset, as both are told
      link.near.told = link.far.told = now;
      break;
    case 4: // half-open
      link.up.lives = link.down.lives = 0;
      ( chance_.once_in( 2 ) ? link.near : link.far ).told = now;
      break;
    default: { // it stops for a while
      const Time until = now + Duration { chance_.below( 3'000'000'000 ) };
      link.up.stalled_until = chance_.once_in( 3 ) ? Time {} : until;
      link.down.stalled_until = chance_.once_in( 3 ) ? Time {} : until;
    }
  }
}

void Network::forget_closed()
{
  links.remove_if( []( const Link& link ) { return not link.near.open and not link.far.open; } );
}

} // namespace holdfast::sim
