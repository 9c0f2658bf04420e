#pragma once

#include "core/initiation.hh"

#include <cstdint>

namespace holdfast {

// What a side of a tunnel proves itself with: the secret made with the tunnel, and replaced by another one, which
// is derived from it, each time a link resumes the tunnel. A secret that was stolen is worth nothing soon; none
// ever travels. Plain data in memory which may outlive us.
//
// The two sides change theirs at different times, and the welcome that tells cproxy to do so may be lost. So each
// keeps two: `latest`, and `before`, from which latest was derived. A hello carries a proof with each of them, and
// any of the two of the other side may fit. X being the one that fitted, sproxy answers with a proof under X, keeps
// X as `before`, and derives `latest` from X and what was said on that link; cproxy does the same when the
// welcome's proof fits one of its own two. sproxy forgets `before` when it knows that cproxy has `latest` as well
// (settle()).
//
// At every instant there is a secret that both know. Either sproxy's latest is cproxy's too (after `made`, and from
// settle() to the next resume); or sproxy's `before` is one of cproxy's two. For what sproxy accepted a hello with,
// X, cproxy knew when it said that hello. If it still has X, all is well. If it has changed its secrets since, then
// because of a welcome to an earlier attempt (to a later one it would not have been told later), which sproxy
// accepted with some Y; sproxy's two were Y and its child then, cproxy could not know the child when it said the
// hello: so X is Y, and Y is cproxy's `before` now. And settle() comes only after cproxy has changed.
struct SecretsRecord
{
  Digest latest {};
  Digest before {};
  std::uint8_t has_before = 0; // 0 or 1
};

// The tunnel is made: from now on there is this secret.
void start( SecretsRecord& secrets, const Digest& first );
// The other side has `latest` as well, so nobody needs `before`.
void settle( SecretsRecord& secrets );
// Nothing is left of them, also in memory.
void wipe( SecretsRecord& secrets );

// The two proofs in a hello.
void prove( const Crypto& crypto, const SecretsRecord& secrets, const Digest& binding, Hello& hello );
// Whether these secrets are still those that the hello was made with.
[[nodiscard]] bool made_with( const Crypto& crypto,
                              const SecretsRecord& secrets,
                              const Digest& binding,
                              const Hello& hello );

// Which of ours the other side has proved that it knows; nullptr if none. The first is the same work whatever the
// secrets are and whatever the answer is. Good until the secrets change.
[[nodiscard]] const Digest* proved_by( const Crypto& crypto,
                                       const SecretsRecord& secrets,
                                       const Digest& binding,
                                       const Hello& hello );
[[nodiscard]] const Digest* proved_by( const Crypto& crypto,
                                       const SecretsRecord& secrets,
                                       const Digest& binding,
                                       const Hello& hello,
                                       const Welcome& welcome );

// A link has resumed the tunnel, proved with `fitted`, which is one of these secrets: replaces the latest one. If
// we die in it, at least `fitted` is found whole.
void rotate( const Crypto& crypto,
             SecretsRecord& secrets,
             const Digest& fitted,
             const Digest& binding,
             const Hello& hello,
             const Welcome& welcome );

} // namespace holdfast
