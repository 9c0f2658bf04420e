#include "core/voice.hh"

#include "core/bytes.hh"

#include <algorithm>

namespace holdfast {

void Voice::new_link( std::size_t peer_window, std::uint64_t hello )
{
  said_ = {};
  choice_.new_link();
  if ( hello != 0 and early_.hello == hello ) {
    said_.introduced = true;
    inflow_.told_before( early_.delivered, early_.limit );
  }
  outflow_.rewind();
  if ( record_.known == 0 ) {
    outflow_.welcome( peer_window );
  }
}

// -- to the link --------------------------------------------------------------------------------------------------

bool Voice::is_waited_for() const
{
  return record_.known == 0 or record_.reset_ours != 0 or inflow_.hungry() or outflow_.retained() > 0
         or ( outflow_.ended() and not outflow_.finished() );
}

bool Voice::has_something_to_say() const
{
  const Word word = next();
  return word != Word::nothing and ( word != Word::ack or inflow_.urgent_news() );
}

bool Voice::something_can_wait() const
{
  return goes_on() and ( inflow_.news() or inflow_.hungry() );
}

Voice::Word Voice::next() const
{
  if ( closed_ or record_.reset_theirs != 0 ) {
    return Word::nothing;
  }
  if ( record_.reset_ours != 0 ) {
    return record_.named != 0 and not said_.reset ? Word::reset : Word::nothing;
  }
  if ( not said_.introduced ) {
    return record_.known != 0 ? Word::resume : Word::open;
  }
  if ( target_is_there() and not said_.opened ) {
    return Word::opened;
  }
  if ( inflow_.replay_due() ) {
    return Word::resume;
  }
  if ( choice_.on_link( outflow_ ) and stream_due() ) {
    return Word::stream;
  }
  return inflow_.news() ? Word::ack : Word::nothing;
}

void Voice::speak( FrameBatch& batch, Time now, RoundTrip round_trip, std::size_t piece_max )
{
  switch ( next() ) {
    case Word::nothing: return;
    case Word::open:
      batch.put( header( FrameType::open ) );
      record_.named = 1;
      said_.introduced = true;
      said_.may_send = true; // from the beginning; what it should have already, it drops
      return;
    case Word::opened:
      batch.put( header( FrameType::opened ) );
      said_.opened = true;
      return;
    case Word::resume: say_resume( batch, now, round_trip ); return;
    case Word::stream:
      speak_stream( batch, header_with_news( FrameType::data, now, round_trip ), piece_max );
      return;
    case Word::ack: batch.put( header_with_news( FrameType::ack, now, round_trip ) ); return;
    case Word::reset: {
      const std::array reason { static_cast<std::byte>( record_.reset_ours ) };
      batch.put_copy( header( FrameType::reset ), reason );
      said_.reset = true;
      return;
    }
  }
}

void Voice::say_resume( FrameBatch& batch, Time now, RoundTrip round_trip )
{
  said_.introduced = true;
  inflow_.prepare_news( now, round_trip ); // it is told here, so no ack may follow that could open the window
  inflow_.replay_asked();
  inflow_.told();
  Resume resume = this->resume();
  if ( target_is_there() ) {
    resume.header.flags = FrameHeader::connected;
    said_.opened = true;
  }
  batch.put_copy( resume.header, resume.next );
}

// The next bytes that may go, or else the end; one of them is due.
void Voice::speak_stream( FrameBatch& batch, FrameHeader header, std::size_t piece_max )
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

void Voice::speak_early( std::vector<std::byte>& into,
                         std::uint64_t hello,
                         bool data,
                         Time now,
                         RoundTrip round_trip )
{
  if ( record_.known == 0 or not goes_on() or inflow_.hungry() ) {
    return;
  }
  inflow_.prepare_news( now, round_trip );
  Resume resume = this->resume();
  resume.header.flags = FrameHeader::early;
  append_frame( into, resume.header, resume.next );
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

// What we acknowledge here counts as not told, for it may be lost with this link while the other one goes on.
void Voice::speak_bulk( FrameBatch& batch, std::size_t piece_max )
{
  speak_stream( batch, header( FrameType::data ), piece_max );
}

// -- frames -------------------------------------------------------------------------------------------------------

FrameHeader Voice::header( FrameType type ) const
{
  FrameHeader header;
  header.type = type;
  header.session = record_.session;
  header.sequence = outflow_.sent();
  header.acknowledgement = inflow_.delivered();
  header.window = static_cast<std::uint32_t>( inflow_.window() );
  return header;
}

FrameHeader Voice::header_with_news( FrameType type, Time now, RoundTrip round_trip )
{
  inflow_.prepare_news( now, round_trip );
  inflow_.told();
  return header( type );
}

Voice::Resume Voice::resume() const
{
  Resume resume { .header = header( FrameType::resume ), .next = {} };
  resume.header.sequence = outflow_.acknowledged();
  ByteWriter { resume.next }.number( inflow_.next() );
  return resume;
}

} // namespace holdfast
