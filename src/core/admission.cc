#include "core/admission.hh"

namespace holdfast {

Admission::Admission( const Crypto& crypto, Config config, Slots<TunnelRecord>& slots )
  : crypto_( crypto ), config_( config ), slots_( slots )
{
  slots.for_each( [this]( TunnelRecord& record ) {
    tunnels_[record.id] = &record;
    by_instance_[record.instance] = record.id;
  } );
}

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
    resume( hello, binding, decision );
    return decision;
  }

  const auto earlier = by_instance_.find( hello.instance );
  if ( earlier == by_instance_.end() and tunnels_.size() >= config_.tunnels_max ) {
    welcome.answer = Answer::later;
    welcome.retry_after = config_.retry_after;
    return decision;
  }
  if ( earlier != by_instance_.end() ) {
    const TunnelRecord& known = *tunnels_.at( earlier->second );
    if ( known.run == hello.run and hello.attempt <= known.attempt ) {
      welcome.answer = Answer::overtaken;
      return decision;
    }
    decision.superseded = earlier->second;
    forget( *decision.superseded );
  }
  decision.record = slots_.take();
  if ( decision.record == nullptr ) {
    welcome.answer = Answer::later;
    welcome.retry_after = config_.retry_after;
    return decision;
  }
  welcome.answer = Answer::made;
  crypto_.random( welcome.tunnel );
  TunnelRecord& record = *decision.record;
  record.instance = hello.instance;
  record.run = hello.run;
  record.id = welcome.tunnel;
  record.secret = make_secret( crypto_, binding, hello, welcome );
  record.attempt = hello.attempt;
  record.agreed = 1;
  record.used = 1; // last: from now on the slot is not free
  tunnels_[welcome.tunnel] = &record;
  by_instance_[hello.instance] = welcome.tunnel;
  return decision;
}

void Admission::resume( const Hello& hello, const Digest& binding, Decision& decision )
{
  Welcome& welcome = decision.welcome;
  const auto found = tunnels_.find( hello.tunnel );
  const Digest secret = found == tunnels_.end() ? Digest {} : found->second->secret;
  const bool proved = same( hello.proof, prove_hello( crypto_, secret, binding, hello ) );
  if ( found == tunnels_.end() or not proved ) {
    welcome.answer = Answer::gone;
    return;
  }
  if ( hello.attempt <= found->second->attempt ) {
    welcome.answer = Answer::overtaken; // said only to those who could prove it, so that strangers learn nothing
    return;
  }
  decision.record = found->second;
  decision.record->attempt = hello.attempt;
  welcome.answer = Answer::resumed;
  welcome.tunnel = hello.tunnel;
  welcome.proof = prove_welcome( crypto_, secret, binding, hello, welcome );
}

void Admission::forget( const Id& tunnel )
{
  const auto found = tunnels_.find( tunnel );
  if ( found == tunnels_.end() ) {
    return;
  }
  by_instance_.erase( found->second->instance ); // an instance has one tunnel at most
  found->second->agreed = 0;
  tunnels_.erase( found );
}

} // namespace holdfast
