#include "state/arena.hh"

#include "core/tunnel.hh"
#include "net/error.hh"

#include <gtest/gtest.h>

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <string>
#include <vector>

namespace holdfast {
namespace {

const SessionLimits limits { .outflow = { 1U << 20U }, .inflow = { 65536, 1U << 20U } };

Fd another( const Fd& fd )
{
  return Fd { ::dup( fd.get() ) };
}

// What a process leaves that dies with one session that holds these bytes: its memfd as it was at that moment.
Fd left_by_a_process( std::string_view bytes )
{
  Arena arena { { .sessions = 4, .memory = 1U << 20U } };
  TunnelRecord& record = *arena.tunnels().take();
  record.used = 1;
  Tunnel tunnel { Side::opener, record, arena.memory(), limits };
  Session& session = *tunnel.open();
  std::array<std::span<std::byte>, 8> slices;
  const std::size_t filled = session.outflow().writable( slices );
  std::size_t done = 0;
  for ( std::size_t i = 0; i < filled and done < bytes.size(); ++i ) {
    const std::size_t size = std::min( slices.at( i ).size(), bytes.size() - done );
    std::memcpy( slices.at( i ).data(), bytes.data() + done, size );
    done += size;
  }
  session.outflow().commit( done );
  session.record().fd = 17;

  Fd left { ::memfd_create( "left", MFD_CLOEXEC ) };
  std::vector<char> all( static_cast<std::size_t>( ::lseek( arena.memfd().get(), 0, SEEK_END ) ) );
  EXPECT_EQ( ::pread( arena.memfd().get(), all.data(), all.size(), 0 ), static_cast<ssize_t>( all.size() ) );
  EXPECT_EQ( ::pwrite( left.get(), all.data(), all.size(), 0 ), static_cast<ssize_t>( all.size() ) );
  return left;
}

TEST( Arena, GoesOnWithWhatAProcessLeft )
{
  const std::string bytes( 40000, 'x' );
  Arena arena { Side::opener, left_by_a_process( bytes ) };
  ASSERT_EQ( arena.found().sessions.size(), 1U );
  ASSERT_EQ( arena.found().tunnels.size(), 1U );
  EXPECT_EQ( arena.found().broken, 0U );
  const auto& [record, chunks] = arena.found().sessions.front();
  EXPECT_EQ( record->fd, 17 );

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

TEST( Arena, LeavesALayoutAloneThatItDoesNotKnow )
{
  const Fd left = left_by_a_process( "bytes" );
  const std::uint64_t other = 0x48464152454e4132; // the one before
  ASSERT_EQ( ::pwrite( left.get(), &other, sizeof( other ), 0 ), 8 );
  std::string before( 1U << 16U, '\0' );
  ASSERT_GT( ::pread( left.get(), before.data(), before.size(), 0 ), 0 );
  EXPECT_THROW( ( Arena { Side::opener, another( left ) } ), StartupError );
  std::string after( before.size(), '\0' );
  ASSERT_GT( ::pread( left.get(), after.data(), after.size(), 0 ), 0 );
  EXPECT_EQ( before, after );
}

TEST( Arena, RefusesMemoryThatIsNotWhole )
{
  for ( const off_t size : { 0, 10, 24, 4096, 1 << 20 } ) {
    const Fd left = left_by_a_process( "bytes" );
    ASSERT_EQ( ::ftruncate( left.get(), size ), 0 );
    EXPECT_THROW( ( Arena { Side::opener, another( left ) } ), StartupError ) << size;
  }
  for ( const std::uint64_t count : { std::uint64_t { 0 }, std::uint64_t { 500 }, ~std::uint64_t { 0 } } ) {
    for ( const off_t at : { 8, 16 } ) { // as many slots, as many chunks
      if ( count == 0 and at == 8 ) {
        continue; // no slots fit into the same size: whole, and empty
      }
      const Fd left = left_by_a_process( "bytes" );
      ASSERT_EQ( ::pwrite( left.get(), &count, sizeof( count ), at ), 8 );
      EXPECT_THROW( ( Arena { Side::opener, another( left ) } ), StartupError ) << count << " at " << at;
    }
  }
}

} // namespace
} // namespace holdfast
