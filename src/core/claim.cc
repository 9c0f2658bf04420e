#include "core/claim.hh"

namespace holdfast {

Hello Claim::hello( const Digest& binding )
{
  Hello hello;
  hello.beat = config_.beat;
  hello.window = config_.window;
  hello.instance = config_.instance;
  hello.run = config_.run;
  hello.attempt = ++attempts_;
  crypto_.random( hello.nonce );
  if ( tunnel_ ) {
    hello.purpose = Purpose::resume;
    hello.tunnel = tunnel_->id;
    hello.proof = prove_hello( crypto_, tunnel_->secret, binding, hello );
  }
  return hello;
}

Claim::Outcome Claim::answered( const Hello& hello, const Welcome& welcome, const Digest& binding )
{
  const bool about_this_tunnel = tunnel_ and hello.purpose == Purpose::resume and hello.tunnel == tunnel_->id;
  const bool accepted = welcome.answer == Answer::made or welcome.answer == Answer::resumed;
  if ( accepted and welcome.version != protocol_version ) {
    return Outcome::refused;
  }
  switch ( welcome.answer ) {
    case Answer::made:
      if ( hello.purpose != Purpose::new_tunnel or welcome.attempt != hello.attempt ) {
        return Outcome::false_proof;
      }
      if ( tunnel_ and hello.attempt < tunnel_->attempt ) {
        return Outcome::obsolete; // two links asked for a new tunnel; the later one has it, and sproxy ended this
                                  // one
      }
      tunnel_ = Tunnel { welcome.tunnel, make_secret( crypto_, binding, hello, welcome ), hello.attempt };
      return Outcome::made;
    case Answer::resumed:
      if ( not about_this_tunnel ) {
        return Outcome::obsolete;
      }
      if ( welcome.attempt != hello.attempt
           or not same( welcome.proof, prove_welcome( crypto_, tunnel_->secret, binding, hello, welcome ) ) ) {
        return Outcome::false_proof;
      }
      if ( hello.attempt < tunnel_->attempt ) {
        return Outcome::obsolete;
      }
      tunnel_->attempt = hello.attempt;
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
