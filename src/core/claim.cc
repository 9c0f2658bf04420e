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

Hello Claim::hello( const Digest& binding )
{
  Hello hello;
  hello.beat = config_.beat;
  hello.window = config_.window;
  hello.instance = record_.instance;
  hello.run = record_.run;
  hello.attempt = ++record_.attempts;
  crypto_.random( hello.nonce );
  if ( has_tunnel() ) {
    hello.purpose = Purpose::resume;
    hello.tunnel = record_.id;
    hello.proof = prove_hello( crypto_, record_.secret, binding, hello );
  }
  return hello;
}

Claim::Outcome Claim::answered( const Hello& hello, const Welcome& welcome, const Digest& binding )
{
  const bool about_this_tunnel = has_tunnel() and hello.purpose == Purpose::resume and hello.tunnel == record_.id;
  const bool accepted = welcome.answer == Answer::made or welcome.answer == Answer::resumed;
  if ( accepted and welcome.version != protocol_version ) {
    return Outcome::refused;
  }
  switch ( welcome.answer ) {
    case Answer::made:
      if ( hello.purpose != Purpose::new_tunnel or welcome.attempt != hello.attempt ) {
        return Outcome::false_proof;
      }
      if ( has_tunnel() and hello.attempt < record_.attempt ) {
        return Outcome::obsolete; // two links asked for a new tunnel; the later one has it, and sproxy ended this
                                  // one
      }
      record_.agreed = 0; // not while the three change
      record_.id = welcome.tunnel;
      record_.secret = make_secret( crypto_, binding, hello, welcome );
      record_.attempt = hello.attempt;
      record_.agreed = 1;
      return Outcome::made;
    case Answer::resumed:
      if ( not about_this_tunnel ) {
        return Outcome::obsolete;
      }
      if ( welcome.attempt != hello.attempt
           or not same( welcome.proof, prove_welcome( crypto_, record_.secret, binding, hello, welcome ) ) ) {
        return Outcome::false_proof;
      }
      if ( hello.attempt < record_.attempt ) {
        return Outcome::obsolete;
      }
      record_.attempt = hello.attempt;
      return Outcome::resumed;
    case Answer::gone:
      if ( not about_this_tunnel ) {
        return Outcome::obsolete;
      }
      forget();
      return Outcome::gone;
    case Answer::overtaken: return Outcome::obsolete;
    case Answer::later: return Outcome::later;
    case Answer::refused: return Outcome::refused;
  }
  return Outcome::false_proof;
}

} // namespace holdfast
