#include "identity/state_directory.hh"

#include "unit/identity/folder.hh"

#include <gmock/gmock.h>

namespace holdfast {
namespace {

using namespace test;
using testing::HasSubstr;

class Environment : public testing::Test
{
protected:
  void SetUp() override
  {
    ::unsetenv( "XDG_STATE_HOME" );
    ::setenv( "HOME", "/home/ann", 1 );
  }
};

TEST_F( Environment, SaysWhereTheStateIs )
{
  EXPECT_EQ( state_directory( "/given" ), "/given" );
  EXPECT_EQ( state_directory( "" ), "/home/ann/.local/state/holdfast" );
  EXPECT_EQ( state_directory( "", false ), "/var/lib/holdfast" ); // we become somebody else than Ann
  ::setenv( "XDG_STATE_HOME", "/state", 1 );
  EXPECT_EQ( state_directory( "" ), "/state/holdfast" );
  ::unsetenv( "XDG_STATE_HOME" );
  ::unsetenv( "HOME" );
  EXPECT_EQ( state_directory( "" ), "/var/lib/holdfast" );
}

TEST( StateDirectory, IsMadeWithAllAboveItForItsOwnerAlone )
{
  const Folder folder;
  const mode_t before = ::umask( 0 );
  for ( const char* path : { "/a/b/c", "/a//d/", "/e/./f" } ) {
    const StateDirectory state { folder.path() + path };
  }
  ::umask( before );
  for ( const char* path : { "a", "a/b", "a/b/c", "a/d", "e", "e/f" } ) {
    EXPECT_EQ( folder.mode( path ), 0700U ) << path;
  }
  const StateDirectory again { folder / "a/b/c" };
  EXPECT_EQ( again.file( "x" ), folder / "a/b/c/x" );
}

TEST( StateDirectory, IsRefusedWhenOthersMayWriteThere )
{
  const Folder folder;
  for ( const mode_t mode : { 0770U, 0707U, 01777U, 0720U } ) {
    ASSERT_EQ( ::chmod( folder.path().c_str(), mode ), 0 );
    EXPECT_THAT( refusal( [&] { const StateDirectory state { folder.path() }; } ),
                 HasSubstr( "chmod 700 " + folder.path() ) );
  }
  ASSERT_EQ( ::chmod( folder.path().c_str(), 0755 ), 0 ); // reading is fine: the files look after themselves
  EXPECT_EQ( refusal( [&] { const StateDirectory state { folder.path() }; } ), "" );
}

TEST( StateDirectory, IsRefusedWhenItIsSomebodyElses )
{
  if ( not are_root() ) {
    GTEST_SKIP() << "needs root";
  }
  const Folder folder;
  ASSERT_EQ( ::chown( folder.path().c_str(), nobody, nobody ), 0 );
  EXPECT_THAT( refusal( [&] { const StateDirectory state { folder.path() }; } ),
               HasSubstr( "belongs to user 65534" ) );
  EXPECT_EQ( refusal( [&] { const StateDirectory state( folder.path(), nobody ); } ), "" ); // whom we shall be
}

TEST( StateDirectory, IsGivenToWhomWeShallBe )
{
  if ( not are_root() ) {
    GTEST_SKIP() << "needs root";
  }
  const Folder folder;
  const StateDirectory state { folder / "a/b", nobody };
  for ( const char* name : { "a", "a/b" } ) {
    struct stat status = {};
    ASSERT_EQ( ::stat( ( folder / name ).c_str(), &status ), 0 );
    EXPECT_EQ( status.st_uid, nobody );
  }
}

TEST( StateDirectory, MayBeALinkButNotAFile )
{
  const Folder folder;
  ASSERT_EQ( ::mkdir( ( folder / "private" ).c_str(), 0700 ), 0 );
  ASSERT_EQ( ::symlink( "private", ( folder / "link" ).c_str() ), 0 ); // as with DynamicUser= of systemd
  EXPECT_EQ( refusal( [&] { const StateDirectory state { folder / "link" }; } ), "" );
  const std::string file = folder.write( "file", "" );
  EXPECT_THAT( refusal( [&] { const StateDirectory state { file }; } ), HasSubstr( "is not a directory" ) );
  EXPECT_THAT( refusal( [&] { const StateDirectory state { file + "/below" }; } ), HasSubstr( "Not a directory" ) );
}

} // namespace
} // namespace holdfast
