#pragma once

#include "core/claim.hh"
#include "core/frame_batch.hh"
#include "core/redial.hh"
#include "proxy/candidates.hh"
#include "proxy/link_leg.hh"
#include "proxy/log.hh"

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace holdfast {

// How cproxy gets its links: has sproxy dialled while one is needed (Candidates), introduces itself on what
// connects, and hands over the link that was welcomed. Several dials may be under way; the first welcome wins.
//
// What it says is a claim, which lives in the tunnel's record; of new tunnels never more than one is asked for at a
// time. Owns the links that are under way.
class Dialler : public LinkOwner
{
public:
  struct Config
  {
    Candidates::Config dials {};
    Claim::Config claim {};
  };
  struct Found
  {
    std::unique_ptr<LinkLeg> link;
    bool resumed;        // the tunnel goes on; else it is a new one
    std::size_t window;  // sproxy's first window of a new session
    std::uint64_t hello; // the number of that which was said on it
    Duration search;     // how long a link was needed
    unsigned interface;  // it was made to go through this one; 0: as the kernel preferred
    bool may_have_bulk;  // sproxy takes a bulk link beside it
  };
  // What can be said behind the hello of that number (Tunnel::speak_early), in at most so many bytes. `urgent`:
  // there is no link now that can be trusted.
  using SpeakEarly
    = std::function<void( std::vector<std::byte>& into, std::size_t most, std::uint64_t hello, bool urgent )>;
  struct Events
  {
    std::function<void( Found )> found; // called while the link reads: further frames go to its new owner
    std::function<void( std::unique_ptr<LinkLeg> )> found_for_bulk; // like `found`
    std::function<void()> gone;                                     // sproxy does not know our tunnel any more
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
  [[nodiscard]] Time needed_since() const { return needed_since_; }
  // There is a link that works, and perhaps a better way to the same address: dialled once, and if nothing comes of
  // it, nothing happened.
  void dial_beside( const Address& address ) { candidates_.dial_beside( address ); }
  // Dials a bulk link, through the interface of the link there is; once.
  void dial_for_bulk( const Address& address, unsigned interface )
  {
    candidates_.dial_for_bulk( { .address = address, .interface = interface } );
  }
  [[nodiscard]] bool dials_for_bulk() const { return candidates_.any_for_bulk(); }
  // Something about the network of this machine changed. Dials from an address that is gone are hopeless: a SYN
  // that is under way keeps its address for ever. If a link is needed and ways to sproxy are other ones now, it is
  // dialled at once.
  void network_changed( Time now );
  // The reason why no dial got through is probably gone: if a link is needed, all begins anew, at once.
  void hurry( Time now );
  // The tunnel is over: the next hello asks for a new one.
  void forget_tunnel() { claim_.forget(); }
  // Dials no more.
  void stop();

  void turn( Time now );
  [[nodiscard]] Time deadline() const;

  void frame_arrived( LinkLeg& link, const Frame& frame ) override;

private:
  void welcomed( Candidate& candidate, const Welcome& welcome );
  void look_after( Candidate& candidate, Time now );
  void say_hello( Candidate& candidate, const Hello& hello );
  void tell_end_of( const Candidate& candidate );
  void tunnel_gone();
  void dial( Time now );
  void resolved( bool first );
  void complain( const std::string& problem );

  Loop& loop_;
  FrameBatch& batch_;
  const Crypto& crypto_;
  Log& log_;
  Events events_;
  Claim claim_;
  Redial redial_ { {} };
  Candidates candidates_;
  bool needed_ = false;
  Time needed_since_ {};
  Time made_ {};                // our tunnel was
  Time no_new_tunnel_until_ {}; // see tunnel_gone()
  unsigned short_lives_ = 0;    // tunnels in a row that were gone soon
  std::set<std::string>
    complaints_ {}; // since the last link; the log says each thing once, not four times a second
};

} // namespace holdfast
