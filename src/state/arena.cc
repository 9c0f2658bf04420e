#include "state/arena.hh"

#include "net/error.hh"

#include <sys/mman.h>

#include <algorithm>
#include <type_traits>

namespace holdfast {

namespace {

constexpr Pool::Index hot_max = 512; // 8 MiB of free chunks keep their pages: the working set of a busy link

constexpr std::size_t chunk_aligned( std::size_t bytes )
{
  return ( bytes + Pool::chunk_size - 1 ) / Pool::chunk_size * Pool::chunk_size;
}

// What lies first in the memfd. A process that finds a layout it does not know must leave it alone.
struct Head
{
  std::uint64_t magic = 0x48464152454e4131; // "HFARENA1"
  std::uint64_t sessions = 0;
  std::uint64_t chunks = 0;
};

static_assert( std::is_trivially_copyable_v<SessionRecord> and std::is_standard_layout_v<SessionRecord> );
static_assert( sizeof( SessionRecord ) == 64, "one cache line a session; another size is another layout" );

std::span<std::byte> map( std::size_t bytes, int flags, int fd )
{
  void* const at = ::mmap( nullptr, bytes, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, fd, 0 );
  if ( at == MAP_FAILED ) {
    fail( "cannot map memory for the sessions (mmap)" );
  }
  ::madvise( at, bytes, MADV_DONTDUMP ); // what passes through belongs to others
  return { static_cast<std::byte*>( at ), bytes };
}

template<class T>
std::span<T> view( std::span<std::byte> memory, std::size_t at, std::size_t count )
{
  return { reinterpret_cast<T*>( memory.subspan( at, count * sizeof( T ) ).data() ), count };
}

} // namespace

Mapping::~Mapping()
{
  if ( not memory_.empty() ) {
    ::munmap( memory_.data(), memory_.size() );
  }
}

struct Arena::Layout
{
  std::size_t chunks, records_at, next_at, chunks_at, shared_size; // in the memfd
  std::size_t ordinary_chunks_at, ordinary_size;

  explicit Layout( Config config )
    : chunks( std::max( chunk_aligned( config.memory ) / Pool::chunk_size, std::size_t { 1 } ) )
    , records_at( sizeof( SessionRecord ) ) // the head has a record's room
    , next_at( records_at + config.sessions * sizeof( SessionRecord ) )
    , chunks_at( chunk_aligned( next_at + chunks * sizeof( Pool::Index ) ) )
    , shared_size( chunks_at + chunks * Pool::chunk_size )
    , ordinary_chunks_at( chunk_aligned( chunks * sizeof( Pool::Index ) ) )
    , ordinary_size( ordinary_chunks_at + chunks * Pool::chunk_size )
  {
    static_assert( sizeof( Head ) <= sizeof( SessionRecord ) );
  }
};

Arena::Arena( Config config ) : Arena( Layout { config }, config ) {}

Arena::Arena( const Layout& layout, Config config )
  : fd_( ::memfd_create( "holdfast", MFD_CLOEXEC ) )
  , shared_( [&] {
    if ( not fd_ or ::ftruncate( fd_.get(), static_cast<off_t>( layout.shared_size ) ) != 0 ) {
      fail( "cannot make memory for the sessions (memfd_create)" );
    }
    return map( layout.shared_size, MAP_SHARED, fd_.get() );
  }() )
  , ordinary_( map( layout.ordinary_size, MAP_PRIVATE | MAP_ANONYMOUS, -1 ) )
  , outflow_( shared_.memory().subspan( layout.chunks_at ),
              view<Pool::Index>( shared_.memory(), layout.next_at, layout.chunks ),
              hot_max )
  , inflow_( ordinary_.memory().subspan( layout.ordinary_chunks_at ),
             view<Pool::Index>( ordinary_.memory(), 0, layout.chunks ),
             hot_max )
  , slots_( view<SessionRecord>( shared_.memory(), layout.records_at, config.sessions ) )
{
  view<Head>( shared_.memory(), 0, 1 ).front() = { .sessions = config.sessions, .chunks = layout.chunks };
}

void Arena::cool()
{
  // MADV_REMOVE punches a hole into shared memory; private memory forgets with MADV_DONTNEED (madvise(2)).
  outflow_.cool( []( std::span<std::byte> chunk ) { ::madvise( chunk.data(), chunk.size(), MADV_REMOVE ); } );
  inflow_.cool( []( std::span<std::byte> chunk ) { ::madvise( chunk.data(), chunk.size(), MADV_DONTNEED ); } );
}

} // namespace holdfast
