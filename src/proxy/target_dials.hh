#pragma once

#include "core/session.hh"
#include "proxy/target_dial.hh"
#include "proxy/tunnel_end.hh"

#include <functional>
#include <map>
#include <memory>

namespace holdfast {

// The connections to the target that are being made, one for each session that has none yet. Sessions are looked up
// by their address here: give_up() a session before it goes.
class TargetDials
{
public:
  using Done = std::function<void( TunnelEnd& end, Session& session, TargetDial::Outcome outcome )>;

  TargetDials( Loop& loop, HostPort target, Duration patience, Done done );

  // Nothing if it is under way already. `done` is told by tick(), once.
  void start( TunnelEnd& end, Session& session );
  // Its outcome does not matter any more, if it is under way.
  void give_up( const Session& session ) { dials_.erase( &session ); }
  [[nodiscard]] bool is_under_way( const Session& session ) const { return dials_.contains( &session ); }

  void tick( Time now );
  [[nodiscard]] Time deadline() const;

private:
  Loop& loop_;
  HostPort target_;
  Duration patience_;
  Done done_;
  std::map<const Session*, std::unique_ptr<TargetDial>> dials_ {};
};

} // namespace holdfast
