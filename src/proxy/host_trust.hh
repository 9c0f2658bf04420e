#pragma once

#include "core/initiation.hh"
#include "identity/known_hosts.hh"
#include "net/address.hh"
#include "proxy/log.hh"

#include <optional>
#include <string>
#include <vector>

namespace holdfast {

// Which sproxy a cproxy believes: one with a key that it was told (--fingerprint), or else the one it met first
// ("trust on first use", as ssh does). known_hosts is read at every link, so a person who edits it while we run is
// heard.
class HostTrust
{
public:
  // `pinned`: the keys it may have; empty: known_hosts decides.
  HostTrust( HostPort sproxy, std::vector<Digest> pinned, KnownHosts known, Log& log );

  // Whether to go on with whoever shows this key: nothing, or why not, for a person.
  [[nodiscard]] std::optional<std::string> objection( const Digest& identity ) const;
  // It has made a tunnel with us. If nobody told us its key before, it is remembered from now on.
  void met( const Digest& identity );

private:
  HostPort sproxy_;
  std::vector<Digest> pinned_;
  KnownHosts known_;
  Log& log_;
};

} // namespace holdfast
