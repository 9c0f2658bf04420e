#include "proxy/candidates.hh"

#include "net/error.hh"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace holdfast {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t candidates_max = 16;   // four seconds' worth by one way, two by two
constexpr Duration answered_pause = 1s;      // between dials to somebody who answers and does not welcome us yet
constexpr Duration head_start = 1s;          // of the way that the kernel prefers
constexpr Duration answer_allowance = 100ms; // for sproxy's turn, on top of round trips
constexpr Duration answer_max = 2s;          // three times a satellite's round trip
constexpr Duration candidate_patience = 10s; // from dial to welcome
constexpr Duration hello_patience = 3s;      // the same for a hello for a new tunnel, of which only one may be out

} // namespace

Time Candidate::until() const
{
  return link->born() + ( asks_for_new_tunnel() ? hello_patience : candidate_patience );
}

Candidates::Candidates( Loop& loop, LinkOwner& owner, std::span<std::byte> scratch, Config config, Events events )
  : loop_( loop )
  , owner_( owner )
  , scratch_( scratch )
  , config_( std::move( config ) )
  , events_( std::move( events ) )
  , resolver_( loop )
{}

// -- dialling -----------------------------------------------------------------------------------------------------

void Candidates::resolve()
{
  if ( resolver_.busy() ) {
    return;
  }
  const auto answered = [this]( const std::vector<Address>& addresses, const std::string& problem ) {
    if ( addresses.empty() ) {
      events_.failed( fmt::format( "cannot resolve {}: {}", config_.sproxy.host, problem ) );
      return;
    }
    const bool first = not ways_.known();
    if ( ways_.resolved( addresses ) ) {
      events_.resolved( first );
    }
  };
  resolver_.lookup( config_.sproxy.host, config_.sproxy.port, answered );
}

void Candidates::dial( Time now, bool hurries )
{
  while ( ways_.known() and not dial_all_ways_to( ways_.next(), now, hurries ) and ways_.untried() > 0 ) {
    // it failed at once: the next address need not wait (RFC 8305, section 5)
  }
}

bool Candidates::dial_all_ways_to( const Address& address, Time now, bool hurries )
{
  bool is_under_way = false;
  for ( const Way& way : ways_.to( address ) ) {
    if ( is_answered( way, now ) ) {
      is_under_way = true;
    } else if ( Candidate* const candidate = dial( way, false ) ) {
      is_under_way = true;
      if ( hurries ) {
        candidate->link->hurry();
      }
    }
  }
  return is_under_way;
}

// A thousand clients that come back at the same moment wait for sproxy to make a thousand handshakes. If each made
// four more of them a second, it would be busy for as long as they wait.
bool Candidates::is_answered( const Way& way, Time now ) const
{
  bool reached = false;
  Time latest {};
  for ( const Candidate& candidate : candidates_ ) {
    if ( candidate.way == way and not candidate.for_bulk and not candidate.link->ended()
         and candidate.link->born() >= begun_ ) {
      reached = reached or candidate.link->reached();
      latest = candidate.link->born();
    }
  }
  return reached and now - latest < answered_pause;
}

void Candidates::dial_beside( const Address& address )
{
  resolve(); // in this network its name may stand for another address; the next dial will know
  dial( Way { .address = address }, true );
}

void Candidates::dial_for_bulk( const Way& way )
{
  if ( Candidate* const candidate = dial( way, true ) ) {
    candidate->for_bulk = true;
  }
}

Candidate* Candidates::dial( const Way& way, bool beside )
{
  Connecting connecting = connect_to( way.address, spare_for_next, way.interface );
  if ( not connecting.fd ) {
    if ( not beside and way.interface == 0 ) {
      events_.failed( fmt::format( "{}: {}", way.address.text(), error_text( connecting.error ) ) );
    }
    return nullptr;
  }
  make_room();
  auto link = std::make_unique<LinkLeg>(
    loop_, owner_, config_.wire( std::move( connecting.fd ) ), true, FrameType::welcome, config_.pulse, scratch_ );
  return &candidates_.emplace_back( Candidate { .link = std::move( link ), .way = way, .beside = beside } );
}

// The oldest that nobody has answered is given up first: one that was answered has got somewhere.
void Candidates::make_room()
{
  if ( candidates_.size() >= candidates_max ) {
    const auto silent = std::ranges::find_if(
      candidates_, []( const Candidate& candidate ) { return not candidate.link->reached(); } );
    candidates_.erase( silent == candidates_.end() ? candidates_.begin() : silent );
  }
}

void Candidates::begin_anew( Time now )
{
  begun_ = now;
  ways_.begin_round();
}

// -- what is under way --------------------------------------------------------------------------------------------

bool Candidates::any_asks_for_new_tunnel() const
{
  return std::ranges::any_of( candidates_, []( const Candidate& candidate ) {
    return candidate.asks_for_new_tunnel() and not candidate.link->ended();
  } );
}

bool Candidates::any_for_bulk() const
{
  return std::ranges::any_of( candidates_, []( const Candidate& candidate ) { return candidate.for_bulk; } );
}

bool Candidates::gives_way( const Candidate& candidate, Time now ) const
{
  return candidate.way.interface != 0 and now - candidate.link->born() < head_start
         and std::ranges::any_of( candidates_, []( const Candidate& other ) {
               return other.way.interface == 0 and other.link->reached() and not other.link->ended();
             } );
}

// Three round trips are enough, and a little for sproxy. An answer to a claim that was made before our network
// changed is not waited for.
Time Candidates::patient_until() const
{
  Time until {};
  for ( const Candidate& other : candidates_ ) {
    if ( other.hello and not other.for_bulk and not other.answered and not other.link->ended()
         and other.said >= begun_ ) {
      until = std::max( until, other.said + std::min( 3 * other.link->reach() + answer_allowance, answer_max ) );
    }
  }
  return until;
}

Time Candidates::deadline() const
{
  Time deadline = resolver_.deadline();
  for ( const Candidate& candidate : candidates_ ) {
    deadline = std::min( deadline, candidate.link->ended() ? loop_.now() : candidate.until() );
  }
  if ( const Time patient = patient_until(); patient > loop_.now() ) {
    deadline = std::min( deadline, patient ); // somebody else may speak then
  }
  return deadline;
}

} // namespace holdfast
