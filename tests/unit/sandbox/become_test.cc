#include "sandbox/sandbox.hh"

#include "child.hh"

#include <gmock/gmock.h>

#include <grp.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

namespace holdfast {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr uid_t nobody = 65534; // in Debian, and wherever else these tests ran

// What proc(5) says about us: the line that begins with `name`, without it.
std::string status_line( const std::string& name )
{
  std::ifstream file { "/proc/self/status" };
  for ( std::string line; std::getline( file, line ); ) {
    if ( line.starts_with( name + ":\t" ) ) {
      return line.substr( name.size() + 2 );
    }
  }
  return "no line " + name;
}

#define NEEDS_ROOT()                                                                                               \
  if ( ::geteuid() != 0 ) {                                                                                        \
    GTEST_SKIP() << "SKIPPED: only root can become another user";                                                  \
  }

TEST( Become, GivesUpRootForGood )
{
  NEEDS_ROOT();
  const Ended ended = in_child( [] {
    become( "nobody" );
    if ( ::getuid() != nobody or ::geteuid() != nobody ) {
      return 1;
    }
    if ( ::setuid( 0 ) == 0 or ::seteuid( 0 ) == 0 or ::setgid( 0 ) == 0 or ::setegid( 0 ) == 0 ) {
      return 2;
    }
    return ::setresuid( 0, 0, 0 ) == 0 ? 3 : 0;
  } );
  EXPECT_EQ( ended.status, 0 ) << ended.said;
}

TEST( Become, KeepsNoneOfRootsGroups )
{
  NEEDS_ROOT();
  const Ended ended = in_child( [] {
    const gid_t wheel = 4242;
    if ( ::setgroups( 1, &wheel ) != 0 ) {
      return 1;
    }
    become( "nobody" );
    std::vector<gid_t> groups( 64 );
    const int count = ::getgroups( static_cast<int>( groups.size() ), groups.data() );
    if ( count < 0 ) {
      return 2;
    }
    groups.resize( static_cast<std::size_t>( count ) );
    for ( const gid_t group : groups ) {
      if ( group == wheel or group == 0 ) {
        return 3;
      }
    }
    return ::getgid() == 0 ? 4 : 0;
  } );
  EXPECT_EQ( ended.status, 0 ) << ended.said;
}

TEST( Become, LeavesNoCapabilityInAnySet )
{
  NEEDS_ROOT();
  const Ended ended = in_child( [] {
    become( "nobody" );
    for ( const char* set : { "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb" } ) {
      if ( const auto bits = status_line( set ); bits != "0000000000000000" ) {
        std::fprintf( stderr, "%s %s", set, bits.c_str() );
        return 1;
      }
    }
    return 0;
  } );
  EXPECT_EQ( ended.status, 0 ) << ended.said;
}

TEST( Become, CannotReadWhatOnlyRootMay )
{
  NEEDS_ROOT();
  const Ended ended = in_child( [] {
    become( "nobody" );
    return std::ifstream { "/etc/shadow" }.good() ? 1 : 0;
  } );
  EXPECT_EQ( ended.status, 0 ) << ended.said;
}

TEST( Become, SaysThatThereIsNoSuchUser )
{
  const Ended ended = in_child( [] {
    become( "nobody-of-that-name" );
    return 0;
  } );
  EXPECT_EQ( ended.status, 99 );
  EXPECT_EQ( ended.said, "cannot become user 'nobody-of-that-name': there is no such user" );
}

TEST( Become, RefusesRootAsTheUserWithFewerRights )
{
  const Ended ended = in_child( [] {
    become( "root" );
    return 0;
  } );
  EXPECT_EQ( ended.status, 99 );
  EXPECT_THAT( ended.said, HasSubstr( "that is root" ) );
}

TEST( Become, SaysThatOnlyRootCan )
{
  const Ended ended = in_child( [] {
    if ( ::geteuid() == 0 and ::setuid( nobody ) != 0 ) {
      return 1;
    }
    become( "daemon" );
    return 0;
  } );
  EXPECT_EQ( ended.status, 99 );
  EXPECT_THAT( ended.said, StartsWith( "cannot become user 'daemon': only root can" ) );
}

TEST( Privileges, LeaveRootWithoutCapabilitiesAndWithoutAWayToNewOnes )
{
  const Ended ended = in_child( [] {
    const Protection protection = confine( { .program = "sproxy", .readable = { "/proc/self" } } );
    if ( not protection.privileges.in_force ) {
      return 1;
    }
    for ( const char* set : { "CapInh", "CapPrm", "CapEff", "CapAmb" } ) {
      if ( status_line( set ) != "0000000000000000" ) {
        return 2;
      }
    }
    return status_line( "NoNewPrivs" ) == "1" ? 0 : 3;
  } );
  EXPECT_EQ( ended.status, 0 ) << ended.said;
}

} // namespace
} // namespace holdfast
