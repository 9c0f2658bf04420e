#pragma once

#include "core/admission.hh"
#include "core/ramp.hh"
#include "net/network_news.hh"
#include "proxy/busy_turns.hh"
#include "proxy/clients.hh"
#include "proxy/config.hh"
#include "proxy/inheritance.hh"
#include "proxy/log.hh"
#include "proxy/reception.hh"
#include "proxy/siblings.hh"
#include "proxy/target_dials.hh"
#include "proxy/tunnel_end.hh"

#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace holdfast {

// The far proxy: accepts links, decides with Admission what each may do, keeps the tunnels of all clients whether
// they have a link now or not, and connects each session that arrives to the target.
//
// Owns everything it uses but the loop and the log. run() is the caller's:
//
//   while ( not sproxy.stopped() ) { loop.wait( sproxy.deadline() ); sproxy.turn(); }
class Sproxy
{
public:
  // Listens; throws StartupError when it cannot.
  // Goes on with what its predecessor has left. A service manager gets copies of what the next one needs. As one of
  // several it has its part of all limits in the configuration, and only the first one listens.
  Sproxy( Loop& loop,
          const SproxyConfig& config,
          const Crypto& crypto,
          MakeWire wire,
          Log& log,
          Predecessor predecessor = {},
          ServiceManager* manager = nullptr,
          const Siblings* siblings = nullptr );
  Sproxy( const Sproxy& ) = delete;
  Sproxy& operator=( const Sproxy& ) = delete;

  // A link whose client is ours, from a sibling.
  void take_over( Passage passage ) { reception_.take_over( std::move( passage ) ); }

  void turn();
  [[nodiscard]] Time deadline() const;
  // Ends everything in order: tells every client goodbye, resets every target. stopped() when that is out, or after
  // a second.
  void stop();
  [[nodiscard]] bool stopped() const;
  // Where its sessions lie, for who wants to know whose memory that is.
  [[nodiscard]] int memory() const { return arena_.memfd().get(); }
  // These clients are not admitted any more: ends what they have.
  void revoke( std::span<const Digest> identities );
  // Ends what others have: the process before us may have admitted more than we do.
  void keep_only( const std::function<bool( const Digest& identity )>& admitted );

private:
  void take_over();
  void answer( LinkLeg& link, const Hello& hello );
  [[nodiscard]] bool may_be_here( const Hello& hello, const LinkLeg& link ) const;
  [[nodiscard]] bool has_tunnel_in_use( const Hello& hello, const LinkLeg& link ) const;
  void welcome_client( LinkLeg& link, const Hello& hello, const Admission::Decision& decision );
  // Something about the network of this machine changed: a link whose address here is gone is worth nothing.
  void look_at_network( Time now );
  void dismiss( Client& client );
  void session_arrived( Client& client, Session& session );
  void target_answered( TunnelEnd& end, Session& session, TargetDial::Outcome outcome );

  Loop& loop_;
  SproxyConfig config_;
  const Crypto& crypto_;
  Log& log_;
  Inheritance inheritance_;
  Arena arena_;
  FrameBatch batch_ {};
  Mapping scratch_; // bytes read from a link, and decrypted
  Admission admission_;
  Ramp ramp_;
  TargetDials dials_; // of sessions, which are clients'
  Clients clients_;
  Reception reception_;
  NetworkNews news_;
  BusyTurns busy_turns_ {};
  Time stop_by_ = never;
};

} // namespace holdfast
