#include "proxy/cproxy.hh"

#include "net/error.hh"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace holdfast {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t scratch_size = 262144; // bytes read from a link at once
constexpr std::size_t candidates_max = 8;    // dials under way: two seconds' worth; the oldest is given up first
constexpr Duration candidate_patience = 10s; // from dial to welcome
constexpr Duration hello_patience = 3s; // for the answer to a hello for a new tunnel, of which only one may be out
constexpr Duration refused_pause = 10s; // before asking again an sproxy that refuses us
constexpr Duration farewell_patience = 1s; // for the last words when we are stopped

constexpr Digest no_binding {}; // links are in the clear: nothing but the two nonces is common to their ends

std::uint64_t number_from( const Crypto& crypto )
{
  std::uint64_t number = 0;
  crypto.random( std::as_writable_bytes( std::span { &number, 1 } ) );
  return number;
}

std::string in_ms( Duration duration )
{
  return fmt::format( "{} ms", std::chrono::duration_cast<std::chrono::milliseconds>( duration ).count() );
}

} // namespace

Cproxy::Cproxy( Loop& loop, const CproxyConfig& config, const Crypto& crypto, Log& log )
  : loop_( loop )
  , config_( config )
  , crypto_( crypto )
  , log_( log )
  , arena_( config.memory )
  , scratch_( scratch_size )
  , claim_( crypto,
            { .instance = config.instance,
              .run = number_from( crypto ),
              .beat = config.pulse.beat,
              .window = config.first_window() } )
  , end_( loop, batch_, Side::opener, arena_.memory(), config.session_limits(), log, {} )
  , resolver_( loop )
  , listener_(
      loop,
      listen_for( config.bind, config.port ),
      [this]( Fd socket, const Address& peer ) { app_arrived( std::move( socket ), peer ); },
      [this]( int error ) { log_.warn( "cannot accept connections for a moment: {}", error_text( error ) ); } )
{
  log_.info( "listening on {}, sproxy {}:{}", listener_.address().text(), config.sproxy.host, config.sproxy.port );
  need_link( loop.now() );
}

Cproxy::~Cproxy() = default;

// -- apps
// ------------------------------------------------------------------------------------------------------------

void Cproxy::app_arrived( Fd socket, const Address& peer )
{
  Session* const session = end_.tunnel().open();
  if ( session == nullptr ) {
    log_.warn( "connection from {}: refused: there are {} sessions already (--max-sessions)",
               peer.text(),
               config_.memory.sessions );
    close_with_reset( socket );
    return;
  }
  end_.add_leg( *session, std::move( socket ), peer.text() );
  log_.debug( "{}: opened{}", end_.name( *session ), end_.link() ? "" : ", waits for a link" );
}

// -- links
// -----------------------------------------------------------------------------------------------------------

void Cproxy::frame_arrived( LinkLeg& link, const Frame& frame )
{
  if ( end_.link() == &link ) {
    if ( const auto fault = end_.tunnel().receive( frame ) ) {
      link.drop( std::string { describe( *fault ) } );
    }
    return;
  }
  const auto candidate
    = std::ranges::find_if( candidates_, [&]( const Candidate& each ) { return each.link.get() == &link; } );
  if ( candidate == candidates_.end() ) {
    return;
  }
  if ( candidate->proved ) { // it is attached as soon as this turn's events have been heard
    attach( *candidate, loop_.now() );
    frame_arrived( link, frame );
    return;
  }
  const auto decoded = decode_welcome( frame.payload );
  if ( const auto* fault = std::get_if<Fault>( &decoded ) ) {
    link.drop( std::string { describe( *fault ) } );
  } else if ( not candidate->hello ) {
    link.drop( std::string { describe( Fault::out_of_order ) } ); // it answers what nobody asked
  } else {
    welcomed( *candidate, std::get<Welcome>( decoded ) );
  }
}

