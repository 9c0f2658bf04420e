#pragma once

#include "core/claim.hh"
#include "net/resolver.hh"
#include "proxy/link_leg.hh"
#include "proxy/ways.hh"

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace holdfast {

// A link on its way to become the tunnel's.
struct Candidate
{
  std::unique_ptr<LinkLeg> link;
  Way way;
  bool beside = false;           // of a link that works
  bool for_bulk = false;         // and not to take its place
  std::optional<Hello> hello {}; // said on it
  Time said {};                  // then
  bool answered = false;         // and there was an answer

  [[nodiscard]] bool asks_for_new_tunnel() const { return hello and hello->purpose == Purpose::new_tunnel; }
  [[nodiscard]] Time until() const; // it is given up then
};

// The dials under way: resolves sproxy's name, dials its addresses by turns, each as the kernel prefers and through
// every other interface that has a route to it: a way that is dead keeps silent, and only another one tells in
// time. When to dial, and what to say on what connects, others decide (Dialler).
//
// Owns the links until they are taken or removed; they read into `scratch`, and tell `owner` what arrives. There
// are never more than 16, in the order they were dialled.
class Candidates
{
public:
  struct Config
  {
    HostPort sproxy {};
    MakeWire wire {};
    Pulse::Config pulse {};
  };
  struct Events
  {
    std::function<void( bool first )> resolved; // sproxy's name stands for other addresses now, or for its first
    std::function<void( const std::string& problem )> failed; // there was not even a dial
  };

  Candidates( Loop& loop, LinkOwner& owner, std::span<std::byte> scratch, Config config, Events events );

  // -- dialling ---------------------------------------------------------------------------------------------------
  // Asks what sproxy's name stands for, if nobody is asking. Until the answer is there, the old one holds.
  void resolve();
  // Dials the next address along all ways, and the one after it if that fails at once. `hurries`: our first words
  // are to go with the first flight.
  void dial( Time now, bool hurries );
  // Dials this address once, as the kernel prefers, beside a link that works: so there is no hurry (PROTOCOL.md,
  // 13.1).
  void dial_beside( const Address& address );
  // Dials a second link, for bulk, the way of the first.
  void dial_for_bulk( const Way& way );
  // What was dialled until now says nothing about the network there is now: all addresses have their turn again.
  void begin_anew( Time now );
  void begin_round() { ways_.begin_round(); }
  // How many addresses have not had their turn in this round.
  [[nodiscard]] std::size_t untried() const { return ways_.untried(); }
  // Whether routes to sproxy, or the interfaces there are, changed since this was asked last.
  [[nodiscard]] bool ways_changed() { return ways_.changed(); }
  // This address begins the next round.
  void worked( const Address& address ) { ways_.worked( address ); }

  // -- what is under way ------------------------------------------------------------------------------------------
  [[nodiscard]] auto begin() { return candidates_.begin(); }
  [[nodiscard]] auto end() { return candidates_.end(); }
  [[nodiscard]] bool any_asks_for_new_tunnel() const;
  [[nodiscard]] bool any_for_bulk() const;
  // A way other than the kernel's lets that one go first, if it works.
  [[nodiscard]] bool gives_way( const Candidate& candidate, Time now ) const;
  // When the answer to the last hello should be here.
  [[nodiscard]] Time patient_until() const;
  void clear() { candidates_.clear(); }
  template<class Predicate>
  void remove_if( Predicate predicate )
  {
    std::erase_if( candidates_, predicate );
  }

  void tick( Time now ) { resolver_.tick( now ); }
  // When there is something to do here, should nothing arrive.
  [[nodiscard]] Time deadline() const;

private:
  // Whether a dial to it is under way now.
  bool dial_all_ways_to( const Address& address, Time now, bool hurries );
  // The candidate that was made; nullptr if it failed at once.
  Candidate* dial( const Way& way, bool beside );
  void make_room();
  // Somebody has answered there, and takes his time to welcome us.
  [[nodiscard]] bool is_answered( const Way& way, Time now ) const;

  Loop& loop_;
  LinkOwner& owner_;
  std::span<std::byte> scratch_;
  Config config_;
  Events events_;
  Resolver resolver_;
  Ways ways_ {};
  std::vector<Candidate> candidates_ {};
  Time begun_ {}; // anew
};

} // namespace holdfast
