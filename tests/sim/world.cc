#include "sim/world.hh"

#include <cstdio>

namespace holdfast::sim {

using namespace test;

namespace {

// Sizes that matter: nothing at all, a few bytes, around a chunk, several chunks.
std::size_t some_size( Chance& chance, bool tiny )
{
  switch ( tiny ? chance.below( 2 ) : chance.below( 10 ) ) {
    case 0: return chance.below( 3 );
    case 1:
    case 2:
    case 3: return chance.below( 300 );
    case 9: return chance.below( 150'000 );
    default: return chance.below( 20'000 );
  }
}

SessionLimits some_limits( Chance& chance, bool tiny )
{
  const std::size_t initial = tiny ? chance.between( 1, 40 ) : chance.between( 100, 70'000 );
  const std::size_t most = tiny ? chance.between( 1, 80 ) : chance.between( 100, 200'000 );
  return { .outflow = { most }, .inflow = { initial, most } };
}

std::uint32_t first_window( const SessionLimits& limits )
{
  return static_cast<std::uint32_t>( std::min( limits.inflow.window_initial, limits.inflow.window_max ) );
}

Pool::Index some_chunks( Chance& chance )
{
  return static_cast<Pool::Index>( chance.once_in( 3 ) ? chance.between( 1, 4 ) : chance.between( 5, 40 ) );
}

} // namespace

World::World( std::uint64_t seed, bool trace )
  : chance_( seed )
  , trace_( trace )
  , harsh_( chance_.once_in( 3 ) )
  , tiny_( chance_.once_in( 8 ) )
  , crypto_( seed )
  , limits_( some_limits( chance_, tiny_ ) )
  , near_( some_chunks( chance_ ), some_chunks( chance_ ), chance_.between( 4, 8 ) )
  , far_( some_chunks( chance_ ), some_chunks( chance_ ), chance_.between( 4, 8 ) )
  , claim_( crypto_,
            { .run = seed, .beat = std::chrono::milliseconds { 100 }, .window = first_window( limits_ ) },
            client_record_ )
  , admission_( crypto_,
                { .beat = std::chrono::milliseconds { 100 }, .window = first_window( limits_ ) },
                server_slots_ )
  , client_( Side::opener, near_, limits_ )
  , sessions_left_( chance_.between( 1, 8 ) )
{}

std::optional<std::string> World::run( Tally& tally )
{
  const std::size_t wild_steps = chance_.between( 50, 500 );
  for ( std::size_t i = 0; i < wild_steps and not failure_; ++i ) {
    step();
  }
  note( "the faults stop" );
  calm_ = true;
  for ( Link& link : links_ ) { // whatever was lost stays lost, and is noticed at last
    if ( link.up_left != std::string::npos or link.down_left != std::string::npos ) {
      close_client( link );
      close_server( link );
    }
  }
  constexpr std::size_t calm_steps_max = 60'000; // a minute
  for ( std::size_t i = 0; not failure_ and not all_done(); ++i ) {
    step();
    if ( i == calm_steps_max ) {
      fail( "it does not come to an end" );
      describe_rest();
    }
  }
  check_end();
  tally.steps += tally_.steps;
  tally.links += tally_.links;
  tally.attached += tally_.attached;
  tally.overtaken += tally_.overtaken;
  tally.remade += tally_.remade;
  tally.replayed += tally_.replayed;
  tally.sessions += tally_.sessions;
  tally.resets += tally_.resets;
  tally.resumes += tally_.resumes;
  tally.bytes += tally_.bytes;
  return failure_;
}

// -- the world goes on -------------------------------------------------------------------------------------------

void World::step()
{
  ++tally_.steps;
  now_ += calm_ ? 1ms : chance_.once_in( 50 ) ? 5s : std::chrono::microseconds { chance_.below( 3000 ) };
  if ( not calm_ ) {
    if ( chance_.once_in( 60 ) ) {
      stranger();
    }
    if ( client_link_ != nullptr and chance_.once_in( 100 ) ) { // an error, a hint of the system
      note( "client gives up link " + std::to_string( client_link_->number ) );
      close_client( *client_link_ );
    }
    if ( server_link_ != nullptr and chance_.once_in( 200 ) ) {
      note( "server gives up link " + std::to_string( server_link_->number ) );
      close_server( *server_link_ );
    }
  }
  dial();
  open_session();
  for ( Story& story : stories_ ) {
    live( story.app, client_.legs.at( story.id ).program );
    if ( server_ and server_->legs.contains( story.id ) ) {
      End::Leg& leg = server_->legs.at( story.id );
      if ( leg.session != nullptr and not leg.session->connected() and ( calm_ or chance_.once_in( 10 ) ) ) {
        server_->connected( story.id );
      }
      live( story.target, leg.program );
    }
  }
  if ( calm_ or chance_.once_in( 2 ) ) {
    client_.turn( now_ );
  }
  if ( server_ and ( calm_ or chance_.once_in( 2 ) ) ) {
    server_->connects = chance_.once_in( 2 );
    server_->refuses = chance_.once_in( 10 ) ? std::optional { ResetReason::refused } : std::nullopt;
    server_->turn( now_ );
  }
  for ( Link& link : links_ ) {
    move( link );
  }
  links_.remove_if( []( const Link& link ) { return not link.client_open and not link.server_open; } );
  check();
}

// A link is dialled when there is none, and sometimes beside one that may be dead. While a hello for a new tunnel
// is unanswered there is no other one.
void World::dial()
{
  std::size_t unanswered = 0;
  for ( Link& link : links_ ) {
    const bool waits = link.client_open and not link.welcomed;
    const bool dead = link.up_left == 0 or link.down_left == 0;
    if ( waits and dead and ( calm_ or chance_.once_in( 40 ) ) ) {
      close_client( link );
    } else if ( waits ) {
      ++unanswered;
    }
  }
  const bool wanted = client_link_ == nullptr ? chance_.once_in( 5 ) : not calm_ and chance_.once_in( 40 );
  const std::size_t most = claim_.has_tunnel() and not calm_ ? 3 : 1;
  if ( not wanted or unanswered >= most ) {
    return;
  }
  Link& link = links_.emplace_back( ++tally_.links );
  if ( not calm_ and not chance_.once_in( 4 ) ) {
    const std::size_t life = harsh_ ? 700 : 60'000;
    link.up_left = chance_.below( life );
    link.down_left = chance_.once_in( 2 ) ? chance_.below( life ) : std::string::npos;
  }
  for ( Pipe* pipe : { &link.up, &link.down } ) { // what the kernel's buffers take
    pipe->capacity = chance_.once_in( 3 ) ? chance_.between( 1, 200 ) : chance_.between( 1, 40'000 );
  }
  link.hello = claim_.hello( binding_ );
  append_frame( link.up.rest, { .type = FrameType::hello }, encode( link.hello ) );
  overheard_ = link.hello;
  note( "client dials link " + std::to_string( link.number ) );
}

// Somebody who has read along says the same hello again, or one with a proof that is not right.
void World::stranger()
{
  if ( not overheard_ or overheard_->purpose != Purpose::resume ) {
    return; // a hello for a new tunnel proves nothing, in the clear
  }
  ++tally_.replayed;
  Hello hello = *overheard_;
  const bool forged = chance_.once_in( 2 );
  if ( forged ) {
    hello.attempt += 1000;
  }
  const bool is_first = server_link_ == nullptr or server_link_->hello.attempt < hello.attempt;
  if ( not forged and is_first ) {
    return; // it would overtake the original, which an attacker on the path can: docs/PROTOCOL.md, section 13
  }
  const auto decision = admission_.decide( hello, binding_ );
  if ( decision.welcome.answer == Answer::made or decision.welcome.answer == Answer::resumed
       or decision.superseded ) {
    fail( "a stranger got in" );
  }
}

void World::open_session()
{
  if ( sessions_left_ == 0 or not( calm_ or chance_.once_in( 20 ) ) ) {
    return;
  }
  Program* const program = client_.open();
  if ( program == nullptr ) {
    return; // all slots are taken
  }
  --sessions_left_;
  ++tally_.sessions;
  const SessionId id = client_.legs.rbegin()->first;
  Story& story = stories_.emplace_back( Story {
    .id = id,
    .app = { .all = stream( 0, some_size( chance_, tiny_ ), 2 * id ) },
    .target = { .all = stream( 0, some_size( chance_, tiny_ ), 2 * id + 1 ) },
  } );
  for ( Plan* plan : { &story.app, &story.target } ) {
    if ( chance_.once_in( 8 ) ) {
      plan->resets_after = chance_.below( plan->all.size() + 1 );
    }
  }
}

// A program writes a little, reads or stops reading, ends its stream, or resets its connection.
void World::live( Plan& plan, Program& program )
{
  if ( program.closed ) {
    return;
  }
  if ( calm_ ) {
    program.takes = std::string::npos;
  } else if ( chance_.once_in( 10 ) ) {
    program.takes = chance_.once_in( 2 ) ? 0 : chance_.once_in( 2 ) ? chance_.below( 1000 ) : std::string::npos;
  }
  if ( not( calm_ or chance_.once_in( 8 ) ) ) {
    return;
  }
  const std::size_t left = plan.all.size() - plan.written;
  const std::size_t size = calm_ ? left : chance_.below( std::min<std::size_t>( left, 30'000 ) + 1 );
  program.to_write.append( plan.all, plan.written, size );
  plan.written += size;
  if ( plan.resets_after and plan.written >= *plan.resets_after ) {
    program.resets = true;
  } else if ( plan.written == plan.all.size() and ( calm_ or chance_.once_in( 2 ) ) ) {
    program.ends = true;
  }
}

std::size_t World::pass( std::size_t& left )
{
  std::size_t most = calm_                  ? std::string::npos
                     : chance_.once_in( 3 ) ? chance_.below( 50 )
                                            : chance_.below( 20'000 );
  most = std::min( most, left );
  return most;
}

// Both sides write into the link, and something arrives.
void World::move( Link& link )
{
  const auto carry = [&]( Pipe& pipe, std::size_t& left, bool reader_is_there, auto receive ) -> Verdict {
    const std::size_t most = std::min( pass( left ), pipe.wire.size() );
    if ( left != std::string::npos ) {
      left -= most;
    }
    if ( not reader_is_there ) {
      pipe.wire.clear();
      return std::nullopt;
    }
    return pipe.deliver( most, receive );
  };
  if ( calm_ ) {
    link.up.capacity = link.down.capacity = 65536;
  }
  if ( link.client_open and ( calm_ or chance_.once_in( 2 ) ) ) {
    link.up.fill( batch_, &link == client_link_ ? &client_.tunnel : nullptr, now_ );
  }
  if ( link.server_open and ( calm_ or chance_.once_in( 2 ) ) ) {
    link.down.fill( batch_, &link == server_link_ ? &server_->tunnel : nullptr, now_ );
  }
  if ( calm_ or chance_.once_in( 2 ) ) {
    if ( const auto fault = carry( link.up, link.up_left, link.server_open, [&]( const Frame& frame ) {
           return server_receives( link, frame );
         } ) ) {
      fail( "the server says of the client: " + std::string { describe( *fault ) } );
    }
  }
  if ( calm_ or chance_.once_in( 2 ) ) {
    if ( const auto fault = carry( link.down, link.down_left, link.client_open, [&]( const Frame& frame ) {
           return client_receives( link, frame );
         } ) ) {
      fail( "the client says of the server: " + std::string { describe( *fault ) } );
    }
  }
  // A side that closed is noticed when all it wrote has been read; through a dead link, never.
  if ( not link.client_open and link.up.wire.empty() and link.up_left > 0 ) {
    close_server( link );
  }
  if ( not link.server_open and link.down.wire.empty() and link.down_left > 0 ) {
    close_client( link );
  }
}

// -- the two ends ------------------------------------------------------------------------------------------------

Verdict World::server_receives( Link& link, const Frame& frame )
{
  if ( frame.header.type == FrameType::hello ) {
    const auto hello = decode_hello( frame.payload );
    if ( const auto* fault = std::get_if<Fault>( &hello ) ) {
      return *fault;
    }
    answer( link, std::get<Hello>( hello ) );
    return std::nullopt;
  }
  if ( &link != server_link_ ) {
    return std::nullopt; // it is closing
  }
  tally_.resumes += frame.header.type == FrameType::resume ? 1U : 0U;
  return server_->tunnel.receive( frame );
}

void World::answer( Link& link, const Hello& hello )
{
  const auto decision = admission_.decide( hello, binding_ );
  append_frame( link.down.rest, { .type = FrameType::welcome }, encode( decision.welcome ) );
  const Answer said = decision.welcome.answer;
  if ( said == Answer::overtaken ) {
    ++tally_.overtaken;
    link.down.fill( batch_, nullptr, now_ );
    close_server( link );
    return;
  }
  if ( said != Answer::made and said != Answer::resumed ) {
    fail( "the server does not let the client in: " + std::to_string( static_cast<int>( said ) ) );
    return;
  }
  if ( server_link_ != nullptr ) {
    close_server( *server_link_ );
  }
  if ( said == Answer::made ) {
    tally_.remade += server_ ? 1U : 0U;
    if ( server_ and server_->tunnel.sessions() > 0 ) {
      fail( "a tunnel with sessions was superseded" );
    }
    server_ = std::make_unique<End>( Side::acceptor, far_, limits_ );
    server_slots_.for_each( [&]( TunnelRecord& record ) { // of the tunnel that was superseded
      if ( &record != decision.record ) {
        server_slots_.give( &record );
      }
    } );
  }
  note( "server takes link " + std::to_string( link.number ) );
  server_link_ = &link;
  server_->tunnel.attach( hello.window );
}

Verdict World::client_receives( Link& link, const Frame& frame )
{
  if ( frame.header.type != FrameType::welcome ) {
    tally_.resumes += frame.header.type == FrameType::resume ? 1U : 0U;
    return &link == client_link_ ? client_.tunnel.receive( frame ) : std::nullopt;
  }
  const auto welcome = decode_welcome( frame.payload );
  if ( const auto* fault = std::get_if<Fault>( &welcome ) ) {
    return *fault;
  }
  link.welcomed = true;
  switch ( claim_.answered( link.hello, std::get<Welcome>( welcome ), binding_ ) ) {
    case Claim::Outcome::made:
    case Claim::Outcome::resumed:
      if ( client_link_ != nullptr ) {
        close_client( *client_link_ );
      }
      note( "client takes link " + std::to_string( link.number ) );
      ++tally_.attached;
      client_link_ = &link;
      client_.tunnel.attach( std::get<Welcome>( welcome ).window );
      break;
    case Claim::Outcome::obsolete: close_client( link ); break;
    case Claim::Outcome::gone: fail( "the client gave its tunnel up" ); break;
    case Claim::Outcome::later:
    case Claim::Outcome::refused:
    case Claim::Outcome::false_proof: fail( "the client does not accept the welcome" ); break;
  }
  return std::nullopt;
}

void World::close_client( Link& link )
{
  link.client_open = false;
  if ( &link == client_link_ ) {
    client_link_ = nullptr;
    client_.tunnel.detach();
  }
}

void World::close_server( Link& link )
{
  link.server_open = false;
  if ( &link == server_link_ ) {
    server_link_ = nullptr;
    server_->tunnel.detach();
  }
}

// -- what must be true -------------------------------------------------------------------------------------------

void World::check()
{
  for ( Story& story : stories_ ) {
    check_reading( story, story.app, story.target, client_.legs.at( story.id ).program, "app" );
    if ( server_ and server_->legs.contains( story.id ) ) {
      check_reading( story, story.target, story.app, server_->legs.at( story.id ).program, "target" );
    }
  }
}

void World::check_reading( const Story& story, Plan& reader, const Plan& writer, Program& program, const char* who )
{
  const auto wrong = [&]( const char* what ) {
    fail( std::string { who } + " of session " + std::to_string( story.id ) + " " + what );
  };
  const std::string_view read = program.read;
  const std::size_t from = reader.read_checked;
  if ( read.size() > writer.written ) {
    wrong( "read more than was written" );
  } else if ( read.substr( from ) != std::string_view { writer.all }.substr( from, read.size() - from ) ) {
    wrong( "read something else than was written" );
  }
  tally_.bytes += read.size() - from;
  reader.read_checked = read.size();
  if ( program.saw_end and read.size() != writer.all.size() ) {
    wrong( "saw the end before all was read" );
  }
  if ( program.saw_reset ) {
    // "Forgotten" is what is left of "limit" when the link that carried it was lost.
    const bool reached = server_ and server_->legs.contains( story.id );
    const bool by_program
      = *program.saw_reset == ResetReason::by_program and ( story.app.resets_after or story.target.resets_after );
    const bool no_slot
      = not reached
        and ( *program.saw_reset == ResetReason::limit or *program.saw_reset == ResetReason::forgotten );
    if ( not by_program and not no_slot and *program.saw_reset != ResetReason::refused ) {
      wrong( "saw a reset that nobody made" );
    }
  }
}

bool World::all_done()
{
  return sessions_left_ == 0 and client_.tunnel.sessions() == 0
         and ( not server_ or server_->tunnel.sessions() == 0 );
}

void World::check_end()
{
  if ( failure_ ) {
    return;
  }
  for ( const Story& story : stories_ ) {
    const Program& app = client_.legs.at( story.id ).program;
    const bool reached = server_ and server_->legs.contains( story.id );
    const Program* const target = reached ? &server_->legs.at( story.id ).program : nullptr;
    const bool reset = app.saw_reset or ( target != nullptr and target->saw_reset );
    tally_.resets += reset ? 1U : 0U;
    if ( not app.closed or ( target != nullptr and not target->closed ) ) {
      fail( "a program of session " + std::to_string( story.id ) + " was left alone" );
    } else if ( not reset
                and ( target == nullptr or app.read != story.target.all or target->read != story.app.all ) ) {
      fail( "session " + std::to_string( story.id ) + " lost bytes" );
    } else if ( not reset and not( app.saw_end and target->saw_end ) ) {
      fail( "session " + std::to_string( story.id ) + " lost an end" );
    }
  }
  if ( not near_.all_back() or not far_.all_back() ) {
    fail( "memory is left over" );
  }
}

void World::describe_rest()
{
  for ( const Story& story : stories_ ) {
    const auto say = [&]( const char* who, End& end, const Plan& plan, const Plan& other ) {
      const auto leg = end.legs.find( story.id );
      if ( leg == end.legs.end() or leg->second.program.closed ) {
        return;
      }
      const Program& program = leg->second.program;
      Session& session = *leg->second.session;
      note( std::string { who } + " of session " + std::to_string( story.id ) + ": read "
            + std::to_string( program.read.size() ) + " of " + std::to_string( other.all.size() ) + ", held "
            + std::to_string( session.inflow().held() ) + ", window " + std::to_string( session.inflow().window() )
            + ( session.inflow().hungry() ? " (hungry)" : "" ) + "; wrote " + std::to_string( plan.written )
            + " of " + std::to_string( plan.all.size() ) + ", not taken "
            + std::to_string( program.to_write.size() ) + ", sent " + std::to_string( session.outflow().sent() )
            + ", acknowledged " + std::to_string( session.outflow().acknowledged() )
            + ( session.outflow().ended() ? ", ended" : "" ) );
    };
    say( "app", client_, story.app, story.target );
    if ( server_ ) {
      say( "target", *server_, story.target, story.app );
    }
  }
  note( "chunks used: near " + std::to_string( near_.outflow().used() ) + " and "
        + std::to_string( near_.inflow().used() ) + ", far " + std::to_string( far_.outflow().used() ) + " and "
        + std::to_string( far_.inflow().used() ) + "; sessions " + std::to_string( client_.tunnel.sessions() )
        + " and " + std::to_string( server_ ? server_->tunnel.sessions() : 0 ) );
}

void World::fail( const std::string& what )
{
  note( "FAILED: " + what );
  if ( not failure_ ) {
    failure_ = what;
  }
}

void World::note( const std::string& what )
{
  if ( trace_ ) {
    const auto ms = std::chrono::duration_cast<std::chrono::microseconds>( now_.time_since_epoch() ).count();
    std::printf( "%12.3f ms  %s\n", static_cast<double>( ms ) / 1000.0, what.c_str() );
  }
}

} // namespace holdfast::sim