void Cproxy::welcomed( Candidate& candidate, const Welcome& welcome )
{
  LinkLeg& link = *candidate.link;
  link.pulse().peer_beats_every( welcome.beat );
  candidate.window = welcome.window;
  switch ( claim_.answered( *candidate.hello, welcome, no_binding ) ) {
    case Claim::Outcome::made:
    case Claim::Outcome::resumed: candidate.proved = true; return;
    case Claim::Outcome::obsolete: link.drop( "a later link was faster" ); return;
    case Claim::Outcome::gone:
      link.drop( "sproxy does not know our tunnel any more" );
      tunnel_lost( ResetReason::forgotten, loop_.now() );
      return;
    case Claim::Outcome::later:
      link.drop( "sproxy is busy and asks to try again later" );
      redial_.not_before( loop_.now() + std::clamp<Duration>( welcome.retry_after, 100ms, 60s ) );
      return;
    case Claim::Outcome::refused:
      link.drop( fmt::format(
        "sproxy refuses us: it speaks protocol version {}, we speak {}", welcome.version, protocol_version ) );
      redial_.not_before( loop_.now() + refused_pause );
      return;
    case Claim::Outcome::false_proof:
      link.drop( "it is not the sproxy that made our tunnel; somebody else answers at its address" );
      return;
  }
}

void Cproxy::attach( Candidate& candidate, Time now )
{
  const std::string local = candidate.link->local().text();
  const bool resumed = candidate.hello->purpose == Purpose::resume;
  if ( resumed ) {
    log_.info( "moved: link from {} to {} after {}, {} go on",
               local,
               candidate.link->peer().text(),
               in_ms( now - needed_since_ ),
               end_.how_many_sessions() );
  } else {
    log_.info( "connected: link from {} to {}", local, candidate.link->peer().text() );
  }
  const std::size_t window = candidate.window;
  end_.attach( std::move( candidate.link ), window, now );
  candidates_.clear(); // the one moved from, and all that came too late
  needed_ = false;
  last_complaint_.clear();
}

void Cproxy::tunnel_lost( ResetReason reason, Time now )
{
  claim_.forget();
  end_.lost( reason );
  end_.drop_link( now );
  need_link( now );
}

void Cproxy::look_after_link( Time now )
{
  LinkLeg* const link = end_.link();
  if ( link == nullptr ) {
    need_link( now );
    return;
  }
  if ( const auto reason = end_.tunnel().goodbye() ) {
    log_.warn( "sproxy said goodbye: {}", describe( *reason ) );
    tunnel_lost( *reason, now );
    return;
  }
  link->pulse().excuse( loop_.late(), now );
  if ( not link->ended() and link->pulse().hopeless( now ) ) {
    link->drop( "silent for too long" );
  }
  if ( link->ended() ) {
    log_.info( "link to {} lost: {}", link->peer().text(), *link->ended() );
    end_.drop_link( now );
    need_link( now );
  } else if ( link->pulse().suspicious( now ) ) {
    if ( not needed_ ) {
      log_.info( "nothing heard from {} for {}: dialling beside it",
                 link->peer().text(),
                 in_ms( link->pulse().silence( now ) ) );
    }
    need_link( now );
  } else if ( needed_ ) { // it speaks again, and nobody has taken its place
    log_.info( "heard from {} again", link->peer().text() );
    needed_ = false;
    // Those that have said hello may have taken over on the other side already: they go on.
    std::erase_if( candidates_, []( const Candidate& candidate ) { return not candidate.hello; } );
  }
}

void Cproxy::need_link( Time now )
{
  if ( not needed_ ) {
    needed_ = true;
    needed_since_ = now;
    redial_.need( now );
  }
}

bool Cproxy::hello_for_new_tunnel_under_way() const
{
  return std::ranges::any_of( candidates_, []( const Candidate& candidate ) {
    return candidate.hello and candidate.hello->purpose == Purpose::new_tunnel and not candidate.link->ended();
  } );
}

void Cproxy::say_hello( Candidate& candidate )
{
  candidate.hello = claim_.hello( no_binding );
  FrameHeader header;
  header.type = FrameType::hello;
  candidate.link->say( header, encode( *candidate.hello ) );
}

void Cproxy::attach_proved( Time now )
{
  const auto proved = std::ranges::find_if(
    candidates_, []( const Candidate& candidate ) { return candidate.proved and not candidate.link->ended(); } );
  if ( proved != candidates_.end() ) {
    attach( *proved, now );
  }
}

void Cproxy::look_after_candidates( Time now )
{
  for ( Candidate& candidate : candidates_ ) {
    LinkLeg& link = *candidate.link;
    const bool new_one = candidate.hello and candidate.hello->purpose == Purpose::new_tunnel;
    if ( new_one and now - link.born() >= hello_patience ) {
      link.drop( "no answer to our greeting" );
    } else if ( now - link.born() >= candidate_patience ) {
      link.drop( error_text( ETIMEDOUT ) );
    }
    if ( link.ended() or not link.connected() ) {
      continue;
    }
    if ( not candidate.hello and ( claim_.has_tunnel() or not hello_for_new_tunnel_under_way() ) ) {
      say_hello( candidate );
    }
    if ( candidate.hello ) {
      link.transmit( batch_, nullptr, now );
    }
  }
  for ( const Candidate& candidate : candidates_ ) {
    if ( candidate.link->ended() ) {
      complain( fmt::format( "{}: {}", candidate.address.text(), *candidate.link->ended() ) );
    }
  }
  std::erase_if( candidates_, []( const Candidate& candidate ) { return candidate.link->ended().has_value(); } );
}

