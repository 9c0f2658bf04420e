#include "state/arena.hh"

#include "core/tunnel.hh"
#include "net/error.hh"

#include <gtest/gtest.h>

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <map>
#include <string>
#include <vector>

namespace holdfast {
namespace {

const SessionLimits limits { .outflow = { 1U << 20U }, .inflow = { 65536, 1U << 20U } };

Fd another( const Fd& fd )
{
  return Fd { ::dup( fd.get() ) };
}

Fd copy_of( const Arena& arena )
{
  Fd left { ::memfd_create( "left", MFD_CLOEXEC ) };
  std::vector<char> all( static_cast<std::size_t>( ::lseek( arena.memfd().get(), 0, SEEK_END ) ) );
  EXPECT_EQ( ::pread( arena.memfd().get(), all.data(), all.size(), 0 ), static_cast<ssize_t>( all.size() ) );
  EXPECT_EQ( ::pwrite( left.get(), all.data(), all.size(), 0 ), static_cast<ssize_t>( all.size() ) );
  return left;
}

// What a process leaves that dies with sessions, of which the first holds these bytes, and has space for more: its
// memfd as it was at that moment.
Fd left_by_a_process( std::string_view bytes, int sessions = 1, std::size_t space = 0 )
{
  Arena arena { { .sessions = 4, .memory = 1U << 20U } };
  TunnelRecord& record = *arena.tunnels().take();
  record.used = 1;
  Tunnel tunnel { Side::opener, record, arena.memory(), limits };
  Session& session = *tunnel.open();
  std::array<std::span<std::byte>, 8> slices;
  std::size_t filled = session.outflow().writable( slices );
  std::size_t done = 0;
  for ( std::size_t i = 0; i < filled and done < bytes.size(); ++i ) {
    const std::size_t size = std::min( slices.at( i ).size(), bytes.size() - done );
    std::memcpy( slices.at( i ).data(), bytes.data() + done, size );
    done += size;
  }
  session.outflow().commit( done );
  session.record().cookie = 17;
  if ( space > 0 ) {
    filled = session.outflow().writable( slices );
  }
  for ( ; sessions > 1; --sessions ) {
    static_cast<void>( tunnel.open() );
  }
  return copy_of( arena );
}

TEST( Arena, GoesOnWithWhatAProcessLeft )
{
  const std::string bytes( 40000, 'x' );
  Arena arena { { .side = Side::opener, .memfd = left_by_a_process( bytes ) } };
  ASSERT_EQ( arena.found().sessions.size(), 1U );
  ASSERT_EQ( arena.found().tunnels.size(), 1U );
  EXPECT_EQ( arena.found().broken, 0U );
  const auto& [record, chunks] = arena.found().sessions.front();
  EXPECT_EQ( record->cookie, 17U );

  Tunnel tunnel { Side::opener, *arena.found().tunnels.front(), arena.memory(), limits };
  Session& session = tunnel.restore( *record, chunks );
  tunnel.attach( 1U << 20U );
  std::string retained;
  for ( auto piece = session.outflow().readable(); not piece.empty(); piece = session.outflow().readable() ) {
    retained.append( reinterpret_cast<const char*>( piece.data() ), piece.size() );
    session.outflow().consume( piece.size() );
  }
  EXPECT_EQ( retained, bytes );
  EXPECT_EQ( arena.memory().outflow.used(), 3U );
  EXPECT_EQ( arena.memory().slots.used(), 1U );
}

// A process that crashes while it serves this session, of two. Returns what it leaves.
Fd crashed_serving( SessionId served, Fd left )
{
  Arena arena { { .side = Side::opener, .memfd = std::move( left ), .crashed = true } };
  Tunnel tunnel { Side::opener, *arena.found().tunnels.front(), arena.memory(), limits };
  for ( const auto& [record, chunks] : arena.found().sessions ) {
    tunnel.restore( *record, chunks );
  }
  for ( Session* session = tunnel.next_touched(); session->id() != served; session = tunnel.next_touched() ) {
    tunnel.served( *session, {} );
  }
  return copy_of( arena );
}

std::map<SessionId, unsigned> blamed( Fd left )
{
  std::map<SessionId, unsigned> all;
  Arena arena { { .side = Side::opener, .memfd = std::move( left ), .crashed = true } };
  for ( const auto& [record, chunks] : arena.found().sessions ) {
    all[record->session] = record->blamed;
  }
  return all;
}

TEST( Arena, BlamesTheSessionThatIsServedInOneCrashAfterAnother )
{
  using All = std::map<SessionId, unsigned>;
  const auto two = [] { return left_by_a_process( "bytes", 2 ); };
  EXPECT_EQ( blamed( two() ), ( All { { 1, 0 }, { 2, 0 } } ) ) << "nobody was served";
  EXPECT_EQ( blamed( crashed_serving( 2, two() ) ), ( All { { 1, 0 }, { 2, 1 } } ) );
  EXPECT_EQ( blamed( crashed_serving( 2, crashed_serving( 2, two() ) ) ), ( All { { 1, 0 }, { 2, blamed_max } } ) );
  EXPECT_EQ( blamed( crashed_serving( 2, crashed_serving( 1, crashed_serving( 2, two() ) ) ) ),
             ( All { { 1, 0 }, { 2, 1 } } ) )
    << "not in a row";
}

// What a crowd needed goes back to the system, but for what stays hot, when nobody needs it for a while.
TEST( Arena, PagesThatNobodyNeedsAreReturned )
{
  Arena arena { { .sessions = 4, .memory = 64U << 20U } };
  const auto resident = [&] {
    struct stat status
    {};
    EXPECT_EQ( ::fstat( arena.memfd().get(), &status ), 0 );
    return status.st_blocks * 512;
  };
  const auto before = resident();
  Pool& pool = arena.memory().outflow;
  std::vector<Pool::Index> chunks( 2000 );
  for ( Pool::Index& chunk : chunks ) {
    chunk = pool.take();
    pool.bytes( chunk ).front() = std::byte { 1 };
  }
  for ( const Pool::Index chunk : chunks ) {
    pool.give( chunk );
  }
  Time now { std::chrono::hours { 1 } };
  const Time begin = now;
  arena.cool( now );
  EXPECT_GE( resident() - before, 2000 * 4096 ) << "they may be needed again at once";
  for ( ; arena.deadline() != never; arena.cool( now ) ) {
    now = arena.deadline();
  }
  EXPECT_LT( now - begin, std::chrono::seconds { 1 } );
  EXPECT_LE( resident() - before, 600 * 4096 ) << "8 MiB, of which a page each was written, and labels";
}

TEST( Arena, SlotsThatWereNeverUsedAreNotLookedAt )
{
  const auto pages = []( const Fd& fd ) {
    struct stat status
    {};
    EXPECT_EQ( ::fstat( fd.get(), &status ), 0 );
    return status.st_blocks * 512 / 4096;
  };
  Arena before { { .sessions = 100000, .memory = 1U << 30U } };
  TunnelRecord& record = *before.tunnels().take();
  record.used = 1;
  Tunnel tunnel { Side::opener, record, before.memory(), limits };
  static_cast<void>( tunnel.open() );
  const auto used = pages( before.memfd() );
  const Arena after { { .side = Side::opener, .memfd = another( before.memfd() ) } };
  EXPECT_EQ( after.found().sessions.size(), 1U );
  EXPECT_LE( pages( after.memfd() ), used + 3 ) << "reading a page of a memfd takes memory for it";
}

TEST( Arena, ARecordIsMendedBeforeItsBytesAreLookedFor )
{
  // 20,000 bytes were read from a socket, into two chunks, and 15,000 of them booked.
  Fd left = left_by_a_process( std::string( 15000, 'x' ), 1, 5000 );
  const Mend mend = []( SessionRecord& session ) {
    session.outflow.kept.end += 5000;
    return true;
  };
  const Arena arena { { .side = Side::opener, .memfd = std::move( left ), .mend = mend } };
  ASSERT_EQ( arena.found().sessions.size(), 1U );
  EXPECT_EQ( arena.found().sessions.front().chunks.size(), 2U );
  const Mend refuse = []( SessionRecord& ) { return false; };
  const Arena none { { .side = Side::opener, .memfd = left_by_a_process( "x" ), .mend = refuse } };
  EXPECT_EQ( none.found().broken, 1U );
}

// Chunks that are nobody's any more would be taken again as they are, and what is left of a chunk in which somebody
// has only written a little would stay for long.
TEST( Arena, BytesThatAreNobodysAreGoneBeforeAnythingElse )
{
  Arena before { { .sessions = 4, .memory = 1U << 20U } };
  TunnelRecord& record = *before.tunnels().take();
  record.used = 1;
  Tunnel tunnel { Side::opener, record, before.memory(), limits };
  for ( const char letter : { 'x', 'y' } ) {
    std::array<std::span<std::byte>, 1> slices;
    Session& session = *tunnel.open();
    ASSERT_EQ( session.outflow().writable( slices ), 1U );
    std::memset( slices[0].data(), letter, 1000 );
    session.outflow().commit( 1000 );
  }
  const Mend only_the_second = []( SessionRecord& session ) { return session.session == 2; };
  const Arena arena { { .side = Side::opener, .memfd = copy_of( before ), .mend = only_the_second } };
  ASSERT_EQ( arena.found().sessions.size(), 1U );
  std::string all( static_cast<std::size_t>( ::lseek( arena.memfd().get(), 0, SEEK_END ) ), '\0' );
  ASSERT_EQ( ::pread( arena.memfd().get(), all.data(), all.size(), 0 ), static_cast<ssize_t>( all.size() ) );
  EXPECT_NE( all.find( std::string( 1000, 'y' ) ), std::string::npos );
  EXPECT_EQ( all.find( "xx" ), std::string::npos );
}

TEST( Arena, LeavesALayoutAloneThatItDoesNotKnow )
{
  const Fd left = left_by_a_process( "bytes" );
  const std::uint64_t other = 0x48464152454e4133; // the one before
  ASSERT_EQ( ::pwrite( left.get(), &other, sizeof( other ), 0 ), 8 );
  std::string before( 1U << 16U, '\0' );
  ASSERT_GT( ::pread( left.get(), before.data(), before.size(), 0 ), 0 );
  EXPECT_THROW( ( Arena { { .side = Side::opener, .memfd = another( left ) } } ), StartupError );
  std::string after( before.size(), '\0' );
  ASSERT_GT( ::pread( left.get(), after.data(), after.size(), 0 ), 0 );
  EXPECT_EQ( before, after );
}

TEST( Arena, RefusesMemoryThatIsNotWhole )
{
  for ( const off_t size : { 0, 10, 32, 4096, 1 << 20 } ) {
    const Fd left = left_by_a_process( "bytes" );
    ASSERT_EQ( ::ftruncate( left.get(), size ), 0 );
    EXPECT_THROW( ( Arena { { .side = Side::opener, .memfd = another( left ) } } ), StartupError ) << size;
  }
  for ( const std::uint64_t count : { std::uint64_t { 0 }, std::uint64_t { 500 }, ~std::uint64_t { 0 } } ) {
    for ( const off_t at : { 8, 16 } ) { // as many slots, as many chunks
      if ( count == 0 and at == 8 ) {
        continue; // no slots fit into the same size: whole, and empty
      }
      const Fd left = left_by_a_process( "bytes" );
      ASSERT_EQ( ::pwrite( left.get(), &count, sizeof( count ), at ), 8 );
      EXPECT_THROW( ( Arena { { .side = Side::opener, .memfd = another( left ) } } ), StartupError )
        << count << " at " << at;
    }
  }
}

} // namespace
} // namespace holdfast
