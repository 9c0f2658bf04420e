#include "net/socket.hh"

#include "net/listener.hh"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <vector>

// Sockets of this machine, 127.0.0.1 only.

namespace holdfast {
namespace {

struct SocketPair
{
  SocketPair()
  {
    std::array<int, 2> fds {};
    EXPECT_EQ( ::socketpair( AF_UNIX, SOCK_STREAM, 0, fds.data() ), 0 );
    one = Fd { fds[0] };
    other = Fd { fds[1] };
  }
  Fd one {};
  Fd other {};
};

// Ends the process should something block: then the test fails and does not hang.
class Patience
{
public:
  Patience() : watch_( [this]( const std::stop_token& stop ) { wait( stop ); } ) {}

private:
  static void wait( const std::stop_token& stop )
  {
    for ( int i = 0; i < 1000 and not stop.stop_requested(); ++i ) {
      std::this_thread::sleep_for( std::chrono::milliseconds { 10 } );
    }
    if ( not stop.stop_requested() ) {
      std::fputs( "a call blocked for ten seconds\n", stderr );
      std::abort();
    }
  }
  std::jthread watch_;
};

// The flag O_NONBLOCK belongs to what a descriptor refers to and not to the descriptor: somebody else who has a
// copy of it changes it for us, too. A relay once took the "would block" that it did not expect for the end of a
// session; here the flag is changed both ways under our hands, and nothing blocks or is taken for something else.
TEST( Socket, NothingBlocksWhateverTheFlagOfTheDescriptorSays )
{
  const Patience patience;
  for ( const bool blocking : { true, false } ) {
    const SocketPair pair;
    const Fd copy { ::dup( pair.one.get() ) };
    ASSERT_EQ( ::fcntl( copy.get(), F_SETFL, blocking ? 0 : O_NONBLOCK ), 0 );

    std::array<std::byte, 65536> block {};
    const Transfer nothing = receive( pair.one.get(), block );
    EXPECT_EQ( nothing.kind, Transfer::Kind::would_block );

    std::size_t sent = 0;
    Transfer last {};
    do {
      last = send( pair.one.get(), std::span<const std::byte> { block } );
      sent += last.count;
    } while ( last.kind == Transfer::Kind::moved );
    EXPECT_EQ( last.kind, Transfer::Kind::would_block ) << "full";
    EXPECT_EQ( last.error, 0 );

    std::size_t received = 0;
    for ( Transfer got = receive( pair.other.get(), block ); got.kind == Transfer::Kind::moved;
          got = receive( pair.other.get(), block ) ) {
      received += got.count;
    }
    EXPECT_EQ( received, sent ) << "what did not fit was not counted";
    EXPECT_EQ( send( pair.one.get(), std::span<const std::byte> { block } ).kind, Transfer::Kind::moved );
  }
}

// Waits for it: also the kernel of this machine takes its time to carry something to the other end.
bool becomes( const Fd& fd, short events )
{
  pollfd one { .fd = fd.get(), .events = events, .revents = 0 };
  return ::poll( &one, 1, 10'000 ) == 1;
}

TEST( Socket, AConnectionThatIsGoneIsAValueAndNoSignal )
{
  SocketPair pair;
  pair.other.reset();
  const std::array<std::byte, 1> byte {};
  EXPECT_EQ( send( pair.one.get(), std::span<const std::byte> { byte } ).kind, Transfer::Kind::failed );
  std::array<std::byte, 1> into {};
  EXPECT_EQ( receive( pair.one.get(), into ).kind, Transfer::Kind::ended );
}

TEST( Socket, AnEndOfWritingLeavesTheOtherDirectionOpen )
{
  const SocketPair pair;
  end_writing( pair.one.get() );
  std::array<std::byte, 1> into {};
  EXPECT_EQ( receive( pair.other.get(), into ).kind, Transfer::Kind::ended );
  EXPECT_EQ( send( pair.other.get(), std::span<const std::byte> { into } ).kind, Transfer::Kind::moved );
  EXPECT_EQ( receive( pair.one.get(), into ).kind, Transfer::Kind::moved );
}

// -- the last descriptors ----------------------------------------------------------------------------------------

// So many descriptors for a while, and not more.
class FewDescriptors
{
public:
  explicit FewDescriptors( rlim_t count )
  {
    EXPECT_EQ( ::getrlimit( RLIMIT_NOFILE, &before_ ), 0 );
    const rlimit few { count, before_.rlim_max };
    EXPECT_EQ( ::setrlimit( RLIMIT_NOFILE, &few ), 0 );
  }
  FewDescriptors( const FewDescriptors& ) = delete;
  FewDescriptors& operator=( const FewDescriptors& ) = delete;
  ~FewDescriptors() { ::setrlimit( RLIMIT_NOFILE, &before_ ); }

private:
  rlimit before_ {};
};

TEST( Socket, TheLastDescriptorsAreAQuarterAtMost )
{
  {
    const FewDescriptors few { 200 };
    EXPECT_FALSE( is_among_the_last( 167, 32 ) );
    EXPECT_TRUE( is_among_the_last( 168, 32 ) );
    EXPECT_FALSE( is_among_the_last( 199, 0 ) );
  }
  const FewDescriptors few { 64 };
  EXPECT_FALSE( is_among_the_last( 47, 32 ) );
  EXPECT_TRUE( is_among_the_last( 48, 32 ) );
}

// Sessions once took every descriptor, and none was left for the next link.
TEST( Socket, WhoAcceptsAndDialsForSessionsLeavesTheLastDescriptorsAlone )
{
  const FewDescriptors few { 100 };
  Loop loop;
  std::vector<Fd> accepted;
  int complaints = 0;
  Listener listener { loop,
                      listen_for( "127.0.0.1", 0 ),
                      [&]( Fd socket, const Address& /*peer*/ ) { accepted.push_back( std::move( socket ) ); },
                      [&]( int error ) {
                        EXPECT_EQ( error, EMFILE );
                        ++complaints;
                      },
                      20 };
  const Address address = listener.address();
  std::vector<Fd> clients; // each takes a descriptor of ours, too
  for ( int i = 0; i < 60; ++i ) {
    if ( Connecting connecting = connect_to( address, 10 ); connecting.fd ) {
      clients.push_back( std::move( connecting.fd ) );
      ASSERT_TRUE( becomes( clients.back(), POLLOUT ) );
    } else {
      EXPECT_EQ( connecting.error, EMFILE );
    }
    const Time patience = loop.now() + std::chrono::seconds { 10 };
    do { // until it is accepted, as long as any are
      loop.wait( complaints == 0 ? patience : loop.now() );
      listener.tick( loop.now() );
    } while ( complaints == 0 and accepted.size() < clients.size() and loop.now() < patience );
  }
  EXPECT_GT( clients.size(), accepted.size() + 5 ) << "the others wait";
  EXPECT_EQ( complaints, 1 ) << "said once";
  Connecting link = connect_to( address );
  EXPECT_TRUE( link.fd ) << "a link finds a descriptor";

  // Some go, and those that waited come in a second later.
  const std::size_t before = accepted.size();
  link.fd.reset();
  clients.resize( clients.size() - 10 );
  const Time until = loop.now() + std::chrono::seconds { 20 };
  while ( accepted.size() == before and loop.now() < until ) {
    loop.wait( std::min( listener.deadline(), until ) );
    listener.tick( loop.now() );
  }
  EXPECT_GT( accepted.size(), before );
}

// A process that had taken all but those died, again and again, and each successor accepted one before it looked:
// in the end there was none for a link.
TEST( Socket, WhoBeginsToAcceptLooksFirstWhetherOnlyTheLastDescriptorsAreLeft )
{
  const FewDescriptors few { 100 };
  Loop loop;
  std::vector<Fd> doors = listen_for( "127.0.0.1", 0 );
  const Connecting app = connect_to( local_address( doors.front().get() ) );
  std::vector<Fd> crowd;
  do {
    crowd.emplace_back( ::dup( doors.front().get() ) );
  } while ( not is_among_the_last( crowd.back().get(), 20 ) );
  std::vector<Fd> accepted;
  Listener listener { loop,
                      std::move( doors ),
                      [&]( Fd socket, const Address& /*peer*/ ) { accepted.push_back( std::move( socket ) ); },
                      []( int /*error*/ ) {},
                      20 };
  const auto turn = [&] {
    loop.wait( std::min( listener.deadline(), loop.now() + std::chrono::seconds { 2 } ) );
    listener.tick( loop.now() );
  };
  turn();
  turn();
  EXPECT_TRUE( accepted.empty() );
  crowd.resize( crowd.size() / 2 );
  turn();
  turn();
  EXPECT_EQ( accepted.size(), 1U );
}

TEST( Address, IsWrittenWithItsPortOrWithoutIt )
{
  const auto written = []( const char* host ) {
    const Address address = literal_address( host, 5000 ).value();
    return address.text() + " " + address.host();
  };
  EXPECT_EQ( written( "192.0.2.1" ), "192.0.2.1:5000 192.0.2.1" );
  EXPECT_EQ( written( "2001:db8::1" ), "[2001:db8::1]:5000 2001:db8::1" );
  EXPECT_EQ( written( "::ffff:192.0.2.1" ), "192.0.2.1:5000 192.0.2.1" );
  EXPECT_EQ( Address {}.text(), "an unknown address" );
}

TEST( Address, ItsNetworkIsItsFirstBits )
{
  const auto network = []( const char* text, unsigned bits_v4, unsigned bits_v6 ) {
    return network_of( literal_address( text, 0 ).value(), bits_v4, bits_v6 );
  };
  EXPECT_EQ( network( "10.1.2.3", 24, 64 ), network( "10.1.2.99", 24, 64 ) );
  EXPECT_NE( network( "10.1.2.3", 24, 64 ), network( "10.1.3.3", 24, 64 ) );
  EXPECT_EQ( network( "10.1.2.3", 20, 64 ), network( "10.1.15.3", 20, 64 ) ); // bits, not bytes
  EXPECT_NE( network( "10.1.2.3", 20, 64 ), network( "10.1.16.3", 20, 64 ) );
  EXPECT_NE( network( "10.1.2.3", 32, 128 ), network( "10.1.2.4", 32, 128 ) );
  EXPECT_EQ( network( "2001:db8::1", 24, 64 ), network( "2001:db8::ffff:1", 24, 64 ) );
  EXPECT_NE( network( "2001:db8::1", 24, 64 ), network( "2001:db8:0:1::1", 24, 64 ) );
  EXPECT_EQ( network( "::ffff:10.1.2.3", 24, 64 ),
             network( "10.1.2.99", 24, 64 ) );                              // as a socket of both families has it
  EXPECT_NE( network( "10.1.2.3", 0, 0 ), network( "2001:db8::1", 0, 0 ) ); // never of two families
}

// Somebody may have a copy of a session's socket. A close then waits for him; a reset does not.
TEST( Socket, AResetIsOneWhoeverHasACopy )
{
  const Fd door = listen_on( *literal_address( "127.0.0.1", 0 ) );
  Connecting ours = connect_to( local_address( door.get() ) );
  ASSERT_TRUE( ours.fd );
  ASSERT_TRUE( becomes( door, POLLIN ) );
  const Accepted theirs = accept_from( door.get() );
  const Fd copy { ::dup( ours.fd.get() ) };
  close_with_reset( ours.fd );
  EXPECT_FALSE( ours.fd );
  ASSERT_TRUE( becomes( theirs.fd, POLLIN ) );
  std::array<std::byte, 1> some {};
  const Transfer got = receive( theirs.fd.get(), some );
  EXPECT_EQ( got.kind, Transfer::Kind::failed );
  EXPECT_EQ( got.error, ECONNRESET );
}

TEST( Socket, WhatAPreparedListenerAcceptsIsPrepared )
{
  const Fd door = listen_on( *literal_address( "127.0.0.1", 0 ) );
  prepare_leg( door.get() );
  const Connecting ours = connect_to( local_address( door.get() ) );
  ASSERT_TRUE( becomes( door, POLLIN ) );
  const Accepted theirs = accept_from( door.get() );
  constexpr std::array<std::pair<int, int>, 3> options {
    { { IPPROTO_TCP, TCP_NODELAY }, { SOL_SOCKET, SO_OOBINLINE }, { SOL_SOCKET, SO_KEEPALIVE } }
  };
  for ( const auto& [level, name] : options ) {
    int value = 0;
    socklen_t length = sizeof value;
    ASSERT_EQ( ::getsockopt( theirs.fd.get(), level, name, &value, &length ), 0 );
    EXPECT_NE( value, 0 ) << name;
  }
}

TEST( Socket, AskingAgainTellsWhatBecameOfAConnect )
{
  Fd door = listen_on( *literal_address( "127.0.0.1", 0 ) );
  const Address address = local_address( door.get() );
  const Connecting good = connect_to( address );
  ASSERT_TRUE( becomes( good.fd, POLLOUT ) );
  EXPECT_EQ( outcome_of_connect( good.fd.get(), address ), 0 );
  EXPECT_EQ( outcome_of_connect( good.fd.get(), address ), 0 ); // however often
  door.reset();
  if ( const Connecting refused = connect_to( address ); refused.fd ) { // else it was told at once
    ASSERT_TRUE( becomes( refused.fd, POLLOUT ) );
    EXPECT_EQ( outcome_of_connect( refused.fd.get(), address ), ECONNREFUSED );
  }
}

TEST( Socket, WhoIsGoneWithoutAWordLeavesAReset )
{
  const Fd door = listen_on( *literal_address( "127.0.0.1", 0 ) );
  for ( const bool guarded : { true, false } ) {
    Connecting ours = connect_to( local_address( door.get() ) );
    ASSERT_TRUE( ours.fd );
    ASSERT_TRUE( becomes( door, POLLIN ) );
    const Accepted theirs = accept_from( door.get() );
    reset_when_closed( ours.fd.get(), true );
    reset_when_closed( ours.fd.get(), guarded );
    ours.fd.reset();
    ASSERT_TRUE( becomes( theirs.fd, POLLIN ) );
    std::array<std::byte, 1> some {};
    EXPECT_EQ( receive( theirs.fd.get(), some ).kind, guarded ? Transfer::Kind::failed : Transfer::Kind::ended );
  }
}

} // namespace
} // namespace holdfast
