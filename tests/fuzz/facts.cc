#include "fuzz/facts.hh"

#include "core/bytes.hh"

#include <algorithm>

namespace holdfast::fuzz {

bool means_something( FrameType type, Way way )
{
  return type == FrameType::data or type == FrameType::end
         or ( type == FrameType::ack and way == Way::replaced_link );
}

bool is_alive( Session& session )
{
  return not session.closed_by_peer() and not session.reset_by_us() and not session.reset_by_peer();
}

void Facts::opened_by_peer( std::size_t window )
{
  limit_ = window;
  known_ = true;
  introduced_ = true; // both are, by the open
  may_send_ = true;
}

std::string Facts::write( SessionId id, std::size_t count )
{
  std::string bytes = test::stream( written_, count, our_stream( id ) );
  written_ += count;
  return bytes;
}

// -- links -------------------------------------------------------------------------------------------------------
void Facts::link_comes( std::size_t peer_window )
{
  introduced_ = false;
  may_send_ = false;
  said_reset_ = false;
  told_here_ = 0;
  goes_on_ = 0;
  if ( not known_ ) {
    limit_ = std::max<Position>( limit_, peer_window );
  }
}

// A stream that went there goes on the other one, from what is acknowledged.
void Facts::bulk_link_goes()
{
  if ( stream_on_ == Way::bulk_link ) {
    stream_on_ = Way::link;
    goes_on_ = 0;
  }
}

void Facts::process_dies()
{
  hole_ = false; // what was not delivered is asked for again
  goes_on_ = 0;
}

// -- what the peer says ------------------------------------------------------------------------------------------
void Facts::listen( const Frame& frame, Way way, Session* session )
{
  const FrameHeader& header = frame.header;
  known_ = true;
  if ( header.type == FrameType::data or header.type == FrameType::ack or header.type == FrameType::end
       or header.type == FrameType::resume ) {
    if ( header.acknowledgement <= sent_most_ ) {
      const Position window = way == Way::replaced_link ? 0 : header.window;
      limit_ = std::max( limit_, header.acknowledgement + window );
    }
  }
  switch ( header.type ) {
    case FrameType::data:
      if ( not setup_.honest_bytes ) {
        arrived_.emplace_back( header.sequence, test::Bytes { frame.payload.begin(), frame.payload.end() } );
      }
      break;
    case FrameType::end: ends_.insert( header.sequence ); break;
    case FrameType::resume: // a peer that forgot what we do not have leaves us no choice
      may_be_reset_ = may_be_reset_ or ( session != nullptr and header.sequence > session->inflow().next() );
      break;
    case FrameType::reset:
    case FrameType::closed: may_be_reset_ = true; break;
    case FrameType::hello:
    case FrameType::welcome:
    case FrameType::heartbeat:
    case FrameType::goodbye:
    case FrameType::open:
    case FrameType::opened:
    case FrameType::ack: break;
  }
}

void Facts::accepted( const Frame& frame, Position next )
{
  const FrameHeader& header = frame.header;
  if ( header.type == FrameType::data or header.type == FrameType::end ) {
    const bool comes_next = header.sequence <= next and header.sequence + header.length >= next;
    const bool is_news = header.type == FrameType::end or header.sequence + header.length > next;
    hole_ = hole_ and not( comes_next and is_news );
  }
  if ( header.type == FrameType::resume ) {
    goes_on_ = ByteReader { frame.payload }.number<std::uint64_t>();
  }
  may_send_ = may_send_ or header.type == FrameType::resume or header.type == FrameType::open;
}

// -- what we say -------------------------------------------------------------------------------------------------
void Facts::note_sent( Session& session )
{
  sent_most_ = std::max( sent_most_, session.outflow().sent() );
  // Whoever asks again for what was let go offers less than it had in mind, and takes that all the same.
  const std::size_t window = hole_ ? setup_.window_max : session.inflow().window();
  offered_ = std::max( offered_, session.inflow().delivered() + window );
}

void Facts::hear( const Frame& frame, Way way, Session* session, const test::Program* program )
{
  const FrameHeader& header = frame.header;
  check( way == Way::link or means_something( header.type, way ),
         "on the bulk link goes what does not belong there" );
  switch ( header.type ) {
    case FrameType::hello:
    case FrameType::welcome:
    case FrameType::heartbeat:
    case FrameType::goodbye: check( false, "the tunnel said what only its owner says" ); return;
    case FrameType::closed: return; // about a session that we may never have had
    case FrameType::reset: said_reset_ = true; return;
    case FrameType::open:
    case FrameType::opened:
    case FrameType::resume: hear_introduction( header.type ); break;
    case FrameType::data:
      hear_data( frame );
      hear_stream( header.sequence, header.sequence + frame.payload.size(), way, session );
      break;
    case FrameType::end:
      hear_end( header, program );
      hear_stream( header.sequence, header.sequence + 1, way, session );
      break;
    case FrameType::ack: check( introduced_, "ack before the introduction" ); break;
  }
  check( not said_reset_, "something was said after the reset" );
  hear_acknowledgement( header, way, program );
}

void Facts::hear_introduction( FrameType type )
{
  if ( type == FrameType::open ) {
    check( setup_.side == Side::opener, "an acceptor opened a session" );
    may_send_ = true;
  } else if ( type == FrameType::opened ) {
    check( setup_.side == Side::acceptor, "an opener said opened" );
    check( introduced_, "opened before the introduction" );
  }
  introduced_ = true;
}

void Facts::hear_data( const Frame& frame ) const
{
  const Position from = frame.header.sequence;
  const std::size_t size = frame.payload.size();
  check( introduced_, "data before the introduction" );
  check( from + size <= written_, "more data than the program wrote" );
  check( from + size <= limit_, "data beyond every window that was offered" );
  check( test::text( frame.payload ) == test::stream( from, size, our_stream( frame.header.session ) ),
         "the data of another place" );
}

void Facts::hear_end( const FrameHeader& header, const test::Program* program ) const
{
  check( introduced_, "end before the introduction" );
  check( header.sequence == written_ and program != nullptr and program->ends, "an end in the wrong place" );
}

// `after`: one past the last position that is said.
void Facts::hear_stream( Position from, Position after, Way way, Session* session )
{
  check( may_send_, "bytes that the peer has not asked for" );
  if ( session != nullptr ) {
    const Position acknowledged = session->outflow().acknowledged();
    check( way == stream_on_ or acknowledged == said_most_,
           "a stream changed links while something was under way" );
    check( from == std::max( goes_on_, acknowledged ), "a gap in what we say, or something twice" );
  }
  stream_on_ = way;
  goes_on_ = after;
  said_most_ = std::max( said_most_, after );
}

void Facts::hear_acknowledgement( const FrameHeader& header, Way way, const test::Program* program )
{
  const Position read = program == nullptr ? 0 : program->read.size() + ( program->saw_end ? 1 : 0 );
  check( header.acknowledgement <= read, "more was acknowledged than the program has read" );
  check( header.window <= setup_.window_max, "a window beyond the limit" );
  if ( way == Way::bulk_link ) {
    return; // may be lost with it
  }
  check( header.acknowledgement >= told_, "an acknowledgement was taken back" );
  told_ = header.acknowledgement;
  if ( header.type != FrameType::open and header.type != FrameType::opened ) { // there it does not count
    told_here_ = header.acknowledgement;
  }
}

// -- whether all fits --------------------------------------------------------------------------------------------
void Facts::check_program( SessionId id, const test::Program& program )
{
  const std::string_view read = program.read;
  if ( setup_.honest_bytes ) {
    check( read.substr( checked_ ) == test::stream( checked_, read.size() - checked_, peer_stream( id ) ),
           "a program read what was not written there" );
  } else {
    check( all_arrived( read ), "a program read what never arrived there" );
  }
  checked_ = read.size();
  check( not program.saw_end or ends_.contains( read.size() ), "an end that nobody said" );
  check( not program.saw_reset or may_be_reset_ or program.saw_reset == ResetReason::refused,
         "a reset that nobody said" );
}

bool Facts::all_arrived( std::string_view read ) const
{
  std::vector<bool> seen( read.size() - checked_ );
  for ( const auto& [at, bytes] : arrived_ ) {
    for ( std::size_t i = 0; i < bytes.size() and at + i < read.size(); ++i ) {
      if ( at + i >= checked_ and static_cast<char>( bytes[i] ) == read[at + i] ) {
        seen[at + i - checked_] = true;
      }
    }
  }
  return std::ranges::find( seen, false ) == seen.end();
}

void Facts::check_session( Session& session ) const
{
  const Outflow& out = session.outflow();
  const Inflow& in = session.inflow();
  check( out.acknowledged() <= out.sent() and out.sent() <= written_ + 1, "acknowledged, sent, written" );
  check( out.acknowledged() <= sent_most_ or session.reset_by_us(), "acknowledged before it was sent" );
  check( out.retained() <= written_, "more is retained than was written" );
  check( out.retained() <= setup_.window_max + Outflow::Limits::ahead, "too much is retained" );
  check( in.delivered() <= in.next(), "more is delivered than arrived" );
  const Position most = std::max<Position>( offered_, std::min( setup_.window, setup_.window_max ) );
  const Position received = in.delivered() - ( in.finished() ? 1 : 0 ) + in.held();
  check( received <= most and in.held() <= setup_.window_max, "more was taken than was offered" );
}

// It may go on, and nobody but the peer could be the reason why it does not.
void Facts::check_stuck( Session& session, bool has_bulk_link ) const
{
  const Outflow& out = session.outflow();
  // Before it changes links.
  const bool waits_for_the_peer = has_bulk_link and not out.all_delivered() and not out.says_again();
  const bool is_stuck = session.voice().bulk_due()
                        or ( is_alive( session ) and may_send_ and out.something_due() and not waits_for_the_peer );
  check( not is_stuck, "bytes wait for nothing" );
}

void Facts::check_said( Session& session ) const
{
  const Position all_said = std::max( goes_on_, session.outflow().acknowledged() );
  check( not is_alive( session ) or session.outflow().sent() == all_said,
         "something counts as said on this link and was not" );
}

void Facts::check_told( Session& session ) const
{
  const bool all_told = not is_alive( session ) or not introduced_ or session.inflow().news()
                        or told_here_ == session.inflow().delivered();
  check( all_told, "what counts as told was not told on this link" );
}

} // namespace holdfast::fuzz
