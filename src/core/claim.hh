#pragma once

#include "core/initiation.hh"
#include "core/memory.hh"

#include <cstdint>

namespace holdfast {

// What cproxy knows of its tunnel and how it claims it on a new link: makes the hellos, judges the welcomes. All of
// it is in the tunnel's record, the caller's, so that it outlives us. Its secrets change
// with each welcome that resumes the tunnel.
class Claim
{
public:
  struct Config
  {
    Id instance {};           // of this client, the same after it was restarted from nothing
    std::uint64_t run = 0;    // another one each time it starts from nothing
    Duration beat {};         // our heartbeat interval
    std::uint32_t window = 0; // our sessions' first receive window
    std::uint32_t capabilities = 0;
  };

  // A fresh record is told who we are; in one that an earlier process left, that stays as it is.
  Claim( const Crypto& crypto, Config config, TunnelRecord& record );

  // The hello for one link: resumes the tunnel if there is one. Attempts are numbered in the order of these calls.
  // While a hello for a new tunnel is unanswered no other one may be sent: sproxy would make two tunnels and end
  // the first.
  [[nodiscard]] Hello hello( const Digest& binding );

  // The hello for a bulk link of the tunnel, beside the link that carries it.
  [[nodiscard]] Hello join( const Digest& binding ) const;

  enum class Outcome
  {
    made,       // a tunnel was made, this link carries it
    resumed,    // the tunnel goes on, on this link
    joined,     // this link is its bulk link
    obsolete,   // a link of a later attempt has been welcomed already: close this one
    gone,       // the tunnel is lost, with its sessions; the next hello makes a new one
    later,      // try again after welcome.retry_after
    refused,    // will not be served; trying again makes sense only after somebody has changed something
    false_proof // it is not the sproxy that made our tunnel: close the link, believe nothing
  };
  // What the welcome, answering that hello on a link with that binding, means.
  [[nodiscard]] Outcome answered( const Hello& hello, const Welcome& welcome, const Digest& binding );

  [[nodiscard]] bool has_tunnel() const { return record_.agreed != 0; }
  // The tunnel is over.
  void forget();

private:
  [[nodiscard]] Hello greeting() const;
  [[nodiscard]] Outcome joined( const Hello& hello, const Welcome& welcome, const Digest& binding ) const;
  [[nodiscard]] Outcome made( const Hello& hello, const Welcome& welcome, const Digest& binding );
  [[nodiscard]] Outcome resumed( const Hello& hello, const Welcome& welcome, const Digest& binding );

  const Crypto& crypto_;
  Config config_;
  TunnelRecord& record_;
};

} // namespace holdfast
