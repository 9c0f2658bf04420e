#include "fuzz/witness.hh"

#include <vector>

namespace holdfast::fuzz {

Witness::Witness( Setup setup )
  : setup_( setup )
  , limits_ { .outflow = { setup.window_max }, .inflow = { setup.window, setup.window_max }, .bulk = setup.bulk }
  , memory_( std::make_unique<test::TestMemory>( setup.chunks, setup.chunks, setup.slots ) )
{
  memory_->in_place = setup.in_place;
  record_ = memory_->tunnels().take();
  record_->agreed = 1;
  record_->used = 1;
  end_.emplace( setup.side, *record_, *memory_, limits_ );
}

Facts& Witness::new_facts_of( SessionId id )
{
  facts_.erase( id );
  return facts_of( id );
}

// -- programs ----------------------------------------------------------------------------------------------------
std::optional<SessionId> Witness::open()
{
  payloads_go();
  if ( end_->open() == nullptr ) {
    check( memory_->slots().used() == setup_.slots, "a session was refused although there is room for it" );
    return std::nullopt;
  }
  const SessionId id = end_->legs.rbegin()->first;
  new_facts_of( id ).opened_by_us( peer_window_ ); // what was said of it before it existed means nothing
  return id;
}

void Witness::write( SessionId id, std::size_t count )
{
  test::Program& program = end_->legs.at( id ).program;
  if ( not program.ends ) {
    program.to_write += facts_of( id ).write( id, count );
  }
}

void Witness::ends( SessionId id )
{
  end_->legs.at( id ).program.ends = true;
}

void Witness::resets( SessionId id )
{
  end_->legs.at( id ).program.resets = true;
  facts_of( id ).may_be_reset();
}

bool Witness::alive( SessionId id ) const
{
  const auto leg = end_->legs.find( id );
  return leg != end_->legs.end() and leg->second.session != nullptr;
}

// -- a turn ------------------------------------------------------------------------------------------------------
void Witness::turn()
{
  payloads_go();
  end_->turn( now );
  if ( has_bulk_link_ and not tunnel().attached() ) {
    detach_bulk(); // it is alone
    end_->turn( now );
  }
  note_holes();
  check_programs();
  check_sessions();
}

void Witness::check_idle()
{
  const bool attached = tunnel().attached();
  check( not tunnel().has_touched() and not( attached and tunnel().wants_to_transmit() )
           and not tunnel().bulk().wants_to_transmit(),
         "something is left although all was served and transmitted" );
  const bool somebody_waits = tunnel().deadline() != never;
  tunnel().for_each_session( [&]( Session& session ) {
    Facts& facts = facts_of( session.id() );
    if ( attached ) {
      const bool in_time = session.voice().something_can_wait() or session.over();
      check( not in_time or somebody_waits, "nobody will come back to a session" );
      check( not session.voice().has_something_to_say() or session.inflow().hungry(),
             "a session has something to say and no turn" );
      facts.check_stuck( session, has_bulk_link_ );
    }
    facts.check_said( session );
    if ( attached ) {
      facts.check_told( session );
    }
  } );
}

std::string Witness::snapshot()
{
  std::string all = all_seen( tunnel(), *record_, *memory_ );
  for ( const auto& [id, leg] : end_->legs ) {
    all += all_seen( id, leg.program );
  }
  return all + said_on_link_.wire + said_on_bulk_link_.wire;
}

void Witness::die()
{
  payloads_go();
  bulk_link_goes();
  const auto before = all_that_lasts( tunnel() );
  auto legs = std::move( end_->legs );
  const bool connects = end_->connects;
  const auto refuses = end_->refuses;
  auto left = std::make_unique<test::TestMemory>( *memory_, setup_.side );
  check( left->found.broken == 0 and left->found.ended == 0 and left->found.tunnels.size() == 1,
         "what a sound process leaves makes no sense" );
  record_ = left->found.tunnels.front();
  end_.emplace( setup_.side, *record_, *left, limits_ );
  memory_ = std::move( left );
  end_->inherit( std::move( legs ) );
  end_->connects = connects;
  end_->refuses = refuses;
  for ( auto& [id, facts] : facts_ ) {
    facts.process_dies();
  }
  note_sent();
  check( all_that_lasts( tunnel() ) == before, "a death changed something" );
  check_sessions();
}

// -- the end of the story ----------------------------------------------------------------------------------------
void Witness::finish()
{
  attach( 65536 );
  for ( auto& [id, leg] : end_->legs ) {
    if ( leg.session != nullptr ) {
      resets( id );
    }
  }
  std::vector<SessionId> ids;
  tunnel().for_each_session( [&]( Session& session ) { ids.push_back( session.id() ); } );
  turn();
  transmit();
  for ( const SessionId id : ids ) {
    const FrameHeader closed { .type = FrameType::closed, .session = id };
    check( not receive( { closed, {} } ), "closed was taken for a fault" );
  }
  for ( int i = 0; i < 3; ++i ) {
    now += std::chrono::seconds { 1 };
    turn();
    transmit();
  }
  check( tunnel().sessions() == 0, "a session is left over" );
  check( memory_->all_back(), "memory is left over" );
}

void Witness::drop()
{
  payloads_go();
  end_.reset();
  check( memory_->all_back(), "memory is left over after the tunnel" );
}

// -- whether all fits --------------------------------------------------------------------------------------------
void Witness::check_programs()
{
  for ( const auto& [id, leg] : end_->legs ) {
    facts_of( id ).check_program( id, leg.program );
  }
}

void Witness::check_sessions()
{
  check( not tunnel().wants_bulk_link( now ) or ( tunnel().attached() and tunnel().sessions() > 1 ),
         "a second link would be of use to nobody" );
  tunnel().for_each_session( [&]( Session& session ) { facts_of( session.id() ).check_session( session ); } );
  check_memory();
}

void Witness::check_memory()
{
  std::size_t retained_chunks = 0;
  std::size_t held_least = 0;
  std::size_t held_most = 0;
  bool all_kept = true;
  tunnel().for_each_session( [&]( Session& session ) {
    const Inflow& in = session.inflow();
    all_kept = all_kept and not in.has_fresh();
    retained_chunks += session.record().outflow.kept.chunks_needed();
    held_least += ( in.held() + Pool::chunk_size - 1 ) / Pool::chunk_size;
    held_most += in.held() == 0 ? 0 : ( in.held() - 1 ) / Pool::chunk_size + 2;
  } );
  check( memory_->outflow().used() == retained_chunks, "chunks of the outflow pool belong to nobody" );
  check( memory_->inflow().used() <= held_most and ( memory_->inflow().used() >= held_least or not all_kept ),
         "chunks of the inflow pool belong to nobody" );
  check( memory_->slots().used() == tunnel().sessions(), "a record belongs to nobody" );
}

} // namespace holdfast::fuzz
