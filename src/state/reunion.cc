#include "state/reunion.hh"

#include "core/frame.hh"
#include "net/ledger.hh"

#include <utility>

namespace holdfast {

bool Reunion::mend( SessionRecord& record )
{
  if ( record.released != 0 or record.cookie == 0 ) {
    return true; // it has none any more, or never had one
  }
  Fd socket = left_.take( record.cookie );
  const bool broken_off = record.reset_ours != 0 or record.reset_theirs != 0;
  if ( not socket ) {
    if ( not broken_off ) {
      fail( record );
    }
    return true;
  }
  if ( not broken_off and not book( record, socket ) ) {
    close_with_reset( socket );
    return false;
  }
  sockets_[record.slot] = std::move( socket );
  return true;
}

void Reunion::fail( SessionRecord& record )
{
  ++tally_.failed;
  record.reset_ours = static_cast<std::uint8_t>( ResetReason::by_program );
}

// Each number with one store, as it would have been: so we may die here as well, and the next one goes on.
bool Reunion::book( SessionRecord& record, const Fd& socket )
{
  const auto counts = counts_of( socket.get() );
  if ( not counts ) {
    return false;
  }
  const Audit found = audit( *counts,
                             { .read = record.outflow.kept.end,
                               .written = record.inflow.delivered,
                               .read_end = record.outflow.ended != 0,
                               .wrote_end = record.inflow.end_delivered != 0,
                               .syn = record.syn != 0 } );
  switch ( found.fate ) {
    case Audit::Fate::impossible: return false;
    case Audit::Fate::failed: fail( record ); return true;
    case Audit::Fate::goes_on: break;
  }
  if ( found.read > read_most_ or found.written > written_most_ or ( found.read > 0 and record.outflow.ended != 0 )
       or ( found.written > 0 and record.inflow.end_delivered != 0 ) ) {
    return false;
  }
  record.outflow.kept.end += found.read; // its chunks have their labels since before it was read
  record.inflow.delivered += found.written;
  tally_.read += found.read > 0 ? 1U : 0U;
  tally_.written += found.written > 0 ? 1U : 0U;
  return true;
}

Fd Reunion::take( const SessionRecord& record )
{
  auto node = sockets_.extract( record.slot );
  return node.empty() ? Fd {} : std::move( node.mapped() );
}

} // namespace holdfast
