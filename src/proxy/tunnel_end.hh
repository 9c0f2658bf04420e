#pragma once

#include "core/recovery.hh"
#include "core/tunnel.hh"
#include "net/service_manager.hh"
#include "proxy/bulk_link.hh"
#include "proxy/drained_link.hh"
#include "proxy/link_leg.hh"
#include "proxy/local_leg.hh"
#include "proxy/log.hh"

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace holdfast {

// One proxy's end of a tunnel: the protocol's tunnel together with the sockets it moves bytes between, that is the
// legs of its sessions and the link it has now, if any. Who dials and who accepts, and what a new session needs, is
// Cproxy's and Sproxy's business. A service manager, if there is one, has a copy of the socket of each leg.
class TunnelEnd
{
public:
  struct Events
  {
    // The peer opened a session; it needs a leg (add_leg), or to be reset. Acceptor only.
    std::function<void( TunnelEnd&, Session& )> session_arrived {};
    // The session is about to be forgotten; whoever keeps something about it forgets it too.
    std::function<void( TunnelEnd&, Session& )> session_left {};
    // The bulk link is lost, or idle (`why` is empty): see BulkLink.
    std::function<void( const std::string& why )> bulk_link_ended {};
    // Something happened that asks for a turn(): for those who do not give one to every tunnel every time.
    std::function<void()> stirred {};
  };

  TunnelEnd( Loop& loop,
             FrameBatch& batch,
             Side side,
             TunnelRecord& record,
             Memory memory,
             SessionLimits limits,
             Log& log,
             Events events,
             ServiceManager* manager = nullptr );
  TunnelEnd( const TunnelEnd& ) = delete;
  TunnelEnd& operator=( const TunnelEnd& ) = delete;
  ~TunnelEnd();

  Tunnel& tunnel() { return tunnel_; }
  [[nodiscard]] const Tunnel& tunnel() const { return tunnel_; }

  // -- sessions ---------------------------------------------------------------------------------------------------
  void add_leg( Session& session, Fd socket, std::string program );
  // A session that an earlier process left, with its socket, if that is still there.
  void restore( const Survey::Found& found, Fd socket );
  // Ends a session from our side: the peer is told the reason, the local program sees a reset.
  void reset( Session& session, ResetReason reason, const std::string& detail = {} );
  void reset_all( ResetReason reason );
  // Ends them all and tells the peer that the tunnel is over, as well as one can.
  void say_goodbye( ResetReason reason );
  // It has been heard: the other side has closed the link, or there never was one. Until then the link must be
  // kept.
  [[nodiscard]] bool goodbye_heard() const { return link_ == nullptr or link_->ended(); }
  // The other end of the tunnel is lost, and with it every session it knew of.
  void lost( ResetReason reason );

  // -- the link ---------------------------------------------------------------------------------------------------
  // Payloads that arrived are about to go: see Tunnel::deliver_fresh().
  void deliver_fresh();
  // This link has proved itself: it carries the tunnel now. What is still under way on the one before is taken, if
  // that is alive, for a while (DrainedLink). `hello`: see Tunnel::attach().
  void attach( std::unique_ptr<LinkLeg> link, std::size_t peer_window, std::uint64_t hello = 0 );
  // What to say behind a hello of ours, see Tunnel::speak_early().
  void speak_early( std::vector<std::byte>& into, std::size_t most, std::uint64_t hello, bool data );
  void drop_link( Time now );
  [[nodiscard]] LinkLeg* link() const { return link_.get(); }
  // This one has proved itself beside it, for bulk; it goes when the link does, if not before.
  void attach_bulk( std::unique_ptr<LinkLeg> link ) { bulk_.take( std::move( link ) ); }
  [[nodiscard]] LinkLeg* bulk_link() const { return bulk_.link(); }
  // When the other side was last heard, if there is no link now.
  [[nodiscard]] Time detached_since() const { return detached_since_; }
  // What waits for a link begins to wait now.
  void wait_from( Time now ) { detached_since_ = now; }

  // -- a turn -----------------------------------------------------------------------------------------------------
  // Serves what was touched, transmits what there is to say.
  void turn( Time now );
  [[nodiscard]] Time deadline() const;
  [[nodiscard]] std::string how_many_sessions() const;            // "1 session", "7 sessions"
  [[nodiscard]] std::string name( const Session& session ) const; // "session 7 (127.0.0.1:40112)" for the log

private:
  struct Leg
  {
    std::unique_ptr<LocalLeg> socket;
    std::string program;      // the address it came from or goes to
    std::uint64_t cookie = 0; // of its socket
  };

  void serve( Session& session, Time now );
  void release( Session& session );
  void let_go( const Leg& leg );
  void stir();
  void take_leave();

  Loop& loop_;
  FrameBatch& batch_;
  Log& log_;
  Events events_;
  ServiceManager* manager_; // null: there is none
  Tunnel tunnel_;
  std::unordered_map<SessionId, Leg> legs_ {};
  std::unique_ptr<LinkLeg> link_ {};
  Side side_;
  BulkLink bulk_;
  DrainedLink drained_; // the link before this one,
  DrainedLink drained_bulk_;
  bool leaving_ = false;  // said goodbye: nothing else is said any more,
  bool all_said_ = false; // and it is written
  Time detached_since_;
  std::vector<SessionId> starved_ {}; // sessions to try again at starved_until_
  Time starved_until_ = never;
};

} // namespace holdfast
