#pragma once

#include "net/address.hh"
#include "net/routes.hh"

#include <optional>
#include <vector>

namespace holdfast {

// A way to sproxy that can be dialled.
struct Way
{
  Address address {};
  unsigned interface = 0; // through this one; 0: as the kernel prefers
  bool operator==( const Way& ) const = default;
};

// In the order to try them: as they came (RFC 6724), but the families by turns (RFC 8305, section 4), so that a
// family that is dead altogether costs one attempt and not as many as it has addresses.
[[nodiscard]] std::vector<Address> interleaved( const std::vector<Address>& addresses );

// Where sproxy may be: its addresses, in rounds in which each has its turn, and what can be done to reach one.
class Ways
{
public:
  // Its name stands for these now. Whether that is something new.
  bool resolved( const std::vector<Address>& addresses );
  [[nodiscard]] bool known() const { return not addresses_.empty(); }

  // The next address to try. The address that worked last begins a round.
  [[nodiscard]] const Address& next();
  // How many have not had their turn in this round.
  [[nodiscard]] std::size_t untried() const { return untried_; }
  void begin_round() { untried_ = 0; }
  void worked( const Address& address ) { worked_ = address; }

  // What can be dialled to reach it: as the kernel prefers, and through every other interface that has a route to
  // it, a few at most.
  [[nodiscard]] std::vector<Way> to( const Address& address );
  // Whether routes to it, or the interfaces there are, changed since this was asked last.
  [[nodiscard]] bool changed();

private:
  struct Picture // of the network, as far as it concerns us
  {
    std::vector<std::optional<Route>> routes {};
    std::vector<Interface> interfaces {};
    bool operator==( const Picture& ) const = default;
  };

  Routes routes_ {};
  std::vector<Address> addresses_ {};
  std::size_t next_ = 0;
  std::size_t untried_ = 0;
  std::optional<Address> worked_ {};
  Picture picture_ {};
};

} // namespace holdfast
