#include "core/secrets.hh"

#include "core/stores.hh"

#include <cassert>

namespace holdfast {

void start( SecretsRecord& secrets, const Digest& first )
{
  secrets = { .latest = first };
}

void settle( SecretsRecord& secrets )
{
  secrets.has_before = 0;
  keep_order(); // nobody takes zeros for a secret
  wipe( secrets.before );
}

void wipe( SecretsRecord& secrets )
{
  settle( secrets );
  wipe( secrets.latest );
}

void prove( const Crypto& crypto, const SecretsRecord& secrets, const Digest& binding, Hello& hello )
{
  hello.proof = prove_hello( crypto, secrets.latest, binding, hello );
  if ( secrets.has_before != 0 ) {
    hello.proof_before = prove_hello( crypto, secrets.before, binding, hello );
  }
}

bool made_with( const Crypto& crypto, const SecretsRecord& secrets, const Digest& binding, const Hello& hello )
{
  return same( hello.proof, prove_hello( crypto, secrets.latest, binding, hello ) );
}

const Digest* proved_by( const Crypto& crypto,
                         const SecretsRecord& secrets,
                         const Digest& binding,
                         const Hello& hello )
{
  const Digest with_latest = prove_hello( crypto, secrets.latest, binding, hello );
  const Digest with_before = prove_hello( crypto, secrets.before, binding, hello );
  const bool latest = same( hello.proof, with_latest );
  const bool latest_second = same( hello.proof_before, with_latest );
  const bool before = same( hello.proof, with_before );
  const bool before_second = same( hello.proof_before, with_before );
  if ( latest or latest_second ) {
    return &secrets.latest;
  }
  return secrets.has_before != 0 and ( before or before_second ) ? &secrets.before : nullptr;
}

const Digest* proved_by( const Crypto& crypto,
                         const SecretsRecord& secrets,
                         const Digest& binding,
                         const Hello& hello,
                         const Welcome& welcome )
{
  if ( same( welcome.proof, prove_welcome( crypto, secrets.latest, binding, hello, welcome ) ) ) {
    return &secrets.latest;
  }
  const bool before = secrets.has_before != 0
                      and same( welcome.proof, prove_welcome( crypto, secrets.before, binding, hello, welcome ) );
  return before ? &secrets.before : nullptr;
}

void rotate( const Crypto& crypto,
             SecretsRecord& secrets,
             const Digest& fitted,
             const Digest& binding,
             const Hello& hello,
             const Welcome& welcome )
{
  assert( &fitted == &secrets.latest or &fitted == &secrets.before );
  Digest next = next_secret( crypto, fitted, binding, hello, welcome );
  if ( &fitted == &secrets.latest ) {
    secrets.before = secrets.latest; // while it is half written, latest is whole
    keep_order();
    secrets.has_before = 1;
    keep_order();
  }
  secrets.latest = next; // while it is half written, before is whole, and is what fitted
  keep_order();
  wipe( next );
}

} // namespace holdfast
