#include "state/arena.hh"

#include "net/error.hh"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <type_traits>
#include <utility>

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
  std::uint64_t magic = 0;
  std::uint64_t sessions = 0; // slots, and tunnels_spare more for tunnels
  std::uint64_t chunks = 0;
};

// Another number with each change to what follows.
constexpr std::uint64_t layout_magic = 0x48464152454e4133; // "HFARENA3"
constexpr std::uint64_t tunnels_spare = 64;                // taken while their tunnels are being ended
constexpr std::uint64_t count_max = 1U << 28U;             // of slots or chunks: 4 TiB

template<class Record>
constexpr bool can_be_left = std::is_trivially_copyable_v<Record>and std::is_standard_layout_v<Record>;
static_assert( can_be_left<Head> and sizeof( Head ) == 24 );
static_assert( can_be_left<TunnelRecord> and sizeof( TunnelRecord ) == 192 );
static_assert( can_be_left<SessionRecord> and sizeof( SessionRecord ) == 128 );
static_assert( can_be_left<Pool::Label> and sizeof( Pool::Label ) == 16 );

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

Mapping private_memory( std::size_t bytes )
{
  return Mapping { map( bytes, MAP_PRIVATE | MAP_ANONYMOUS, -1 ) };
}

struct Arena::Layout
{
  std::size_t slots, chunks;
  std::size_t tunnels_at, sessions_at, labels_at, chunks_at, shared_size; // in the memfd
  std::size_t inflow_next_at, inflow_chunks_at, ordinary_size;            // outflow's next is first there

  Layout( std::size_t slots_, std::size_t chunks_ )
    : slots( slots_ )
    , chunks( chunks_ )
    , tunnels_at( sizeof( TunnelRecord ) ) // the head has a record's room
    , sessions_at( tunnels_at + ( slots + tunnels_spare ) * sizeof( TunnelRecord ) )
    , labels_at( sessions_at + slots * sizeof( SessionRecord ) )
    , chunks_at( chunk_aligned( labels_at + chunks * sizeof( Pool::Label ) ) )
    , shared_size( chunks_at + chunks * Pool::chunk_size )
    , inflow_next_at( chunks * sizeof( Pool::Index ) )
    , inflow_chunks_at( chunk_aligned( 2 * inflow_next_at ) )
    , ordinary_size( inflow_chunks_at + chunks * Pool::chunk_size )
  {
    static_assert( sizeof( Head ) <= sizeof( TunnelRecord ) );
  }
  explicit Layout( Config config )
    : Layout( config.sessions, std::max( chunk_aligned( config.memory ) / Pool::chunk_size, std::size_t { 1 } ) )
  {}
};

Arena::Arena( Config config )
  : Arena( Layout { config }, [&] {
    Fd fd { ::memfd_create( "holdfast", MFD_CLOEXEC ) };
    const auto size = static_cast<off_t>( Layout { config }.shared_size );
    if ( not fd or ::ftruncate( fd.get(), size ) != 0 ) {
      fail( "cannot make memory for the sessions (memfd_create)" );
    }
    return fd;
  }() )
{
  const Layout layout { config };
  Head& head = view<Head>( shared_.memory(), 0, 1 ).front();
  head = { .sessions = layout.slots, .chunks = layout.chunks };
  head.magic = layout_magic;
}

Arena::Arena( const Layout& layout, Fd&& fd ) // by reference: the layout may still have to be read from it
  : fd_( std::move( fd ) )
  , shared_( map( layout.shared_size, MAP_SHARED, fd_.get() ) )
  , ordinary_( map( layout.ordinary_size, MAP_PRIVATE | MAP_ANONYMOUS, -1 ) )
  , outflow_( shared_.memory().subspan( layout.chunks_at ),
              view<Pool::Index>( ordinary_.memory(), 0, layout.chunks ),
              view<Pool::Label>( shared_.memory(), layout.labels_at, layout.chunks ),
              hot_max )
  , inflow_( ordinary_.memory().subspan( layout.inflow_chunks_at ),
             view<Pool::Index>( ordinary_.memory(), layout.inflow_next_at, layout.chunks ),
             {},
             hot_max )
  , tunnels_( view<TunnelRecord>( shared_.memory(), layout.tunnels_at, layout.slots + tunnels_spare ) )
  , slots_( view<SessionRecord>( shared_.memory(), layout.sessions_at, layout.slots ) )
{}

Arena::Layout Arena::layout_of( const Fd& left )
{
  Head head;
  const ssize_t got = ::pread( left.get(), &head, sizeof( head ), 0 );
  struct stat status
  {};
  if ( got < 0 or ::fstat( left.get(), &status ) != 0 ) {
    fail( "cannot read the memory of the sessions (pread)" );
  }
  const bool known = got == sizeof( head ) and head.magic == layout_magic and head.sessions <= count_max
                     and head.chunks > 0 and head.chunks <= count_max;
  if ( not known ) {
    throw StartupError( "the memory of the sessions has a layout that this version does not know; end the version "
                        "that made it, or go on with that one" );
  }
  const Layout layout { head.sessions, head.chunks };
  if ( static_cast<std::uint64_t>( status.st_size ) != layout.shared_size ) {
    throw StartupError( "the memory of the sessions is not whole" );
  }
  return layout;
}

Arena::Arena( Side side, Fd left ) : Arena( layout_of( left ), std::move( left ) )
{
  const Layout layout = layout_of( fd_ );
  found_ = survey( side,
                   view<TunnelRecord>( shared_.memory(), layout.tunnels_at, layout.slots + tunnels_spare ),
                   view<SessionRecord>( shared_.memory(), layout.sessions_at, layout.slots ),
                   view<Pool::Label>( shared_.memory(), layout.labels_at, layout.chunks ) );
  tunnels_.recover();
  slots_.recover();
  outflow_.recover();
  // What the earlier process had touched beyond them goes back to the system; free ones before them with cool().
  const auto fresh
    = shared_.memory().subspan( layout.chunks_at + std::size_t { outflow_.fresh() } * Pool::chunk_size );
  if ( not fresh.empty() ) {
    ::madvise( fresh.data(), fresh.size(), MADV_REMOVE );
  }
}

void Arena::cool()
{
  // MADV_REMOVE punches a hole into shared memory; private memory forgets with MADV_DONTNEED (madvise(2)).
  outflow_.cool( []( std::span<std::byte> chunk ) { ::madvise( chunk.data(), chunk.size(), MADV_REMOVE ); } );
  inflow_.cool( []( std::span<std::byte> chunk ) { ::madvise( chunk.data(), chunk.size(), MADV_DONTNEED ); } );
}

} // namespace holdfast
