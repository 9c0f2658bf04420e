#include "core/session.hh"

#include "core/bytes.hh"
#include "core/stores.hh"

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
    voice_.peer_introduced();
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
  if ( named() ) {
    reset_by_peer( reason );
  }
  return named();
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
  if ( closed_by_peer() or reset_by_peer() ) {
    return true;
  }
  if ( reset_by_us() ) {
    return not named();
  }
  // Told on an earlier link is not enough: once a link has taken over on which we are expected to know the session,
  // the peer waits until it hears from it there.
  return complete() and not inflow_.news() and voice_.introduced();
}

// -- from the peer ------------------------------------------------------------------------------------------------

Verdict Session::receive( const Frame& frame, Link link )
{
  record_.known = 1; // on whichever link
  if ( link != Link::present ) {
    return reset_by_us() ? std::nullopt : receive_beside( frame, link );
  }
  const FrameHeader& header = frame.header;
  if ( reset_by_us() and header.type != FrameType::reset and header.type != FrameType::closed ) {
    return std::nullopt; // said before it heard of the reset
  }
  switch ( header.type ) {
    case FrameType::open: // said again on a new link, because the peer does not know that we know
      if ( side_ == Side::opener ) {
        return Fault::out_of_order;
      }
      voice_.peer_asked(); // our resume still follows: only it tells what was delivered on earlier links
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
      voice_.peer_closed();
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

Verdict Session::receive_beside( const Frame& frame, Link link )
{
  const FrameHeader& header = frame.header;
  // Nothing is offered on a link that was replaced: what is welcome was said on the present one, perhaps by another
  // process, which offers less than the one before.
  const std::size_t window = link == Link::replaced ? 0 : header.window;
  if ( const auto fault = outflow_.acknowledge( header.acknowledgement, window ) ) {
    return fault;
  }
  if ( header.type == FrameType::end ) {
    return inflow_.place_end_late( header.sequence );
  }
  if ( header.type == FrameType::data ) {
    return link == Link::bulk ? inflow_.place_bulk( header.sequence, frame.payload )
                              : inflow_.place_late( header.sequence, frame.payload );
  }
  return std::nullopt;
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
  const auto next = ByteReader { frame.payload }.number<std::uint64_t>();
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
  voice_.peer_asked();
  return std::nullopt;
}

} // namespace holdfast
