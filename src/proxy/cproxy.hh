#pragma once

#include "core/claim.hh"
#include "core/redial.hh"
#include "net/listener.hh"
#include "net/resolver.hh"
#include "proxy/config.hh"
#include "proxy/log.hh"
#include "proxy/tunnel_end.hh"

#include <memory>
#include <string>
#include <vector>

namespace holdfast {

// The near proxy: accepts the apps' connections, each of which is a session, and keeps a link to sproxy, dialling
// whenever there is none that it trusts.
//
//   while ( not cproxy.stopped() ) { loop.wait( cproxy.deadline() ); cproxy.turn(); }
class Cproxy : public LinkOwner
{
public:
  // Listens; throws StartupError when it cannot. Whether sproxy can be reached shows later.
  Cproxy( Loop& loop, const CproxyConfig& config, const Crypto& crypto, Log& log );
  ~Cproxy() override;

  void turn();
  [[nodiscard]] Time deadline() const;
  // Ends everything in order: tells sproxy goodbye, resets every app. stopped() when that is out, or after a
  // second.
  void stop();
  [[nodiscard]] bool stopped() const;

  void frame_arrived( LinkLeg& link, const Frame& frame ) override;
  void link_changed( LinkLeg& /*link*/ ) override {} // all links are looked after every turn

private:
  // A link on its way to become the tunnel's.
  struct Candidate
  {
    std::unique_ptr<LinkLeg> link;
    Address address;
    std::optional<Hello> hello; // said on it
    bool proved = false;        // to be attached in this turn,
    std::size_t window = 0;     // with sproxy's first window
  };

  void app_arrived( Fd socket, const Address& peer );
  void welcomed( Candidate& candidate, const Welcome& welcome );
  void attach_proved( Time now );
  void look_after_link( Time now );
  void look_after_candidates( Time now );
  void say_hello( Candidate& candidate );
  void attach( Candidate& candidate, Time now );
  void tunnel_lost( ResetReason reason, Time now );
  [[nodiscard]] bool hello_for_new_tunnel_under_way() const;
  [[nodiscard]] std::uint64_t random_number() const;
  void need_link( Time now );
  void dial( Time now );
  void resolve();
  void complain( const std::string& problem );

  Loop& loop_;
  CproxyConfig config_;
  const Crypto& crypto_;
  Log& log_;
  Arena arena_;
  FrameBatch batch_ {};
  std::vector<std::byte> scratch_;
  Claim claim_;
  TunnelEnd end_;
  Resolver resolver_;
  std::vector<Address> addresses_ {}; // sproxy's, as last resolved
  std::size_t next_address_ = 0;
  std::vector<Candidate> candidates_ {}; // in the order they were dialled
  Redial redial_ { {} };
  bool needed_ = false; // a link is
  Time needed_since_ {};
  std::string last_complaint_ {}; // the log says each thing once, not four times a second
  std::string last_local_ {};
  Listener listener_;
  Time stop_by_ = never;
};

} // namespace holdfast
