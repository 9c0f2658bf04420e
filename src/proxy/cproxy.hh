#pragma once

#include "net/listener.hh"
#include "proxy/config.hh"
#include "proxy/dialler.hh"
#include "proxy/inheritance.hh"
#include "proxy/log.hh"
#include "proxy/path_watch.hh"
#include "proxy/tunnel_end.hh"

#include <optional>
#include <vector>

namespace holdfast {

// The near proxy: accepts the apps' connections, each of which is a session of its one tunnel, and has a link
// dialled whenever there is none that it trusts.
//
//   while ( not cproxy.stopped() ) { loop.wait( cproxy.deadline() ); cproxy.turn(); }
class Cproxy : public LinkOwner
{
public:
  // Listens; throws StartupError when it cannot. Whether sproxy can be reached shows later.
  // `trusted` is told who made a tunnel with us: it is worth remembering. Goes on with what its predecessor has
  // left. A service manager gets copies of what the next one needs.
  Cproxy( Loop& loop,
          const CproxyConfig& config,
          const Crypto& crypto,
          MakeWire wire,
          std::function<void( const Digest& sproxy )> trusted,
          Log& log,
          Predecessor predecessor = {},
          ServiceManager* manager = nullptr );
  Cproxy( const Cproxy& ) = delete;
  Cproxy& operator=( const Cproxy& ) = delete;
  ~Cproxy() override;

  void turn();
  [[nodiscard]] Time deadline() const;
  // Ends everything in order: tells sproxy goodbye, resets every app. stopped() when that is out, or after a
  // second.
  void stop();
  [[nodiscard]] bool stopped() const;

  void frame_arrived( LinkLeg& link, const Frame& frame ) override;
  void payloads_go() override { end_.deliver_fresh(); }

private:
  void take_over();
  void app_arrived( Fd socket, const Address& peer );
  void link_found( Dialler::Found found );
  void look_at_network( Time now );
  void look_after_link( Time now );
  void look_for_bulk_link( Time now );
  void bulk_link_found( std::unique_ptr<LinkLeg> link );
  void bulk_link_ended( const std::string& why );
  void put_off_bulk_link( Time now );
  // Whether another link would be welcome: silence, or a sleep that this one may not have survived.
  [[nodiscard]] bool is_in_doubt( LinkLeg& link, Time now ) const;
  void tunnel_lost( ResetReason reason );
  [[nodiscard]] Time expiry() const; // when sessions that have no link are given up

  Loop& loop_;
  CproxyConfig config_;
  Log& log_;
  Inheritance inheritance_;
  Arena arena_;
  FrameBatch batch_ {};
  Mapping scratch_;      // bytes read from a link, and decrypted
  TunnelRecord& record_; // of our one tunnel
  std::function<void( const Digest& sproxy )> trusted_;
  TunnelEnd end_;
  Dialler dialler_;
  PathWatch paths_;
  std::optional<Time> woke_ {}; // when this machine did last
  unsigned interface_ = 0;      // the link was made to go through this one; 0: as the kernel preferred
  bool may_have_bulk_ = false;  // a bulk link beside it, says sproxy,
  bool dials_for_bulk_ = false; // and it is not known yet whether anything comes of it
  Time bulk_not_before_ {};     // after one that was lost, or did not come
  Duration bulk_pause_ {};
  Listener listener_;
  Time stop_by_ = never;
};

} // namespace holdfast
