// How a link introduces itself. The first byte chooses:
//
//   0      sproxy: hellos for several tunnels of several clients, in any order, with right and wrong proofs
//   1      cproxy: welcomes from its sproxy and from impostors, for any of the hellos that are out
//   else   the input itself as a greeting: what decodes must encode to the same again
//
// Both sides die now and then, and go on with the records they left. What must hold: nothing changes before the
// proof; attempts only rise; secrets change with each resume, and the two last ones prove a tunnel until the client
// has confirmed; a client ends nobody's tunnel but its own, and has nobody else's; who cannot prove is told
// nothing; no allocation has a size that the peer chose; a death changes nothing.

#include "fuzz/allocations.hh"
#include "fuzz/input.hh"

#include "core/admission.hh"
#include "core/claim.hh"
#include "core/recovery.hh"
#include "unit/core/crypto.hh"

#include <cstdint>
#include <optional>
#include <vector>

using namespace holdfast;
using namespace holdfast::fuzz;

namespace {

constexpr int operations_max = 100;
constexpr std::size_t allocation_max = 4096; // for one greeting: its statement, a node of a map

Digest digest_of( std::uint8_t byte )
{
  Digest digest;
  digest.fill( static_cast<std::byte>( byte ) );
  return digest;
}

Id id_of( std::uint8_t byte )
{
  Id id;
  id.fill( static_cast<std::byte>( byte ) );
  return id;
}

// As it goes over the wire.
Hello carried( const Hello& hello )
{
  const auto decoded = decode_hello( encode( hello ) );
  check( std::holds_alternative<Hello>( decoded ) and std::get<Hello>( decoded ) == hello, "a hello changed" );
  return std::get<Hello>( decoded );
}

Welcome carried( const Welcome& welcome )
{
  const auto decoded = decode_welcome( encode( welcome ) );
  check( std::holds_alternative<Welcome>( decoded ) and std::get<Welcome>( decoded ) == welcome,
         "a welcome changed" );
  return std::get<Welcome>( decoded );
}

// -- sproxy -------------------------------------------------------------------------------------------------------

class Clients
{
public:
  explicit Clients( Input& input ) : input_( input ) {}

  void play()
  {
    for ( int i = 0; i < operations_max and not input_.empty(); ++i ) {
      switch ( input_.below( 8 ) ) {
        case 0: ask_for_a_tunnel(); break;
        case 1:
        case 2: resume(); break;
        case 3: forget(); break;
        case 4: give_slots_back(); break;
        case 5: die(); break;
        case 6: confirm(); break;
        default: say_anything(); break;
      }
      check( admission_->tunnels() <= tunnels_max and admission_->tunnels() == alive(), "the number of tunnels" );
    }
    everybody_resumes();
  }

private:
  static constexpr std::size_t tunnels_max = 2;
  static constexpr std::size_t slots_max = 3; // one for a tunnel that is being ended

  // What a client knows of its tunnel, and whether sproxy should still know it.
  struct Known
  {
    Channel channel {};
    Id instance {};
    std::uint64_t run = 0;
    Id tunnel {};
    SecretsRecord secrets {}; // those that sproxy should have
    std::uint64_t attempt = 0;
    TunnelRecord* record = nullptr; // until its slot is given back
    bool alive = true;
  };

  [[nodiscard]] std::size_t alive() const
  {
    return static_cast<std::size_t>( std::ranges::count_if( known_, &Known::alive ) );
  }
  Hello hello( Purpose purpose )
  {
    Hello hello;
    hello.purpose = purpose;
    hello.beat = std::chrono::milliseconds { 100 };
    hello.instance = id_of( static_cast<std::uint8_t>( input_.below( 5 ) ) );
    hello.run = input_.below( 2 );
    hello.attempt = some_attempt( 0 );
    hello.nonce = digest_of( input_.byte() );
    if ( input_.below( 16 ) == 0 ) {
      hello.version = static_cast<std::uint8_t>( protocol_version + input_.below( 3 ) );
      hello.version_lowest = static_cast<std::uint8_t>( input_.below( hello.version + 1U ) );
    }
    return hello;
  }
  std::uint64_t some_attempt( std::uint64_t near )
  {
    switch ( input_.below( 8 ) ) {
      case 0: return input_.number( 8 );
      case 1: return near;
      case 2: return near - std::min<std::uint64_t>( near, 1 );
      default: return near + 1 + input_.below( 3 );
    }
  }
  Channel some_channel()
  {
    return { .binding = digest_of( input_.below( 4 ) == 0 ? 1 : 0 ),
             .identity = digest_of( static_cast<std::uint8_t>( input_.below( 2 ) ) ) };
  }
  Admission::Decision decide( const Hello& hello, const Channel& channel )
  {
    const Hello arrived = carried( hello );
    largest_allocation = 0;
    auto decision = admission_->decide( arrived, channel, true );
    check( largest_allocation <= allocation_max, "a hello made us ask for much memory" );
    check( decision.welcome.attempt == hello.attempt, "the answer to another attempt" );
    const Answer answer = decision.welcome.answer;
    if ( answer != Answer::made and answer != Answer::resumed ) {
      check( decision.welcome.tunnel == Id {} and decision.welcome.proof == Digest {},
             "a stranger learns something" );
    }
    check( ( decision.record != nullptr ) == ( answer == Answer::made or answer == Answer::resumed ),
           "a record without a tunnel" );
    check( answer == Answer::made or answer == Answer::later or not decision.superseded,
           "a tunnel was ended without making another one" );
    carried( decision.welcome );
    return decision;
  }

