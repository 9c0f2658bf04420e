#include "proxy/turnstile.hh"

#include <algorithm>
#include <tuple>
#include <utility>

namespace holdfast {

namespace {

using namespace std::chrono_literals;

constexpr Duration sweep_every = 1s;

double in_seconds( Duration duration )
{
  return std::chrono::duration<double>( duration ).count();
}

} // namespace

double Turnstile::Network::turns_at( Time now, const Config& config ) const
{
  return std::min( config.burst, turns + in_seconds( now - counted ) * config.rate );
}

void Turnstile::arrived( Guest guest, std::string network )
{
  auto& crowd
    = networks_.try_emplace( network, Network { .turns = config_.burst, .counted = last_ } ).first->second;
  crowd.here.push_back( guest );
  network_of_[guest] = std::move( network );
}

void Turnstile::knocked( Guest guest )
{
  networks_.at( network_of_.at( guest ) ).knocking.push_back( guest );
}

void Turnstile::left( Guest guest )
{
  const auto network = network_of_.find( guest );
  Network& crowd = networks_.at( network->second );
  std::erase( crowd.here, guest );
  std::erase( crowd.knocking, guest );
  network_of_.erase( network );
}

void Turnstile::took_nothing( Guest guest )
{
  networks_.at( network_of_.at( guest ) ).turns += 1;
}

std::optional<Turnstile::Guest> Turnstile::next( Time now )
{
  last_ = now;
  if ( now - swept_ >= sweep_every ) { // a network that has all its turns again is like one never seen
    swept_ = now;
    std::erase_if( networks_, [&]( const auto& entry ) {
      return entry.second.here.empty() and entry.second.turns_at( now, config_ ) >= config_.burst;
    } );
  }
  Network* chosen = nullptr;
  std::size_t eligible = 0;
  for ( auto& [name, network] : networks_ ) {
    if ( not network.knocking.empty() and network.turns_at( now, config_ ) >= 1 and any_of( ++eligible ) == 0 ) {
      chosen = &network; // each of them with the same probability in the end
    }
  }
  if ( chosen == nullptr ) {
    return std::nullopt;
  }
  chosen->turns = chosen->turns_at( now, config_ ) - 1;
  chosen->counted = now;
  std::swap( chosen->knocking[any_of( chosen->knocking.size() )], chosen->knocking.back() );
  const Guest guest = chosen->knocking.back();
  chosen->knocking.pop_back();
  return guest;
}

// A linear congruential generator (Knuth, MMIX): nobody sees enough of it to tell what comes next.
std::size_t Turnstile::any_of( std::size_t count )
{
  random_ = random_ * 6364136223846793005U + 1442695040888963407U;
  return static_cast<std::size_t>( random_ >> 33U ) % count;
}

Time Turnstile::deadline() const
{
  Time deadline = never;
  for ( const auto& [name, network] : networks_ ) {
    if ( not network.knocking.empty() ) {
      const double missing = std::max( 0.0, 1 - network.turns_at( last_, config_ ) );
      const std::chrono::duration<double> wait { missing / config_.rate };
      deadline = std::min( deadline, last_ + std::chrono::duration_cast<Duration>( wait ) + 1us );
    }
  }
  return deadline;
}

Turnstile::Guest Turnstile::most_expendable() const
{
  const auto is_less = []( const auto& left, const auto& right ) {
    const auto& [some, others] = std::tie( left.second.here, right.second.here );
    return some.size() != others.size() ? some.size() < others.size()
                                        : not some.empty() and some.front() > others.front(); // guests are numbered
  };
  return std::ranges::max_element( networks_, is_less )->second.here.front();
}

} // namespace holdfast
