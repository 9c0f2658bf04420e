#include "sim/hosts.hh"

#include "core/bytes.hh"

#include <algorithm>
#include <utility>

namespace holdfast::sim {

using namespace test;

namespace {

constexpr std::size_t candidates_max = 8;
constexpr Duration candidate_patience = 10s;
constexpr Duration hello_patience = 3s; // for the one hello for a new tunnel that may be out
constexpr Duration stranger_patience = 5s;
constexpr Duration empty_patience = 60s; // far keeps a tunnel without link and sessions
constexpr Duration drain_patience = 2s;  // for what is under way on a link that was replaced
constexpr std::size_t early_most = 12000;
constexpr Duration bulk_patience = 3s; // with silence on a bulk link
constexpr Duration bulk_idle_max = 10s;

std::uint32_t first_window( const SessionLimits& limits )
{
  return static_cast<std::uint32_t>( std::min( limits.inflow.window_initial, limits.inflow.window_max ) );
}

// How the network cuts what arrives is not TCP's to promise: bytes come one by one, or all at once.
std::size_t some_cut( Chance& chance )
{
  switch ( chance.below( 4 ) ) {
    case 0: return 1;
    case 1: return chance.between( 1, 60 );
    default: return all_of_it;
  }
}

// Hands on the frames in what has arrived, for as long as the link may be read: what a frame does may change that.
template<class Receive>
void tell_frames( Stage& stage, Link::Place& place, Time local, Receive receive, const std::string& who )
{
  while ( const auto frame = place.open ? place.in->reader.next() : std::nullopt ) {
    if ( stage.trace and frame->header.type != FrameType::heartbeat ) {
      const FrameHeader& header = frame->header;
      stage.note( who + " " + std::string { name( header.type ) } + " of " + std::to_string( header.session ) + ": "
                  + std::to_string( header.length ) + " at " + std::to_string( header.sequence ) + ", acknowledges "
                  + std::to_string( header.acknowledgement ) + ", window " + std::to_string( header.window ) );
    }
    if ( frame->header.type == FrameType::heartbeat ) {
      place.pulse->heartbeat_heard( frame->header, local );
    } else {
      place.pulse->carried( local );
      receive( *frame );
    }
  }
}

// Reads what has arrived. `payloads_go`: what the frames pointed to goes with the next ones.
template<class Receive, class PayloadsGo>
void read_in( Stage& stage,
              Link::Place& place,
              Time local,
              Receive receive,
              PayloadsGo payloads_go,
              const std::string& who )
{
  constexpr int reads_max = 400; // of a turn
  for ( int i = 0; i < reads_max and place.open and not place.gone; ++i ) {
    const std::string bytes
      = place.in->arrived( stage.now, stage.network.weather.calm ? all_of_it : some_cut( stage.chance ) );
    if ( bytes.empty() ) {
      return;
    }
    place.pulse->heard( local );
    place.in->reader.feed( raw( bytes ) );
    tell_frames( stage, place, local, receive, who );
    payloads_go();
    if ( not place.open ) {
      return;
    }
    place.in->reader.done();
    if ( const auto fault = place.in->reader.fault() ) {
      stage.fail( who + ": " + std::string { describe( *fault ) } );
      return;
    }
    if ( place.in->reader.held() > FrameHeader::size + FrameHeader::payload_max ) {
      stage.fail( who + ": a reader holds more than a frame" );
    }
  }
}

Duration beat()
{
  return 100ms;
}

Time link_deadline( const Link::Place& place, Time local )
{
  return place.pulse->next_look( local, place.out->room() > 0 );
}

// What the two sides offer and agree to.
std::uint32_t capabilities( const Stage& stage )
{
  return stage.bulk != nullptr ? bulk_link_capability : 0;
}

Time to_world( Time local, Duration clock )
{
  return local == never ? never : local - clock;
}

} // namespace

Channel Stage::channel( const Link& link ) const
{
  Channel channel;
  if ( not clear ) {
    ByteWriter { channel.binding }.number( std::uint64_t { link.number } );
    ByteWriter { channel.identity }.number( std::uint64_t { link.near_host + 1 } );
  }
  return channel;
}

// -- near --------------------------------------------------------------------------------------------------------

Near::Near( Stage& stage, std::size_t index, HostConfig config, std::unique_ptr<TestMemory> memory )
  : stage_( stage )
  , index_( index )
  , config_( config )
  , memory_( std::move( memory ) )
  , record_( memory_->tunnels().take() )
{
  start();
  detached_since_ = local();
}

void Near::start()
{
  Id instance {};
  instance[0] = static_cast<std::byte>( stage_.clear ? config_.id : 0 ); // their keys are enough to tell them apart
  instance[1] = std::byte { 1 };
  claim_ = std::make_unique<Claim>( stage_.crypto,
                                    Claim::Config { .instance = instance,
                                                    .run = config_.run,
                                                    .beat = beat(),
                                                    .window = first_window( config_.limits ),
                                                    .capabilities = capabilities( stage_ ) },
                                    *record_ );
  end_ = std::make_unique<End>( Side::opener, *record_, *memory_, config_.limits );
  redial_ = Redial { {} };
  needed_ = false;
  need();
}

Program* Near::open()
{
  if ( link_ == nullptr and end_->tunnel.sessions() == 0 ) {
    detached_since_ = local();
  }
  return end_->open();
}

void Near::need()
{
  if ( not needed_ ) {
    needed_ = true;
    redial_.need( local() );
  }
}

void Near::drop( Link& link )
{
  stage_.network.close( link, link.near, stage_.now );
  std::erase( candidates_, &link );
}

void Near::drop_link()
{
  drop_bulk();
  if ( link_ != nullptr ) {
    detached_since_ = local() - link_->near.pulse->silence( local() );
    drop( *link_ );
    link_ = nullptr;
    end_->tunnel.detach();
  }
}

void Near::give_up_link()
{
  drop_link();
  need();
}

void Near::recover()
{
  stage_.note( "near " + std::to_string( index_ ) + " is killed" );
  for ( Link& link : stage_.network.links ) { // the kernel closes its sockets
    if ( link.near_host == index_ ) {
      stage_.network.close( link, link.near, stage_.now );
    }
  }
  link_ = bulk_ = joins_ = nullptr;
  candidates_.clear();
  drained_.clear();
  auto memory = std::make_unique<TestMemory>( *memory_, Side::opener );
  auto legs = std::move( end_->legs );
  end_.reset();
  memory_ = std::move( memory );
  if ( memory_->found.broken > 0 or memory_->found.ended > 0 or memory_->found.tunnels.size() != 1 ) {
    stage_.fail( "near left something that makes no sense: " + std::to_string( memory_->found.broken )
                 + " broken" );
    return;
  }
  record_ = memory_->found.tunnels.front();
  start();
  memory_->found = {}; // its slots will be other sessions' later
  end_->inherit( std::move( legs ) );
  if ( not claim_->has_tunnel() ) { // it died while the tunnel was being lost
    end_->tunnel.peer_lost( ResetReason::forgotten );
  }
}

void Near::say_goodbye()
{
  stage_.note( "near " + std::to_string( index_ ) + " says goodbye" );
  stage_.excuse( run(), "its cproxy was stopped" );
  for ( auto& [id, leg] : end_->legs ) {
    if ( leg.session != nullptr ) {
      leg.session->reset( ResetReason::stopped );
      end_->tunnel.touch( *leg.session );
    }
  }
  end_->turn( local() );
  if ( link_ != nullptr ) {
    append_frame( link_->up.rest, { .type = FrameType::goodbye }, std::array { std::byte { 7 } } );
    transmit( link_->near, stage_.batch, nullptr, local(), stage_.now, stage_.chance );
  }
}

void Near::leave()
{
  for ( Link& link : stage_.network.links ) {
    if ( link.near_host == index_ ) {
      stage_.network.close( link, link.near, stage_.now );
    }
  }
}

void Near::frame_arrived( Link& link, const Frame& frame )
{
  if ( frame.header.type == FrameType::welcome ) {
    const auto welcome = decode_welcome( frame.payload );
    if ( std::holds_alternative<Fault>( welcome ) ) {
      stage_.fail( "near does not understand the welcome" );
      return;
    }
    const bool joins = &link == joins_;
    joins ? joined( link, std::get<Welcome>( welcome ) ) : welcomed( link, std::get<Welcome>( welcome ) );
    return;
  }
  if ( &link == link_ ) {
    stage_.resumes += frame.header.type == FrameType::resume ? 1U : 0U;
    if ( const auto fault = end_->tunnel.receive( frame ) ) {
      stage_.fail( "near says of far: " + std::string { describe( *fault ) } );
    }
  } else if ( &link == bulk_ ) {
    bulk_used_ = local();
    stage_.bulk_bytes += frame.header.length;
    if ( const auto fault = end_->tunnel.receive_bulk( frame ) ) {
      stage_.fail( "near says of far, of bulk: " + std::string { describe( *fault ) } );
    }
  } else if ( std::ranges::find( drained_, &link ) != drained_.end() ) {
    ++stage_.late;
    if ( const auto fault = end_->tunnel.receive_late( frame ) ) {
      stage_.fail( "near says of far, late: " + std::string { describe( *fault ) } );
    }
  }
}

void Near::drain( Link& link )
{
  if ( stage_.chance.once_in( 3 ) ) {
    drop( link );
  } else {
    link.near.drained_until = local() + drain_patience;
    drained_.push_back( &link );
  }
}

void Near::drop_drained( bool all )
{
  for ( Link* const link : std::exchange( drained_, {} ) ) {
    if ( all or link->near.gone or not link->near.open or local() >= link->near.drained_until ) {
      drop( *link );
    } else {
      drained_.push_back( link );
    }
  }
}

void Near::welcomed( Link& link, const Welcome& welcome )
{
  switch ( claim_->answered( *link.hello, welcome, stage_.channel( link ).binding ) ) {
    case Claim::Outcome::made:
    case Claim::Outcome::resumed:
      redial_.found( local() );
      attach( link, welcome );
      return;
    case Claim::Outcome::obsolete: drop( link ); return;
    case Claim::Outcome::gone:
      drop( link );
      tunnel_lost( ResetReason::forgotten );
      return;
    case Claim::Outcome::later:
      drop( link );
      redial_.not_before( local() + std::max<Duration>( welcome.retry_after, 100ms ) );
      return;
    case Claim::Outcome::joined:
    case Claim::Outcome::refused:
    case Claim::Outcome::false_proof: stage_.fail( "near does not accept the welcome" ); return;
  }
}

void Near::attach( Link& link, const Welcome& welcome )
{
  link.near.pulse->peer_beats_every( welcome.beat );
  std::erase( candidates_, &link );
  for ( Link* const other : std::exchange( candidates_, {} ) ) {
    drop( *other );
  }
  drop_bulk();
  may_have_bulk_ = ( welcome.capabilities & bulk_link_capability ) != 0;
  if ( link_ != nullptr ) {
    drain( *link_ );
  }
  stage_.note( "near " + std::to_string( index_ ) + " takes link " + std::to_string( link.number ) );
  ++stage_.attached;
  link_ = &link;
  needed_ = false;
  end_->tunnel.attach( welcome.window, link.hello->attempt );
  detached_since_ = local();
}

void Near::tunnel_lost( ResetReason reason )
{
  claim_->forget();
  end_->tunnel.peer_lost( reason );
  drop_drained( true );
  drop_link();
  need();
}

void Near::look_after_link( Duration late )
{
  if ( link_ == nullptr ) {
    need();
    return;
  }
  if ( const auto reason = end_->tunnel.goodbye() ) {
    tunnel_lost( *reason );
    return;
  }
  Pulse& pulse = *link_->near.pulse;
  pulse.excuse( late, local() );
  if ( pulse.suspicious( local() ) ) {
    pulse.seen( link_->down.last_sight( stage_.now ) + config_.clock );
  }
  if ( link_->near.gone or pulse.hopeless( local() ) ) {
    stage_.note( "near " + std::to_string( index_ ) + " has lost link " + std::to_string( link_->number ) );
    drop_link();
    need();
  } else if ( pulse.suspicious( local() ) ) {
    if ( stage_.trace and not needed_ ) {
      stage_.note( "near " + std::to_string( index_ ) + " has heard nothing for "
                   + std::to_string( pulse.silence( local() ) / 1ms ) + " ms" );
    }
    need();
  } else if ( needed_ ) {
    needed_ = false;
    for ( Link* const link : std::exchange( candidates_, {} ) ) {
      if ( link->hello ) {
        candidates_.push_back( link );
      } else {
        drop( *link );
      }
    }
  }
}

Time Near::until( const Link& link ) const
{
  const bool one_of_its_kind = link.hello and link.hello->purpose == Purpose::new_tunnel;
  return link.near.born + ( one_of_its_kind ? hello_patience : candidate_patience );
}

void Near::look_after_candidates()
{
  const auto all = candidates_;
  for ( Link* const link : all ) {
    if ( link->near.gone or local() >= until( *link ) ) {
      drop( *link );
      continue;
    }
    if ( stage_.now < link->connected ) {
      continue;
    }
    const bool must_wait = not claim_->has_tunnel() and std::ranges::any_of( candidates_, []( const Link* other ) {
      return other->hello and other->hello->purpose == Purpose::new_tunnel;
    } );
    if ( not link->hello and not must_wait ) {
      link->hello = claim_->hello( stage_.channel( *link ).binding );
      link->near.pulse->heard( local() );
      append_frame( link->up.rest, { .type = FrameType::hello }, encode( *link->hello ) );
      if ( link->hello->purpose == Purpose::resume and not stage_.chance.once_in( 4 ) ) {
        ++stage_.early;
        end_->tunnel.speak_early(
          link->up.rest, early_most, link->hello->attempt, stage_.chance.once_in( 2 ), local(), 0ms );
      }
    }
    if ( link->hello ) {
      transmit( link->near, stage_.batch, nullptr, local(), stage_.now, stage_.chance );
    }
  }
  if ( std::exchange( beside_, false ) or ( needed_ and redial_.next() <= local() ) ) {
    redial_.dialled( local(), stage_.chance.below( 1000 ) );
    if ( candidates_.size() >= candidates_max ) {
      drop( *candidates_.front() );
    }
    Link& link = stage_.network.dial( index_, stage_.now );
    link.near.born = local();
    link.near.pulse.emplace( Pulse::Config { .beat = beat() }, local() );
    candidates_.push_back( &link );
  }
}

// -- near's bulk link

void Near::look_after_join()
{
  const bool whim = stage_.bulk != nullptr and not stage_.network.weather.calm and stage_.bulk->once_in( 6 );
  if ( joins_ == nullptr and bulk_ == nullptr and link_ != nullptr and may_have_bulk_
       and ( whim or end_->tunnel.wants_bulk_link( local() ) ) ) {
    joins_ = &stage_.network.dial( index_, stage_.now );
    joins_->near.born = local();
    joins_->near.pulse.emplace( Pulse::Config { .beat = beat() }, local() );
  }
  if ( joins_ == nullptr ) {
    return;
  }
  if ( joins_->near.gone or local() >= until( *joins_ ) or not claim_->has_tunnel() ) {
    drop( *std::exchange( joins_, nullptr ) );
  } else if ( stage_.now >= joins_->connected ) {
    if ( not joins_->hello ) {
      joins_->hello = claim_->join( stage_.channel( *joins_ ).binding );
      joins_->near.pulse->heard( local() );
      append_frame( joins_->up.rest, { .type = FrameType::hello }, encode( *joins_->hello ) );
    }
    transmit( joins_->near, stage_.batch, nullptr, local(), stage_.now, stage_.chance );
  }
}

void Near::joined( Link& link, const Welcome& welcome )
{
  joins_ = nullptr;
  const auto outcome = claim_->answered( *link.hello, welcome, stage_.channel( link ).binding );
  if ( outcome == Claim::Outcome::false_proof ) {
    stage_.fail( "near does not accept the welcome of a bulk link" );
  }
  if ( outcome != Claim::Outcome::joined or link_ == nullptr ) {
    drop( link );
    return;
  }
  stage_.note( "near " + std::to_string( index_ ) + " takes bulk link " + std::to_string( link.number ) );
  ++stage_.joined;
  drop_bulk();
  bulk_ = &link;
  bulk_used_ = local();
  link.near.pulse->peer_beats_every( welcome.beat );
  end_->tunnel.attach_bulk();
}

void Near::drop_bulk()
{
  if ( bulk_ != nullptr ) {
    stage_.note( "near " + std::to_string( index_ ) + " leaves bulk link " + std::to_string( bulk_->number ) );
    drop( *std::exchange( bulk_, nullptr ) );
    end_->tunnel.detach_bulk();
  }
}

void Near::look_after_bulk( Duration late )
{
  look_after_join();
  if ( bulk_ == nullptr ) {
    return;
  }
  Pulse& pulse = *bulk_->near.pulse;
  pulse.excuse( late, local() );
  if ( bulk_->near.gone or pulse.silence( local() ) >= bulk_patience or local() - bulk_used_ >= bulk_idle_max ) {
    drop_bulk();
  }
}

// -- near's turn

void Near::turn( Duration late )
{
  for ( Link& link : stage_.network.links ) {
    if ( link.near_host == index_ and link.near.open ) {
      read_in(
        stage_,
        link.near,
        local(),
        [&]( const Frame& frame ) { frame_arrived( link, frame ); },
        [&] { end_->deliver_fresh( local() ); },
        "near reads" );
      link.near.gone = link.near.gone or stage_.now >= link.near.told;
    }
  }
  drop_drained( false );
  look_after_link( late );
  look_after_candidates();
  look_after_bulk( late );
  end_->turn( local() );
  if ( bulk_ != nullptr ) {
    bulk_used_ = end_->tunnel.bulk().wants_to_transmit() ? local() : bulk_used_;
    transmit( bulk_->near, stage_.batch, &end_->tunnel.bulk(), local(), stage_.now, stage_.chance );
  }
  if ( link_ != nullptr ) {
    transmit( link_->near, stage_.batch, &end_->tunnel, local(), stage_.now, stage_.chance );
  }
  if ( local() >= expiry() ) {
    stage_.excuse( run(), "its cproxy gave up" );
    for ( auto& [id, leg] : end_->legs ) {
      if ( leg.session != nullptr ) {
        end_->reset( id, ResetReason::expired );
      }
    }
    tunnel_lost( ResetReason::expired );
  }
}

Time Near::expiry() const
{
  return link_ == nullptr and end_->tunnel.sessions() > 0 ? detached_since_ + config_.keep : never;
}

Time Near::deadline() const
{
  Tunnel& tunnel = end_->tunnel;
  if ( ( bulk_ != nullptr and tunnel.bulk().wants_to_transmit() and bulk_->up.room() > 0 ) or tunnel.has_touched()
       or ( link_ != nullptr and tunnel.wants_to_transmit() and link_->up.room() > 0 ) ) {
    return stage_.now;
  }
  Time deadline = std::min( tunnel.deadline(), expiry() );
  if ( link_ != nullptr ) {
    deadline = std::min( deadline, link_deadline( link_->near, local() ) );
  }
  if ( bulk_ != nullptr ) {
    deadline = std::min( { deadline, link_deadline( bulk_->near, local() ), bulk_used_ + bulk_idle_max } );
  }
  if ( joins_ != nullptr ) {
    deadline = std::min( deadline, until( *joins_ ) );
    if ( not joins_->hello and joins_->connected != never and joins_->connected > stage_.now ) {
      deadline = std::min( deadline, joins_->connected + config_.clock );
    }
  }
  if ( needed_ ) {
    deadline = std::min( deadline, redial_.next() );
  }
  for ( const Link* const link : drained_ ) {
    deadline = std::min( deadline, link->near.drained_until );
  }
  for ( const Link* const link : candidates_ ) {
    deadline = std::min( deadline, until( *link ) );
    if ( not link->hello and link->connected != never and link->connected > stage_.now ) {
      deadline = std::min( deadline, link->connected + config_.clock );
    }
  }
  return to_world( deadline, config_.clock );
}

// -- far ---------------------------------------------------------------------------------------------------------

Far::Far( Stage& stage, HostConfig config, std::unique_ptr<TestMemory> memory )
  : stage_( stage ), config_( config ), memory_( std::move( memory ) )
{
  make_admission();
}

void Far::make_admission()
{
  admission_ = std::make_unique<Admission>( stage_.crypto,
                                            Admission::Config { .beat = beat(),
                                                                .window = first_window( config_.limits ),
                                                                .retry_after = 100ms,
                                                                .capabilities = capabilities( stage_ ) },
                                            memory_->tunnels() );
}

Far::Client* Far::client( std::uint64_t run )
{
  for ( auto& [id, client] : clients_ ) {
    if ( client.record->run == run ) {
      return &client;
    }
  }
  return nullptr;
}

Far::Client* Far::carried_by( const Link& link )
{
  for ( auto& [id, client] : clients_ ) {
    if ( client.link == &link ) {
      return &client;
    }
  }
  return nullptr;
}

Far::Client* Far::drained_by( const Link& link )
{
  for ( auto& [id, client] : clients_ ) {
    if ( std::ranges::find( client.drained, &link ) != client.drained.end() ) {
      return &client;
    }
  }
  return nullptr;
}

Far::Client* Far::bulk_of( const Link& link )
{
  for ( auto& [id, client] : clients_ ) {
    if ( client.bulk == &link ) {
      return &client;
    }
  }
  return nullptr;
}

void Far::drop_drained( Client& client, bool all )
{
  for ( Link* const link : std::exchange( client.drained, {} ) ) {
    if ( all or link->far.gone or not link->far.open or local() >= link->far.drained_until ) {
      drop( *link );
    } else {
      client.drained.push_back( link );
    }
  }
}

void Far::drop( Link& link )
{
  stage_.network.close( link, link.far, stage_.now );
}

void Far::drop_bulk( Client& client )
{
  if ( client.bulk != nullptr ) {
    stage_.note( "far leaves bulk link " + std::to_string( client.bulk->number ) );
    drop( *std::exchange( client.bulk, nullptr ) );
    client.end->tunnel.detach_bulk();
  }
}

void Far::drop_link( Client& client )
{
  drop_bulk( client );
  if ( client.link != nullptr ) {
    client.detached_since = local() - client.link->far.pulse->silence( local() );
    drop( *client.link );
    client.link = nullptr;
    client.end->tunnel.detach();
  }
}

void Far::recover()
{
  stage_.note( "far is killed" );
  for ( Link& link : stage_.network.links ) {
    if ( link.far.pulse ) {
      drop( link );
    }
  }
  auto memory = std::make_unique<TestMemory>( *memory_, Side::acceptor );
  std::map<Id, Client> before = std::exchange( clients_, {} );
  admission_.reset();
  std::map<Id, std::map<SessionId, End::Leg>> legs;
  for ( auto& [id, client] : before ) {
    legs[id] = std::move( client.end->legs );
    client.end.reset();
  }
  memory_ = std::move( memory );
  make_admission();
  if ( memory_->found.broken > 0 or memory_->found.ended > 0 or memory_->found.tunnels.size() != before.size() ) {
    stage_.fail( "far left something that makes no sense: " + std::to_string( memory_->found.broken ) + " broken, "
                 + std::to_string( memory_->found.ended ) + " ended, "
                 + std::to_string( memory_->found.tunnels.size() ) + " of " + std::to_string( before.size() )
                 + " tunnels" );
    return;
  }
  for ( TunnelRecord* const record : memory_->found.tunnels ) {
    Client& client = clients_[record->id];
    client.record = record;
    client.end = make_end( *record );
    client.end->inherit( std::move( legs[record->id] ) );
    client.end->connects = false;
    client.detached_since = local();
  }
  memory_->found = {}; // its slots will be other sessions' later
}

void Far::leave()
{
  for ( Link& link : stage_.network.links ) {
    if ( link.far.pulse ) {
      drop( link );
    }
  }
}

void Far::frame_arrived( Link& link, const Frame& frame )
{
  if ( frame.header.type == FrameType::hello ) {
    const auto hello = decode_hello( frame.payload );
    if ( std::holds_alternative<Fault>( hello ) ) {
      stage_.fail( "far does not understand the hello" );
      return;
    }
    answer( link, std::get<Hello>( hello ) );
    return;
  }
  if ( Client* const client = bulk_of( link ) ) {
    stage_.bulk_bytes += frame.header.length;
    if ( const auto fault = client->end->tunnel.receive_bulk( frame ) ) {
      stage_.fail( "far says of near, of bulk: " + std::string { describe( *fault ) } );
    }
    return;
  }
  Client* const client = carried_by( link );
  if ( client == nullptr ) {
    if ( Client* const earlier = drained_by( link ) ) {
      ++stage_.late;
      if ( const auto fault = earlier->end->tunnel.receive_late( frame ) ) {
        stage_.fail( "far says of near, late: " + std::string { describe( *fault ) } );
      }
    }
    return; // or said before it had read our no
  }
  if ( ( frame.header.flags & FrameHeader::early ) == 0 ) {
    Admission::confirm( *client->record );
  }
  stage_.resumes += frame.header.type == FrameType::resume ? 1U : 0U;
  if ( const auto fault = client->end->tunnel.receive( frame ) ) {
    stage_.fail( "far says of near: " + std::string { describe( *fault ) } );
  }
}

std::unique_ptr<End> Far::make_end( TunnelRecord& record )
{
  Quotas* const quotas
    = config_.quota == 0 ? nullptr : &quotas_.try_emplace( record.identity, config_.quota ).first->second;
  return std::make_unique<End>( Side::acceptor, record, *memory_, config_.limits, quotas );
}

void Far::answer( Link& link, const Hello& hello )
{
  const Channel channel = stage_.channel( link );
  const bool earlier_is_heard = std::ranges::any_of( clients_, [&]( const auto& entry ) {
    const Client& client = entry.second;
    return client.record->identity == channel.identity and client.record->instance == hello.instance
           and ( client.link != nullptr or local() - client.detached_since < 30s );
  } );
  const Duration wait = stage_.chance.once_in( 30 ) ? 50ms : 0ms; // too many clients come back at once
  const auto decision = admission_->decide( hello, channel, true, earlier_is_heard, wait );
  append_frame( link.down.rest, { .type = FrameType::welcome }, encode( decision.welcome ) );
  if ( decision.superseded ) {
    end_client( *decision.superseded, ResetReason::superseded );
  }
  const Answer said = decision.welcome.answer;
  if ( said == Answer::joined ) {
    join( link, hello, clients_.at( decision.welcome.tunnel ) );
    return;
  }
  if ( said != Answer::made and said != Answer::resumed ) {
    stage_.overtaken += said == Answer::overtaken ? 1U : 0U;
    link.answered = true;
    return;
  }
  Client& client = clients_[decision.welcome.tunnel];
  if ( not client.end ) {
    client.record = decision.record;
    client.end = make_end( *decision.record );
    client.end->connects = false;
  }
  if ( client.link != nullptr ) {
    if ( stage_.chance.once_in( 3 ) ) {
      drop( *client.link );
    } else {
      client.link->far.drained_until = local() + drain_patience;
      client.drained.push_back( client.link );
    }
  }
  drop_bulk( client );
  stage_.note( "far takes link " + std::to_string( link.number ) );
  ++stage_.welcomed;
  client.link = &link;
  link.far.pulse->peer_beats_every( hello.beat );
  client.end->tunnel.attach( hello.window );
  client.detached_since = local();
}

// It goes in the next turn if the other one is lost meanwhile.
void Far::join( Link& link, const Hello& hello, Client& client )
{
  drop_bulk( client );
  stage_.note( "far takes bulk link " + std::to_string( link.number ) );
  client.bulk = &link;
  link.far.pulse->peer_beats_every( hello.beat );
  client.end->tunnel.attach_bulk();
}

void Far::look_after_bulk( Client& client, Duration late )
{
  if ( client.bulk == nullptr ) {
    return;
  }
  Pulse& pulse = *client.bulk->far.pulse;
  pulse.excuse( late, local() );
  if ( client.link == nullptr or client.bulk->far.gone or pulse.silence( local() ) >= bulk_patience ) {
    drop_bulk( client );
  }
}

void Far::end_client( const Id& id, ResetReason reason )
{
  const auto found = clients_.find( id );
  if ( found == clients_.end() ) {
    return;
  }
  stage_.note( "far ends a tunnel: " + std::string { describe( reason ) } );
  Client& client = found->second;
  drop_drained( client, true );
  drop_link( client );
  admission_->forget( id );
  over( client );
  TunnelRecord* const record = client.record;
  clients_.erase( found ); // its sessions go first: their records name the tunnel's
  memory_->tunnels().give( record );
}

void Far::turn( Duration late )
{
  for ( Link& link : stage_.network.links ) {
    if ( stage_.now < link.connected or not link.far.open ) {
      continue;
    }
    if ( not link.far.pulse ) { // it is accepted
      link.far.born = local();
      link.far.pulse.emplace( Pulse::Config { .beat = beat() }, local() );
    }
    read_in(
      stage_,
      link.far,
      local(),
      [&]( const Frame& frame ) { frame_arrived( link, frame ); },
      [&] {
        for ( Client* const client : { carried_by( link ), bulk_of( link ) } ) {
          if ( client != nullptr ) {
            client->end->deliver_fresh( local() );
          }
        }
      },
      "far reads" );
    link.far.gone = link.far.gone or stage_.now >= link.far.told;
    if ( carried_by( link ) != nullptr or drained_by( link ) != nullptr or bulk_of( link ) != nullptr ) {
      continue;
    }
    if ( link.answered ) {
      transmit( link.far, stage_.batch, nullptr, local(), stage_.now, stage_.chance );
    }
    if ( link.far.gone or local() - link.far.born >= stranger_patience ) {
      drop( link );
    }
  }
  std::vector<std::pair<Id, ResetReason>> ends;
  for ( auto& [id, client] : clients_ ) {
    drop_drained( client, false );
    if ( const auto reason = client.end->tunnel.goodbye() ) {
      ends.emplace_back( id, *reason );
      continue;
    }
    if ( client.link != nullptr ) {
      client.link->far.pulse->excuse( late, local() );
      if ( client.link->far.gone or client.link->far.pulse->hopeless( local() ) ) {
        stage_.note( "far has lost link " + std::to_string( client.link->number ) );
        drop_link( client );
      }
    }
    look_after_bulk( client, late );
    client.end->turn( local() );
    if ( client.bulk != nullptr ) {
      transmit( client.bulk->far, stage_.batch, &client.end->tunnel.bulk(), local(), stage_.now, stage_.chance );
    }
    if ( client.link != nullptr ) {
      transmit( client.link->far, stage_.batch, &client.end->tunnel, local(), stage_.now, stage_.chance );
      continue;
    }
    const Duration away = local() - client.detached_since;
    if ( away >= config_.keep or ( client.end->tunnel.sessions() == 0 and away >= empty_patience ) ) {
      ends.emplace_back( id, ResetReason::expired );
    }
  }
  for ( const auto& [id, reason] : ends ) {
    if ( reason == ResetReason::expired ) { // near may have named sessions that far has never heard of
      stage_.excuse( clients_.at( id ).record->run, "its sproxy gave up" );
    }
    end_client( id, reason );
  }
}

Time Far::deadline() const
{
  Time deadline = never;
  for ( const auto& [id, client] : clients_ ) {
    Tunnel& tunnel = client.end->tunnel;
    if ( tunnel.has_touched()
         or ( client.bulk != nullptr and tunnel.bulk().wants_to_transmit() and client.bulk->down.room() > 0 )
         or ( client.link != nullptr and tunnel.wants_to_transmit() and client.link->down.room() > 0 ) ) {
      return stage_.now;
    }
    deadline = std::min( deadline, tunnel.deadline() );
    if ( client.bulk != nullptr ) {
      deadline = std::min( deadline, link_deadline( client.bulk->far, local() ) );
    }
    if ( client.link != nullptr ) {
      deadline = std::min( deadline, link_deadline( client.link->far, local() ) );
    } else {
      const Duration patience = tunnel.sessions() == 0 ? std::min( empty_patience, config_.keep ) : config_.keep;
      deadline = std::min( deadline, client.detached_since + patience );
    }
  }
  for ( const Link& link : stage_.network.links ) {
    if ( link.far.open and link.far.pulse and std::ranges::none_of( clients_, [&]( const auto& entry ) {
           return entry.second.link == &link or entry.second.bulk == &link;
         } ) ) {
      const bool is_drained = link.far.drained_until != never;
      deadline = std::min( deadline, is_drained ? link.far.drained_until : link.far.born + stranger_patience );
    }
  }
  return to_world( deadline, config_.clock );
}

} // namespace holdfast::sim