  void ask_for_a_tunnel() { ask( hello( Purpose::new_tunnel ) ); }
  void ask( const Hello& hello )
  {
    const bool room = slots_->used() < slots_max and alive() < tunnels_max;
    const Channel channel = some_channel();
    const auto decision = decide( hello, channel );
    check( decision.welcome.answer != Answer::later or not room, "later, although there is room" );
    if ( decision.welcome.answer != Answer::made and not decision.superseded ) {
      return; // then nothing changed: everybody_resumes
    }
    const auto earlier = std::ranges::find_if( known_, [&]( const Known& each ) {
      return each.alive and each.instance == hello.instance and each.channel.identity == channel.identity;
    } );
    check( decision.superseded.has_value() == ( earlier != known_.end() ), "whose tunnel was ended?" );
    if ( earlier != known_.end() ) {
      check( *decision.superseded == earlier->tunnel, "somebody else's tunnel was ended" );
      check( earlier->run != hello.run or earlier->attempt < hello.attempt, "an old attempt ended a newer tunnel" );
      earlier->alive = false;
    }
    if ( decision.welcome.answer != Answer::made ) {
      return;
    }
    known_.push_back( { .channel = channel,
                        .instance = hello.instance,
                        .run = hello.run,
                        .tunnel = decision.welcome.tunnel,
                        .secrets = { .latest = make_secret( crypto_, channel.binding, hello, decision.welcome ) },
                        .attempt = hello.attempt,
                        .record = decision.record } );
  }

  void resume()
  {
    Hello claim = hello( Purpose::resume );
    if ( known_.empty() ) {
      check( decide( claim, {} ).welcome.answer != Answer::resumed, "a tunnel out of nothing" );
      return;
    }
    Known& mine = known_[input_.below( known_.size() )];
    const Known& other = known_[input_.below( known_.size() )];
    claim.tunnel = mine.tunnel;
    claim.attempt = some_attempt( mine.attempt );
    Channel channel = some_channel();
    channel.identity = mine.channel.identity;
    const bool with_before = input_.below( 2 ) == 0 and mine.secrets.has_before != 0;
    const Digest& secret = with_before ? mine.secrets.before : mine.secrets.latest;
    Digest& proof = input_.below( 2 ) == 0 ? claim.proof : claim.proof_before;
    proof = prove_hello( crypto_, secret, channel.binding, claim );
    const Digest right = proof;
    switch ( input_.below( 10 ) ) {
      case 0: proof[input_.below( 32 )] ^= std::byte { 1 }; break;
      case 1: proof = {}; break;
      case 2: // his own latest secret would be right as well
        proof = prove_hello( crypto_, &other == &mine ? Digest {} : other.secrets.latest, channel.binding, claim );
        break;
      case 3: proof = prove_hello( crypto_, {}, channel.binding, claim ); break;
      case 4: proof = prove_hello( crypto_, secret, digest_of( 2 ), claim ); break;
      case 5: claim.tunnel = other.tunnel; break;
      case 6: channel.identity[31] ^= std::byte { 1 }; break;
      default: break;
    }
    const bool proved
      = proof == right and claim.tunnel == mine.tunnel and channel.identity == mine.channel.identity;
    judge( claim, channel, proved ? &mine : nullptr, secret );
  }
  // `secret`: the one of its owner's that it was proved with.
  void judge( const Hello& claim, const Channel& channel, Known* owner, const Digest& secret )
  {
    const auto decision = decide( claim, channel );
    const Welcome& welcome = decision.welcome;
    if ( claim.version_lowest > protocol_version ) {
      check( welcome.answer == Answer::refused, "a version that we do not speak" );
    } else if ( owner == nullptr or not owner->alive ) {
      check( welcome.answer == Answer::gone, "a stranger got another answer than gone" );
    } else if ( claim.attempt <= owner->attempt ) {
      check( welcome.answer == Answer::overtaken, "an attempt did not rise" );
    } else {
      check( welcome.answer == Answer::resumed and welcome.tunnel == owner->tunnel, "its owner was turned away" );
      check( same( welcome.proof, prove_welcome( crypto_, secret, channel.binding, claim, welcome ) ),
             "sproxy does not prove itself" );
      owner->attempt = claim.attempt;
      rotate( crypto_, owner->secrets, secret, channel.binding, claim, welcome );
    }
  }

