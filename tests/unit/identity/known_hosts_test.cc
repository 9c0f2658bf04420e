#include "identity/known_hosts.hh"

#include "identity/fingerprint.hh"
#include "unit/identity/folder.hh"

#include <gmock/gmock.h>

#include <sys/resource.h>
#include <sys/wait.h>

#include <csignal>

namespace holdfast {
namespace {

using namespace test;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

KnownHost find( std::string_view text, std::string_view host, std::uint16_t port = 5000 )
{
  return find_host( text, host, port, "known_hosts" );
}

std::string line( std::string_view place, std::string_view key = one )
{
  return std::string { place } + " " + std::string { key } + "\n";
}

class KnownHostsFile : public testing::Test
{
protected:
  Folder folder_ {};
  KnownHosts hosts_ { StateDirectory { folder_.path() } };
};

TEST_F( KnownHostsFile, NobodyIsKnownAtFirst )
{
  EXPECT_TRUE( hosts_.lookup( "server", 5000 ).is_new() );
  EXPECT_THAT( folder_.names(), IsEmpty() ) << "looking makes no file";
}

TEST_F( KnownHostsFile, WhoWasAddedIsKnownFromThenOn )
{
  const mode_t before = ::umask( 0 );
  EXPECT_EQ( hosts_.add( "Server.Example.", 5000, key_one ), "" );
  ::umask( before );
  EXPECT_EQ( folder_.mode( "known_hosts" ), 0600U );
  EXPECT_EQ( folder_.read( "known_hosts" ), line( "[server.example]:5000" ) );
  const KnownHost host = hosts_.lookup( "server.example", 5000 );
  EXPECT_TRUE( host.has( key_one ) );
  EXPECT_FALSE( host.has( key_other ) );
  EXPECT_FALSE( host.is_new() );
  EXPECT_TRUE( hosts_.lookup( "server.example", 5001 ).is_new() ) << "another port is another host";
  EXPECT_TRUE( hosts_.lookup( "server.example.org", 5000 ).is_new() );
  EXPECT_TRUE( hosts_.lookup( "xserver.example", 5000 ).is_new() );
}

TEST_F( KnownHostsFile, EachLookSeesWhatAPersonHasWritten )
{
  EXPECT_TRUE( hosts_.lookup( "a", 5000 ).is_new() );
  folder_.write( "known_hosts", line( "[a]:5000" ), 0644 );
  EXPECT_TRUE( hosts_.lookup( "a", 5000 ).has( key_one ) );
  folder_.write( "known_hosts", line( "[a]:5000", other ), 0644 );
  EXPECT_FALSE( hosts_.lookup( "a", 5000 ).has( key_one ) );
}

TEST_F( KnownHostsFile, ALineThatAnEditorLeftOpenIsEndedFirst )
{
  folder_.write( "known_hosts", "# mine" );
  EXPECT_EQ( hosts_.add( "a", 5000, key_one ), "" );
  EXPECT_EQ( folder_.read( "known_hosts" ), "# mine\n" + line( "[a]:5000" ) );
}

TEST_F( KnownHostsFile, ManyMayAddAtOnce )
{
  constexpr int adders = 8;
  constexpr int each = 25;
  for ( int i = 0; i < adders; ++i ) {
    if ( ::fork() == 0 ) {
      bool fine = true;
      for ( int n = 0; n < each; ++n ) {
        fine = hosts_.add( "host-" + std::to_string( i ), static_cast<std::uint16_t>( 1 + n ), key_one ).empty()
               and fine;
      }
      ::_exit( fine ? 0 : 1 );
    }
  }
  for ( int i = 0; i < adders; ++i ) {
    int status = 0;
    ::wait( &status );
    EXPECT_EQ( status, 0 );
  }
  for ( int i = 0; i < adders; ++i ) {
    for ( int n = 0; n < each; ++n ) {
      const KnownHost host = hosts_.lookup( "host-" + std::to_string( i ), static_cast<std::uint16_t>( 1 + n ) );
      EXPECT_EQ( host.entries.size(), 1U );
      EXPECT_THAT( host.problems, IsEmpty() );
    }
  }
}

// Once somebody could make us forget whom we know, by making the file unreadable, any impostor would be taken on
// trust.
TEST_F( KnownHostsFile, WhatCannotBeReadMakesNobodyNew )
{
  const std::string path = folder_.write( "known_hosts", line( "[a]:5000" ), 0666 );
  KnownHost host = hosts_.lookup( "b", 5000 );
  EXPECT_FALSE( host.is_new() );
  EXPECT_THAT( host.problems, ElementsAre( HasSubstr( "chmod go-w " + path ) ) );
  EXPECT_THAT( hosts_.add( "b", 5000, key_one ), HasSubstr( "chmod go-w" ) );
  EXPECT_EQ( folder_.read( "known_hosts" ), line( "[a]:5000" ) );

  folder_.write( "known_hosts", std::string( 2U << 20U, '#' ) );
  EXPECT_THAT( hosts_.lookup( "a", 5000 ).problems, ElementsAre( HasSubstr( "more than 1048576 bytes" ) ) );
  EXPECT_THAT( hosts_.add( "b", 5000, key_one ), HasSubstr( "is full" ) );

  ASSERT_EQ( ::unlink( path.c_str() ), 0 );
  ASSERT_EQ( ::symlink( "elsewhere", path.c_str() ), 0 );
  EXPECT_FALSE( hosts_.lookup( "a", 5000 ).is_new() );
  EXPECT_NE( hosts_.add( "a", 5000, key_one ), "" );
  EXPECT_THAT( folder_.names(), ElementsAre( "known_hosts" ) ) << "nothing was written through the link";

  ASSERT_EQ( ::unlink( path.c_str() ), 0 );
  ASSERT_EQ( ::mkfifo( path.c_str(), 0600 ), 0 );
  EXPECT_FALSE( hosts_.lookup( "a", 5000 ).is_new() );
  EXPECT_NE( hosts_.add( "a", 5000, key_one ), "" );
}

// A disk that is full in the middle of a line: half a line would stop us from ever trusting another host.
TEST_F( KnownHostsFile, HalfALineIsTakenBack )
{
  const std::string before = "# " + std::string( 100, 'x' ) + "\n";
  folder_.write( "known_hosts", before );
  std::signal( SIGXFSZ, SIG_IGN );
  rlimit limit {};
  ::getrlimit( RLIMIT_FSIZE, &limit );
  const rlimit small { before.size() + 20, limit.rlim_max };
  ::setrlimit( RLIMIT_FSIZE, &small );
  const std::string problem = hosts_.add( "a", 5000, key_one );
  ::setrlimit( RLIMIT_FSIZE, &limit );
  std::signal( SIGXFSZ, SIG_DFL );
  EXPECT_THAT( problem, HasSubstr( "cannot write" ) );
  EXPECT_EQ( folder_.read( "known_hosts" ), before );
}

TEST( KnownHost, IsOnAnyOfItsLines )
{
  const std::string text = "# hosts\n\n" + line( "[a]:5000" ) + line( "[b]:5000" ) + "\t [A]:5000\t"
                           + std::string { other } + "  the new one\r\n";
  const KnownHost host = find( text, "a" );
  ASSERT_EQ( host.entries.size(), 2U );
  EXPECT_EQ( host.entries[0].line, 3U );
  EXPECT_EQ( host.entries[1].line, 5U );
  EXPECT_TRUE( host.has( key_one ) and host.has( key_other ) );
  EXPECT_THAT( host.problems, IsEmpty() );
}

TEST( KnownHost, IsTheSameHoweverItIsWritten )
{
  for ( const auto& [written, asked] : { std::pair { "[::1]:5000", "0:0::1" },
                                         { "[::1]:5000", "[::1]" },
                                         { "[2001:DB8::A]:5000", "2001:db8:0::a" },
                                         { "[192.0.2.1]:5000", "192.0.2.1" },
                                         { "[fe80::1%eth0]:5000", "fe80::1%eth0" },
                                         { "[server.]:5000", "SERVER" },
                                         { "[server]:5000", "server..." }, // what was written was once not found
                                         { "[::1]:5000", "0::1." },
                                         { "[b\xc3\xbc"
                                           "cher.example]:5000",
                                           "b\xc3\xbc"
                                           "cher.example" } } ) {
    EXPECT_TRUE( find( line( written ), asked ).has( key_one ) ) << written << " " << asked;
    const auto again = known_host_line( asked, 5000, key_one );
    ASSERT_TRUE( again );
    EXPECT_TRUE( find( *again, asked ).has( key_one ) ) << *again;
  }
  EXPECT_TRUE( find( line( "[192.0.2.10]:5000" ), "192.0.2.1" ).is_new() );
}

TEST( KnownHost, IsNotOnADamagedLineAndNobodyIsNewBesideOne )
{
  const std::string key { one };
  for ( const std::string& damaged : { std::string { "[a]:5000" },
                                       "[a]:5000 " + key.substr( 0, 49 ),
                                       "[a]:5000 " + key + "x",
                                       "[a]:5000" + key,
                                       "a:5000 " + key,
                                       "[a] " + key,
                                       "[a]: " + key,
                                       "[a]:0 " + key,
                                       "[a]:65536 " + key,
                                       "[a]:+5000 " + key,
                                       "[a]:5000x " + key,
                                       "[]:5000 " + key,
                                       "[a b]:5000 " + key,
                                       "[[a]]:5000 " + key,
                                       "[" + std::string( 256, 'a' ) + "]:5000 " + key,
                                       std::string { "[a]:5000 " } + '\0' + key,
                                       "[a]:5000 " + key + " \x1b[2Jcomment",
                                       "[a]:5000 " + key + " " + std::string( 5000, 'x' ),
                                       std::string( 100, '\0' ),
                                       "\xff\xfe[a]:5000 " + key } ) {
    const KnownHost host = find( line( "[b]:5000" ) + damaged + "\n" + line( "[c]:5000" ), "a" );
    EXPECT_THAT( host.entries, IsEmpty() ) << damaged;
    EXPECT_FALSE( host.is_new() ) << damaged;
    ASSERT_EQ( host.problems.size(), 1U ) << damaged;
    EXPECT_THAT( host.problems[0], HasSubstr( "known_hosts:2: " ) );
    EXPECT_EQ( host.problems[0].find( "comment" ), std::string::npos ) << "what is in the file is not shown";
    const KnownHost beside = find( line( "[b]:5000" ) + damaged + "\n" + line( "[c]:5000" ), "c" );
    EXPECT_TRUE( beside.has( key_one ) ) << "who is known stays so";
  }
}

TEST( KnownHost, ProblemsAreNotWithoutEnd )
{
  std::string text;
  for ( int i = 0; i < 1000; ++i ) {
    text += "rubbish\n";
  }
  EXPECT_EQ( find( text, "a" ).problems.size(), KnownHost::problems_max );
}

TEST( KnownHost, ANameThatNoLineCanHoldIsNobody )
{
  for ( const std::string& name : { std::string {},
                                    std::string { "a b" },
                                    std::string { "a\n[b]:5000" },
                                    std::string { "a]:5000" },
                                    std::string { "[" },
                                    std::string { "[]" },
                                    std::string { "a\0b", 3 },
                                    std::string( 256, 'a' ) } ) {
    EXPECT_FALSE( find( "", name ).is_new() ) << name;
    EXPECT_FALSE( known_host_line( name, 5000, key_one ) ) << name;
  }
}

} // namespace
} // namespace holdfast
