#pragma once

#include "core/tunnel.hh"
#include "proxy/link_leg.hh"

#include <functional>
#include <memory>
#include <string>

namespace holdfast {

// The second link of a tunnel (core/bulk_lane.hh), if it has one. That it ends, or is silent for a while, is no
// harm to any session: what was said there is said again on the other link. So it is given up sooner than that one.
class BulkLink : public LinkOwner
{
public:
  struct Events
  {
    std::function<void()> payloads_go {};                   // see LinkOwner
    std::function<void()> stirred {};                       // something happened to it
    std::function<void( const std::string& why )> ended {}; // it is lost; or nobody used it, then `why` is empty
  };
  BulkLink( Loop& loop, FrameBatch& batch, Tunnel& tunnel, Events events );

  // This link has proved itself. One before it is given up.
  void take( std::unique_ptr<LinkLeg> link );
  [[nodiscard]] LinkLeg* link() const { return link_.get(); }
  void drop();
  // It carries nothing new from now on, and is the caller's. Null: there is none.
  [[nodiscard]] std::unique_ptr<LinkLeg> release();

  void turn( Time now );
  [[nodiscard]] Time deadline() const;

  void frame_arrived( LinkLeg& link, const Frame& frame ) override;
  void payloads_go() override { events_.payloads_go(); }
  void stirred() override { events_.stirred(); }

private:
  void give_up( const std::string& why );

  Loop& loop_;
  FrameBatch& batch_;
  Tunnel& tunnel_;
  Events events_;
  std::unique_ptr<LinkLeg> link_ {};
  Time used_ {}; // last
};

} // namespace holdfast