  void confirm()
  {
    if ( known_.empty() ) {
      return;
    }
    Known& each = known_[input_.below( known_.size() )];
    if ( each.alive ) {
      settle( each.secrets );
      Admission::confirm( record_of( each ) );
    }
  }
  // It may be another process's than the one that made the tunnel.
  TunnelRecord& record_of( const Known& known )
  {
    TunnelRecord* found = nullptr;
    slots_->for_each( [&]( TunnelRecord& record ) { found = record.id == known.tunnel ? &record : found; } );
    check( found != nullptr, "a tunnel's record is lost" );
    return *found;
  }

  void forget()
  {
    if ( not known_.empty() ) {
      Known& gone = known_[input_.below( known_.size() )];
      admission_->forget( gone.tunnel );
      gone.alive = false;
    }
  }
  // Nothing refers any more to the records of tunnels that ended.
  void give_slots_back()
  {
    for ( Known& each : known_ ) {
      if ( not each.alive and each.record != nullptr ) {
        slots_->give( each.record );
        each.record = nullptr;
      }
    }
  }
  // Its successor finds the records, and gives back at once those of tunnels that were being ended.
  void die()
  {
    const Survey found = survey( Side::acceptor, records_, {}, {} );
    check( found.broken == 0, "a tunnel made no sense" );
    for ( Known& each : known_ ) {
      each.record = each.alive ? each.record : nullptr;
    }
    admission_.reset();
    slots_.emplace( records_ ).recover( std::size( records_ ) );
    admission_.emplace( crypto_, config, *slots_ );
  }
  // A hello out of raw bytes, with the first numbers made right.
  void say_anything()
  {
    auto raw = encode( Hello { .beat = std::chrono::milliseconds { 100 } } );
    const auto bytes = input_.bytes( raw.size() - 6 );
    std::ranges::copy( bytes, raw.begin() + 6 );
    const auto decoded = decode_hello( raw );
    if ( const auto* hello = std::get_if<Hello>( &decoded ) ) {
      hello->purpose == Purpose::new_tunnel ? ask( *hello ) : judge( *hello, {}, nullptr, {} );
    }
  }
  // Whatever was said before: who owns a tunnel that nobody ended can have it, and nobody else.
  void everybody_resumes()
  {
    for ( Known& each : known_ ) {
      Hello claim = hello( Purpose::resume );
      claim.version = claim.version_lowest = protocol_version;
      claim.tunnel = each.tunnel;
      if ( each.attempt == ~std::uint64_t { 0 } ) {
        continue;
      }
      claim.attempt = each.attempt + 1;
      prove( crypto_, each.secrets, each.channel.binding, claim );
      judge( claim, each.channel, &each, each.secrets.latest );
      if ( each.alive ) {
        judge( claim, each.channel, &each, each.secrets.before ); // said again, it is overtaken by itself
      }
    }
  }

  Input& input_;
  const test::TestCrypto crypto_ {};
  static constexpr Admission::Config config { .beat = std::chrono::milliseconds { 100 },
                                              .tunnels_max = tunnels_max };
  TunnelRecord records_[slots_max] {};
  std::optional<Slots<TunnelRecord>> slots_ { records_ };
  std::optional<Admission> admission_ { std::in_place, crypto_, config, *slots_ };
  std::vector<Known> known_ {};
};

// -- cproxy -------------------------------------------------------------------------------------------------------

class Servers
{
public:
  explicit Servers( Input& input ) : input_( input ) {}

