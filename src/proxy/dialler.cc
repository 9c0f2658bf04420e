#include "proxy/dialler.hh"

#include "net/error.hh"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace holdfast {

namespace {

using namespace std::chrono_literals;

// Bytes behind a hello: with it they fit into the first flight (TlsHandshake::early_most).
constexpr std::size_t early_max = 12000;
constexpr std::size_t complaints_max = 100; // different ones that are remembered
constexpr Duration short_life
  = 5min; // a tunnel that is gone before that did not end by chance, when it happens again
constexpr Duration quarrel_pause = 1s;      // before asking again when another one like us has a tunnel
constexpr Duration quarrel_pause_max = 60s; // between new tunnels then; less than short_life
constexpr Duration refused_pause = 10s;     // before asking again an sproxy that refuses us
constexpr Duration later_min = 100ms;       // bounds of what an sproxy may ask us to wait
constexpr Duration later_max = 60s;

std::string reason_of( const Welcome& refused )
{
  switch ( refused.reason ) {
    case Refusal::version: break;
    case Refusal::place:
      return "our tunnel may not be used from this address (its --roam); it waits for our return";
    case Refusal::tunnels: return "it has as many tunnels with our key as it may have (its --client-tunnels)";
    case Refusal::none: return "it does not say why";
  }
  return fmt::format( "it speaks version {} of the protocol, we speak {}", refused.version, protocol_version );
}

} // namespace

Dialler::Dialler( Loop& loop,
                  FrameBatch& batch,
                  std::span<std::byte> scratch,
                  const Crypto& crypto,
                  Log& log,
                  Config config,
                  TunnelRecord& record,
                  Events events )
  : loop_( loop )
  , batch_( batch )
  , crypto_( crypto )
  , log_( log )
  , events_( std::move( events ) )
  , claim_( crypto, config.claim, record )
  , candidates_( loop,
                 *this,
                 scratch,
                 std::move( config.dials ),
                 { .resolved = [this]( bool first ) { resolved( first ); },
                   .failed = [this]( const std::string& problem ) { complain( problem ); } } )
{}

void Dialler::need( Time now )
{
  if ( not needed_ ) {
    needed_ = true;
    needed_since_ = now;
    redial_.need( now );
    candidates_.begin_round();
    static_cast<void>( candidates_.ways_changed() ); // from now on it counts what changes
  }
}

void Dialler::need_no_more()
{
  needed_ = false;
  candidates_.remove_if(
    []( const Candidate& candidate ) { return not candidate.hello and not candidate.beside; } );
}

void Dialler::network_changed( Time now )
{
  candidates_.remove_if( []( const Candidate& candidate ) { return not is_local( candidate.link->local() ); } );
  if ( not needed_ ) {
    return;
  }
  if ( candidates_.ways_changed() ) {
    hurry( now );
  } else {
    redial_.hint( now );
  }
}

void Dialler::hurry( Time now )
{
  redial_.hurry( now );
  candidates_.begin_anew( now );
}

void Dialler::stop()
{
  needed_ = false;
  candidates_.clear();
}

// -- what is under way --------------------------------------------------------------------------------------------

void Dialler::frame_arrived( LinkLeg& link, const Frame& frame )
{
  const auto candidate
    = std::ranges::find_if( candidates_, [&]( const Candidate& each ) { return each.link.get() == &link; } );
  candidate->answered = true;
  const auto decoded = decode_welcome( frame.payload ); // the reader lets no other frame be the first
  if ( const auto* fault = std::get_if<Fault>( &decoded ) ) {
    link.drop( std::string { describe( *fault ) } );
  } else if ( not candidate->hello ) {
    link.drop( std::string { describe( Fault::out_of_order ) } ); // it answers what nobody asked
  } else {
    welcomed( *candidate, std::get<Welcome>( decoded ) );
  }
}

