#include "core/admission.hh"

namespace holdfast {

Admission::Admission( const Crypto& crypto, Config config, Slots<TunnelRecord>& slots )
  : crypto_( crypto ), config_( config ), slots_( slots )
{
  slots.for_each( [this]( TunnelRecord& record ) {
    tunnels_[record.id] = &record;
    by_owner_[owner( record )] = record.id;
  } );
}

Admission::Decision Admission::decide( const Hello& hello,
                                       const Channel& channel,
                                       bool place_allowed,
                                       bool earlier_is_heard,
                                       Duration wait )
{
  Decision decision;
  Welcome& welcome = decision.welcome;
  welcome.capabilities = hello.capabilities & config_.capabilities;
  welcome.beat = config_.beat;
  welcome.window = config_.window;
  welcome.attempt = hello.attempt;
  crypto_.random( welcome.nonce );

  if ( hello.version < protocol_version or hello.version_lowest > protocol_version ) {
    welcome.answer = Answer::refused;
    welcome.reason = Refusal::version;
  } else if ( hello.purpose == Purpose::resume ) {
    resume( hello, channel, place_allowed, wait, decision );
  } else if ( hello.purpose == Purpose::join ) {
    join( hello, channel, place_allowed, decision );
  } else {
    make( hello, channel, earlier_is_heard, wait, decision );
  }
  return decision;
}

Admission::Proved Admission::proved( const Hello& hello, const Channel& channel ) const
{
  const auto found = tunnels_.find( hello.tunnel );
  TunnelRecord* const known
    = found != tunnels_.end() and same( found->second->identity, channel.identity ) ? found->second : nullptr;
  const SecretsRecord nobodys {};
  const SecretsRecord& secrets = known == nullptr ? nobodys : known->secrets;
  const Digest* const secret = proved_by( crypto_, secrets, channel.binding, hello );
  return known == nullptr or secret == nullptr ? Proved { nullptr, nullptr } : Proved { known, secret };
}

void Admission::resume( const Hello& hello,
                        const Channel& channel,
                        bool place_allowed,
                        Duration wait,
                        Decision& decision )
{
  Welcome& welcome = decision.welcome;
  const auto [known, secret] = proved( hello, channel );
  if ( known == nullptr ) {
    welcome.answer = Answer::gone;
    return;
  }
  // What follows is said only to those who could prove it, so that strangers learn nothing.
  if ( hello.attempt <= known->attempt ) {
    welcome.answer = Answer::overtaken;
    return;
  }
  if ( not place_allowed ) {
    welcome.answer = Answer::refused;
    welcome.reason = Refusal::place;
    return;
  }
  if ( wait > Duration {} ) {
    put_off( welcome, wait );
    return;
  }
  decision.record = known;
  known->attempt = hello.attempt; // first: if we die here, this hello is good for nothing any more
  keep_order();
  welcome.answer = Answer::resumed;
  welcome.tunnel = hello.tunnel;
  welcome.proof = prove_welcome( crypto_, *secret, channel.binding, hello, welcome );
  rotate( crypto_, known->secrets, *secret, channel.binding, hello, welcome );
}

// Its secrets stay as they are: they change when a link carries the tunnel.
void Admission::join( const Hello& hello, const Channel& channel, bool place_allowed, Decision& decision )
{
  Welcome& welcome = decision.welcome;
  const auto [known, secret] = proved( hello, channel );
  if ( known == nullptr ) {
    welcome.answer = Answer::gone;
  } else if ( hello.attempt != known->attempt ) {
    welcome.answer = Answer::overtaken;
  } else if ( not place_allowed ) {
    welcome.answer = Answer::refused;
    welcome.reason = Refusal::place;
  } else if ( ( config_.capabilities & bulk_link_capability ) == 0 ) {
    welcome.answer = Answer::refused; // nobody told it that it may
  } else {
    decision.record = known;
    welcome.answer = Answer::joined;
    welcome.tunnel = hello.tunnel;
    welcome.proof = prove_welcome( crypto_, *secret, channel.binding, hello, welcome );
  }
}

void Admission::make( const Hello& hello,
                      const Channel& channel,
                      bool earlier_is_heard,
                      Duration wait,
                      Decision& decision )
{
  Welcome& welcome = decision.welcome;
  const auto earlier = by_owner_.find( { channel.identity, hello.instance } );
  if ( earlier == by_owner_.end() ) {
    if ( has_enough( channel.identity ) ) {
      welcome.answer = Answer::refused;
      welcome.reason = Refusal::tunnels;
      return;
    }
    if ( tunnels_.size() >= config_.tunnels_max ) {
      put_off( welcome, config_.retry_after );
      return;
    }
  } else {
    const TunnelRecord& known = *tunnels_.at( earlier->second );
    const bool of_earlier_attempt = hello.run == known.run and hello.attempt <= known.attempt;
    const bool of_earlier_run = hello.run < known.run and earlier_is_heard;
    if ( of_earlier_attempt or of_earlier_run ) { // it was long on its way
      welcome.answer = Answer::overtaken;
      return;
    }
  }
  if ( wait > Duration {} ) {
    put_off( welcome, wait );
    return;
  }
  if ( earlier != by_owner_.end() ) {
    decision.superseded = earlier->second;
    forget( *decision.superseded );
  }
  decision.record = slots_.take();
  if ( decision.record == nullptr ) {
    put_off( welcome, config_.retry_after );
    return;
  }
  welcome.answer = Answer::made;
  crypto_.random( welcome.tunnel );
  TunnelRecord& record = *decision.record;
  record.identity = channel.identity;
  record.instance = hello.instance;
  record.run = hello.run;
  record.id = welcome.tunnel;
  start( record.secrets, make_secret( crypto_, channel.binding, hello, welcome ) );
  record.attempt = hello.attempt;
  record.agreed = 1;
  keep_order();
  record.used = 1; // last: from now on the slot is not free
  tunnels_[welcome.tunnel] = &record;
  by_owner_[owner( record )] = welcome.tunnel;
}

bool Admission::has_enough( const Digest& identity ) const
{
  if ( identity == Digest {} ) {
    return false; // a link in the clear
  }
  std::size_t tunnels = 0;
  for ( auto at = by_owner_.lower_bound( { identity, Id {} } );
        at != by_owner_.end() and at->first.first == identity and tunnels < config_.tunnels_per_client;
        ++at ) {
    ++tunnels;
  }
  return tunnels >= config_.tunnels_per_client;
}

void Admission::put_off( Welcome& welcome, Duration wait )
{
  welcome.answer = Answer::later;
  welcome.retry_after = std::chrono::ceil<std::chrono::milliseconds>( wait ); // as the wire has it
}

std::optional<Id> Admission::tunnel_of( const Digest& identity, const Id& instance ) const
{
  const auto found = by_owner_.find( { identity, instance } );
  return found == by_owner_.end() ? std::nullopt : std::optional { found->second };
}

void Admission::forget( const Id& tunnel )
{
  const auto found = tunnels_.find( tunnel );
  if ( found == tunnels_.end() ) {
    return;
  }
  by_owner_.erase( owner( *found->second ) );
  found->second->agreed = 0;
  keep_order(); // nobody takes zeros for a secret
  wipe( found->second->secrets );
  tunnels_.erase( found );
}

} // namespace holdfast