  void play()
  {
    for ( int i = 0; i < operations_max and not input_.empty(); ++i ) {
      switch ( input_.below( 6 ) ) {
        case 0: say_hello(); break;
        case 1: answer_honestly(); break;
        case 2: die(); break;
        case 5: join(); break;
        default: answer_anything(); break;
      }
      check( claim_->has_tunnel() == tunnel_.has_value(), "a tunnel came or went" );
    }
    asks_for_a_new_one_ = 0; // its candidates gave up
    say_hello();
  }

private:
  struct Known
  {
    Id id {};
    SecretsRecord secrets {};
    std::uint64_t attempt = 0;
  };

  void say_hello()
  {
    if ( not claim_->has_tunnel() and asks_for_a_new_one_ > 0 ) {
      return; // the one rule for who asks
    }
    const Hello hello = carried( claim_->hello( {} ) );
    check( hello.attempt > attempts_, "attempts do not rise" );
    attempts_ = hello.attempt;
    check( ( hello.purpose == Purpose::resume ) == tunnel_.has_value(), "it asks for the wrong thing" );
    if ( tunnel_ ) {
      check( hello.tunnel == tunnel_->id, "it asks for another tunnel" );
      const SecretsRecord& secrets = tunnel_->secrets;
      check( same( hello.proof, prove_hello( crypto_, secrets.latest, {}, hello ) ), "it cannot prove its claim" );
      const Digest before = secrets.has_before == 0 ? Digest {} : prove_hello( crypto_, secrets.before, {}, hello );
      check( hello.proof_before == before, "it forgot the secret before" );
    } else {
      check( hello.proof == Digest {} and hello.proof_before == Digest {}, "a proof of nothing" );
      ++asks_for_a_new_one_;
    }
    out_.push_back( hello );
  }
  void join()
  {
    if ( tunnel_ ) {
      const Hello hello = carried( claim_->join( {} ) );
      check( hello.purpose == Purpose::join and hello.tunnel == tunnel_->id and hello.attempt == tunnel_->attempt,
             "it joins another tunnel, or another link" );
      check( same( hello.proof, prove_hello( crypto_, tunnel_->secrets.latest, {}, hello ) ),
             "it cannot prove that it may join" );
      out_.push_back( hello );
    }
  }
  // Each hello is answered once at most: its link is closed or taken then.
  std::optional<Hello> some_hello()
  {
    if ( out_.empty() ) {
      return std::nullopt;
    }
    const auto at = out_.begin() + static_cast<std::ptrdiff_t>( input_.below( out_.size() ) );
    const Hello hello = *at;
    out_.erase( at );
    asks_for_a_new_one_ -= hello.purpose == Purpose::new_tunnel ? 1 : 0;
    return hello;
  }

  // All its links are gone, and with them the hellos that were out.
  void die()
  {
    const Survey found = survey( Side::opener, { &record_, 1 }, {}, {} );
    check( found.broken == 0 and found.tunnels.size() == 1, "a tunnel made no sense" );
    out_.clear();
    asks_for_a_new_one_ = 0;
    claim_.emplace( crypto_, Claim::Config { .run = 6, .beat = config.beat }, record_ );
  }

