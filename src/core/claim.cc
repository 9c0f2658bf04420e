#include "core/claim.hh"

namespace holdfast {

Claim::Claim( const Crypto& crypto, Config config, TunnelRecord& record )
  : crypto_( crypto ), config_( config ), record_( record )
{
  if ( is_free( record ) ) {
    record.instance = config.instance;
    record.run = config.run;
    record.used = 1;
  }
}

Hello Claim::greeting() const
{
  Hello hello;
  hello.capabilities = config_.capabilities;
  hello.beat = config_.beat;
  hello.window = config_.window;
  hello.instance = record_.instance;
  hello.run = record_.run;
  crypto_.random( hello.nonce );
  return hello;
}

Hello Claim::join( const Digest& binding ) const
{
  Hello hello = greeting();
  hello.purpose = Purpose::join;
  hello.tunnel = record_.id;
  hello.attempt = record_.attempt;
  prove( crypto_, record_.secrets, binding, hello );
  return hello;
}

Hello Claim::hello( const Digest& binding )
{
  Hello hello = greeting();
  hello.attempt = ++record_.attempts;
  if ( has_tunnel() ) {
    hello.purpose = Purpose::resume;
    hello.tunnel = record_.id;
    prove( crypto_, record_.secrets, binding, hello );
  }
  return hello;
}

Claim::Outcome Claim::answered( const Hello& hello, const Welcome& welcome, const Digest& binding )
{
  const bool accepted
    = welcome.answer == Answer::made or welcome.answer == Answer::resumed or welcome.answer == Answer::joined;
  if ( accepted and welcome.version != protocol_version ) {
    return Outcome::refused;
  }
  if ( hello.purpose == Purpose::join ) { // nothing that is said here says anything about the tunnel
    return welcome.answer == Answer::joined ? joined( hello, welcome, binding ) : Outcome::refused;
  }
  switch ( welcome.answer ) {
    case Answer::made: return made( hello, welcome, binding );
    case Answer::resumed: return has_tunnel() ? resumed( hello, welcome, binding ) : Outcome::obsolete;
    case Answer::gone:
      // It may be about an earlier tunnel; and a hello that was said before the secrets changed may come when
      // sproxy has forgotten those it was made with.
      if ( not made_with( crypto_, record_.secrets, binding, hello ) ) {
        return Outcome::obsolete;
      }
      forget();
      return Outcome::gone;
    case Answer::overtaken: return Outcome::obsolete;
    case Answer::later: return Outcome::later;
    case Answer::refused: return Outcome::refused;
    case Answer::joined: break; // nobody asked
  }
  return Outcome::false_proof;
}

Claim::Outcome Claim::joined( const Hello& hello, const Welcome& welcome, const Digest& binding ) const
{
  if ( not has_tunnel() or hello.tunnel != record_.id or hello.attempt != record_.attempt ) {
    return Outcome::obsolete; // it was for a link that carries the tunnel no more
  }
  const bool proved = proved_by( crypto_, record_.secrets, binding, hello, welcome ) != nullptr;
  return proved and welcome.attempt == hello.attempt ? Outcome::joined : Outcome::false_proof;
}

Claim::Outcome Claim::made( const Hello& hello, const Welcome& welcome, const Digest& binding )
{
  if ( hello.purpose != Purpose::new_tunnel or welcome.attempt != hello.attempt ) {
    return Outcome::false_proof;
  }
  if ( has_tunnel() and hello.attempt < record_.attempt ) {
    return Outcome::obsolete; // two links asked for a new tunnel; the later one has it, and sproxy ended this one
  }
  record_.agreed = 0; // not while the three change
  keep_order();
  record_.id = welcome.tunnel;
  start( record_.secrets, make_secret( crypto_, binding, hello, welcome ) );
  record_.attempt = hello.attempt;
  keep_order();
  record_.agreed = 1;
  return Outcome::made;
}

Claim::Outcome Claim::resumed( const Hello& hello, const Welcome& welcome, const Digest& binding )
{
  if ( hello.attempt < record_.attempt ) {
    return Outcome::obsolete; // whatever it proves, it proves it with a secret that may be forgotten by now
  }
  const Digest* const proved = proved_by( crypto_, record_.secrets, binding, hello, welcome );
  if ( proved == nullptr or welcome.attempt != hello.attempt ) {
    return Outcome::false_proof;
  }
  record_.attempt = hello.attempt;
  rotate( crypto_, record_.secrets, *proved, binding, hello, welcome );
  return Outcome::resumed;
}

void Claim::forget()
{
  record_.agreed = 0;
  keep_order(); // nobody proves anything with zeros
  wipe( record_.secrets );
}

} // namespace holdfast