void Dialler::welcomed( Candidate& candidate, const Welcome& welcome )
{
  LinkLeg& link = *candidate.link;
  const auto outcome = claim_.answered( *candidate.hello, welcome, link.channel().binding );
  switch ( outcome ) {
    case Claim::Outcome::made:
    case Claim::Outcome::resumed: {
      link.pulse().peer_beats_every( welcome.beat );
      Found found { .link = std::move( candidate.link ),
                    .resumed = outcome == Claim::Outcome::resumed,
                    .window = welcome.window,
                    .hello = candidate.hello->attempt,
                    .search = loop_.now() - ( candidate.beside ? link.born() : needed_since_ ),
                    .interface = candidate.way.interface,
                    .may_have_bulk = ( welcome.capabilities & bulk_link_capability ) != 0 };
      if ( outcome == Claim::Outcome::made ) {
        made_ = loop_.now();
      }
      needed_ = false;
      redial_.found( loop_.now() );
      candidates_.worked( candidate.way.address );
      complaints_.clear();
      // The one moved from, and all that come too late; not those with a later claim, which sproxy may have let
      // win.
      candidates_.remove_if( [won = candidate.hello->attempt]( const Candidate& each ) {
        return each.link == nullptr or not each.hello or each.hello->attempt < won;
      } );
      events_.found( std::move( found ) );
      return;
    }
    case Claim::Outcome::joined:
      link.pulse().peer_beats_every( welcome.beat );
      events_.found_for_bulk( std::move( candidate.link ) );
      candidates_.remove_if( []( const Candidate& each ) { return each.link == nullptr; } );
      return;
    case Claim::Outcome::obsolete:
      if ( candidate.asks_for_new_tunnel() and not claim_.has_tunnel() ) {
        link.drop( "sproxy says that we have a newer tunnel: is another cproxy running with a copy of our state "
                   "directory, or was our clock set back?" );
        redial_.not_before( loop_.now() + quarrel_pause );
        return;
      }
      link.drop( "a later link was faster" );
      return;
    case Claim::Outcome::gone:
      link.drop( "sproxy does not know our tunnel any more" );
      tunnel_gone();
      events_.gone();
      return;
    case Claim::Outcome::later:
      link.drop( "sproxy is busy and asks to try again later" );
      redial_.not_before( loop_.now() + std::clamp( welcome.retry_after, later_min, later_max ) );
      return;
    case Claim::Outcome::refused:
      link.drop( "sproxy refuses us: " + reason_of( welcome ) );
      if ( candidate.for_bulk ) {
        return;
      }
      redial_.not_before( loop_.now() + refused_pause );
      return;
    case Claim::Outcome::false_proof:
      link.drop( "it is not the sproxy that made our tunnel; somebody else answers at its address" );
      return;
  }
}

void Dialler::look_after( Candidate& candidate, Time now )
{
  LinkLeg& link = *candidate.link;
  if ( now >= candidate.until() ) {
    link.drop( link.connected() ? "no answer to our greeting" : error_text( ETIMEDOUT ) );
  }
  if ( link.starts_over() ) {
    candidate.hello.reset();
  }
  if ( link.ended() or not link.may_speak() ) {
    return;
  }
  // Two new tunnels at once would be one too many: sproxy ends the first when it makes the second. And of two
  // claims it lets the later one win, whichever we hear of first.
  const bool must_wait = claim_.has_tunnel() ? now < candidates_.patient_until()
                                             : now < no_new_tunnel_until_ or candidates_.any_asks_for_new_tunnel();
  if ( candidate.for_bulk and not candidate.hello ) {
    if ( not claim_.has_tunnel() ) {
      link.drop( "the tunnel that it was for is gone" );
      return;
    }
    say_hello( candidate, claim_.join( link.channel().binding ) );
  } else if ( not candidate.hello and not must_wait and not candidates_.gives_way( candidate, now ) ) {
    say_hello( candidate, claim_.hello( link.channel().binding ) );
  }
  if ( candidate.hello and link.connected() ) {
    link.transmit( batch_, nullptr, now );
  } else if ( candidate.hello ) {
    link.flush( batch_ );
  }
}

