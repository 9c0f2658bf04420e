#include "core/sessions.hh"

#include "core/stores.hh"

#include <algorithm>
#include <utility>

namespace holdfast {

Sessions::~Sessions()
{
  for ( auto& [id, session] : all_ ) {
    end( session );
  }
}

Session* Sessions::make( SessionId id, std::size_t peer_window )
{
  SessionRecord* const record = memory_.slots.take();
  if ( record == nullptr ) {
    return nullptr;
  }
  record->tunnel = tunnel_;
  auto session = std::make_unique<Session>( side_, id, *record, memory_, limits_, peer_window );
  return all_.emplace( id, std::move( session ) ).first->second.get();
}

Session& Sessions::restore( SessionRecord& record, std::span<const Pool::Index> chunks )
{
  auto session = std::make_unique<Session>( side_, record, chunks, memory_, limits_ );
  return *all_.emplace( record.session, std::move( session ) ).first->second;
}

Session* Sessions::find( SessionId id ) const
{
  const auto found = all_.find( id );
  return found == all_.end() ? nullptr : found->second.get();
}

void Sessions::drop( Session& session )
{
  const auto found = all_.find( session.id() );
  end( found->second );
  all_.erase( found );
}

void Sessions::end( std::unique_ptr<Session>& session )
{
  SessionRecord* const record = &session->record();
  make_free( *record );
  keep_order(); // if we die in between, its chunks are nobody's
  session.reset();
  memory_.slots.give( record );
}

std::vector<Session*> Sessions::all() const
{
  std::vector<Session*> all;
  all.reserve( all_.size() );
  for ( const auto& [id, session] : all_ ) {
    all.push_back( session.get() );
  }
  return all;
}

std::vector<Session*> Sessions::latest_first( std::size_t most ) const
{
  std::vector<Session*> all = this->all();
  const std::size_t count = std::min( all.size(), most );
  const auto end = all.begin() + static_cast<std::ptrdiff_t>( count );
  std::ranges::partial_sort(
    all, end, std::greater {}, []( const Session* session ) { return session->touched_last; } );
  all.resize( count );
  return all;
}

std::vector<Session*> Sessions::in_order_of_a_link() const
{
  std::vector<Session*> all = this->all();
  std::ranges::sort( all, []( const Session* a, const Session* b ) {
    if ( a->known() and b->known() ) {
      return a->touched_last > b->touched_last;
    }
    return a->known() == b->known() ? a->id() < b->id() : a->known();
  } );
  return all;
}

} // namespace holdfast
