#include "identity/file_watch.hh"

#include "net/clock.hh"
#include "unit/identity/folder.hh"

#include <gmock/gmock.h>

#include <filesystem>

namespace holdfast {
namespace {

using namespace test;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

class Watched : public testing::Test
{
protected:
  // How often it was told until nothing more came.
  int told()
  {
    const int before = told_;
    int last = -1;
    while ( last != told_ ) {
      last = told_;
      loop_.wait( read_clock() + 20ms );
    }
    return told_ - before;
  }
  void watch( const std::string& path )
  {
    watch_ = std::make_unique<FileWatch>( loop_, path, [this] { ++told_; } );
  }

  Folder folder_ {};
  Loop loop_ {};
  int told_ = 0;
  std::unique_ptr<FileWatch> watch_ {}; // goes before the loop
};

TEST_F( Watched, AFileThatIsWrittenAnew )
{
  watch( folder_.write( "list", "a" ) );
  EXPECT_EQ( told(), 0 );
  folder_.write( "list", "b" );
  EXPECT_EQ( told(), 1 );
  EXPECT_EQ( told(), 0 ) << "nothing more is there to read, and the loop sleeps";
}

TEST_F( Watched, AFileThatIsReplacedAsEditorsDo )
{
  watch( folder_.write( "list", "a" ) );
  for ( int i = 0; i < 3; ++i ) { // the file that is watched for is another one each time
    folder_.write( "list.new", "b" );
    EXPECT_EQ( told(), 0 ) << "another file";
    fs::rename( folder_ / "list.new", folder_ / "list" );
    EXPECT_EQ( told(), 1 );
  }
}

TEST_F( Watched, AFileThatGoesAndComesBackAndGetsOtherRights )
{
  const std::string path = folder_.write( "list", "a" );
  watch( path );
  fs::remove( path );
  EXPECT_EQ( told(), 1 );
  folder_.write( "list", "b" );
  EXPECT_GE( told(), 1 );
  ASSERT_EQ( ::chmod( path.c_str(), 0640 ), 0 );
  EXPECT_EQ( told(), 1 );
  fs::rename( path, folder_ / "away" );
  EXPECT_EQ( told(), 1 );
}

// A list read half written would lack those who are in the other half, and they would be thrown out.
TEST_F( Watched, AFileThatIsOnlyHalfWrittenIsNoNews )
{
  watch( folder_.write( "list", "a" ) );
  std::ofstream file { folder_ / "list" };
  file << "half" << std::flush;
  EXPECT_EQ( told(), 0 );
  file << "whole" << std::flush;
  file.close();
  EXPECT_EQ( told(), 1 );
}

TEST_F( Watched, ALinkAndWhatItLeadsTo )
{
  fs::create_directories( folder_ / "one" );
  fs::create_directories( folder_ / "two" );
  folder_.write( "one/list", "a" );
  folder_.write( "two/list", "b" );
  fs::create_directory_symlink( "one", folder_ / "now" );
  fs::create_symlink( "now/list", folder_ / "list" ); // as Kubernetes does it
  watch( folder_ / "list" );
  folder_.write( "one/list", "c" );
  EXPECT_GE( told(), 1 );
  fs::create_directory_symlink( "two", folder_ / "next" );
  fs::rename( folder_ / "next", folder_ / "now" );
  EXPECT_GE( told(), 1 );
  folder_.write( "one/list", "d" );
  EXPECT_EQ( told(), 0 ) << "not there any more";
  folder_.write( "two/list", "e" );
  EXPECT_GE( told(), 1 ) << "but here";
}

TEST_F( Watched, ManyChangesAreOne )
{
  watch( folder_.write( "list", "a" ) );
  for ( int i = 0; i < 1000; ++i ) {
    folder_.write( "list", "b" );
  }
  EXPECT_EQ( told(), 1 );
}

TEST_F( Watched, AFolderThatIsNotThere )
{
  EXPECT_THAT( refusal( [&] { watch( folder_ / "none/list" ); } ), testing::HasSubstr( "cannot watch" ) );
  watch( folder_ / "not-yet" );
  folder_.write( "not-yet", "a" );
  EXPECT_GE( told(), 1 );
}

} // namespace
} // namespace holdfast