void Dialler::say_hello( Candidate& candidate, const Hello& hello )
{
  candidate.said = loop_.now();
  candidate.hello = hello;
  FrameHeader header;
  header.type = FrameType::hello;
  std::vector<std::byte> words;
  append_frame( words, header, encode( hello ) );
  if ( hello.purpose == Purpose::resume ) {
    events_.speak_early( words, early_max, hello.attempt, needed_ );
  }
  candidate.link->say( words );
}

// If this happens again and again, somebody else is probably the same client as we are: a machine, or its state
// directory, was copied. Each new tunnel of one ends that of the other (PROTOCOL.md, 5.3), so the two would take
// turns several times a second, for ever. So each waits longer every time before it asks for a new one.
void Dialler::tunnel_gone()
{
  const Time now = loop_.now();
  const Duration lived = now - made_;
  if ( lived >= short_life ) {
    short_lives_ = 0;
    return;
  }
  if ( ++short_lives_ == 1 ) {
    return; // sproxy was started again
  }
  const Duration pause = std::min<Duration>( 1s * ( 1U << std::min( short_lives_ - 2, 6U ) ), quarrel_pause_max );
  log_.warn(
    "the tunnel was lost {} s after it was made, and so was the one before: is another cproxy running with a copy "
    "of our state directory? The next one in {} s",
    std::chrono::duration_cast<std::chrono::seconds>( lived ).count(),
    std::chrono::duration_cast<std::chrono::seconds>( pause ).count() );
  no_new_tunnel_until_ = now + pause;
  redial_.not_before( no_new_tunnel_until_ );
}

void Dialler::tell_end_of( const Candidate& candidate )
{
  if ( candidate.beside ) {
    log_.debug( "{}: {}",
                candidate.for_bulk ? "no second link for bulk" : "the other way does not lead to sproxy",
                *candidate.link->ended() );
    return;
  }
  if ( not needed_ ) {
    return; // a link was found meanwhile
  }
  const bool in_the_clear = candidate.hello and candidate.link->channel().identity == Digest {};
  complain( fmt::format( "{}: {}{}",
                         candidate.way.address.text(),
                         *candidate.link->ended(),
                         in_the_clear and not candidate.answered
                           ? " (we speak in the clear; sproxy must be started with --insecure, too)"
                           : "" ) );
}

void Dialler::complain( const std::string& problem )
{
  if ( complaints_.size() < complaints_max and complaints_.insert( problem ).second ) {
    log_.warn( "cannot reach sproxy yet, trying on: {}", problem );
  }
}

// -- a turn -------------------------------------------------------------------------------------------------------

void Dialler::turn( Time now )
{
  for ( Candidate& candidate : candidates_ ) {
    look_after( candidate, now );
    if ( candidate.link->ended() ) {
      tell_end_of( candidate );
      if ( needed_ and not candidate.link->reached() and candidates_.untried() > 0 ) {
        redial_.failed_at_once( now );
      }
    }
  }
  candidates_.remove_if( []( const Candidate& candidate ) { return candidate.link->ended().has_value(); } );
  candidates_.tick( now );
  if ( needed_ and redial_.next() <= now ) {
    dial( now );
  }
}

void Dialler::dial( Time now )
{
  candidates_.resolve(); // names may mean something else since we moved
  std::uint64_t random = 0;
  crypto_.random( std::as_writable_bytes( std::span { &random, 1 } ) );
  redial_.dialled( now, random );
  candidates_.dial( now, claim_.has_tunnel() );
}

void Dialler::resolved( bool first )
{
  if ( first and needed_ ) {
    redial_.need( loop_.now() ); // the dials so far had nowhere to go
  }
  if ( needed_ ) {
    redial_.failed_at_once( loop_.now() ); // what was dialled last is not sproxy's any more
  }
}

Time Dialler::deadline() const
{
  return std::min( candidates_.deadline(), needed_ ? redial_.next() : never );
}

} // namespace holdfast
