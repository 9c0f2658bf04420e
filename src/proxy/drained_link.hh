#pragma once

#include "core/tunnel.hh"
#include "proxy/link_leg.hh"

#include <functional>
#include <memory>

namespace holdfast {

// A link that carries its tunnel no more, while what is still under way on it is heard: two seconds at most.
// Nothing new is said on it.
class DrainedLink : public LinkOwner
{
public:
  // `stirred`: something happened to it.
  DrainedLink( Loop& loop, FrameBatch& batch, Side side, Tunnel& tunnel, std::function<void()> stirred );

  // One that is dead already is closed at once, and so is the one that was here.
  void take( std::unique_ptr<LinkLeg> link );
  void drop();
  void turn( Time now );
  [[nodiscard]] Time deadline() const;

  void frame_arrived( LinkLeg& link, const Frame& frame ) override;
  void stirred() override { stirred_(); }

private:
  Loop& loop_;
  FrameBatch& batch_;
  Side side_;
  Tunnel& tunnel_;
  std::function<void()> stirred_;
  std::unique_ptr<LinkLeg> link_ {};
  Time until_ = never;
  bool all_said_ = false;
};

} // namespace holdfast
