#include "core/session.hh"

#include "core/bytes.hh"
#include "core/stores.hh"

#include <algorithm>
#include <array>

namespace holdfast {

Session::Session( Side side, SessionRecord& record, Memory memory, SessionLimits limits, std::size_t peer_window )
  : side_( side )
  , record_( record )
  , outflow_( memory.outflow,
              record.outflow,
              limits.outflow,
              peer_window,
              record.owner(),
              memory.quotas == nullptr ? nullptr : &memory.quotas->outflow )
  , inflow_( memory.inflow,
             record.inflow,
             limits.inflow,
             memory.quotas == nullptr ? nullptr : &memory.quotas->inflow,
             memory.fresh )
{}

Session::Session( Side side,
                  SessionId id,
                  SessionRecord& record,
                  Memory memory,
                  SessionLimits limits,
                  std::size_t peer_window )
  : Session( side, record, memory, limits, peer_window )
{
  if ( side == Side::acceptor ) { // the open that made us is an introduction for both
    record_.known = 1;
    record_.named = 1;
    on_link_.introduced = true;
    on_link_.may_send = true;
  }
  keep_order();
  record_.session = id; // last: from now on the slot is not free
}

Session::Session( Side side,
                  SessionRecord& record,
                  std::span<const Pool::Index> chunks,
                  Memory memory,
                  SessionLimits limits )
  : Session( side, record, memory, limits, 0 )
{
  outflow_.adopt( chunks );
  if ( reset_by_us() ) { // it died before it had let go of them
    outflow_.abandon();
  }
}

void Session::reset( ResetReason reason )
{
  if ( not reset_by_us() and not reset_by_peer() ) {
    record_.reset_ours = static_cast<std::uint8_t>( reason );
    outflow_.abandon();
    inflow_.abandon();
  }
}

bool Session::lost( ResetReason reason )
{
  if ( not named() ) {
    return false;
  }
  reset_by_peer( reason );
  return true;
}

void Session::reset_by_peer( ResetReason reason )
{
  if ( not reset_by_peer() ) { // the first reason counts
    record_.reset_theirs = static_cast<std::uint8_t>( reason );
  }
}

bool Session::over() const
{
  if ( not released() ) {
    return false;
  }
  if ( closed_ or reset_by_peer() ) {
    return true;
  }
  if ( reset_by_us() ) {
    return not named();
  }
  // Told on an earlier link is not enough: once a link has taken over on which we are expected to know the session,
  // the peer waits until it hears from it there.
  return complete() and not inflow_.news() and on_link_.introduced;
}

// -- from the link ------------------------------------------------------------------------------------------------

void Session::new_link( std::size_t peer_window, std::uint64_t hello )
{
  on_link_ = {};
  stream_ = Stream::on_link;
  if ( hello != 0 and early_.hello == hello ) {
    on_link_.introduced = true;
    inflow_.told_before( early_.delivered, early_.limit );
  }
  outflow_.rewind();
  if ( not known() ) {
    outflow_.welcome( peer_window );
  }
}

Verdict Session::receive( const Frame& frame )
{
  const FrameHeader& header = frame.header;
  record_.known = 1;
  if ( reset_by_us() and header.type != FrameType::reset and header.type != FrameType::closed ) {
    return std::nullopt; // said before it heard of the reset
  }
  switch ( header.type ) {
    case FrameType::open: // said again on a new link, because the peer does not know that we know
      if ( side_ == Side::opener ) {
        return Fault::out_of_order;
      }
      on_link_.may_send = true; // our resume still follows: only it tells what was delivered on earlier links
      return std::nullopt;
    case FrameType::opened:
      if ( side_ == Side::acceptor ) {
        return Fault::out_of_order;
      }
      record_.connected = 1;
      return std::nullopt;
    case FrameType::resume: return resumed( frame );
    case FrameType::data:
      if ( const auto fault = outflow_.acknowledge( header.acknowledgement, header.window ) ) {
        return fault;
      }
      return taken( header, inflow_.place( header.sequence, frame.payload ) );
    case FrameType::ack: return outflow_.acknowledge( header.acknowledgement, header.window );
    case FrameType::end:
      if ( const auto fault = outflow_.acknowledge( header.acknowledgement, header.window ) ) {
        return fault;
      }
      return inflow_.place_end( header.sequence );
    case FrameType::reset: reset_by_peer( reset_reason( frame.payload.front() ) ); return std::nullopt;
    case FrameType::closed:
      closed_ = true;
      if ( not reset_by_us() and not( inflow_.finished() and outflow_.ended() ) ) { // it forgot a living session
        reset_by_peer( ResetReason::forgotten );
      }
      return std::nullopt;
    case FrameType::hello:
    case FrameType::welcome:
    case FrameType::heartbeat:
    case FrameType::goodbye: break; // never for a session: frame.cc
  }
  return Fault::out_of_order;
}

Verdict Session::receive_bulk( const Frame& frame )
{
  const FrameHeader& header = frame.header;
  record_.known = 1;
  if ( reset_by_us() ) {
    return std::nullopt;
  }
  if ( const auto fault = outflow_.acknowledge( header.acknowledgement, header.window ) ) {
    return fault;
  }
  return header.type == FrameType::data ? inflow_.place_bulk( header.sequence, frame.payload )
                                        : inflow_.place_end_late( header.sequence );
}

Verdict Session::receive_late( const Frame& frame )
{
  const FrameHeader& header = frame.header;
  record_.known = 1;
  if ( reset_by_us() ) {
    return std::nullopt;
  }
  // What is welcome was said on the present link, perhaps by another process, which offers less than the one
  // before.
  if ( const auto fault = outflow_.acknowledge( header.acknowledgement, 0 ) ) {
    return fault;
  }
  if ( header.type == FrameType::data ) {
    return inflow_.place_late( header.sequence, frame.payload );
  }
  return header.type == FrameType::end ? inflow_.place_end_late( header.sequence ) : std::nullopt;
}

// What was said early goes by the window of an earlier link, which we may have forgotten with our process. It will
// be said again by that of our resume.
Verdict Session::taken( const FrameHeader& header, Verdict verdict )
{
  const bool is_early = ( header.flags & FrameHeader::early ) != 0;
  return is_early and verdict == Fault::beyond_window ? std::nullopt : verdict;
}

Verdict Session::resumed( const Frame& frame )
{
  const FrameHeader& header = frame.header;
  const Position next = ByteReader { frame.payload }.number<std::uint64_t>();
  if ( header.sequence > inflow_.next() ) {
    // The peer has forgotten bytes that we do not have. It did so because we acknowledged them once: then the fault
    // is on one of the two sides, and no link can mend it.
    reset( ResetReason::inconsistent );
    return std::nullopt;
  }
  if ( const auto fault = outflow_.replay_from( next, header.acknowledgement, header.window ) ) {
    return fault;
  }
  if ( side_ == Side::opener and ( header.flags & FrameHeader::connected ) != 0 ) {
    record_.connected = 1;
  }
  on_link_.may_send = true;
  return std::nullopt;
}

// -- to the link --------------------------------------------------------------------------------------------------

bool Session::is_waited_for() const
{
  return not known() or reset_by_us() or inflow_.hungry() or outflow_.retained() > 0
         or ( outflow_.ended() and not outflow_.finished() );
}

bool Session::has_something_to_say() const
{
  if ( closed_ or reset_by_peer() ) {
    return false;
  }
  if ( reset_by_us() ) {
    return named() and not on_link_.reset;
  }
  if ( not on_link_.introduced or inflow_.replay_due() or inflow_.urgent_news() ) {
    return true;
  }
  if ( side_ == Side::acceptor and connected() and not on_link_.opened ) {
    return true;
  }
  return stream_due_here();
}

// On the link that carries the tunnel.
bool Session::stream_due_here() const
{
  return ( stream_ == Stream::on_link or ( stream_ == Stream::waits and outflow_.says_again() ) ) and stream_due();
}

bool Session::stream_due() const
{
  return on_link_.may_send and not closed_ and not reset_by_us() and not reset_by_peer()
         and outflow_.something_due();
}

bool Session::something_can_wait() const
{
  return not closed_ and not reset_by_us() and not reset_by_peer() and ( inflow_.news() or inflow_.hungry() );
}

void Session::speak( FrameBatch& batch, Time now, RoundTrip round_trip, std::size_t piece_max )
{
  if ( closed_ or reset_by_peer() ) {
    return;
  }
  if ( reset_by_us() ) {
    if ( named() and not on_link_.reset ) {
      const std::array reason { static_cast<std::byte>( *reset_by_us() ) };
      batch.put_copy( header( FrameType::reset ), reason );
      on_link_.reset = true;
    }
    return;
  }
  if ( not on_link_.introduced ) {
    on_link_.introduced = true;
    if ( known() ) {
      say_resume( batch, now, round_trip );
      return;
    }
    batch.put( header( FrameType::open ) );
    record_.named = 1;
    on_link_.may_send = true; // from the beginning; what it should have already, it drops
    return;
  }
  if ( side_ == Side::acceptor and connected() and not on_link_.opened ) {
    batch.put( header( FrameType::opened ) );
    on_link_.opened = true;
    return;
  }
  if ( inflow_.replay_due() ) {
    say_resume( batch, now, round_trip );
    return;
  }
  if ( stream_due_here() ) {
    speak_stream( batch, header_with_news( FrameType::data, now, round_trip ), piece_max );
  } else if ( inflow_.news() ) {
    batch.put( header_with_news( FrameType::ack, now, round_trip ) );
  }
}

// The next bytes that may go, or else the end; one of them is due.
void Session::speak_stream( FrameBatch& batch, FrameHeader header, std::size_t piece_max )
{
  header.sequence = outflow_.sent();
  if ( const auto all = outflow_.readable(); not all.empty() ) {
    const auto bytes = all.first( std::min( all.size(), piece_max ) );
    header.type = FrameType::data;
    batch.put( header, bytes );
    outflow_.consume( bytes.size() );
  } else {
    header.type = FrameType::end;
    batch.put( header );
    outflow_.consume_end();
  }
}

FrameHeader Session::header( FrameType type ) const
{
  FrameHeader header;
  header.type = type;
  header.session = id();
  header.sequence = outflow_.sent();
  header.acknowledgement = inflow_.delivered();
  header.window = static_cast<std::uint32_t>( inflow_.window() );
  return header;
}

FrameHeader Session::header_with_news( FrameType type, Time now, RoundTrip round_trip )
{
  inflow_.prepare_news( now, round_trip );
  inflow_.told();
  return header( type );
}

void Session::speak_early( std::vector<std::byte>& into,
                           std::uint64_t hello,
                           bool data,
                           Time now,
                           RoundTrip round_trip )
{
  if ( not known() or closed_ or reset_by_us() or reset_by_peer() or inflow_.hungry() ) {
    return;
  }
  inflow_.prepare_news( now, round_trip );
  FrameHeader resume = resume_header();
  resume.flags = FrameHeader::early;
  append_frame( into, resume, next_in_bytes() );
  early_ = { .hello = hello, .delivered = inflow_.delivered(), .limit = inflow_.limit() };
  const auto bytes = outflow_.beginning();
  if ( data and not bytes.empty() and outflow_.retained() <= early_bytes_max ) {
    FrameHeader again = header( FrameType::data );
    again.flags = FrameHeader::early;
    again.sequence = outflow_.acknowledged();
    append_frame( into, again, bytes );
    outflow_.said_early( bytes.size() );
  }
}

FrameHeader Session::resume_header() const
{
  FrameHeader resume = header( FrameType::resume );
  resume.sequence = outflow_.acknowledged();
  return resume;
}

std::array<std::byte, sizeof( Position )> Session::next_in_bytes() const
{
  std::array<std::byte, sizeof( Position )> next;
  ByteWriter { next }.number( inflow_.next() );
  return next;
}

void Session::say_resume( FrameBatch& batch, Time now, RoundTrip round_trip )
{
  inflow_.prepare_news( now, round_trip ); // it is told here, so no ack may follow that could open the window
  inflow_.replay_asked();
  inflow_.told();
  FrameHeader resume = resume_header();
  if ( side_ == Side::acceptor and connected() ) {
    resume.flags = FrameHeader::connected;
    on_link_.opened = true;
  }
  batch.put_copy( resume, next_in_bytes() );
}

// -- to the bulk link ---------------------------------------------------------------------------------------------

void Session::measure( Time now, BulkMeter::Limits limits )
{
  sends_.look( outflow_.acknowledged(), now, limits );
  receives_.look( inflow_.delivered(), now, limits );
}

void Session::choose_link()
{
  const bool bulk = sends_much();
  if ( outflow_.all_delivered() ) {
    stream_ = bulk ? Stream::on_bulk_link : Stream::on_link;
  } else if ( stream_ != Stream::on_bulk_link ) {
    stream_ = bulk ? Stream::waits : Stream::on_link;
  }
}

bool Session::leave_bulk_link()
{
  if ( stream_ == Stream::on_link ) {
    return false;
  }
  if ( stream_ == Stream::on_bulk_link ) {
    outflow_.rewind();
  }
  stream_ = Stream::on_link;
  return true;
}

// What we acknowledge here counts as not told, for it may be lost with this link while the other one goes on.
void Session::speak_bulk( FrameBatch& batch, std::size_t piece_max )
{
  speak_stream( batch, header( FrameType::data ), piece_max );
}

} // namespace holdfast
