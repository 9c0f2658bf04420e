#include "state/arena.hh"

#include "net/error.hh"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <initializer_list>
#include <type_traits>
#include <utility>

namespace holdfast {

namespace {

constexpr Duration sweep_every { std::chrono::milliseconds { 20 } };
constexpr Pool::Index hot_max = 512; // 8 MiB of free chunks keep their pages: the working set of a busy link
// The pages of the others are returned when nobody needed them for so long, a few at a time: a call for each chunk
// takes some microseconds, and whoever wants to be served waits meanwhile. So 80 MiB a second of either pool.
constexpr Duration cool_every { std::chrono::milliseconds { 100 } };
constexpr Pool::Index cooled_at_once = 512;

// Punches a hole into shared memory; private memory forgets (madvise(2)).
void return_shared( std::span<std::byte> bytes )
{
  ::madvise( bytes.data(), bytes.size(), MADV_REMOVE );
}
void return_private( std::span<std::byte> bytes )
{
  ::madvise( bytes.data(), bytes.size(), MADV_DONTNEED );
}

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
  std::uint32_t serves = 0; // the owner() of the session that is served now, or 0
  std::uint32_t reserved = 0;
};

// The layouts that we can go on with; another number with each change to what follows. The first one is that of
// memory we make. Memory keeps the layout it was made with, whoever goes on with it: so a version that still knows
// the one before can be upgraded to, and gone back from.
#ifndef HOLDFAST_LAYOUTS // tests build programs of other versions
#define HOLDFAST_LAYOUTS 4
#endif
constexpr std::array<std::uint64_t, std::initializer_list<int> { HOLDFAST_LAYOUTS }.size()> layouts {
  HOLDFAST_LAYOUTS
};
constexpr std::uint64_t magic_of( std::uint64_t layout )
{
  return 0x48464152454e4130 + layout; // "HFARENA4"
}

bool is_known( std::uint64_t magic )
{
  return std::ranges::any_of( layouts, [magic]( std::uint64_t layout ) { return magic == magic_of( layout ); } );
}

constexpr std::uint64_t tunnels_spare = 64;    // taken while their tunnels are being ended
constexpr std::uint64_t count_max = 1U << 28U; // of slots or chunks: 4 TiB

template<class Record>
constexpr bool can_be_left = std::is_trivially_copyable_v<Record>and std::is_standard_layout_v<Record>;
static_assert( can_be_left<Head> and sizeof( Head ) == 32 );
static_assert( offsetof( Head, magic ) == 0 and offsetof( Head, sessions ) == 8
               and offsetof( Head, chunks ) == 16 );
static_assert( offsetof( Head, serves ) == 24 );
static_assert( can_be_left<TunnelRecord> and sizeof( TunnelRecord ) == 192 );
static_assert( offsetof( TunnelRecord, slot ) == 0 and offsetof( TunnelRecord, used ) == 4 );
static_assert( offsetof( TunnelRecord, agreed ) == 5 and offsetof( TunnelRecord, attempt ) == 8 );
static_assert( offsetof( TunnelRecord, attempts ) == 16 and offsetof( TunnelRecord, last_session ) == 24 );
static_assert( offsetof( TunnelRecord, run ) == 32 and offsetof( TunnelRecord, instance ) == 40 );
static_assert( offsetof( TunnelRecord, id ) == 56 and offsetof( TunnelRecord, secrets ) == 72 );
static_assert( offsetof( SecretsRecord, latest ) == 0 and offsetof( SecretsRecord, before ) == 32 );
static_assert( offsetof( SecretsRecord, has_before ) == 64 and sizeof( SecretsRecord ) == 65 );
static_assert( offsetof( TunnelRecord, identity ) == 137 and offsetof( TunnelRecord, home ) == 169 );
static_assert( offsetof( TunnelRecord, made ) == 188 );
static_assert( can_be_left<SessionRecord> and sizeof( SessionRecord ) == 128 );
static_assert( offsetof( SessionRecord, session ) == 0 and offsetof( SessionRecord, slot ) == 8 );
static_assert( offsetof( SessionRecord, tunnel ) == 12 and offsetof( SessionRecord, outflow ) == 16 );
static_assert( offsetof( OutflowRecord, kept ) == 0 and offsetof( ChainRecord, begin ) == 0 );
static_assert( offsetof( ChainRecord, end ) == 8 and offsetof( OutflowRecord, sent_most ) == 16 );
static_assert( offsetof( OutflowRecord, ended ) == 24 and offsetof( OutflowRecord, end_acknowledged ) == 25 );
static_assert( offsetof( SessionRecord, inflow ) == 48 and offsetof( InflowRecord, delivered ) == 0 );
static_assert( offsetof( InflowRecord, end_delivered ) == 8 and offsetof( SessionRecord, cookie ) == 64 );
static_assert( offsetof( SessionRecord, syn ) == 72 and offsetof( SessionRecord, connected ) == 73 );
static_assert( offsetof( SessionRecord, known ) == 74 and offsetof( SessionRecord, named ) == 75 );
static_assert( offsetof( SessionRecord, released ) == 76 and offsetof( SessionRecord, reset_ours ) == 77 );
static_assert( offsetof( SessionRecord, reset_theirs ) == 78 and offsetof( SessionRecord, blamed ) == 79 );
static_assert( can_be_left<Pool::Label> and sizeof( Pool::Label ) == 16 );
static_assert( offsetof( Pool::Label, number ) == 0 and offsetof( Pool::Label, owner ) == 8 );

std::span<std::byte> map( std::size_t bytes, int flags, int fd )
{
  void* const at = ::mmap( nullptr, bytes, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, fd, 0 );
  if ( at == MAP_FAILED ) {
    fail( "cannot map memory for the sessions (mmap)" );
  }
  ::madvise( at, bytes, MADV_DONTDUMP ); // what passes through belongs to others
  return { static_cast<std::byte*>( at ), bytes };
}

// How many of the `count` things of that size from `at` on can ever have been used: they were taken one after
// another, and memory that nobody touched is a hole in the file (lseek(2)). So ten thousand free slots are not
// looked at.
template<class T>
std::size_t touched( const Fd& memfd, std::size_t at, std::size_t count )
{
  const off_t hole = ::lseek( memfd.get(), static_cast<off_t>( at ), SEEK_HOLE );
  if ( hole < 0 ) {
    return count;
  }
  return std::min( count, ( static_cast<std::size_t>( hole ) - at + sizeof( T ) - 1 ) / sizeof( T ) );
}

void blame( std::span<SessionRecord> sessions, std::uint32_t owner )
{
  for ( SessionRecord& record : sessions ) {
    if ( not is_free( record ) ) {
      const bool served = record.owner() == owner;
      record.blamed = static_cast<std::uint8_t>( served ? std::min( record.blamed + 1U, blamed_max ) : 0 );
    }
  }
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
    Fd fd { ::memfd_create( name, MFD_CLOEXEC ) };
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
  head.magic = magic_of( layouts.front() );
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
  , serves_( &view<Head>( shared_.memory(), 0, 1 ).front().serves )
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
  const bool known = got == sizeof( head ) and is_known( head.magic ) and head.sessions <= count_max
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

Arena::Arena( Remains remains ) : Arena( layout_of( remains.memfd ), std::move( remains.memfd ) )
{
  const Layout layout = layout_of( fd_ );
  const auto tunnels = touched<TunnelRecord>( fd_, layout.tunnels_at, layout.slots + tunnels_spare );
  const auto slots = touched<SessionRecord>( fd_, layout.sessions_at, layout.slots );
  const auto labels = touched<Pool::Label>( fd_, layout.labels_at, layout.chunks );
  const auto sessions = view<SessionRecord>( shared_.memory(), layout.sessions_at, slots );
  if ( remains.crashed ) {
    blame( sessions, *serves_ );
  }
  *serves_ = 0;
  found_ = survey( remains.side,
                   view<TunnelRecord>( shared_.memory(), layout.tunnels_at, tunnels ),
                   sessions,
                   view<Pool::Label>( shared_.memory(), layout.labels_at, labels ),
                   remains.mend );
  tunnels_.recover( tunnels );
  slots_.recover( slots );
  outflow_.recover( labels, return_shared ); // nobody's bytes: before a chunk with some is taken
  // What the earlier process had touched goes back to the system.
  const auto fresh
    = shared_.memory().subspan( layout.chunks_at + std::size_t { outflow_.fresh() } * Pool::chunk_size );
  if ( not fresh.empty() ) {
    return_shared( fresh );
  }
}

void Arena::check( const Fd& left )
{
  static_cast<void>( layout_of( left ) );
}

void Arena::cool( Time now )
{
  if ( now >= sweep_at_ ) {
    outflow_.sweep();
    inflow_.sweep();
    sweep_at_ = never;
  }
  if ( sweep_at_ == never and ( outflow_.to_sweep() or inflow_.to_sweep() ) ) {
    sweep_at_ = now + sweep_every;
  }
  if ( now >= cool_at_ ) {
    outflow_.cool( cooled_at_once, return_shared );
    inflow_.cool( cooled_at_once, return_private );
    cool_at_ = never;
  }
  if ( cool_at_ == never and ( outflow_.to_cool() or inflow_.to_cool() ) ) {
    cool_at_ = now + cool_every;
  }
}

} // namespace holdfast
