#pragma once

#include "core/time.hh"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace holdfast {

// Whose turn it is among strangers who want something that costs us (a handshake). Chance decides twice: which of
// the networks they come from, however many come from one, and then who of that network. Of a flood, most are never
// served, but somebody who comes again and again soon is, so no crowd locks anybody out for good, neither one that
// shares his address nor one with a thousand addresses; and no address and no moment is better than another. What
// one network may cost in a second is bounded.
class Turnstile
{
public:
  using Guest = std::uint64_t; // rises with each that arrives
  struct Config
  {
    double rate = 400;   // turns a second for one network: a third of a processor (docs/bench.md),
    double burst = 1000; // and so many at once, when it was quiet before: all clients behind one address come back
  };

  Turnstile( Config config, std::uint64_t seed, Time now ) : config_( config ), random_( seed ), last_( now ) {}

  void arrived( Guest guest, std::string network );
  void knocked( Guest guest );      // it wants its turn
  void left( Guest guest );         // served or not
  void took_nothing( Guest guest ); // its turn, just taken, cost us nothing: its network may take another one

  // Who goes now, once: it does not knock any more, but stays until it left().
  [[nodiscard]] std::optional<Guest> next( Time now );
  // When next() will have somebody, if nobody comes.
  [[nodiscard]] Time deadline() const;
  // Whom to turn out when the place is full: the oldest one of the network that has the most here; the longest here
  // of all, when many have as many. Not to be asked when nobody is here.
  [[nodiscard]] Guest most_expendable() const;

private:
  struct Network
  {
    std::vector<Guest> here {}; // in the order they came
    std::vector<Guest> knocking {};
    double turns = 0; // it may take now
    Time counted {};
    [[nodiscard]] double turns_at( Time now, const Config& config ) const;
  };

  std::size_t any_of( std::size_t count );

  Config config_;
  std::uint64_t random_;
  std::map<std::string, Network> networks_ {};
  std::unordered_map<Guest, std::string> network_of_ {};
  Time last_;          // next() was called
  Time swept_ = last_; // networks that nobody is here from were forgotten
};

} // namespace holdfast
