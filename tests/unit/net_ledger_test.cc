#include "net/ledger.hh"

#include "net/socket.hh"

#include <gtest/gtest.h>

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

// Real connections on the loopback interface. In each state the kernel's counts, judged against what a process
// wrote down before it died, must say exactly what it had no time to write down.

namespace holdfast {
namespace {

using namespace std::chrono_literals;
using Fate = Audit::Fate;

// Whose books are looked at: those of the side that dialled (its SYN counts), or of the one that accepted.
struct Case
{
  const char* host;
  bool dialled;
};

class Ledger : public testing::TestWithParam<Case>
{
protected:
  Ledger()
  {
    const Fd listener = listen_on( *literal_address( GetParam().host, 0 ) );
    Fd dialled = connect_to( local_address( listener.get() ) ).fd;
    wait_for( listener, POLLIN );
    Fd accepted = accept_from( listener.get() ).fd;
    wait_for( dialled, POLLOUT );
    EXPECT_EQ( pending_error( dialled.get() ), 0 );
    ours = GetParam().dialled ? std::move( dialled ) : std::move( accepted );
    theirs = GetParam().dialled ? std::move( accepted ) : std::move( dialled );
    booked.syn = counts_syn( ours.get() );
    EXPECT_EQ( booked.syn, GetParam().dialled );
  }

  static void wait_for( const Fd& fd, short events )
  {
    pollfd one { .fd = fd.get(), .events = events, .revents = 0 };
    ASSERT_EQ( ::poll( &one, 1, 5000 ), 1 );
  }
  // Until the kernel has carried out what was asked of it.
  void wait_for( TcpState state )
  {
    for ( int i = 0; i < 2000 and counts_of( ours.get() )->state != state; ++i ) {
      std::this_thread::sleep_for( 1ms );
    }
    ASSERT_EQ( counts_of( ours.get() )->state, state );
  }
  static std::size_t write( const Fd& fd, std::size_t most )
  {
    const std::string bytes( most, 'x' );
    const Transfer sent = send( fd.get(), std::as_bytes( std::span { bytes } ) );
    return sent.count;
  }
  static std::size_t read( const Fd& fd, std::size_t most )
  {
    wait_for( fd, POLLIN );
    std::vector<std::byte> bytes( most );
    return receive( fd.get(), bytes ).count;
  }
  Audit look() { return audit( counts_of( ours.get() ).value(), booked ); }
  void expect( Fate fate, std::uint64_t unbooked_read, std::uint64_t unbooked_written )
  {
    const Audit found = look();
    EXPECT_EQ( found.fate, fate );
    EXPECT_EQ( found.read, unbooked_read );
    EXPECT_EQ( found.written, unbooked_written );
  }
  void end_ours() { end_writing( ours.get() ); }
  void end_theirs() { end_writing( theirs.get() ); }
  void reset_theirs()
  {
    close_with_reset( theirs );
    wait_for( TcpState::closed );
  }

