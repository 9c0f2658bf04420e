// guard_carry: what the core does for the bytes it carries, in numbers that do not depend on how fast the machine
// is.
//
//   guard_carry PIECE BYTES      carries so many bytes, which a program writes PIECE at a time, from one tunnel to
//                                another; warms up first with the same
//
// The link is a piece of memory, as the kernel's would be. Says in JSON how many frames that took, and how many
// allocations happened in measured(), and how many bytes the core copied there from one place to another. guard.py
// lets callgrind count the instructions in there.

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
std::size_t copied = 0; // bytes

} // namespace

// The linker sends all calls of ours and the core's here (ld(1), --wrap).
extern "C" void* __real_memcpy( void* to, const void* from, std::size_t size );
extern "C" void* __real_memmove( void* to, const void* from, std::size_t size );

extern "C" void* __wrap_memcpy( void* to, const void* from, std::size_t size )
{
  copied += size;
  return __real_memcpy( to, from, size );
}

extern "C" void* __wrap_memmove( void* to, const void* from, std::size_t size )
{
  copied += size;
  return __real_memmove( to, from, size );
}

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
  template<class Deliver>
  std::size_t carry( Tunnel& from, Tunnel& to, FrameBatch& batch, Time now, Deliver deliver )
  {
    std::size_t count = 0;
    while ( from.wants_to_transmit() and wire_size - count >= FrameBatch::bytes_max + FrameBatch::bytes_max / 4 ) {
      batch.start( rest_ );
      from.transmit( batch, now, 10ms );
      for ( const auto slice : batch.slices() ) {
        __real_memcpy( bytes_.data() + count, slice.data(), slice.size() ); // the kernel's
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
    to.deliver_fresh( deliver );
    reader_.done();
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
  std::size_t copied = 0;
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
    const auto deliver = [&]( Session& session ) { read_all( session, delivered ); };
    return up_.carry( opener_, acceptor_, batch_, now_, deliver )
           + down_.carry( acceptor_, opener_, batch_, now_, deliver );
  }

private:
  static Memory in_place( TestMemory& memory )
  {
    memory.in_place = true;
    return memory.memory();
  }
  void read_all( Session& session, std::size_t& delivered ) const
  {
    std::array<std::span<const std::byte>, 16> held;
    while ( const std::size_t slices = session.inflow().readable( held ) ) {
      std::size_t count = 0;
      for ( std::size_t i = 0; i < slices; ++i ) {
        count += held[i].size();
      }
      session.inflow().consume( count, now_ );
      delivered += count;
    }
  }
  void drain( Tunnel& tunnel, std::size_t& delivered )
  {
    while ( Session* const session = tunnel.next_touched() ) {
      if ( not session->connected() and session != session_ ) {
        session->target_connected();
      }
      read_all( *session, delivered );
      tunnel.served( *session, now_ );
    }
  }

  static constexpr SessionLimits limits { .outflow = { window }, .inflow = { window, window } };
  TestMemory near_ { 256, 256, 4 }, far_ { 256, 256, 4 };
  TunnelRecord near_record_ {}, far_record_ {};
  Tunnel opener_ { Side::opener, near_record_, in_place( near_ ), limits };
  Tunnel acceptor_ { Side::acceptor, far_record_, in_place( far_ ), limits };
  Wire up_ { FrameType::hello }, down_ { FrameType::welcome };
  FrameBatch batch_ {};
  Time now_ { 1h };
  Session* session_ = nullptr;
};

Carried carry( Both& both, std::size_t piece, std::size_t bytes )
{
  Carried carried;
  const std::size_t allocated_before = allocations;
  const std::size_t copied_before = copied;
  while ( carried.bytes < bytes ) {
    carried.frames += both.turn( piece, carried.bytes );
  }
  carried.allocations = allocations - allocated_before;
  carried.copied = copied - copied_before;
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
  std::printf( R"({"bytes":%zu,"frames":%zu,"allocations":%zu,"copied":%zu})"
               "\n",
               carried.bytes,
               carried.frames,
               carried.allocations,
               carried.copied );
  return 0;
}
