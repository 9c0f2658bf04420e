#include "sim/path_world.hh"

#include <algorithm>
#include <array>
#include <cstdio>

namespace holdfast::sim {

using namespace test;

namespace {

constexpr Time begin { 1h };
constexpr Duration an_hour = 1h;
constexpr Duration notice_max = 2min; // until a path is missed that died while nothing happened: three slow beats
constexpr Duration slow_after = 63s;  // beats may be rarer by then
constexpr std::size_t bulk_ahead = 100'000;

constexpr std::array impairments = {
  Impairment { .name = "satellite", .path = { .delay = 300ms }, .even = true },
  Impairment { .name = "narrow", .path = { .delay = 30ms, .rate = 8000 }, .bulk = true, .even = true }, // 64 kbit/s
  Impairment { .name = "loss", .path = { .delay = 25ms, .lost_of_1000 = 50 } },
  Impairment { .name = "loss-near", .path = { .delay = 500us, .lost_of_1000 = 50 } },
  Impairment { .name = "loss-satellite", .path = { .delay = 300ms, .lost_of_1000 = 50 } },
  Impairment { .name = "jitter", .path = { .delay = 10ms, .jitter = 400ms } }, // 210 ms, more or less by 200
  Impairment { .name = "busy", .path = { .delay = 10ms }, .busy = 1s },
  Impairment { .name = "death", .path = { .delay = 25ms, .jitter = 4ms }, .dies = true },
};

Duration up_to( Chance& chance, Duration most )
{
  return Duration { chance.below( static_cast<std::size_t>( most.count() ) + 1 ) };
}

SessionLimits limits()
{
  return { .outflow = { 1U << 20U }, .inflow = { 65536, 1U << 20U } };
}

} // namespace

const Impairment* find_impairment( std::string_view name )
{
  const auto* const found
    = std::ranges::find_if( impairments, [name]( const Impairment& each ) { return each.name == name; } );
  return found == impairments.end() ? nullptr : found;
}

PathWorld::PathWorld( std::uint64_t seed, const Impairment& impairment, bool trace )
  : chance_( seed )
  , impairment_( impairment )
  , crypto_( seed )
  , network_( chance_ )
  , stage_ { .network = network_, .chance = chance_, .crypto = crypto_, .trace = trace }
  , near_( stage_, 0, { .limits = limits(), .clock = 7h, .run = 1 }, std::make_unique<TestMemory>( 200, 200, 2 ) )
  , far_( stage_, { .limits = limits(), .clock = 1000h }, std::make_unique<TestMemory>( 200, 200, 2 ) )
  , next_key_( begin + 1s )
  , last_key_( begin )
  , trace_( trace )
{
  network_.weather.calm = true;
  network_.weather.path = impairment.path;
  stage_.note = [this]( const std::string& what ) {
    if ( trace_ ) {
      std::printf(
        "%14.3f ms  %s\n", std::chrono::duration<double, std::milli>( stage_.now - begin ).count(), what.c_str() );
    }
  };
  stage_.fail = [this]( const std::string& what ) { fail( what ); };
  stage_.excuse = []( std::uint64_t, const std::string& ) {};
  far_.over = []( Far::Client& ) {};
  near_busy_.due = far_busy_.due = stage_.now;
  if ( impairment.dies ) {
    next_death_ = begin + 10s;
  }
  (void)near_.open();
}

std::optional<std::string> PathWorld::run( Tally& tally )
{
  while ( not failure_ and stage_.now < begin + an_hour ) {
    step();
  }
  const std::size_t links = network_.dialled;
  if ( not impairment_.dies and stage_.attached != 1 ) {
    fail( std::to_string( stage_.attached ) + " links carried the session, and nothing had happened to the first" );
  }
  if ( impairment_.even and links != links_before_ ) {
    fail( std::to_string( links - links_before_ ) + " links were dialled beside one that lived" );
  }
  if ( impairment_.dies and ( deaths_ < 10 or stage_.attached != deaths_ + 1 ) ) {
    fail( std::to_string( deaths_ ) + " links died, and " + std::to_string( stage_.attached )
          + " carried the session" );
  }
  if ( impairment_.bulk ? moved_ < 2 * impairment_.path.rate * 3600 * 8 / 10 : echoed_ < 500 ) {
    fail( "hardly anything was said" );
  }
  tally.links += links;
  tally.attached += stage_.attached;
  tally.welcomed += stage_.welcomed;
  tally.bytes += moved_ + echoed_;
  tally.sessions += 1;
  tally.steps += steps_;
  tally.time += stage_.now - begin;
  return failure_;
}

// -- the hour goes on --------------------------------------------------------------------------------------------

Time PathWorld::next_event()
{
  Time next = std::min( { std::max( near_busy_.due, near_busy_.until ),
                          std::max( far_busy_.due, far_busy_.until ),
                          next_key_,
                          next_death_,
                          noticed_by_.value_or( never ) } );
  for ( const Link& link : network_.links ) {
    for ( const Link::Place* const place : { &link.near, &link.far } ) {
      const Time until = ( place == &link.near ? near_busy_ : far_busy_ ).until;
      if ( place->open ) {
        next = std::min(
          next, std::max( std::min( place->in->next_arrival(), place->gone ? never : place->told ), until ) );
      }
    }
    if ( link.far.open and not link.far.pulse ) {
      next = std::min( next, std::max( link.connected, far_busy_.until ) );
    }
  }
  return next;
}

// Whether a host gets its turn. It may be late for the next one.
bool PathWorld::ready( Busy& busy )
{
  if ( stage_.now < busy.until ) {
    return false;
  }
  if ( impairment_.busy > Duration {} and chance_.once_in( 20 ) ) {
    busy.until = stage_.now + up_to( chance_, impairment_.busy );
  }
  return true;
}

void PathWorld::step()
{
  ++steps_;
  stage_.now = std::max( stage_.now + 10us, next_event() );
  if ( stage_.now >= next_death_ ) {
    die();
  }
  programs_live();
  const auto late = [this]( const Busy& busy ) { return std::max( stage_.now - busy.due, Duration {} ); };
  if ( ready( near_busy_ ) ) {
    near_.turn( late( near_busy_ ) );
    near_busy_.due = near_.deadline();
  }
  if ( ready( far_busy_ ) ) {
    far_.turn( late( far_busy_ ) );
    far_busy_.due = far_.deadline();
  }
  if ( links_before_ == 0 and stage_.attached > 0 ) {
    links_before_ = network_.dialled;
  }
  network_.forget_closed();
  look_for_a_dial();
}

// -- programs ----------------------------------------------------------------------------------------------------

void PathWorld::programs_live()
{
  Program& app = near_.end().legs.begin()->second.program;
  Program* target = nullptr;
  if ( Far::Client* const client = far_.client( 1 ); client != nullptr and not client->end->legs.empty() ) {
    End::Leg& leg = client->end->legs.begin()->second;
    if ( leg.session != nullptr and not leg.session->connected() ) {
      client->end->connected( client->end->legs.begin()->first );
    }
    target = &leg.program;
  }
  if ( app.closed or ( target != nullptr and target->closed ) ) {
    fail( "the session ended" );
  }
  if ( impairment_.bulk ) {
    pump( app );
  } else {
    type( app );
  }
  if ( target != nullptr and impairment_.bulk ) {
    pump( *target );
  } else if ( target != nullptr ) {
    target->to_write += std::exchange( target->read, {} ); // it echoes
  }
}

void PathWorld::type( Program& app )
{
  echoed_ += std::exchange( app.read, {} ).size();
  if ( stage_.now < next_key_ ) {
    return;
  }
  app.to_write += 'x';
  if ( noticed_by_ == never ) { // the first byte after the path died in a quiet time
    noticed_by_ = stage_.now + 2 * ( impairment_.path.delay + impairment_.path.jitter ) + 300ms
                  + near_.link()->near.pulse->allowance() + 1ms;
  }
  last_key_ = stage_.now;
  next_key_ = stage_.now + ( chance_.once_in( 60 ) ? up_to( chance_, 5min ) : up_to( chance_, 400ms ) );
}

void PathWorld::pump( Program& program )
{
  moved_ += std::exchange( program.read, {} ).size();
  if ( program.to_write.size() < bulk_ahead ) {
    program.to_write.append( bulk_ahead, 'x' );
  }
  next_key_ = never;
}

// -- deaths ------------------------------------------------------------------------------------------------------

// The path of the link dies. Who notices has to dial within three beats of when its kernel saw the last of what was
// under way, which may be a delayed acknowledgement; in a quiet time, of the next byte.
void PathWorld::die()
{
  next_death_ = stage_.now + 30s + up_to( chance_, 4min );
  if ( next_death_ > begin + an_hour - notice_max ) {
    next_death_ = never; // it would be noticed after the hour only
  }
  Link* const link = near_.link();
  if ( link == nullptr or noticed_by_ ) {
    return;
  }
  link->up.lives = link->down.lives = 0;
  ++deaths_;
  links_before_ = network_.dialled;
  const bool quiet = stage_.now - last_key_ > slow_after;
  stage_.note( quiet ? "the path dies in a quiet time" : "the path dies" );
  noticed_by_ = quiet ? never
                      : stage_.now + 2 * ( impairment_.path.delay + impairment_.path.jitter ) + 40ms + 300ms
                          + link->near.pulse->allowance() + 1ms;
}

void PathWorld::look_for_a_dial()
{
  if ( noticed_by_ and network_.dialled > links_before_ ) {
    noticed_by_.reset();
  } else if ( noticed_by_ and stage_.now > *noticed_by_ ) {
    fail( "a path that died was not noticed in time" );
  }
}

void PathWorld::fail( const std::string& what )
{
  stage_.note( "FAILED: " + what );
  if ( not failure_ ) {
    failure_ = what;
  }
}

} // namespace holdfast::sim
