#include "proxy/ways.hh"

#include <algorithm>
#include <utility>

namespace holdfast {

namespace {

constexpr std::size_t detours_max = 3; // more ways than these and the kernel's own no machine needs to try at once

} // namespace

std::vector<Address> interleaved( const std::vector<Address>& addresses )
{
  std::vector<Address> first; // of the family that is preferred
  std::vector<Address> second;
  for ( const Address& address : addresses ) {
    ( address.family() == addresses.front().family() ? first : second ).push_back( address );
  }
  std::vector<Address> by_turns;
  for ( std::size_t i = 0; i < std::max( first.size(), second.size() ); ++i ) {
    for ( const auto* family : { &first, &second } ) {
      if ( i < family->size() ) {
        by_turns.push_back( ( *family )[i] );
      }
    }
  }
  return by_turns;
}

bool Ways::resolved( const std::vector<Address>& addresses )
{
  auto now = interleaved( addresses );
  if ( now == addresses_ ) {
    return false;
  }
  addresses_ = std::move( now );
  begin_round();
  return true;
}

const Address& Ways::next()
{
  if ( untried_ == 0 ) {
    untried_ = addresses_.size();
    const auto best = worked_ ? std::ranges::find( addresses_, *worked_ ) : addresses_.end();
    next_ = best == addresses_.end() ? 0 : static_cast<std::size_t>( best - addresses_.begin() );
  }
  --untried_;
  return addresses_[next_++ % addresses_.size()];
}

std::vector<Way> Ways::to( const Address& address )
{
  std::vector<Way> ways { { .address = address } };
  const auto preferred = routes_.to( address );
  if ( preferred and preferred->local ) {
    return ways;
  }
  for ( const Interface& interface : usable_interfaces() ) {
    const bool other = not preferred or interface.index != preferred->interface;
    if ( other and interface.family == address.family() and ways.size() <= detours_max
         and routes_.lead_through( interface.index, address ) ) {
      ways.push_back( { .address = address, .interface = interface.index } );
    }
  }
  return ways;
}

bool Ways::changed()
{
  Picture now { .interfaces = usable_interfaces() };
  for ( const Address& address : addresses_ ) {
    now.routes.push_back( routes_.to( address ) );
  }
  const bool changed = now != picture_;
  picture_ = std::move( now );
  return changed;
}

} // namespace holdfast
