#include "sim/core_world.hh"

#include <algorithm>
#include <array>
#include <cstdio>
#include <limits>
#include <utility>

namespace holdfast::sim {

using namespace test;

namespace {

SessionLimits some_limits( Chance& chance )
{
  const bool tiny = chance.once_in( 3 );
  const std::size_t initial = tiny ? chance.between( 1, 40 ) : chance.between( 100, 70'000 );
  const std::size_t most = tiny ? initial + chance.below( 40 ) : chance.between( initial, 200'000 );
  return { .outflow = { most }, .inflow = { initial, most } };
}

std::string some_stream( Chance& chance, std::uint64_t name )
{
  const std::size_t size = chance.once_in( 6 ) ? chance.below( 50'000 ) : chance.below( 120 );
  return stream( 0, size, name );
}

Pool::Index some_chunks( Chance& chance )
{
  return static_cast<Pool::Index>( chance.between( 1, 6 ) );
}

} // namespace

CoreWorld::CoreWorld( std::uint64_t seed, bool trace )
  : chance_( seed )
  , trace_( trace )
  , limits_( some_limits( chance_ ) )
  , near_ { .name = "near",
            .side = Side::opener,
            .memory = { some_chunks( chance_ ), some_chunks( chance_ ), 1, 1 } }
  , far_ { .name = "far",
           .side = Side::acceptor,
           .memory = { some_chunks( chance_ ), some_chunks( chance_ ), 1, 1 } }
  , has_bulk_( not chance_.once_in( 4 ) )
  , flips_( chance_.once_in( 2 ) )
  , bulk_pace_( chance_.between( 1, 10 ) )
{
  for ( Half* half : { &near_, &far_ } ) {
    half->all = some_stream( chance_, half == &near_ ? 1 : 2 );
    half->link = link_;
    if ( chance_.once_in( 10 ) ) {
      half->resets_after = chance_.below( half->all.size() + 1 );
    }
  }
  near_.record = near_.memory.slots().take();
  near_.last = 1;
  near_.session = std::make_unique<Session>(
    Side::opener, 1, *near_.record, near_.memory.memory(), limits_, limits_.inflow.window_initial );
  near_.session->voice().new_link( limits_.inflow.window_initial );
}

std::optional<std::string> CoreWorld::run( Tally& tally )
{
  const std::size_t wild_steps = chance_.between( 10, 150 );
  for ( std::size_t i = 0; i < wild_steps and not failure_; ++i ) {
    step();
  }
  note( "the faults stop" );
  calm_ = true;
  lose_link(); // whatever was lost is noticed now
  take_link( near_ );
  take_link( far_ );
  constexpr std::size_t calm_steps_max = 60'000;
  for ( std::size_t i = 0; not failure_ and ( near_.session or far_.session ); ++i ) {
    step();
    if ( i == calm_steps_max ) {
      fail( "it does not come to an end" );
    }
  }
  const bool reached = far_.last != 0;
  const bool reset = near_.program.saw_reset or far_.program.saw_reset;
  if ( not failure_ and not reset
       and ( near_.program.read != far_.all or far_.program.read != near_.all or not near_.program.saw_end
             or not far_.program.saw_end ) ) {
    fail( "bytes or an end were lost" );
  }
  if ( not failure_ and ( not near_.program.closed or ( reached and not far_.program.closed ) ) ) {
    fail( "a program was left alone" );
  }
  if ( not failure_ and not( near_.memory.all_back() and far_.memory.all_back() ) ) {
    fail( "memory is left over" );
  }
  ++tally_.sessions;
  tally_.resets += reset ? 1U : 0U;
  tally_.links += link_;
  tally_.bulk_links += bulks_;
  tally_.time = now_ - Time { 1h };
  tally.add( tally_ );
  return failure_;
}

void CoreWorld::step()
{
  ++tally_.steps;
  now_ += 1ms;
  if ( not calm_ and chance_.once_in( 20 ) ) {
    lose_link();
  }
  change_bulk_link();
  for ( Half* half : { &near_, &far_ } ) {
    Half& other = half == &near_ ? far_ : near_;
    if ( half->link != link_ and ( calm_ or chance_.once_in( 3 ) ) ) {
      take_link( *half );
    }
    if ( half->bulk != bulk_ and ( calm_ or chance_.once_in( 6 ) ) ) {
      take_bulk_link( *half );
    }
    live( *half );
    if ( calm_ or chance_.once_in( 2 ) ) {
      serve( *half );
    }
    choose_link( *half );
    for ( std::size_t frames = calm_ ? 20 : chance_.below( 4 ); frames > 0; --frames ) {
      speak( *half );
    }
    for ( std::size_t frames = calm_ ? 40 : chance_.below( 4 ); frames > 0 and not half->out.empty(); --frames ) {
      const Sent& first = half->out.front();
      if ( first.link > other.link ) {
        break; // it waits until the other one has taken that link
      }
      const Sent sent = first;
      half->out.pop_front();
      if ( sent.link == other.link ) {
        hear( other, sent, *half );
      }
    }
    for ( std::size_t frames = calm_ ? 40 : chance_.below( 6 ); frames > 0; --frames ) {
      speak_bulk( *half );
      arrive_bulk( other, *half );
    }
    drop_if_over( *half );
  }
  check( near_, far_ );
  check( far_, near_ );
}

// Some of what is under way may still arrive where the new link has not been taken yet.
void CoreWorld::lose_link()
{
  ++link_;
  bulk_ = 0; // it belonged to the one before
  note( "link " + std::to_string( link_ ) );
  for ( Half* half : { &near_, &far_ } ) {
    while ( not half->out.empty() and ( calm_ or chance_.below( 3 ) > 0 ) ) {
      half->out.pop_back();
    }
  }
}

void CoreWorld::take_link( Half& half )
{
  half.link = link_;
  half.bulk_left = std::max( half.bulk_left, half.bulk );
  half.bulk = 0;
  if ( half.session ) {
    half.session->voice().new_link( limits_.inflow.window_initial );
  }
}

// There is a new one, perhaps in place of one before, or one end gives it up: the other one hears of that later,
// and meanwhile speaks on, and hears some of what was under way.
void CoreWorld::change_bulk_link()
{
  if ( has_bulk_ and chance_.once_in( bulk_ == 0 ? 8 : 40 ) ) {
    bulk_ = ++bulks_;
    note( "bulk link " + std::to_string( bulk_ ) );
  } else if ( bulk_ != 0 and not calm_ and chance_.once_in( 15 ) ) {
    bulk_ = 0;
    leave_bulk_link( chance_.once_in( 2 ) ? near_ : far_ );
  }
}

void CoreWorld::take_bulk_link( Half& half )
{
  leave_bulk_link( half );
  if ( half.link == link_ and bulk_ > half.bulk_left ) {
    note( std::string { half.name } + " takes bulk link " + std::to_string( bulk_ ) );
    half.bulk = bulk_;
  }
}

void CoreWorld::leave_bulk_link( Half& half )
{
  if ( half.bulk == 0 ) {
    return;
  }
  note( std::string { half.name } + " leaves bulk link " + std::to_string( half.bulk ) );
  half.bulk_left = half.bulk;
  half.bulk = 0;
  while ( not half.bulk_out.empty() and chance_.once_in( 2 ) ) {
    half.bulk_out.pop_back();
  }
  if ( half.session ) {
    static_cast<void>( half.session->voice().leave_bulk_link() );
  }
}

// Much is whatever chance calls so. Who has nothing acknowledged has never said anything, or not enough.
void CoreWorld::choose_link( Half& half )
{
  if ( half.bulk == 0 or not half.session or not chance_.once_in( 2 ) ) {
    return;
  }
  const Position nothing = half.session->outflow().acknowledged() > 0 ? 0 : 1;
  const Position least
    = ( flips_ or not calm_ ) and chance_.once_in( 3 ) ? std::numeric_limits<Position>::max() : nothing;
  half.session->voice().measure( now_, { .least = least, .span = 1ns } );
  half.session->voice().choose_link();
}

void CoreWorld::live( Half& half )
{
  Program& program = half.program;
  if ( program.closed or not half.session ) {
    return;
  }
  if ( half.side == Side::acceptor and not half.session->connected() and ( calm_ or chance_.once_in( 5 ) ) ) {
    half.session->target_connected();
  }
  program.takes = calm_                  ? all_of_it
                  : chance_.once_in( 3 ) ? 0
                  : chance_.once_in( 2 ) ? chance_.below( 50 )
                                         : all_of_it;
  const std::size_t size
    = calm_ ? half.all.size() - half.written : chance_.below( half.all.size() - half.written + 1 );
  if ( calm_ or chance_.once_in( 4 ) ) {
    program.to_write.append( half.all, half.written, size );
    half.written += size;
    program.resets = half.resets_after and half.written >= *half.resets_after;
    program.ends = half.written == half.all.size() and ( calm_ or chance_.once_in( 2 ) );
  }
}

void CoreWorld::serve( Half& half )
{
  if ( not half.session or half.session->released() ) {
    return;
  }
  serve_socket( *half.session, half.program, half.side == Side::opener or half.session->connected(), now_ );
}

void CoreWorld::speak( Half& half )
{
  if ( not half.session or half.link != link_ ) {
    return;
  }
  const bool later = half.session->voice().something_can_wait() and ( calm_ or chance_.once_in( 3 ) );
  if ( not half.session->voice().has_something_to_say() and not later ) {
    return;
  }
  Bytes rest;
  batch_.start( rest );
  half.session->voice().speak( batch_, now_, 10ms, some_piece() );
  say( half, half.link, half.out );
}

void CoreWorld::speak_bulk( Half& half )
{
  if ( not half.session or half.bulk == 0 or not half.session->voice().bulk_due() ) {
    return;
  }
  Bytes rest;
  batch_.start( rest );
  half.session->voice().speak_bulk( batch_, some_piece() );
  tally_.bulk += batch_.bytes();
  say( half, half.bulk, half.bulk_out );
}

std::size_t CoreWorld::some_piece()
{
  return calm_ or chance_.once_in( 3 ) ? FrameHeader::payload_max : chance_.between( 1, 3000 );
}

// The frame in the batch is under way.
void CoreWorld::say( Half& half, std::size_t link, std::deque<Sent>& out )
{
  const std::string said = gathered( batch_ );
  batch_.finish( batch_.bytes() );
  if ( said.empty() ) {
    return;
  }
  const auto header = decode( raw( said ).first<FrameHeader::size>() );
  if ( std::holds_alternative<Fault>( header ) ) {
    fail( std::string { half.name } + " says something impossible" );
    return;
  }
  out.push_back( { link, std::get<FrameHeader>( header ), said.substr( FrameHeader::size ) } );
}

void CoreWorld::arrive_bulk( Half& half, Half& from )
{
  if ( from.bulk_out.empty() or not( calm_ or chance_.once_in( bulk_pace_ ) ) ) {
    return;
  }
  const std::size_t link = from.bulk_out.front().link;
  if ( link == bulk_ and link > half.bulk and link > half.bulk_left ) {
    return; // it waits until this end has taken that link
  }
  const Sent sent = std::move( from.bulk_out.front() );
  from.bulk_out.pop_front();
  if ( link == half.bulk ) {
    hear_bulk( half, sent, from );
  }
}

void CoreWorld::hear_bulk( Half& half, const Sent& sent, const Half& from )
{
  note_heard( half, sent, " hears, as bulk, " );
  if ( half.session ) {
    if ( const auto fault
         = half.session->receive( Frame { sent.header, raw( sent.payload ) }, Session::Link::bulk ) ) {
      fail( std::string { half.name } + " says of " + from.name
            + ", of bulk: " + std::string { describe( *fault ) } );
    }
  }
}

// What a tunnel does with a frame for this session, whether it has it (still) or not.
void CoreWorld::hear( Half& half, const Sent& sent, Half& from )
{
  const FrameHeader& header = sent.header;
  note_heard( half, sent, " hears " );
  tally_.resumes += header.type == FrameType::resume ? 1U : 0U;
  const auto answer_closed = [&] {
    half.out.push_back( { half.link, { .type = FrameType::closed, .session = header.session }, {} } );
  };
  if ( half.session ) {
    if ( const auto fault = half.session->receive( Frame { header, raw( sent.payload ) } ) ) {
      fail( std::string { half.name } + " says of " + from.name + ": " + std::string { describe( *fault ) } );
    }
    if ( header.type == FrameType::reset ) {
      answer_closed();
    }
    return;
  }
  if ( header.type == FrameType::open and half.side == Side::acceptor and half.last == 0 ) {
    half.record = half.memory.slots().take();
    half.last = header.session;
    half.session = std::make_unique<Session>(
      Side::acceptor, header.session, *half.record, half.memory.memory(), limits_, header.window );
  } else if ( header.type == FrameType::open or header.type == FrameType::resume
              or header.type == FrameType::reset ) {
    answer_closed();
  }
}

void CoreWorld::drop_if_over( Half& half )
{
  if ( half.session and half.session->over() ) {
    note( std::string { half.name } + " forgets the session" );
    half.session.reset();
    half.memory.slots().give( half.record );
  }
}

void CoreWorld::check( Half& reader, const Half& writer )
{
  const auto wrong = [&]( const char* what ) { fail( std::string { reader.name } + "'s program " + what ); };
  const Program& program = reader.program;
  const std::size_t from = reader.read_checked;
  const std::string_view read = program.read;
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
  if ( program.ends_seen > 1 ) {
    wrong( "saw the end twice" );
  }
  const bool by_program = near_.resets_after or far_.resets_after;
  if ( program.saw_reset and not( *program.saw_reset == ResetReason::by_program and by_program ) ) {
    wrong( "saw a reset that nobody made" );
  }
  if ( reader.session and writer.session and not reader.session->reset_by_us() and not writer.session->reset_by_us()
       and writer.session->outflow().acknowledged() > reader.session->inflow().delivered() ) {
    fail( std::string { writer.name } + " forgot bytes before they were delivered" );
  }
  if ( reader.session ) {
    Session& session = *reader.session;
    const std::size_t most = std::max( limits_.inflow.window_max, Pool::chunk_size );
    if ( session.inflow().window() > most or session.inflow().held() > most
         or session.outflow().retained() > limits_.outflow.window_max + Outflow::Limits::ahead ) {
      fail( std::string { reader.name } + " is out of its bounds" );
    }
  }
}

void CoreWorld::fail( const std::string& what )
{
  note( "FAILED: " + what );
  if ( not failure_ ) {
    failure_ = what;
  }
}

void CoreWorld::note_heard( const Half& half, const Sent& sent, const char* hears )
{
  const FrameHeader& header = sent.header;
  note( half.name + ( hears + std::string { holdfast::name( header.type ) } ) + ": "
        + std::to_string( sent.payload.size() ) + " at " + std::to_string( header.sequence ) + ", acknowledges "
        + std::to_string( header.acknowledgement ) + ", window " + std::to_string( header.window ) );
}

void CoreWorld::note( const std::string& what )
{
  if ( trace_ ) {
    std::printf(
      "%8.0f  %s\n", std::chrono::duration<double, std::milli>( now_ - Time { 1h } ).count(), what.c_str() );
  }
}

} // namespace holdfast::sim
