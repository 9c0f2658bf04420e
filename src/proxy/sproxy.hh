#pragma once

#include "core/admission.hh"
#include "core/ramp.hh"
#include "net/network_news.hh"
#include "proxy/account.hh"
#include "proxy/agenda.hh"
#include "proxy/busy_turns.hh"
#include "proxy/client.hh"
#include "proxy/config.hh"
#include "proxy/few_lines.hh"
#include "proxy/inheritance.hh"
#include "proxy/log.hh"
#include "proxy/reception.hh"
#include "proxy/target_dial.hh"
#include "proxy/tunnel_end.hh"

#include <map>
#include <memory>
#include <span>
#include <string>
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
  // Goes on with what its predecessor has left. A service manager gets copies of what the next one needs.
  Sproxy( Loop& loop,
          const SproxyConfig& config,
          const Crypto& crypto,
          MakeWire wire,
          Log& log,
          Predecessor predecessor = {},
          ServiceManager* manager = nullptr );
  ~Sproxy();
  Sproxy( const Sproxy& ) = delete;
  Sproxy& operator=( const Sproxy& ) = delete;

  void turn();
  [[nodiscard]] Time deadline() const;
  // Ends everything in order: tells every client goodbye, resets every target. stopped() when that is out, or after
  // a second.
  void stop();
  [[nodiscard]] bool stopped() const;
  // These clients are not admitted any more: ends what they have.
  void revoke( std::span<const Digest> identities );

private:
  using Clients = std::map<Id, std::unique_ptr<Client>>; // by the names of their tunnels

  void take_over();
  void answer( LinkLeg& link, const Hello& hello );
  Client& client_of( TunnelRecord& record );
  [[nodiscard]] bool may_be_here( const Hello& hello, const LinkLeg& link ) const;
  [[nodiscard]] Account* open_account( const Digest& identity );
  [[nodiscard]] Account* account_of( const Digest& identity ); // nullptr: it has none
  [[nodiscard]] bool has_tunnel_in_use( const Hello& hello, const LinkLeg& link ) const;
  void welcome_client( LinkLeg& link, const Hello& hello, const Admission::Decision& decision );
  // Something about the network of this machine changed: a link whose address here is gone is worth nothing.
  void look_at_network( Time now );
  void dismiss( const Account& account );
  [[nodiscard]] FewLines& lines_about( Client::Change change );
  void look_after_clients( Time now );
  void look_after( Client& client );
  void remove( Client& client );
  void session_arrived( Client& client, Session& session );
  void target_answered( TunnelEnd& end, Session& session, TargetDial::Outcome outcome );
  void tick_dials( Time now );

  Loop& loop_;
  SproxyConfig config_;
  const Crypto& crypto_;
  Log& log_;
  ServiceManager* manager_; // null: there is none
  Inheritance inheritance_;
  Arena arena_;
  FrameBatch batch_ {};
  Mapping scratch_; // bytes read from a link, and decrypted
  Admission admission_;
  Ramp ramp_;
  std::map<Digest, Account> accounts_ {}; // of the clients that have tunnels
  Agenda agenda_ {};                      // of the clients
  Clients clients_ {};
  std::map<const Session*, std::unique_ptr<TargetDial>> dials_ {};
  Reception reception_;
  NetworkNews news_;
  BusyTurns busy_turns_ {};
  // Thousands come and go at once when a network fails.
  FewLines made_;
  FewLines resumed_;
  FewLines lost_;
  Time stop_by_ = never;
};

} // namespace holdfast
