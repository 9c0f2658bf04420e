#include "core/bulk_lane.hh"

namespace holdfast {

void BulkLane::detach()
{
  attached_ = false;
  while ( Session* const session = turns_.pop_front() ) {
    after_turn_( *session );
  }
}

void BulkLane::look( Session& session, Time now )
{
  if ( session.voice().measure( now, limits_ ) ) {
    much_ = now;
  }
  if ( attached_ ) {
    session.voice().choose_link();
  }
}

void BulkLane::give_turn( Session& session )
{
  if ( attached_ and session.voice().bulk_due() ) {
    turns_.push_back( session );
  }
}

void BulkLane::transmit( FrameBatch& batch, Time, RoundTrip )
{
  while ( not batch.full() ) {
    Session* const session = turns_.pop_front();
    if ( session == nullptr ) {
      return;
    }
    note_served( memory_, session->record().owner() );
    speak( *session, batch );
    note_served( memory_, 0 );
    give_turn( *session );
    after_turn_( *session );
  }
}

void BulkLane::speak( Session& session, FrameBatch& batch )
{
  const std::size_t before = batch.bytes();
  while ( session.voice().bulk_due() and not batch.full() and batch.bytes() - before < turn_max ) {
    session.voice().speak_bulk( batch, batch.piece() );
  }
}

} // namespace holdfast
