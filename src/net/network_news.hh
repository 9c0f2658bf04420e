#pragma once

#include "core/allowance.hh"
#include "net/loop.hh"

#include <string>

namespace holdfast {

// Hears from the kernel that an address, a link or a route of this machine came, went or changed (rtnetlink(7)).
// Only that, not what: messages may be lost when too many come, so whoever wants to know asks the kernel how things
// are now (Routes, is_local). That makes a thousand messages as cheap as one: the first wakes us, the others are
// thrown away unread when it is time to look. The first look comes in the same turn; where news never end
// (containers, VPNs, temporary addresses), there is one every 20 ms.
class NetworkNews : public Watcher
{
public:
  explicit NetworkNews( Loop& loop );
  NetworkNews( const NetworkNews& ) = delete;
  NetworkNews& operator=( const NetworkNews& ) = delete;
  ~NetworkNews() override;

  // Why we hear nothing, as in a container that forbids netlink; empty: we do.
  [[nodiscard]] const std::string& problem() const { return problem_; }

  // Something may have changed, and it is time to look. To be asked once a turn: what came until now is told by
  // this.
  [[nodiscard]] bool due( Time now );
  [[nodiscard]] Time deadline() const { return told_ ? looks_.next() : never; }

  [[nodiscard]] std::uint32_t interest() const override;
  void ready( std::uint32_t events ) override;

private:
  void forget_messages();

  Loop& loop_;
  Fd socket_;
  std::string problem_ {};
  bool told_ = false; // messages wait
  Allowance looks_;
};

} // namespace holdfast