  Fd ours {};
  Fd theirs {};
  Booked booked {};
};

TEST_P( Ledger, NothingHasHappened )
{
  expect( Fate::goes_on, 0, 0 );
}

TEST_P( Ledger, BytesThatWereReadAndWrittenAndNotBooked )
{
  ASSERT_EQ( write( theirs, 1000 ), 1000U );
  ASSERT_EQ( read( ours, 400 ), 400U );
  ASSERT_EQ( write( ours, 70 ), 70U );
  expect( Fate::goes_on, 400, 70 );
  booked.read = 150;
  booked.written = 69;
  expect( Fate::goes_on, 250, 1 );
  booked.read = 401;
  EXPECT_EQ( look().fate, Fate::impossible ) << "what was booked has happened";
  booked.read = 400;
  booked.written = 71;
  EXPECT_EQ( look().fate, Fate::impossible );
}

TEST_P( Ledger, MegabytesBothWays )
{
  for ( int i = 0; i < 300; ++i ) {
    booked.written += write( ours, 65536 );
    write( theirs, 65536 );
    booked.read += read( ours, 50000 );
    read( theirs, 50000 );
  }
  const std::size_t last_read = read( ours, 100000 );
  const std::size_t last_written = write( ours, 100000 );
  expect( Fate::goes_on, last_read, last_written );
}

TEST_P( Ledger, WhileBytesGoOnArriving )
{
  std::jthread writer { [this]( const std::stop_token& stop ) {
    while ( not stop.stop_requested() ) {
      write( theirs, 4096 );
    }
  } };
  for ( int i = 0; i < 300; ++i ) {
    const std::size_t got = read( ours, 30000 );
    expect( Fate::goes_on, got, 0 );
    booked.read += got;
  }
}

TEST_P( Ledger, NobodyReadsWhatWeWrite )
{
  std::size_t all = 0;
  for ( std::size_t sent = 1; sent > 0; all += sent ) {
    sent = write( ours, 100000 );
  }
  expect( Fate::goes_on, 0, all );
  booked.written = all;
  end_ours();
  expect( Fate::goes_on, 0, 0 ); // the end waits behind the bytes, and is none of them
  booked.wrote_end = true;
  expect( Fate::goes_on, 0, 0 );
}

TEST_P( Ledger, TheirEndBehindBytesThatWereNotRead )
{
  write( theirs, 100 );
  end_theirs();
  wait_for( TcpState::close_wait );
  expect( Fate::goes_on, 0, 0 );
  ASSERT_EQ( read( ours, 60 ), 60U );
  expect( Fate::goes_on, 60, 0 );
  ASSERT_EQ( read( ours, 100 ), 40U );
  expect( Fate::goes_on, 100, 0 );
  ASSERT_EQ( read( ours, 100 ), 0U ) << "the end";
  expect( Fate::goes_on, 100, 0 );
  booked.read = 100;
  booked.read_end = true;
  expect( Fate::goes_on, 0, 0 );
  write( ours, 33 );
  expect( Fate::goes_on, 0, 33 );
}

TEST_P( Ledger, OurEndFirst )
{
  write( ours, 100 );
  booked.written = 100;
  end_ours();
  expect( Fate::goes_on, 0, 0 );
  wait_for( TcpState::fin_wait_2 );
  booked.wrote_end = true;
  expect( Fate::goes_on, 0, 0 );
  write( theirs, 50 );
  ASSERT_EQ( read( ours, 20 ), 20U );
  expect( Fate::goes_on, 20, 0 );
}

TEST_P( Ledger, AnEndThatWasBookedHasHappened )
{
  booked.wrote_end = true;
  EXPECT_EQ( look().fate, Fate::impossible );
  booked = { .read_end = true, .syn = booked.syn };
  EXPECT_EQ( look().fate, Fate::impossible );
}

// Both streams ended, ours or theirs first: the kernel has closed the connection, and what is unread is still
// there.
TEST_P( Ledger, BothEnds )
{
  write( theirs, 100 );
  write( ours, 7 );
  booked.written = 7;
  if ( GetParam().dialled ) {
    end_ours();
    wait_for( TcpState::fin_wait_2 );
    end_theirs();
  } else {
    end_theirs();
    wait_for( TcpState::close_wait );
    read( theirs, 100 );
    end_ours();
  }
  wait_for( TcpState::closed );
  expect( Fate::goes_on, 0, 0 ); // shutdown() was the last thing it did
  booked.wrote_end = true;
  expect( Fate::goes_on, 0, 0 );
  ASSERT_EQ( read( ours, 60 ), 60U );
  expect( Fate::goes_on, 60, 0 );
  ASSERT_EQ( read( ours, 100 ), 40U );
  ASSERT_EQ( read( ours, 100 ), 0U );
  expect( Fate::goes_on, 100, 0 );
  booked.read = 100;
  expect( Fate::goes_on, 0, 0 );
  booked.read_end = true;
  expect( Fate::goes_on, 0, 0 );
}

// A reset never looks like two ends, whether somebody was told of it (then all before that is booked) or not.
TEST_P( Ledger, AResetIsNoEnd )
{
  for ( const bool told : { false, true } ) {
    const auto tell = [&] { return told ? pending_error( ours.get() ) : 0; };
    reset_theirs();
    tell();
    EXPECT_EQ( look().fate, Fate::failed ) << told;
  }
}

TEST_P( Ledger, AResetAfterBytes )
{
  write( theirs, 100 );
  ASSERT_EQ( read( ours, 99 ), 99U );
  write( ours, 50 );
  reset_theirs();
  EXPECT_EQ( look().fate, Fate::failed );
  booked.read = 99;
  booked.written = 50;
  EXPECT_NE( pending_error( ours.get() ), 0 );
  EXPECT_EQ( look().fate, Fate::failed );
}

TEST_P( Ledger, AResetWithOneByteThatIsNotBooked )
{
  write( theirs, 1 );
  ASSERT_EQ( read( ours, 1 ), 1U );
  ASSERT_EQ( write( ours, 1 ), 1U );
  ASSERT_EQ( read( theirs, 1 ), 1U ); // and acknowledges it: both counts look as if there had been an end
  reset_theirs();
  EXPECT_EQ( look().fate, Fate::failed );
}

TEST_P( Ledger, AResetAfterOurEnd )
{
  write( ours, 5 );
  booked.written = 5;
  end_ours();
  wait_for( TcpState::fin_wait_2 );
  booked.wrote_end = true;
  reset_theirs();
  EXPECT_EQ( look().fate, Fate::failed );
  EXPECT_NE( pending_error( ours.get() ), 0 );
  EXPECT_EQ( look().fate, Fate::failed );
}

TEST_P( Ledger, AResetAfterTheirEnd )
{
  end_theirs();
  wait_for( TcpState::close_wait );
  booked.read_end = true;
  reset_theirs();
  EXPECT_EQ( look().fate, Fate::failed );
  EXPECT_NE( pending_error( ours.get() ), 0 );
  EXPECT_EQ( look().fate, Fate::failed );
}

TEST_P( Ledger, LookingTakesNoErrorAway )
{
  reset_theirs();
  EXPECT_TRUE( counts_of( ours.get() )->error );
  EXPECT_TRUE( counts_of( ours.get() )->error );
  EXPECT_NE( pending_error( ours.get() ), 0 );
  EXPECT_FALSE( counts_of( ours.get() )->error );
}

TEST_P( Ledger, ACookieIsTheSocketsAndNotTheNumbers )
{
  const std::uint64_t cookie = cookie_of( ours.get() );
  EXPECT_NE( cookie, 0U );
  EXPECT_NE( cookie, cookie_of( theirs.get() ) );
  const Fd same { ::dup( ours.get() ) };
  EXPECT_EQ( cookie_of( same.get() ), cookie );
}

INSTANTIATE_TEST_SUITE_P( Loopback,
                          Ledger,
                          testing::Values( Case { "127.0.0.1", false },
                                           Case { "127.0.0.1", true },
                                           Case { "::1", false },
                                           Case { "::1", true } ) );

TEST( LedgerOfOthers, IsNone )
{
  std::array<int, 2> fds {};
  ASSERT_EQ( ::socketpair( AF_UNIX, SOCK_STREAM, 0, fds.data() ), 0 );
  const Fd one { fds[0] };
  const Fd other { fds[1] };
  EXPECT_FALSE( counts_of( one.get() ) );
  EXPECT_FALSE( tcp_state_of( one.get() ) );
  EXPECT_FALSE( counts_of( -1 ) );
  EXPECT_EQ( cookie_of( -1 ), 0U );
}

} // namespace
} // namespace holdfast
