// The links of a witness: what comes and goes, and what is said on them.

#include "fuzz/witness.hh"

#include <algorithm>

namespace holdfast::fuzz {

// -- links come and go -------------------------------------------------------------------------------------------
void Witness::Said::start( std::string_view greeting )
{
  rest.clear();
  heard.emplace( FrameType::hello );
  heard->feed( test::raw( greeting ) );
  static_cast<void>( heard->next() );
}

void Witness::attach( std::size_t peer_window )
{
  payloads_go();
  bulk_link_goes();
  peer_window_ = peer_window;
  said_on_link_.start( greeting_ );
  tunnel().attach( peer_window );
  tunnel().for_each_session( [&]( Session& session ) { facts_of( session.id() ).link_comes( peer_window ); } );
}

void Witness::detach()
{
  payloads_go();
  bulk_link_goes();
  tunnel().detach();
}

void Witness::lost( ResetReason reason )
{
  payloads_go();
  bulk_link_goes();
  for ( auto& [id, facts] : facts_ ) {
    facts.may_be_reset();
  }
  tunnel().peer_lost( reason );
}

void Witness::attach_bulk()
{
  detach_bulk();
  has_bulk_link_ = true;
  said_on_bulk_link_.start( greeting_ );
  tunnel().attach_bulk();
}

void Witness::detach_bulk()
{
  payloads_go();
  bulk_link_goes();
  tunnel().detach_bulk();
}

void Witness::bulk_link_goes()
{
  has_bulk_link_ = false;
  for ( auto& [id, facts] : facts_ ) {
    facts.bulk_link_goes();
  }
}

// -- what the peer says ------------------------------------------------------------------------------------------
Verdict Witness::receive( const Frame& frame, Way way )
{
  const FrameHeader& header = frame.header;
  // Memory of its own, no byte longer than the frame.
  const Frame ours { header, payloads_.emplace_back( frame.payload.begin(), frame.payload.end() ) };
  Session* const session = find( tunnel(), header.session );
  const bool was_here = session != nullptr;
  const bool counts = way == Way::link or ( was_here and means_something( header.type, way ) );
  const auto before = all_alive( tunnel() );
  const std::string seen_before = counts ? std::string {} : all_seen( tunnel(), *record_, *memory_ );
  const Hearing how = how_is( session );
  if ( counts ) {
    facts_of( header.session ).listen( ours, way, session );
  }
  const auto fault = hand_over( ours, way );
  check( not fault or all_alive( tunnel() ) == before, "a fault ended or delivered something" );
  check( counts or all_seen( tunnel(), *record_, *memory_ ) == seen_before,
         "a frame that means nothing changed something" );
  check_fault( fault, header, way );
  check_hearing( fault, header, way, how );
  if ( not was_here and find( tunnel(), header.session ) != nullptr ) {
    new_facts_of( header.session ).opened_by_peer( header.window );
  }
  if ( not fault and way == Way::link ) {
    facts_of( header.session ).accepted( ours, how.next );
  }
  note_holes();
  if ( not setup_.in_place ) {
    payloads_go();
  }
  check_sessions();
  return fault;
}

Verdict Witness::hand_over( const Frame& frame, Way way )
{
  switch ( way ) {
    case Way::link: return tunnel().receive( frame );
    case Way::bulk_link: return tunnel().receive_bulk( frame );
    case Way::replaced_link: return tunnel().receive_late( frame );
  }
  return std::nullopt;
}

void Witness::check_fault( Verdict fault, const FrameHeader& header, Way way )
{
  const bool is_strange = way == Way::bulk_link and not means_something( header.type, way );
  check( not is_strange or fault == Fault::out_of_order, "a frame that may not come on the bulk link" );
  check( way == Way::link or fault != Fault::gap, "a gap beside the link is a fault" );
  check( way != Way::replaced_link or fault != Fault::beyond_window,
         "what another process may have offered is a fault" );
  check( fault != Fault::gap or not facts_of( header.session ).has_hole(),
         "a gap is a fault before what we asked for has come" );
}

void Witness::check_hearing( Verdict fault, const FrameHeader& header, Way way, const Hearing& before )
{
  const bool acknowledges
    = header.type == FrameType::ack ? way != Way::bulk_link : means_something( header.type, way );
  check( not before.hears or not acknowledges or header.acknowledgement <= before.sent_most
           or fault == Fault::ahead_of_sent,
         "what was not sent was acknowledged, and that was no fault" );
  const Hearing now_is = how_is( find( tunnel(), header.session ) );
  check( not now_is.hears or now_is.next >= before.next or now_is.hungry,
         "bytes were let go, and nobody will ask for them again" );
  check( way == Way::link or header.type != FrameType::data or not before.hungry or now_is.next <= before.next,
         "what was let go came back before it was asked for" );
}

void Witness::payloads_go()
{
  if ( not payloads_.empty() ) {
    end_->deliver_fresh( now );
    payloads_.clear();
    note_holes();
    check_programs();
    check_sessions();
  }
}

void Witness::note_holes()
{
  tunnel().for_each_session( [&]( Session& session ) { facts_of( session.id() ).note_hole( session ); } );
}

// -- what we say -------------------------------------------------------------------------------------------------
void Witness::transmit( std::size_t most, Way way )
{
  payloads_go();
  const bool bulk = way == Way::bulk_link;
  Said& said = bulk ? said_on_bulk_link_ : said_on_link_;
  FrameSource& source = bulk ? tunnel().bulk() : tunnel();
  const auto news = sessions_with_news( tunnel() );
  do {
    const std::size_t begun = said.rest.size();
    batch_.start( said.rest );
    if ( not batch_.full() ) {
      source.transmit( batch_, now, std::chrono::milliseconds { 10 } );
    }
    const std::string all = test::gathered( batch_ );
    const std::size_t taken = std::min( most, all.size() );
    batch_.finish( taken );
    most -= taken;
    note_sent();
    hear( std::string_view { all }.substr( begun ), said, way );
    said.wire.append( all, 0, taken );
  } while ( most > 0 and source.wants_to_transmit() );
  check( not bulk or sessions_with_news( tunnel() ) == news, "what may be lost with the bulk link counts as told" );
  check_sessions();
}

void Witness::transmit_all()
{
  if ( tunnel().attached() ) {
    transmit();
    if ( has_bulk_link_ ) {
      transmit( std::string::npos, Way::bulk_link );
    }
  }
}

void Witness::note_sent()
{
  tunnel().for_each_session( [&]( Session& session ) { facts_of( session.id() ).note_sent( session ); } );
}

// As the peer would hear it: also what is lost with the link.
void Witness::hear( std::string_view words, Said& said, Way way )
{
  said.heard->feed( test::raw( words ) );
  while ( const auto frame = said.heard->next() ) {
    const SessionId id = frame->header.session;
    const auto leg = end_->legs.find( id );
    const test::Program* const program = leg == end_->legs.end() ? nullptr : &leg->second.program;
    facts_of( id ).hear( *frame, way, find( tunnel(), id ), program );
  }
  check( not said.heard->fault() and said.heard->held() == 0, "we sent a frame that is not one" );
}

} // namespace holdfast::fuzz
