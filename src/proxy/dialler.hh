#pragma once

#include "core/claim.hh"
#include "core/frame_batch.hh"
#include "core/redial.hh"
#include "net/resolver.hh"
#include "proxy/link_leg.hh"
#include "proxy/log.hh"

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace holdfast {

// How cproxy gets its links: resolves sproxy's name, dials while a link is needed, introduces itself on what
// connects, and hands over the link that was welcomed. Several dials may be under way; the first welcome wins.
class Dialler : public LinkOwner
{
public:
  struct Config
  {
    HostPort sproxy {};
    MakeWire wire {};
    Claim::Config claim {};
    Pulse::Config pulse {};
  };
  struct Found
  {
    std::unique_ptr<LinkLeg> link;
    bool resumed;        // the tunnel goes on; else it is a new one
    std::size_t window;  // sproxy's first window of a new session
    std::uint64_t hello; // the number of that which was said on it
    Duration search;     // how long a link was needed
  };
  // What can be said behind the hello of that number (Tunnel::speak_early), in at most so many bytes. `urgent`:
  // there is no link now that can be trusted.
  using SpeakEarly
    = std::function<void( std::vector<std::byte>& into, std::size_t most, std::uint64_t hello, bool urgent )>;
  struct Events
  {
    std::function<void( Found )> found; // called while the link reads: further frames go to its new owner
    std::function<void()> gone;         // sproxy does not know our tunnel any more
    SpeakEarly speak_early;
  };

  // `batch` and `scratch` are shared with the other links of the process.
  Dialler( Loop& loop,
           FrameBatch& batch,
           std::span<std::byte> scratch,
           const Crypto& crypto,
           Log& log,
           Config config,
           TunnelRecord& record,
           Events events );

  // A link is needed: dials at once, and goes on until one is found or need_no_more().
  void need( Time now );
  // The link there is speaks again. Dials that have got as far as a hello go on: sproxy may have changed over
  // already.
  void need_no_more();
  [[nodiscard]] bool needed() const { return needed_; }
  // The tunnel is over: the next hello asks for a new one.
  void forget_tunnel() { claim_.forget(); }
  // Dials no more.
  void stop();

  void turn( Time now );
  [[nodiscard]] Time deadline() const;

  void frame_arrived( LinkLeg& link, const Frame& frame ) override;

private:
  // A link on its way to become the tunnel's.
  struct Candidate
  {
    std::unique_ptr<LinkLeg> link;
    Address address;
    std::optional<Hello> hello {}; // said on it
    bool answered = false;         // and there was an answer

    [[nodiscard]] bool asks_for_new_tunnel() const { return hello and hello->purpose == Purpose::new_tunnel; }
    [[nodiscard]] Time until() const; // it is given up then
  };

  void welcomed( Candidate& candidate, const Welcome& welcome );
  void look_after( Candidate& candidate, Time now );
  void say_hello( Candidate& candidate );
  void resolve();
  void dial( Time now );
  void complain( const std::string& problem );
  void tunnel_gone();

  Loop& loop_;
  FrameBatch& batch_;
  std::span<std::byte> scratch_;
  const Crypto& crypto_;
  Log& log_;
  Config config_;
  Events events_;
  Claim claim_;
  Redial redial_ { {} };
  Resolver resolver_;
  std::vector<Address> addresses_ {}; // sproxy's, as last resolved
  std::size_t next_address_ = 0;
  std::vector<Candidate> candidates_ {}; // in the order they were dialled
  bool needed_ = false;
  Time needed_since_ {};
  Time made_ {};                  // our tunnel was
  Time no_new_tunnel_until_ {};   // see tunnel_gone()
  unsigned short_lives_ = 0;      // tunnels in a row that were gone soon
  std::string last_complaint_ {}; // the log says each thing once, not four times a second
};

} // namespace holdfast
