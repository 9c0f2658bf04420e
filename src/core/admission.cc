#include "core/admission.hh"

namespace holdfast {

Admission::Decision Admission::decide( const Hello& hello, const Digest& binding )
{
  Decision decision;
  Welcome& welcome = decision.welcome;
  welcome.beat = config_.beat;
  welcome.window = config_.window;
  welcome.attempt = hello.attempt;
  crypto_.random( welcome.nonce );

  if ( hello.version < protocol_version or hello.version_lowest > protocol_version ) {
    welcome.answer = Answer::refused;
    return decision;
  }
  if ( hello.purpose == Purpose::resume ) {
    welcome.answer = resume( hello, binding, welcome );
    return decision;
  }

  const auto earlier = by_instance_.find( hello.instance );
  if ( earlier == by_instance_.end() and tunnels_.size() >= config_.tunnels_max ) {
    welcome.answer = Answer::later;
    welcome.retry_after = config_.retry_after;
    return decision;
  }
  if ( earlier != by_instance_.end() ) {
    const Ticket& ticket = tunnels_.at( earlier->second );
    if ( ticket.run == hello.run and hello.attempt <= ticket.attempt ) {
      welcome.answer = Answer::overtaken;
      return decision;
    }
    decision.superseded = earlier->second;
    forget( *decision.superseded );
  }
  welcome.answer = Answer::made;
  crypto_.random( welcome.tunnel );
  tunnels_[welcome.tunnel]
    = { hello.instance, hello.run, make_secret( crypto_, binding, hello, welcome ), hello.attempt };
  by_instance_[hello.instance] = welcome.tunnel;
  return decision;
}

Answer Admission::resume( const Hello& hello, const Digest& binding, Welcome& welcome )
{
  const auto found = tunnels_.find( hello.tunnel );
  const Digest secret = found == tunnels_.end() ? Digest {} : found->second.secret;
  const bool proved = same( hello.proof, prove_hello( crypto_, secret, binding, hello ) );
  if ( found == tunnels_.end() or not proved ) {
    return Answer::gone;
  }
  if ( hello.attempt <= found->second.attempt ) {
    return Answer::overtaken; // said only to those who could prove it, so that strangers learn nothing
  }
  found->second.attempt = hello.attempt;
  welcome.tunnel = hello.tunnel;
  welcome.proof = prove_welcome( crypto_, secret, binding, hello, welcome );
  return Answer::resumed;
}

void Admission::forget( const Id& tunnel )
{
  const auto found = tunnels_.find( tunnel );
  if ( found == tunnels_.end() ) {
    return;
  }
  const auto named = by_instance_.find( found->second.instance );
  if ( named != by_instance_.end() and named->second == tunnel ) {
    by_instance_.erase( named );
  }
  tunnels_.erase( found );
}

} // namespace holdfast
