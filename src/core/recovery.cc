#include "core/recovery.hh"

#include <algorithm>
#include <set>
#include <utility>

namespace holdfast {

namespace {

bool is_flag( std::uint8_t raw )
{
  return raw <= 1;
}

bool is_reason( std::uint8_t raw )
{
  return raw == 0 or raw == static_cast<std::uint8_t>( reset_reason( std::byte { raw } ) );
}

bool makes_sense( const TunnelRecord& record, std::size_t slot )
{
  return record.slot == slot and is_flag( record.used ) and is_flag( record.agreed )
         and is_flag( record.secrets.has_before ) and record.last_session < position_limit;
}

bool makes_sense( const OutflowRecord& record, std::size_t chunks )
{
  const bool flags = is_flag( record.ended ) and is_flag( record.end_acknowledged );
  const bool bytes = record.kept.begin <= record.kept.end and record.kept.end < position_limit
                     and record.kept.chunks_needed() <= chunks;
  const bool sent = record.sent_most >= record.kept.begin and record.sent_most <= record.kept.end + record.ended;
  const bool end
    = record.end_acknowledged == 0
      or ( record.ended == 1 and record.kept.begin == record.kept.end and record.sent_most == record.kept.end + 1 );
  return flags and bytes and sent and end;
}

bool makes_sense( const SessionRecord& record, std::size_t slot, std::size_t chunks )
{
  const bool flags = is_flag( record.connected ) and is_flag( record.known ) and is_flag( record.named )
                     and is_flag( record.released ) and is_flag( record.syn );
  return record.slot == slot and record.session < position_limit and flags and is_reason( record.reset_ours )
         and is_reason( record.reset_theirs ) and record.inflow.delivered < position_limit
         and is_flag( record.inflow.end_delivered ) and makes_sense( record.outflow, chunks );
}

// Those tunnels that make sense, by slot; the others are cleared.
std::vector<TunnelRecord*> tunnels_left( std::span<TunnelRecord> tunnels, Survey& found )
{
  std::vector<TunnelRecord*> left( tunnels.size() );
  std::set<Id> ids;
  std::set<std::pair<Digest, Id>> clients; // a client has one tunnel at most
  for ( std::size_t slot = 0; slot < tunnels.size(); ++slot ) {
    TunnelRecord& record = tunnels[slot];
    if ( is_free( record ) ) {
      continue;
    }
    const bool twice
      = record.agreed != 0
        and not( ids.insert( record.id ).second and clients.emplace( record.identity, record.instance ).second );
    if ( makes_sense( record, slot ) and not twice ) {
      left[slot] = &record;
      if ( record.secrets.has_before == 0 ) {
        settle( record.secrets ); // it may have died in the middle of that
      }
    } else {
      make_free( record );
      ++found.broken;
    }
  }
  return left;
}

// Whether a chunk with that number is one of those that hold the session's retained bytes.
bool can_own( const SessionRecord& record, const Pool::Label& label )
{
  const ChainRecord& kept = record.outflow.kept;
  const std::uint64_t first = kept.begin / Pool::chunk_size;
  return label.number >= first and label.number - first < kept.chunks_needed();
}

// What the sessions' records say of themselves: those that make no sense are cleared, and those of a tunnel that
// was being ended.
void check_records( Side side,
                    std::span<TunnelRecord* const> tunnel_in,
                    std::span<SessionRecord> sessions,
                    std::size_t chunks,
                    const Mend& mend,
                    Survey& found )
{
  std::set<std::pair<std::uint32_t, SessionId>> names;
  for ( std::size_t slot = 0; slot < sessions.size(); ++slot ) {
    SessionRecord& record = sessions[slot];
    if ( is_free( record ) ) {
      continue;
    }
    TunnelRecord* const tunnel = record.tunnel < tunnel_in.size() ? tunnel_in[record.tunnel] : nullptr;
    const bool is_sound = tunnel != nullptr and makes_sense( record, slot, chunks )
                          and names.emplace( record.tunnel, record.session ).second;
    const bool is_ended = is_sound and side == Side::acceptor and tunnel->agreed == 0;
    if ( is_sound and not is_ended and ( not mend or mend( record ) ) ) {
      // It may have died between making the session and saying so.
      tunnel->last_session = std::max( tunnel->last_session, record.session );
    } else {
      make_free( record );
      ++( is_ended ? found.ended : found.broken );
    }
  }
}

// How many chunks each session owns; those that nobody can own are nobody's from now on.
std::vector<std::uint64_t> count_chunks( std::span<const SessionRecord> sessions, std::span<Pool::Label> labels )
{
  std::vector<std::uint64_t> owned( sessions.size() );
  for ( Pool::Label& label : labels ) {
    const bool has_owner = label.owner != 0 and label.owner <= sessions.size()
                           and not is_free( sessions[label.owner - 1] )
                           and can_own( sessions[label.owner - 1], label );
    if ( has_owner ) {
      ++owned[label.owner - 1];
    } else {
      label.owner = 0;
    }
  }
  return owned;
}

// Each session's chunks in order. They are counted first: a record that claims more than there are gets no memory
// for it.
std::vector<std::vector<Pool::Index>> chunks_left( std::span<const SessionRecord> sessions,
                                                   std::span<Pool::Label> labels )
{
  const auto owned = count_chunks( sessions, labels );
  std::vector<std::vector<Pool::Index>> chunks( sessions.size() );
  for ( std::size_t slot = 0; slot < sessions.size(); ++slot ) {
    if ( not is_free( sessions[slot] ) and owned[slot] == sessions[slot].outflow.kept.chunks_needed() ) {
      chunks[slot].assign( owned[slot], Pool::none );
    }
  }
  for ( Pool::Index chunk = 0; chunk < labels.size(); ++chunk ) {
    const Pool::Label& label = labels[chunk];
    if ( label.owner != 0 and not chunks[label.owner - 1].empty() ) {
      const auto at = label.number - sessions[label.owner - 1].outflow.kept.begin / Pool::chunk_size;
      chunks[label.owner - 1][at] = chunk;
    }
  }
  return chunks;
}

// Sessions that have all their chunks are found, the others cleared; and chunks have no owner who is not there.
void reunite( std::span<SessionRecord> sessions, std::span<Pool::Label> labels, Survey& found )
{
  auto chunks = chunks_left( sessions, labels );
  for ( std::size_t slot = 0; slot < sessions.size(); ++slot ) {
    SessionRecord& record = sessions[slot];
    if ( is_free( record ) ) {
      continue;
    }
    const bool whole = chunks[slot].size() == record.outflow.kept.chunks_needed()
                       and std::ranges::find( chunks[slot], Pool::none ) == chunks[slot].end();
    if ( whole ) {
      found.sessions.push_back( { .record = &record, .chunks = std::move( chunks[slot] ) } );
    } else {
      make_free( record );
      ++found.broken;
    }
  }
  for ( Pool::Label& label : labels ) {
    if ( label.owner != 0 and is_free( sessions[label.owner - 1] ) ) {
      label.owner = 0;
    }
  }
}

} // namespace

Survey survey( Side side,
               std::span<TunnelRecord> tunnels,
               std::span<SessionRecord> sessions,
               std::span<Pool::Label> labels,
               const Mend& mend )
{
  Survey found;
  const auto tunnel_in = tunnels_left( tunnels, found );
  check_records( side, tunnel_in, sessions, labels.size(), mend, found );
  reunite( sessions, labels, found );
  for ( TunnelRecord* const tunnel : tunnel_in ) {
    if ( tunnel == nullptr ) {
      continue;
    }
    if ( side == Side::acceptor and tunnel->agreed == 0 ) {
      make_free( *tunnel );
    } else {
      found.tunnels.push_back( tunnel );
    }
  }
  return found;
}

} // namespace holdfast
