#pragma once

#include "net/address.hh"
#include "net/fd.hh"
#include "net/loop.hh"
#include "net/resolver.hh"

#include <functional>
#include <optional>
#include <vector>

namespace holdfast {

// One connection being made to a host and port that a person named: the name is resolved, its addresses are tried
// one after another, all of it within `patience`. Used for the target of a session and for the far side of a raw
// relay.
//
// The outcome is told exactly once, by tick(), whose deadline is at once when there is one.
class TargetDial : public Watcher
{
public:
  struct Outcome
  {
    Fd socket {};           // connected and prepared as a leg's, or none
    Address address {};     // the one that worked, or the last one tried
    int error = 0;          // errno, when none worked
    std::string problem {}; // in words, when none worked
  };
  using Done = std::function<void( Outcome )>;

  TargetDial( Loop& loop, const HostPort& target, Duration patience, Done done );
  TargetDial( const TargetDial& ) = delete;
  TargetDial& operator=( const TargetDial& ) = delete;
  ~TargetDial() override;

  [[nodiscard]] Time deadline() const;
  // Returns true when the outcome has been told.
  bool tick( Time now );

  [[nodiscard]] std::uint32_t interest() const override;
  void ready( std::uint32_t events ) override;

private:
  void try_next();
  void connected( Fd socket );
  void finish( Outcome outcome );

  Loop& loop_;
  Resolver resolver_;
  Time until_;
  Done done_;
  std::vector<Address> addresses_ {};
  std::size_t next_ = 0;
  Fd socket_ {};
  Address trying_ {};
  int last_error_ = 0;
  std::optional<Outcome> outcome_ {};
};

} // namespace holdfast