void Cproxy::complain( const std::string& problem )
{
  if ( problem != last_complaint_ ) {
    log_.warn( "cannot reach sproxy yet, trying on: {}", problem );
    last_complaint_ = problem;
  }
}

// -- dialling
// --------------------------------------------------------------------------------------------------------

void Cproxy::resolve()
{
  if ( resolver_.busy() ) {
    return;
  }
  resolver_.lookup(
    config_.sproxy.host, config_.sproxy.port, [this]( std::vector<Address> addresses, std::string problem ) {
      if ( addresses.empty() ) {
        complain( fmt::format( "cannot resolve {}: {}", config_.sproxy.host, problem ) );
        return;
      }
      if ( addresses_.empty() ) {
        redial_.need( loop_.now() ); // the dials so far had nowhere to go
      }
      addresses_ = std::move( addresses );
    } );
}

void Cproxy::dial( Time now )
{
  resolve(); // names may mean something else since we moved; until the answer is there, the old one is tried
  redial_.dialled( now, random_number() );
  if ( addresses_.empty() ) {
    return;
  }
  const Address& address = addresses_[next_address_++ % addresses_.size()];
  Connecting connecting = connect_to( address );
  if ( not connecting.fd ) {
    complain( fmt::format( "{}: {}", address.text(), error_text( connecting.error ) ) );
    return;
  }
  if ( candidates_.size() >= candidates_max ) {
    candidates_.erase( candidates_.begin() );
  }
  candidates_.push_back(
    { .link = std::make_unique<LinkLeg>(
        loop_, *this, std::move( connecting.fd ), true, FrameType::welcome, config_.pulse, scratch_ ),
      .address = address,
      .hello = std::nullopt } );
}

std::uint64_t Cproxy::random_number() const
{
  return number_from( crypto_ );
}

// -- a turn
// ----------------------------------------------------------------------------------------------------------

void Cproxy::turn()
{
  const Time now = loop_.now();
  listener_.tick( now );
  if ( stop_by_ == never ) {
    attach_proved( now );
    look_after_link( now );
    look_after_candidates( now );
    resolver_.tick( now );
    if ( needed_ and redial_.next() <= now ) {
      dial( now );
    }
  }
  end_.turn( now );
  if ( end_.link() == nullptr and end_.tunnel().sessions() > 0 and now - end_.detached_since() >= config_.keep ) {
    log_.warn( "no link for too long (--keep), {} end", end_.how_many_sessions() );
    end_.reset_all( ResetReason::expired );
    tunnel_lost( ResetReason::expired, now );
  }
  arena_.cool();
}

Time Cproxy::deadline() const
{
  Time deadline = std::min( { listener_.deadline(), stop_by_, end_.deadline(), resolver_.deadline() } );
  if ( needed_ ) {
    deadline = std::min( deadline, redial_.next() );
  }
  for ( const Candidate& candidate : candidates_ ) {
    const bool new_one = candidate.hello and candidate.hello->purpose == Purpose::new_tunnel;
    if ( candidate.link->ended() ) {
      return loop_.now();
    }
    deadline = std::min( deadline, candidate.link->born() + ( new_one ? hello_patience : candidate_patience ) );
  }
  if ( end_.link() == nullptr and end_.tunnel().sessions() > 0 ) {
    deadline = std::min( deadline, end_.detached_since() + config_.keep );
  }
  return deadline;
}

// -- the end
// ---------------------------------------------------------------------------------------------------------

void Cproxy::stop()
{
  log_.info( "stopping" );
  listener_.close();
  candidates_.clear();
  end_.say_goodbye( ResetReason::stopped, loop_.now() );
  stop_by_ = loop_.now() + farewell_patience;
}

bool Cproxy::stopped() const
{
  return stop_by_ != never and ( end_.link() == nullptr or end_.link()->flushed() or loop_.now() >= stop_by_ );
}

} // namespace holdfast
