#include "net/congestion.hh"

#include "net/error.hh"
#include "net/socket.hh"
#include "unit/process.hh"

#include <gmock/gmock.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

// Connections over 127.0.0.1. Every Linux has reno, for everybody; what else there is depends on the machine.

namespace holdfast {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

std::string used_by( const Fd& socket )
{
  std::array<char, congestion_control_name_max + 1> name {};
  socklen_t length = name.size();
  EXPECT_EQ( ::getsockopt( socket.get(), IPPROTO_TCP, TCP_CONGESTION, name.data(), &length ), 0 );
  return name.data();
}

std::vector<std::string> listed( const char* which )
{
  std::ifstream list { std::string { "/proc/sys/net/ipv4/tcp_" } + which + "_congestion_control" };
  return { std::istream_iterator<std::string> { list }, {} };
}

// One that is not what connections have by themselves, if there is one.
std::string another_one()
{
  std::ifstream file { "/proc/sys/net/ipv4/tcp_congestion_control" };
  std::string by_itself;
  file >> by_itself;
  for ( const std::string& name : listed( "allowed" ) ) {
    if ( name != by_itself ) {
      return name;
    }
  }
  return by_itself;
}

TEST( Congestion, HoldsForAConnectionThatIsBeingDialledAndForOneThatWasAccepted )
{
  const std::string name = another_one();
  const Fd listener = listen_on( *literal_address( "127.0.0.1", 0 ) );
  const Connecting dialled = connect_to( local_address( listener.get() ) );
  ASSERT_TRUE( dialled.fd );
  EXPECT_EQ( use_congestion_control( dialled.fd.get(), name ), 0 );
  pollfd one { .fd = listener.get(), .events = POLLIN, .revents = 0 };
  ASSERT_EQ( ::poll( &one, 1, 10000 ), 1 );
  const Accepted accepted = accept_from( listener.get() );
  ASSERT_TRUE( accepted.fd );
  EXPECT_EQ( use_congestion_control( accepted.fd.get(), name ), 0 );
  EXPECT_EQ( used_by( dialled.fd ), name );
  EXPECT_EQ( used_by( accepted.fd ), name );
}

TEST( Congestion, WhatEverybodyMayUseIsGood )
{
  EXPECT_NO_THROW( require_congestion_control( "reno" ) );
  EXPECT_NO_THROW( require_congestion_control( another_one() ) );
}

TEST( Congestion, WhatTheKernelDoesNotHaveIsNamedBesideWhatItHas )
{
  const Fd any { ::socket( AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0 ) };
  EXPECT_EQ( use_congestion_control( any.get(), "no-such" ), ENOENT );
  EXPECT_THAT( [] { require_congestion_control( "no-such" ); },
               ThrowsMessage<StartupError>(
                 AllOf( HasSubstr( "--congestion: " ), HasSubstr( "no-such" ), HasSubstr( "reno" ) ) ) );
}

// Root may use it, too; but a proxy gives up its rights, and makes links afterwards.
TEST( Congestion, WhatIsNotForEverybodyIsRefusedToRootAsWell )
{
  const auto allowed = listed( "allowed" );
  for ( const std::string& name : listed( "available" ) ) {
    if ( std::ranges::find( allowed, name ) == allowed.end() ) {
      EXPECT_THAT( [&] { require_congestion_control( name ); },
                   ThrowsMessage<StartupError>( AllOf( HasSubstr( name ), HasSubstr( "sysctl" ) ) ) );
      return;
    }
  }
  GTEST_SKIP() << "everybody may use every algorithm of this machine";
}

TEST( Congestion, AnyOtherFailureIsSaid )
{
  EXPECT_THAT( [] { require_congestion_control( "" ); },
               ThrowsMessage<StartupError>( HasSubstr( "cannot use '': Invalid argument" ) ) );
}

// As in a container that hides /proc/sys: what is not listed may be for everybody all the same, but what the kernel
// refuses to us is not.
TEST( Congestion, WhereTheListsCannotBeReadTheKernelIsBelieved )
{
  if ( ::geteuid() != 0 ) {
    GTEST_SKIP() << "needs root, to go where there is no /proc";
  }
  const auto allowed = listed( "allowed" );
  test::in_a_process( [&allowed] {
    const auto available = listed( "available" );
    ASSERT_EQ( ::chroot( "/dev" ), 0 ); // any folder without a /proc
    ASSERT_EQ( ::setuid( 65534 ), 0 );
    EXPECT_NO_THROW( require_congestion_control( "reno" ) );
    for ( const std::string& name : available ) {
      if ( std::ranges::find( allowed, name ) == allowed.end() ) {
        EXPECT_THROW( require_congestion_control( name ), StartupError ) << name;
      }
    }
  } );
}

} // namespace
} // namespace holdfast
