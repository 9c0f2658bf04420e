#include "sim/world.hh"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace holdfast::sim {

using namespace test;

namespace {

// Sizes that matter: nothing at all, a few bytes, around a chunk, several chunks.
std::size_t some_size( Chance& chance, bool tiny )
{
  switch ( tiny ? chance.below( 2 ) : chance.below( 10 ) ) {
    case 0: return chance.below( 3 );
    case 1:
    case 2:
    case 3: return chance.below( 300 );
    case 9: return chance.below( 150'000 );
    default: return chance.below( 20'000 );
  }
}

SessionLimits some_limits( Chance& chance, bool tiny )
{
  const std::size_t initial = tiny ? chance.between( 1, 40 ) : chance.between( 100, 70'000 );
  const std::size_t most = tiny ? chance.between( 1, 80 ) : chance.between( 1000, 200'000 );
  return { .outflow = { most }, .inflow = { initial, most } };
}

std::unique_ptr<TestMemory> some_memory( Chance& chance )
{
  const auto chunks = [&] {
    return static_cast<Pool::Index>( chance.once_in( 3 ) ? chance.between( 1, 4 ) : chance.between( 5, 40 ) );
  };
  const auto outflow = chunks();
  const auto inflow = chunks();
  auto memory = std::make_unique<TestMemory>( outflow, inflow, chance.between( 4, 8 ) );
  memory->in_place = true;
  return memory;
}

Duration up_to( Chance& chance, Duration most )
{
  return Duration { chance.below( static_cast<std::size_t>( most.count() ) + 1 ) };
}

double milliseconds( Duration duration )
{
  return std::chrono::duration<double, std::milli>( duration ).count();
}

} // namespace

void Tally::add( const Tally& other )
{
  steps += other.steps;
  links += other.links;
  welcomed += other.welcomed;
  attached += other.attached;
  overtaken += other.overtaken;
  sessions += other.sessions;
  resets += other.resets;
  resumes += other.resumes;
  early += other.early;
  late += other.late;
  strangers += other.strangers;
  kills += other.kills;
  restarts += other.restarts;
  sleeps += other.sleeps;
  bytes += other.bytes;
  bulk_links += other.bulk_links;
  bulk += other.bulk;
  time += other.time;
}

World::World( std::uint64_t seed, Level level, bool trace )
  : chance_( seed )
  , level_( level )
  , trace_( trace )
  , tiny_( chance_.once_in( 8 ) )
  , gentle_( chance_.once_in( 8 ) )
  , restarts_( not gentle_ and chance_.once_in( 5 ) )
  , storm_( ~seed )
  , stormy_( not gentle_ and storm_.once_in( 3 ) )
  , bulk_( seed ^ 0xb17c )
  , has_bulk_( not bulk_.once_in( 3 ) )
  , quota_( static_cast<Pool::Index>( storm_.once_in( 2 ) ? storm_.between( 1, 8 ) : 0 ) )
  , stride_( std::to_array<Duration>( { 1ms, 3ms, 20ms, 150ms } ).at( chance_.below( 4 ) ) )
  , crypto_( seed )
  , limits_( some_limits( chance_, tiny_ ) )
  , keep_( not gentle_ and chance_.once_in( 6 ) ? 40s + up_to( chance_, 60s ) : Duration { 96h } )
  , network_( chance_ )
  , stage_ { .network = network_,
             .chance = chance_,
             .crypto = crypto_,
             .clear = storm_.once_in( 4 ),
             .trace = trace }
  , sessions_left_( chance_.between( 1, 8 ) )
{
  stage_.note = [this]( const std::string& what ) { note( what ); };
  stage_.fail = [this]( const std::string& what ) { fail( what ); };
  stage_.excuse = [this]( std::uint64_t run, const std::string& why ) { excuse( run, why ); };
  if ( has_bulk_ ) {
    stage_.bulk = &bulk_;
    limits_.bulk = { .least = bulk_.once_in( 2 ) ? 1 : bulk_.between( 1, 5000 ),
                     .span = Duration { 1ms } * bulk_.between( 1, 100 ) };
  }
  if ( gentle_ ) {
    stride_ = std::min<Duration>( stride_, 3ms ); // hosts that are given their turns in time
  }
  network_.weather.delay = chance_.once_in( 3 )   ? Duration {}
                           : chance_.once_in( 3 ) ? up_to( chance_, 150ms )
                                                  : up_to( chance_, 20ms );
  network_.weather.jitter = chance_.once_in( 2 ) ? Duration {} : up_to( chance_, 30ms );
  network_.weather.small_buffers = chance_.once_in( 3 );
  network_.weather.life_max = gentle_ ? 0 : chance_.once_in( 3 ) ? 900 : chance_.once_in( 2 ) ? 60'000 : 0;
  far_clock_ = up_to( chance_, 1000h ); // no host knows what another one's clock says
  replace_far();
  for ( std::size_t i = chance_.once_in( 4 ) ? 2 : 1; i > 0; --i ) {
    nears_.emplace_back();
    near_busy_.emplace_back();
    replace_near( nears_.size() - 1 );
  }
}

std::optional<std::string> World::run( Tally& tally )
{
  const Time begin = stage_.now;
  const std::size_t wild_steps = chance_.between( 50, 500 );
  for ( std::size_t i = 0; i < wild_steps and not failure_; ++i ) {
    step();
  }
  note( "the faults stop" );
  calm_ = true;
  network_.weather.calm = true;
  network_.weather.dials = Network::Dials::succeed;
  for ( Busy* busy : { &far_busy_, near_busy_.data(), &near_busy_.back() } ) {
    busy->until = {};
  }
  // A minute and a half to notice what is dead (30 s of patience, twice), and a round trip for each smallest
  // window.
  const Duration trip = 4 * network_.weather.delay + 2 * network_.weather.jitter + 40ms;
  const auto windows = static_cast<std::int64_t>( tiny_ ? 400 : 150'000 / 100 );
  const Time limit = stage_.now + 3min + windows * trip;
  while ( not failure_ and not all_done() ) {
    step();
    if ( stage_.now > limit ) {
      fail( "it does not come to an end" );
      describe_rest();
    }
  }
  // What was dead without anybody waiting for it goes with patience: half a minute for each side, and a new dial.
  const bool to_the_last = not failure_ and chance_.once_in( 4 );
  const auto nothing_left = [this] {
    return network_.links.size() == nears_.size() and far_->memory().tunnels().used() == nears_.size();
  };
  for ( const Time until = stage_.now + 90s;
        to_the_last and not failure_ and stage_.now < until and not nothing_left(); ) {
    step();
  }
  if ( to_the_last and network_.links.size() != nears_.size() ) {
    for ( const Link& link : network_.links ) {
      note( "link " + std::to_string( link.number ) + ": near " + ( link.near.open ? "open" : "closed" ) + ", far "
            + ( link.far.open ? "open" : "closed" ) );
    }
    fail( std::to_string( network_.links.size() ) + " links are left" );
  }
  if ( to_the_last and far_->memory().tunnels().used() != nears_.size() ) {
    fail( std::to_string( far_->memory().tunnels().used() ) + " tunnels are left" );
  }
  if ( gentle_ and stage_.attached > nears_.size() ) {
    fail( "a link was replaced although the network was only slow" );
  }
  check_end();
  tally_.links = network_.dialled;
  tally_.welcomed = stage_.welcomed;
  tally_.attached = stage_.attached;
  tally_.overtaken = stage_.overtaken;
  tally_.resumes = stage_.resumes;
  tally_.early = stage_.early;
  tally_.late = stage_.late;
  tally_.bulk_links = stage_.joined;
  tally_.bulk = stage_.bulk_bytes;
  tally_.time = stage_.now - begin;
  tally.add( tally_ );
  return failure_;
}

// -- the world goes on -------------------------------------------------------------------------------------------

void World::step()
{
  ++tally_.steps;
  const Time next = next_event();
  if ( calm_ ) {
    const Time at_most = stage_.now + ( writing() ? Duration { 5ms } : Duration { 200ms } );
    stage_.now = std::max( stage_.now + 20us, std::min( next, at_most ) );
  } else {
    const Time somewhen = stage_.now + up_to( chance_, stride_ );
    stage_.now = chance_.once_in( 2 ) ? somewhen : std::max( stage_.now, std::min( next, somewhen ) );
    mischief();
  }
  open_session();
  programs_live();
  for ( std::size_t i = 0; i < nears_.size(); ++i ) {
    if ( calm_ or ( stage_.now >= near_busy_[i].until and chance_.below( 3 ) > 0 ) ) {
      give_turn_to_near( i );
    }
  }
  if ( calm_ or ( stage_.now >= far_busy_.until and chance_.below( 3 ) > 0 ) ) {
    give_turn_to_far();
  }
  network_.forget_closed();
  check();
}

void World::give_turn_to_near( std::size_t index )
{
  Busy& busy = near_busy_[index];
  nears_[index]->turn( stage_.now > busy.due ? stage_.now - busy.due : Duration {} );
  busy.due = nears_[index]->deadline();
}

void World::give_turn_to_far()
{
  far_->turn( stage_.now > far_busy_.due ? stage_.now - far_busy_.due : Duration {} );
  far_busy_.due = far_->deadline();
}

Time World::next_event()
{
  Time next = far_busy_.due;
  for ( const Busy& busy : near_busy_ ) {
    next = std::min( next, busy.due );
  }
  for ( const Link& link : network_.links ) {
    for ( const Link::Place* place : { &link.near, &link.far } ) {
      if ( place->open ) {
        next = std::min( { next, place->in->next_arrival(), place->gone ? never : place->told } );
        if ( not place->out->rest.empty() and place->out->room() > 0 ) { // its socket has become writable
          next = stage_.now;
        }
      }
    }
    if ( link.far.open and not link.far.pulse ) {
      next = std::min( next, link.connected );
    }
  }
  return next;
}

// Whether a program waits for its proxy to take bytes: memory that comes back is no event of the network.
bool World::writing()
{
  return std::ranges::any_of( stories_, [this]( const Story& story ) {
    const Program* const app = app_of( story );
    const Program* const target = target_of( story );
    return ( app != nullptr and not app->closed and not app->to_write.empty() )
           or ( target != nullptr and not target->closed and not target->to_write.empty() );
  } );
}

void World::mischief()
{
  if ( chance_.once_in( 60 ) ) {
    stranger();
  }
  if ( chance_.once_in( 120 ) ) { // a busy machine, or one that was stopped
    const bool far = chance_.once_in( 2 );
    Duration most = chance_.once_in( 10 ) ? Duration { 60s } : Duration { 700ms };
    if ( gentle_ ) { // not so long that the other side could rightly doubt
      most = far ? Duration { 60ms } : std::min<Duration>( most, 20s );
    }
    const std::size_t index = chance_.below( near_busy_.size() );
    ( far ? far_busy_ : near_busy_[index] ).until = stage_.now + up_to( chance_, most );
    note( far ? "far is busy" : "near " + std::to_string( index ) + " is busy" );
    ++tally_.sleeps;
  }
  if ( chance_.once_in( 250 ) ) { // everybody sleeps
    note( "everybody falls asleep" );
    stage_.now += up_to( chance_, chance_.once_in( 4 ) ? 10min : 10s );
    ++tally_.sleeps;
  }
  if ( gentle_ ) {
    return;
  }
  if ( stormy_ ) {
    storm();
  }
  if ( chance_.once_in( 40 ) ) {
    change_weather();
  }
  for ( Link& link : network_.links ) {
    if ( chance_.once_in( 80 ) ) {
      note( "link " + std::to_string( link.number ) + " is harmed" );
      network_.harm( link, stage_.now );
    }
  }
  if ( chance_.once_in( 120 ) ) {
    nears_[chance_.below( nears_.size() )]->give_up_link();
  }
  if ( chance_.once_in( 30 ) ) {
    nears_[chance_.below( nears_.size() )]->dial_beside();
  }
  if ( chance_.once_in( 250 ) and not far_->clients().empty() ) {
    far_->give_up_link( far_->clients().begin()->second );
  }
  if ( has_bulk_ and bulk_.once_in( 50 ) ) {
    nears_[bulk_.below( nears_.size() )]->give_up_bulk();
  }
  if ( has_bulk_ and bulk_.once_in( 50 ) and not far_->clients().empty() ) {
    far_->give_up_bulk( far_->clients().begin()->second );
  }
  if ( level_ == Level::process and chance_.once_in( 40 ) ) {
    kill_somebody();
  }
  if ( restarts_ and chance_.once_in( 150 ) ) {
    restart_somebody();
  }
}

// Several hellos are under way at once; of those that far has taken, half are lost before near has its welcome, and
// some right after.
void World::storm()
{
  if ( storm_.once_in( 2 ) ) {
    nears_[storm_.below( nears_.size() )]->dial_beside();
  }
  for ( Link& link : network_.links ) {
    const bool is_welcomed
      = std::ranges::any_of( far_->clients(), [&]( const auto& entry ) { return entry.second.link == &link; } );
    const bool is_taken = std::ranges::any_of( nears_, [&]( const auto& near ) { return near->link() == &link; } );
    if ( is_welcomed and storm_.once_in( is_taken ? 10 : 4 ) ) {
      note( "link " + std::to_string( link.number ) + " is harmed when it was welcomed" );
      network_.harm( link, stage_.now );
    }
  }
}

void World::change_weather()
{
  using Dials = Network::Dials;
  network_.weather.dials = chance_.once_in( 2 )   ? Dials::succeed
                           : chance_.once_in( 2 ) ? Dials::vanish
                                                  : Dials::are_closed;
}

void World::kill_somebody()
{
  ++tally_.kills;
  if ( chance_.once_in( 2 ) ) {
    far_->recover();
    far_busy_.due = stage_.now;
  } else {
    const std::size_t index = chance_.below( nears_.size() );
    nears_[index]->recover();
    near_busy_[index].due = stage_.now;
  }
  if ( chance_.once_in( 8 ) ) { // again, at once
    kill_somebody();
  }
}

void World::restart_somebody()
{
  ++tally_.restarts;
  if ( chance_.once_in( 2 ) ) {
    replace_far();
  } else {
    replace_near( chance_.below( nears_.size() ) );
  }
}

void World::replace_far()
{
  if ( far_ ) {
    note( "far starts from nothing" );
    for ( auto& [id, client] : far_->clients() ) {
      excuse( client.record->run, "its sproxy started from nothing" );
      tunnel_over( client );
    }
    far_->leave();
  }
  auto memory = some_memory( chance_ );
  far_
    = std::make_unique<Far>( stage_,
                             HostConfig { .limits = limits_, .clock = far_clock_, .keep = keep_, .quota = quota_ },
                             std::move( memory ) );
  far_->over = [this]( Far::Client& client ) { tunnel_over( client ); };
  far_busy_.due = stage_.now;
}

void World::replace_near( std::size_t index )
{
  std::unique_ptr<Near>& near = nears_[index];
  if ( near ) {
    excuse( near->run(), "its cproxy started from nothing" );
    if ( chance_.once_in( 2 ) ) {
      near->say_goodbye();
    }
    note( "near " + std::to_string( index ) + " starts from nothing" );
    for ( Story& story : stories_ ) {
      if ( story.run == near->run() ) {
        story.app.left = near->end().legs.at( story.id ).program;
        if ( not story.app.left->closed ) {
          story.app.left->saw_reset = ResetReason::stopped;
          story.app.left->closed = true;
        }
      }
    }
    near->leave();
  }
  auto memory = some_memory( chance_ );
  near = std::make_unique<Near>(
    stage_,
    index,
    HostConfig { .limits = limits_, .clock = up_to( chance_, 1000h ), .keep = keep_, .id = index, .run = ++runs_ },
    std::move( memory ) );
  near_busy_[index].due = stage_.now;
}

// The targets' connections are closed with their tunnel.
void World::tunnel_over( Far::Client& client )
{
  for ( Story& story : stories_ ) {
    const auto leg = client.end->legs.find( story.id );
    if ( story.run != client.record->run or leg == client.end->legs.end() ) {
      continue;
    }
    Program& program = leg->second.program;
    if ( not program.closed and not story.excused ) {
      fail( "a tunnel was ended with session " + std::to_string( story.id ) + " in it" );
    }
    if ( not program.closed ) {
      program.saw_reset = ResetReason::stopped;
      program.closed = true;
    }
    story.target.left = program;
  }
}

// What a stranger has under TLS: his own key and everything else, also the secrets; or the client's key, on a link
// of his own, and what he has seen; or what he has seen, and a key that was never here.
Channel World::strange_channel( const Link& link, const TunnelRecord* owner, Hello& hello )
{
  Channel channel = stage_.channel( link );
  channel.binding.back() = std::byte { 1 };
  switch ( storm_.below( 3 ) ) {
    case 0:
      channel.identity.back() = std::byte { 1 };
      if ( owner != nullptr ) {
        prove( crypto_, owner->secrets, channel.binding, hello );
      }
      break;
    case 1: break;
    default: channel.identity.fill( std::byte { 0xee } ); break;
  }
  return channel;
}

// Somebody who has read along says the same hello again, or one with a proof that is not right.
void World::stranger()
{
  for ( const Link& link : network_.links ) {
    const bool joins = not stage_.clear and link.hello and link.hello->purpose == Purpose::join;
    if ( not link.hello or not( joins or link.hello->purpose == Purpose::resume ) ) {
      continue; // a hello for a new tunnel proves nothing, in the clear
    }
    Hello hello = *link.hello;
    const bool forged = chance_.once_in( 2 );
    if ( forged ) {
      hello.attempt += 1000;
    }
    const Far::Client* const owner = far_->client( hello.run );
    if ( stage_.clear and not forged and ( owner == nullptr or owner->record->attempt < hello.attempt ) ) {
      continue; // it would overtake the original, which an attacker on the path can: docs/PROTOCOL.md, 13.3
    }
    ++tally_.strangers;
    const Channel channel
      = stage_.clear ? Channel {} : strange_channel( link, owner == nullptr ? nullptr : owner->record, hello );
    const auto decision = far_->admission().decide( hello, channel, true );
    if ( decision.record != nullptr or decision.superseded or decision.welcome.proof != Digest {} ) {
      fail( "a stranger got in" );
    }
  }
}

void World::open_session()
{
  if ( sessions_left_ == 0 or not( calm_ or chance_.once_in( 20 ) ) ) {
    return;
  }
  Near& near = *nears_[chance_.below( nears_.size() )];
  if ( near.open() == nullptr ) {
    return; // all slots are taken
  }
  --sessions_left_;
  ++tally_.sessions;
  const SessionId id = near.end().legs.rbegin()->first;
  const std::uint64_t name = 2 * tally_.sessions;
  Story& story = stories_.emplace_back( Story {
    .run = near.run(),
    .id = id,
    .app = { .all = stream( 0, some_size( chance_, tiny_ ), name ) },
    .target = { .all = stream( 0, some_size( chance_, tiny_ ), name + 1 ) },
  } );
  for ( Plan* plan : { &story.app, &story.target } ) {
    if ( chance_.once_in( 8 ) ) {
      plan->resets_after = chance_.below( plan->all.size() + 1 );
    }
  }
}

void World::programs_live()
{
  for ( Story& story : stories_ ) {
    if ( story.app.left ) {
      continue; // it has died with its cproxy's machine, or so it seems from here
    }
    live( story.app, *app_of( story ) );
  }
  for ( auto& [id, client] : far_->clients() ) {
    for ( Story& story : stories_ ) {
      const auto leg = client.end->legs.find( story.id );
      if ( story.run != client.record->run or leg == client.end->legs.end() ) {
        continue;
      }
      Session* const session = leg->second.session;
      if ( session != nullptr and not session->connected() and ( calm_ or chance_.once_in( 10 ) ) ) {
        if ( not gentle_ and chance_.once_in( 12 ) ) {
          story.excused = true; // the target refuses
          client.end->reset( story.id, ResetReason::refused );
        } else {
          client.end->connected( story.id );
        }
      }
      live( story.target, leg->second.program );
    }
  }
}

// A program writes a little, reads or stops reading, ends its stream, or resets its connection.
void World::live( Plan& plan, Program& program )
{
  if ( program.closed ) {
    return;
  }
  if ( calm_ ) {
    program.takes = all_of_it;
  } else if ( chance_.once_in( 10 ) ) {
    program.takes = chance_.once_in( 2 ) ? 0 : chance_.once_in( 2 ) ? chance_.below( 1000 ) : all_of_it;
  }
  if ( not( calm_ or chance_.once_in( 8 ) ) ) {
    return;
  }
  const std::size_t left = plan.all.size() - plan.written;
  const std::size_t size = calm_ ? left : chance_.below( std::min<std::size_t>( left, 30'000 ) + 1 );
  program.to_write.append( plan.all, plan.written, size );
  plan.written += size;
  if ( plan.resets_after and plan.written >= *plan.resets_after ) {
    program.resets = true;
  } else if ( plan.written == plan.all.size() and ( calm_ or chance_.once_in( 2 ) ) ) {
    program.ends = true;
  }
}

// -- what must be true -------------------------------------------------------------------------------------------

Near* World::near_of( std::uint64_t run )
{
  const auto found = std::ranges::find_if( nears_, [&]( const auto& near ) { return near->run() == run; } );
  return found == nears_.end() ? nullptr : found->get();
}

Program* World::app_of( const Story& story )
{
  Near* const near = near_of( story.run );
  return near == nullptr ? nullptr : &near->end().legs.at( story.id ).program;
}

Program* World::target_of( const Story& story )
{
  Far::Client* const client = far_->client( story.run );
  if ( client == nullptr or not client->end->legs.contains( story.id ) ) {
    return nullptr;
  }
  return &client->end->legs.at( story.id ).program;
}

void World::excuse( std::uint64_t run, const std::string& why )
{
  for ( Story& story : stories_ ) {
    if ( story.run == run and not story.excused ) {
      note( "session " + std::to_string( story.id ) + " may end: " + why );
      story.excused = true;
    }
  }
}

void World::check()
{
  for ( Story& story : stories_ ) {
    if ( const Program* const app = app_of( story ); app != nullptr and not story.app.left ) {
      check_reading( story, story.app, story.target, *app, "app" );
    }
    if ( const Program* const target = target_of( story ); target != nullptr and not story.target.left ) {
      check_reading( story, story.target, story.app, *target, "target" );
    }
    check_forgetting( story );
  }
  for ( const auto& near : nears_ ) {
    near->end().tunnel.for_each_session( [&]( Session& session ) { check_bounds( near->end(), session ); } );
  }
  for ( const auto& [id, client] : far_->clients() ) {
    client.end->tunnel.for_each_session( [&]( Session& session ) { check_bounds( *client.end, session ); } );
  }
  for ( const auto& [identity, quotas] : far_->quotas() ) {
    if ( quotas.outflow.held > quotas.outflow.most or quotas.inflow.held > quotas.inflow.most ) {
      fail( "a client holds more memory than it may" );
    }
  }
  for ( const Link& link : network_.links ) {
    if ( link.up.rest.size() > FrameBatch::bytes_max + 20'000
         or link.down.rest.size() > FrameBatch::bytes_max + 20'000 ) {
      fail( "a link holds more than a batch" );
    }
  }
}

void World::check_reading( Story& story, Plan& reader, const Plan& writer, const Program& program, const char* who )
{
  const auto wrong = [&]( const char* what ) {
    fail( std::string { who } + " of session " + std::to_string( story.id ) + " " + what );
  };
  const std::string_view read = program.read;
  const std::size_t from = reader.read_checked;
  if ( read.size() < from ) {
    wrong( "has read less than before" );
    return;
  }
  if ( read.size() > writer.written ) {
    wrong( "read more than was written" );
  } else if ( read.substr( from ) != std::string_view { writer.all }.substr( from, read.size() - from ) ) {
    wrong( "read something else than was written" );
  }
  if ( reader.end_seen and read.size() > from ) {
    wrong( "read on after the end" );
  }
  tally_.bytes += read.size() - from;
  reader.read_checked = read.size();
  reader.end_seen = program.saw_end;
  if ( program.ends_seen > 1 ) {
    wrong( "saw the end twice" );
  }
  if ( program.saw_end and read.size() != writer.all.size() ) {
    wrong( "saw the end before all was read" );
  }
  if ( program.saw_reset and not story.excused ) {
    // "Forgotten" is what is left of "limit" when the link that carried it was lost.
    const bool reached = target_of( story ) != nullptr;
    const bool by_program
      = *program.saw_reset == ResetReason::by_program and ( story.app.resets_after or story.target.resets_after );
    const bool no_slot
      = not reached
        and ( *program.saw_reset == ResetReason::limit or *program.saw_reset == ResetReason::forgotten );
    if ( not by_program and not no_slot ) {
      wrong( "saw a reset that nobody made" );
    }
  }
}

// No byte is forgotten before it was delivered.
void World::check_forgetting( Story& story )
{
  Near* const near = near_of( story.run );
  Far::Client* const client = far_->client( story.run );
  if ( near == nullptr or client == nullptr or not client->end->legs.contains( story.id ) ) {
    return;
  }
  Session* const app = near->end().legs.at( story.id ).session;
  Session* const target = client->end->legs.at( story.id ).session;
  if ( app == nullptr or target == nullptr or app->reset_by_us() or target->reset_by_us() ) {
    return;
  }
  if ( app->outflow().acknowledged() > target->inflow().delivered()
       or target->outflow().acknowledged() > app->inflow().delivered() ) {
    fail( "bytes of session " + std::to_string( story.id ) + " were forgotten before they were delivered" );
  }
}

void World::check_bounds( const End& end, Session& session )
{
  const std::size_t window_max = std::max( limits_.inflow.window_max, Pool::chunk_size );
  const bool held = session.inflow().held() <= window_max;
  const bool window = session.inflow().window() <= window_max;
  const bool retained = session.outflow().retained() <= limits_.outflow.window_max + Outflow::Limits::ahead;
  if ( not held or not window or not retained ) {
    fail( "a session is out of its bounds: holds " + std::to_string( session.inflow().held() ) + ", offers "
          + std::to_string( session.inflow().window() ) + ", retains "
          + std::to_string( session.outflow().retained() ) );
  }
  if ( end.tunnel.queued() > 3 * end.legs.size() + 64 ) {
    fail( "a tunnel's queues grow" );
  }
}

bool World::all_done()
{
  return sessions_left_ == 0
         and std::ranges::all_of( nears_, []( const auto& near ) { return near->end().tunnel.sessions() == 0; } )
         and std::ranges::all_of( far_->clients(),
                                  []( const auto& entry ) { return entry.second.end->tunnel.sessions() == 0; } );
}

void World::check_end()
{
  if ( failure_ ) {
    return;
  }
  for ( const Story& story : stories_ ) {
    const Program* const app = story.app.left ? &*story.app.left : app_of( story );
    const Program* const target = story.target.left ? &*story.target.left : target_of( story );
    const bool reset = app->saw_reset or ( target != nullptr and target->saw_reset );
    tally_.resets += reset ? 1U : 0U;
    const std::string session = "session " + std::to_string( story.id );
    if ( not app->closed or ( target != nullptr and not target->closed ) ) {
      fail( "a program of " + session + " was left alone" );
    } else if ( not reset
                and ( target == nullptr or app->read != story.target.all or target->read != story.app.all ) ) {
      fail( session + " lost bytes" );
    } else if ( not reset and not( app->saw_end and target->saw_end ) ) {
      fail( session + " lost an end" );
    }
  }
  const bool near_back
    = std::ranges::all_of( nears_, []( const auto& near ) { return near->memory().all_back(); } );
  if ( not near_back or not far_->memory().all_back() ) {
    fail( "memory is left over" );
  }
  for ( const auto& [identity, quotas] : far_->quotas() ) {
    if ( quotas.outflow.held != 0 or quotas.inflow.held != 0 ) {
      fail( "a client's quota is not given back" );
    }
  }
}

void World::describe_rest()
{
  for ( const Story& story : stories_ ) {
    const auto say = [&]( const char* who, const End::Leg& leg, const Plan& plan, const Plan& other ) {
      if ( leg.session == nullptr ) {
        return;
      }
      const Program& program = leg.program;
      Session& session = *leg.session;
      note( std::string { who } + " of session " + std::to_string( story.id ) + ": read "
            + std::to_string( program.read.size() ) + " of " + std::to_string( other.all.size() ) + ", held "
            + std::to_string( session.inflow().held() ) + ", window " + std::to_string( session.inflow().window() )
            + ( session.inflow().hungry() ? " (hungry)" : "" ) + "; wrote " + std::to_string( plan.written )
            + " of " + std::to_string( plan.all.size() ) + ", not taken "
            + std::to_string( program.to_write.size() ) + ", sent " + std::to_string( session.outflow().sent() )
            + ", acknowledged " + std::to_string( session.outflow().acknowledged() )
            + ( session.outflow().ended() ? ", ended" : "" ) );
    };
    if ( Near* const near = near_of( story.run ) ) {
      say( "app", near->end().legs.at( story.id ), story.app, story.target );
    }
    if ( Far::Client* const client = far_->client( story.run );
         client != nullptr and client->end->legs.contains( story.id ) ) {
      say( "target", client->end->legs.at( story.id ), story.target, story.app );
    }
  }
  for ( const auto& near : nears_ ) {
    note( "near: " + std::to_string( near->end().tunnel.sessions() ) + " sessions, chunks "
          + std::to_string( near->memory().outflow().used() ) + " and "
          + std::to_string( near->memory().inflow().used() ) + ( near->link() != nullptr ? "" : ", no link" ) );
  }
  for ( auto& [id, client] : far_->clients() ) {
    note( "far: tunnel of run " + std::to_string( client.record->run ) + ": "
          + std::to_string( client.end->tunnel.sessions() ) + " sessions"
          + ( client.link != nullptr ? "" : ", no link" ) );
  }
}

void World::fail( const std::string& what )
{
  note( "FAILED: " + what );
  if ( not failure_ ) {
    failure_ = what;
  }
}

void World::note( const std::string& what )
{
  if ( trace_ ) {
    std::printf( "%12.3f ms  %s\n", milliseconds( stage_.now.time_since_epoch() ), what.c_str() );
  }
}

} // namespace holdfast::sim
