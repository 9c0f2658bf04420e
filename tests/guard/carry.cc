// guard_carry: what the core does for the bytes it carries, in numbers that do not depend on how fast the machine
// is.
//
//   guard_carry PIECE BYTES      carries so many bytes, which a program writes PIECE at a time, from one tunnel to
//                                another; warms up first with the same
//
// The link is a piece of memory, as the kernel's would be. Says in JSON how many frames that took, and how many
// allocations happened in measured(). guard.py lets callgrind count the instructions in there.

#include "unit/core/support.hh"

#include "core/tunnel.hh"

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <span>
#include <string>
#include <vector>

namespace {

std::size_t allocations = 0;

} // namespace

void* operator new( std::size_t size )
{
  ++allocations;
  if ( void* const memory = std::malloc( size ) ) {
    return memory;
  }
  throw std::bad_alloc {};
}

void operator delete( void* memory ) noexcept
{
  std::free( memory );
}

void operator delete( void* memory, std::size_t /*size*/ ) noexcept
{
  std::free( memory );
}

namespace holdfast::test {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t window = 1U << 20U;
constexpr std::size_t wire_size = 262144; // what a proxy reads from a link at once

// One direction of a link.
class Wire
{
public:
  explicit Wire( FrameType greeting_type ) : reader_( greeting_type ), bytes_( wire_size )
  {
    const std::string greets = greeting( greeting_type );
    reader_.feed( raw( greets ) );
    static_cast<void>( reader_.next() );
    static_cast<void>( reader_.next() );
  }

  // Takes what `from` has to say, as far as there is room, and tells `to`. Returns how many frames that were.
  std::size_t carry( Tunnel& from, Tunnel& to, FrameBatch& batch, Time now )
  {
    std::size_t count = 0;
    while ( from.wants_to_transmit() and wire_size - count >= FrameBatch::bytes_max + FrameBatch::bytes_max / 4 ) {
      batch.start( rest_ );
      from.transmit( batch, now, 10ms );
      for ( const auto slice : batch.slices() ) {
        std::memcpy( bytes_.data() + count, slice.data(), slice.size() );
        count += slice.size();
      }
      batch.finish( batch.bytes() );
    }
    std::size_t frames = 0;
    reader_.feed( std::span { bytes_ }.first( count ) );
    for ( ; const auto frame = reader_.next(); ++frames ) {
      if ( to.receive( *frame ) ) {
        std::fprintf( stderr, "guard_carry: one tunnel finds fault with the other\n" );
        std::exit( 1 );
      }
    }
    return frames;
  }

private:
  FrameReader reader_;
  std::vector<std::byte> bytes_;
  std::vector<std::byte> rest_ {};
};

struct Carried
{
  std::size_t bytes = 0;
  std::size_t frames = 0; // both ways
  std::size_t allocations = 0;
};

class Both
{
public:
  Both()
  {
    opener_.attach( window );
    acceptor_.attach( window );
    session_ = opener_.open();
    opener_.touch( *session_ );
  }

  // A turn of both proxies: a program writes one piece, another one reads what is there. Returns the frames.
  std::size_t turn( std::size_t piece, std::size_t& delivered )
  {
    now_ += 100us;
    opener_.tick( now_ );
    acceptor_.tick( now_ );
    std::array<std::span<std::byte>, 8> room;
    const std::size_t slices = session_->outflow().writable( room );
    std::size_t left = piece;
    for ( std::size_t i = 0; i < slices; ++i ) {
      left -= std::min( left, room[i].size() );
    }
    session_->outflow().commit( piece - left );
    opener_.touch( *session_ );
    drain( opener_, delivered );
    drain( acceptor_, delivered );
    return up_.carry( opener_, acceptor_, batch_, now_ ) + down_.carry( acceptor_, opener_, batch_, now_ );
  }

private:
  void drain( Tunnel& tunnel, std::size_t& delivered )
  {
    while ( Session* const session = tunnel.next_touched() ) {
      if ( not session->connected() and session != session_ ) {
        session->target_connected();
      }
      std::array<std::span<const std::byte>, 16> held;
      while ( const std::size_t slices = session->inflow().readable( held ) ) {
        std::size_t count = 0;
        for ( std::size_t i = 0; i < slices; ++i ) {
          count += held[i].size();
        }
        session->inflow().consume( count, now_ );
        delivered += count;
      }
      tunnel.served( *session, now_ );
    }
  }

  static constexpr SessionLimits limits { .outflow = { window }, .inflow = { window, window } };
  TestMemory near_ { 256, 256, 4 }, far_ { 256, 256, 4 };
  TunnelRecord near_record_ {}, far_record_ {};
  Tunnel opener_ { Side::opener, near_record_, near_.memory(), limits };
  Tunnel acceptor_ { Side::acceptor, far_record_, far_.memory(), limits };
  Wire up_ { FrameType::hello }, down_ { FrameType::welcome };
  FrameBatch batch_ {};
  Time now_ { 1h };
  Session* session_ = nullptr;
};

Carried carry( Both& both, std::size_t piece, std::size_t bytes )
{
  Carried carried;
  const std::size_t before = allocations;
  while ( carried.bytes < bytes ) {
    carried.frames += both.turn( piece, carried.bytes );
  }
  carried.allocations = allocations - before;
  return carried;
}

} // namespace

// What callgrind counts the instructions of.
[[gnu::noinline]] Carried measured( Both& both, std::size_t piece, std::size_t bytes )
{
  return carry( both, piece, bytes );
}

} // namespace holdfast::test

int main( int argc, char** argv )
{
  using namespace holdfast::test;
  if ( argc != 3 ) {
    std::fprintf( stderr, "usage: guard_carry PIECE BYTES\n" );
    return 2;
  }
  const std::size_t piece = std::strtoul( argv[1], nullptr, 10 );
  const std::size_t bytes = std::strtoul( argv[2], nullptr, 10 );
  Both both;
  carry( both, piece, bytes );
  const Carried carried = measured( both, piece, bytes );
  std::printf( R"({"bytes":%zu,"frames":%zu,"allocations":%zu})"
               "\n",
               carried.bytes,
               carried.frames,
               carried.allocations );
  return 0;
}