  void answer_honestly()
  {
    if ( const auto hello = some_hello() ) {
      const auto decision = admission_.decide( *hello, {}, true );
      judge( *hello, decision.welcome );
    }
  }
  void answer_anything()
  {
    const auto hello = some_hello();
    if ( not hello ) {
      return;
    }
    Welcome welcome;
    welcome.version = input_.below( 8 ) == 0 ? input_.byte() : protocol_version;
    welcome.answer = static_cast<Answer>( 1 + input_.below( 7 ) );
    welcome.beat = std::chrono::milliseconds { 100 };
    welcome.window = static_cast<std::uint32_t>( input_.number( 4 ) );
    welcome.retry_after = std::chrono::milliseconds { input_.number( 4 ) };
    welcome.tunnel = id_of( input_.byte() );
    welcome.attempt = input_.below( 4 ) == 0 ? input_.byte() : hello->attempt;
    welcome.nonce = digest_of( input_.byte() );
    welcome.proof = digest_of( input_.byte() );
    if ( tunnel_ and input_.below( 2 ) == 0 ) {
      const bool with_before = input_.below( 2 ) == 0 and tunnel_->secrets.has_before != 0;
      const Digest& secret = with_before ? tunnel_->secrets.before : tunnel_->secrets.latest;
      welcome.proof = prove_welcome( crypto_, secret, {}, *hello, welcome );
    }
    judge( *hello, welcome );
  }
  void judge( const Hello& hello, const Welcome& said )
  {
    const Welcome welcome = carried( said );
    largest_allocation = 0;
    const auto outcome = claim_->answered( hello, welcome, {} );
    check( largest_allocation <= allocation_max, "a welcome made us ask for much memory" );
    const bool about_ours = tunnel_ and hello.purpose == Purpose::resume and hello.tunnel == tunnel_->id;
    switch ( outcome ) {
      case Claim::Outcome::made:
        check( hello.purpose == Purpose::new_tunnel and welcome.answer == Answer::made,
               "nobody asked for a tunnel" );
        check( welcome.attempt == hello.attempt and welcome.version == protocol_version, "the wrong welcome" );
        check( not tunnel_ or hello.attempt > tunnel_->attempt, "an older link took the tunnel" );
        tunnel_ = { welcome.tunnel, { .latest = make_secret( crypto_, {}, hello, welcome ) }, hello.attempt };
        return;
      case Claim::Outcome::resumed: {
        check( about_ours and welcome.answer == Answer::resumed, "another tunnel was resumed" );
        SecretsRecord& secrets = tunnel_->secrets;
        const auto proved_with = [&]( const Digest& each ) {
          return same( welcome.proof, prove_welcome( crypto_, each, {}, hello, welcome ) );
        };
        const bool before = secrets.has_before != 0 and proved_with( secrets.before );
        check( before or proved_with( secrets.latest ), "an sproxy that proved nothing" );
        check( welcome.attempt == hello.attempt and hello.attempt >= tunnel_->attempt, "an older link won" );
        tunnel_->attempt = hello.attempt;
        rotate( crypto_, secrets, before ? secrets.before : secrets.latest, {}, hello, welcome );
        return;
      }
      case Claim::Outcome::joined: // and nothing changes
        check( tunnel_ and hello.purpose == Purpose::join and hello.tunnel == tunnel_->id
                 and hello.attempt == tunnel_->attempt and welcome.answer == Answer::joined,
               "a link joined what it was not for" );
        check( proved_by( crypto_, tunnel_->secrets, {}, hello, welcome ) != nullptr,
               "an sproxy that proved nothing" );
        return;
      case Claim::Outcome::gone:
        check( about_ours and welcome.answer == Answer::gone, "another tunnel is gone" );
        check( made_with( crypto_, tunnel_->secrets, {}, hello ), "it believes an answer to an old question" );
        tunnel_.reset();
        return;
      case Claim::Outcome::obsolete:
      case Claim::Outcome::later:
      case Claim::Outcome::refused:
      case Claim::Outcome::false_proof: return; // nothing changes: the next hello shows it
    }
  }

  Input& input_;
  const test::TestCrypto crypto_ {};
  static constexpr Claim::Config config { .run = 5, .beat = std::chrono::milliseconds { 100 } };
  TunnelRecord record_ {};
  std::optional<Claim> claim_ { std::in_place, crypto_, config, record_ };
  TunnelRecord records_[64] {};
  Slots<TunnelRecord> slots_ { records_ };
  Admission admission_ { crypto_,
                         { .beat = std::chrono::milliseconds { 100 }, .capabilities = bulk_link_capability },
                         slots_ };
  std::optional<Known> tunnel_ {};
  std::vector<Hello> out_ {};
  int asks_for_a_new_one_ = 0;
  std::uint64_t attempts_ = 0;
};

// -- greetings ----------------------------------------------------------------------------------------------------

void decode_anything( std::span<const std::byte> bytes )
{
  largest_allocation = 0;
  const auto hello = decode_hello( bytes );
  const auto welcome = decode_welcome( bytes );
  check( largest_allocation == 0, "decoding asks for memory" );
  if ( const auto* decoded = std::get_if<Hello>( &hello ) ) {
    carried( *decoded );
    check( bytes.size() >= Hello::size, "a hello out of too few bytes" );
  }
  if ( const auto* decoded = std::get_if<Welcome>( &welcome ) ) {
    carried( *decoded );
    check( bytes.size() >= Welcome::size, "a welcome out of too few bytes" );
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput( const std::uint8_t* data, std::size_t size )
{
  Input input { data, size };
  if ( size == 0 or data[0] > 1 ) {
    decode_anything( input.rest() );
  } else if ( input.byte() == 0 ) {
    Clients { input }.play();
  } else {
    Servers { input }.play();
  }
  return 0;
}
