#pragma once

#include "core/time.hh"
#include "net/address.hh"
#include "net/loop.hh"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace holdfast {

// Names to addresses, without blocking the loop (c-ares: /etc/hosts and DNS). Every lookup reads the system's
// configuration anew, because a machine that moved has other name servers.
//
// One lookup at a time; starting another one, or destroying the resolver, abandons the one under way without a
// callback.
class Resolver
{
public:
  // `addresses` in the order to try (RFC 6724); empty when there are none, then `problem` says why.
  using Done = std::function<void( std::vector<Address> addresses, std::string problem )>;

  explicit Resolver( Loop& loop );
  ~Resolver();
  Resolver( const Resolver& ) = delete;
  Resolver& operator=( const Resolver& ) = delete;

  // Literals are answered at once, before lookup() returns.
  void lookup( const std::string& host, std::uint16_t port, Done done );
  [[nodiscard]] bool busy() const;

  [[nodiscard]] Time deadline() const; // tick() has something to do then
  void tick( Time now );

private:
  struct Lookup;
  Loop& loop_;
  std::unique_ptr<Lookup> lookup_;
};

} // namespace holdfast
