#include "net/left.hh"

#include "net/ledger.hh"
#include "unit/process.hh"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <limits>
#include <string>
#include <utility>
#include <vector>

// A process has died, and we have its descriptors. Each test is such a process of its own: what is left in it are
// all its descriptors.

namespace holdfast {
namespace {

using test::in_a_process;

void wait_for( int fd, short events )
{
  pollfd one { .fd = fd, .events = events, .revents = 0 };
  ASSERT_EQ( ::poll( &one, 1, 5000 ), 1 );
}

// Numbers, as a process that died leaves them: no Fd closes them.
struct Connection
{
  int dialled;
  int accepted;
};

Connection connection( int listener )
{
  Fd dialled = connect_to( local_address( listener ) ).fd;
  wait_for( listener, POLLIN );
  Fd accepted = accept_from( listener ).fd;
  return { dialled.release(), accepted.release() };
}

int listener( const char* host )
{
  return listen_on( *literal_address( host, 0 ) ).release();
}

bool is_open( int fd )
{
  return ::fcntl( fd, F_GETFD ) >= 0;
}

void clear_all()
{
  ::close_range( 3, ~0U, 0 );
}

TEST( Left, EverythingIsSortedAndTheRestCloses )
{
  in_a_process( [] {
    clear_all();
    const int ours = ::memfd_create( "ours", 0 );
    const int other = ::memfd_create( "ours too", 0 );
    const int door = listener( "127.0.0.1" );
    const auto [dialled, accepted] = connection( door );
    const int spared = ::eventfd( 0, 0 );
    const int poller = ::epoll_create1( 0 );
    const int file = ::open( "/dev/null", O_RDWR );
    const int datagrams = ::socket( AF_INET, SOCK_DGRAM, 0 );
    const std::uint64_t cookie = cookie_of( accepted );

    Left left { std::array { spared } };
    // These once stayed until the end. A process that died before that left more of them, and so on, until none
    // could start.
    EXPECT_FALSE( is_open( poller ) or is_open( file ) or is_open( datagrams ) )
      << "closed before anything is opened";
    const auto memory = left.take_memory( "ours" );
    ASSERT_EQ( memory.size(), 1U );
    EXPECT_EQ( memory.front().get(), ours );
    EXPECT_FALSE( left.take( 0 ) );
    EXPECT_FALSE( left.take( cookie + 1000 ) );
    const Fd taken = left.take( cookie );
    EXPECT_EQ( taken.get(), accepted );
    EXPECT_FALSE( left.take( cookie ) ) << "once";

    left.close();
    EXPECT_TRUE( is_open( ours ) and is_open( accepted ) and is_open( spared ) );
    EXPECT_FALSE( is_open( other ) or is_open( door ) or is_open( dialled ) );
  } );
}

TEST( Left, NothingIsLeftByNobody )
{
  in_a_process( [] {
    const int file = ::open( "/dev/null", O_RDWR );
    {
      Left left;
      EXPECT_TRUE( left.take_memory( "ours" ).empty() );
      EXPECT_TRUE( left.take_listeners( "*", 0 ).empty() );
    }
    EXPECT_TRUE( is_open( file ) );
  } );
}

TEST( Left, AListenerIsTakenForWhatItListensForAndOthersAreClosed )
{
  const auto taken = []( const char* host, bool same_port ) {
    clear_all();
    const int one = listener( "127.0.0.1" );
    const int all = listen_for( "*", 0 ).front().release();
    const int six = listener( "::1" );
    const auto port = static_cast<std::uint16_t>( std::stoi( local_address( one ).text().substr( 10 ) ) );
    Left left { {} };
    const auto found = left.take_listeners( host, static_cast<std::uint16_t>( same_port ? port : port + 1 ) );
    EXPECT_LE( found.size(), 1U );
    const int fd = found.empty() ? -1 : found.front().get();
    EXPECT_EQ( is_open( one ), fd == one );
    EXPECT_EQ( is_open( all ), fd == all );
    EXPECT_EQ( is_open( six ), fd == six );
    return fd == one ? "one" : fd == all ? "all" : fd == six ? "six" : "none";
  };
  const auto taken_for_any_port = []( const char* host ) {
    clear_all();
    const int one = listener( host );
    const int other = listener( "127.0.0.9" );
    Left left { {} };
    const auto found = left.take_listeners( host, 0 );
    EXPECT_TRUE( found.size() == 1 and found.front().get() == one );
    EXPECT_FALSE( is_open( other ) );
  };
  in_a_process( [&] { EXPECT_STREQ( taken( "127.0.0.1", true ), "one" ); } );
  in_a_process( [&] { EXPECT_STREQ( taken( "127.0.0.1", false ), "none" ); } );
  in_a_process( [&] { EXPECT_STREQ( taken( "127.0.0.2", true ), "none" ); } );
  in_a_process( [&] { EXPECT_STREQ( taken( "*", true ), "none" ); } );
  in_a_process( [&] { taken_for_any_port( "127.0.0.1" ); } );
  in_a_process( [&] { taken_for_any_port( "::1" ); } );
}

TEST( Left, ANewcomerIsWhoHasSaidAndHeardNothing )
{
  in_a_process( [] {
    clear_all();
    const int door = listener( "127.0.0.1" );
    const Address address = local_address( door );
    const std::array bytes { std::byte { 1 }, std::byte { 2 } };
    const Connection fresh = connection( door );
    const Connection speaks = connection( door ); // what it says nobody has read
    ASSERT_EQ( send( speaks.dialled, bytes ).count, 2U );
    const Connection ends = connection( door );
    end_writing( ends.dialled );
    const Connection read = connection( door );
    ASSERT_EQ( send( read.dialled, bytes ).count, 2U );
    std::array<std::byte, 1> into {};
    wait_for( read.accepted, POLLIN );
    ASSERT_EQ( receive( read.accepted, into ).count, 1U );
    const Connection written = connection( door );
    ASSERT_EQ( send( written.accepted, bytes ).count, 2U );
    const Connection over = connection( door );
    end_writing( over.accepted );
    const Connection broken = connection( door ); // it was being reset when the process died
    const linger at_once { .l_onoff = 1, .l_linger = 0 };
    ::setsockopt( broken.accepted, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once );
    wait_for( speaks.accepted, POLLIN );
    wait_for( ends.accepted, POLLIN );

    Left left { {} };
    std::vector<int> numbers;
    std::vector<Fd> newcomers = left.take_newcomers( address );
    for ( const Fd& fd : newcomers ) {
      numbers.push_back( fd.get() );
    }
    std::ranges::sort( numbers );
    EXPECT_EQ( numbers, ( std::vector { fresh.accepted, speaks.accepted, ends.accepted } ) );
    EXPECT_TRUE( left.take_newcomers( address ).empty() );
  } );
}

TEST( Left, WhoIsNotTakenSeesAReset )
{
  // The programs are in this process, so that only their peers are left in the other.
  const Fd door = listen_on( *literal_address( "127.0.0.1", 0 ) );
  const Fd open = connect_to( local_address( door.get() ) ).fd;
  const Fd half = connect_to( local_address( door.get() ) ).fd;
  const Fd ended = connect_to( local_address( door.get() ) ).fd;
  in_a_process( [&] {
    std::array<int, 3> accepted {};
    for ( int i = 0; i < 3; ++i ) { // in whichever order they come in
      wait_for( door.get(), POLLIN );
      Accepted one = accept_from( door.get() );
      const auto is_its = [&]( const Fd* fd ) { return local_address( fd->get() ) == one.peer; };
      const std::array dialled { &open, &half, &ended };
      const auto place = std::ranges::find_if( dialled, is_its ) - dialled.begin();
      ASSERT_LT( place, 3 );
      accepted.at( static_cast<std::size_t>( place ) ) = one.fd.release();
    }
    end_writing( accepted[1] );
    const std::string last_words( 1000000, 'x' );
    end_writing( ended.get() ); // its peer has this end, says much, ends its own stream, and is released
    wait_for( accepted[2], POLLIN );
    const Transfer said = send( accepted[2], std::as_bytes( std::span { last_words } ) );
    EXPECT_GT( said.count, 0U );
    end_writing( accepted[2] );
    for ( const Fd* fd : { &door, &open, &half, &ended } ) {
      ::close( fd->get() );
    }
    std::vector<int> not_ours; // those of the test program
    for ( int fd = 3; fd < 100; ++fd ) {
      if ( is_open( fd ) and std::ranges::find( accepted, fd ) == accepted.end() ) {
        not_ours.push_back( fd );
      }
    }
    Left left { not_ours };
    left.close();
  } );
  for ( const Fd* fd : { &open, &half } ) {
    wait_for( fd->get(), POLLIN );
    std::array<std::byte, 1> into {};
    Transfer got = receive( fd->get(), into );
    if ( got.kind == Transfer::Kind::ended ) { // it had ended its stream before
      pollfd gone { .fd = fd->get(), .events = 0, .revents = 0 };
      EXPECT_EQ( ::poll( &gone, 1, 5000 ), 1 );
      EXPECT_NE( pending_error( fd->get() ), 0 );
      continue;
    }
    EXPECT_EQ( got.error, ECONNRESET );
  }
  std::vector<std::byte> all( 2000000 );
  std::size_t got = 0;
  for ( ;; ) {
    wait_for( ended.get(), POLLIN );
    const Transfer piece = receive( ended.get(), std::span { all }.subspan( got ) );
    if ( piece.kind != Transfer::Kind::moved ) {
      EXPECT_EQ( piece.kind, Transfer::Kind::ended ) << "who came to both ends hears every byte, and no reset";
      break;
    }
    got += piece.count;
  }
  EXPECT_GT( got, 0U );
}

// A service manager gives copies, from 3 on; what else is open is somebody else's.
TEST( Left, OfCopiesOnlyThoseGivenAreOurs )
{
  in_a_process( [] {
    clear_all();
    const int door = listener( "127.0.0.1" );
    const auto [dialled, accepted] = connection( door );
    const int copy = ::dup( accepted );
    const int memory = ::memfd_create( "ours", 0 );
    ASSERT_EQ( memory, 7 );
    {
      Left left { std::array { -1 }, 3 }; // the first three
      EXPECT_TRUE( left.take_memory( "ours" ).empty() );
    }
    EXPECT_TRUE( is_open( door ) and is_open( dialled ) and is_open( accepted ) );
    {
      Left left { std::array { -1 }, 3 };
      left.close();
    }
    EXPECT_FALSE( is_open( door ) or is_open( dialled ) or is_open( accepted ) );
    EXPECT_TRUE( is_open( copy ) and is_open( memory ) );
  } );
}

TEST( Left, AReturnOfNonsenseIsNothing )
{
  in_a_process( [] {
    clear_all();
    const int door = listener( "127.0.0.1" );
    for ( const int given : { -1, 0, std::numeric_limits<int>::min() } ) {
      Left left { std::array { -1 }, given };
      left.close();
    }
    EXPECT_TRUE( is_open( door ) );
    {
      Left left { std::array { -1 }, std::numeric_limits<int>::max() };
      left.close();
    }
    EXPECT_FALSE( is_open( door ) );
  } );
}

} // namespace
} // namespace holdfast
