#include "identity/authorized_clients.hh"

#include "identity/fingerprint.hh"
#include "unit/identity/folder.hh"

#include <gmock/gmock.h>

namespace holdfast {
namespace {

using namespace test;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string line( std::string_view key, std::string_view comment = "" )
{
  return std::string { key } + std::string { comment } + "\n";
}

std::string refusal_of( const std::string& path )
{
  return refusal( [&] { const AuthorizedClients clients( path, ::geteuid() ); } );
}

TEST( AuthorizedClients, AreThoseInTheFile )
{
  const Folder folder;
  const std::string text = "\xef\xbb\xbf# who may come\r\n\r\n  " + line( one, " laptop of J\xc3\xb6rg\r" )
                           + "\t#\n" + line( one, "\tagain" );
  const AuthorizedClients clients { folder.write( "list", text, 0644 ), ::geteuid() };
  EXPECT_EQ( clients.size(), 1U );
  EXPECT_TRUE( clients.admits( key_one ) );
  EXPECT_FALSE( clients.admits( key_other ) );
  EXPECT_FALSE( clients.admits( Digest {} ) );
}

TEST( AuthorizedClients, NobodyIsAlsoAList )
{
  const Folder folder;
  const AuthorizedClients clients { folder.write( "list", "" ), ::geteuid() };
  EXPECT_EQ( clients.size(), 0U );
  EXPECT_FALSE( clients.admits( Digest {} ) );
}

TEST( AuthorizedClients, ADamagedLineIsNamed )
{
  const std::string key { one };
  for ( const std::string& damaged : { key.substr( 0, 49 ),
                                       key + "x",
                                       key.substr( 7 ),
                                       "ssh-ed25519 " + key,
                                       "\"" + key + "\"",
                                       std::string { "\0", 1 } + key,
                                       key + " " + '\0',
                                       key + " \x1b[2J",
                                       key + " " + std::string( 5000, 'x' ),
                                       std::string( 1'000'000, 'A' ),
                                       std::string { "\xff\xfeS" } } ) {
    const Folder folder;
    const std::string path = folder.write( "list", "#\n" + line( other ) + damaged + "\nrubbish too\n" );
    const std::string said = refusal_of( path );
    EXPECT_THAT( said, HasSubstr( path + ":3: " ) ) << damaged.substr( 0, 100 );
    EXPECT_LT( said.size(), 300U );
  }
}

TEST( AuthorizedClients, AFileThatOthersCouldWriteToIsRefused )
{
  const Folder folder;
  for ( const mode_t mode : { 0664U, 0646U } ) {
    const std::string path = folder.write( "list", line( one ), mode );
    EXPECT_THAT( refusal_of( path ), HasSubstr( "chmod go-w " + path ) );
  }
  EXPECT_THAT( refusal_of( folder / "none" ), HasSubstr( "No such file" ) );
  EXPECT_THAT( refusal_of( folder.path() ), HasSubstr( "is not a regular file" ) );
  EXPECT_THAT( refusal_of( folder.write( "list", std::string( 17U << 20U, '#' ) ) ), HasSubstr( "more than" ) );
}

TEST( AuthorizedClients, AFolderInWhichOthersCouldReplaceTheFileIsRefused )
{
  const Folder folder;
  ASSERT_EQ( ::mkdir( ( folder / "open" ).c_str(), 0700 ), 0 );
  ASSERT_EQ( ::mkdir( ( folder / "open/closed" ).c_str(), 0700 ), 0 );
  const std::string path = folder.write( "open/closed/list", line( one ) );
  EXPECT_EQ( refusal_of( path ), "" );
  ASSERT_EQ( ::chmod( ( folder / "open" ).c_str(), 0777 ), 0 );
  EXPECT_THAT( refusal_of( path ), HasSubstr( "chmod go-w " + ( folder / "open" ) ) );
  ASSERT_EQ( ::symlink( "open/closed/list", ( folder / "link" ).c_str() ), 0 );
  EXPECT_THAT( refusal_of( folder / "link" ), HasSubstr( "chmod go-w " + ( folder / "open" ) ) );
  ASSERT_EQ( ::chmod( ( folder / "open" ).c_str(), 01777 ), 0 ); // as /tmp: what is ours, others cannot rename
  EXPECT_EQ( refusal_of( path ), "" );
}

TEST( AuthorizedClients, SomebodyElsesFileOrFolderIsRefused )
{
  if ( not are_root() ) {
    GTEST_SKIP() << "needs root";
  }
  const Folder folder;
  const std::string path = folder.write( "list", line( one ), 0644 );
  ASSERT_EQ( ::chown( path.c_str(), nobody, nobody ), 0 );
  EXPECT_THAT( refusal_of( path ), HasSubstr( "belongs to user 65534" ) );
  EXPECT_EQ( refusal( [&] { const AuthorizedClients clients( path, nobody ); } ), "" );
  ASSERT_EQ( ::chown( path.c_str(), 0, 0 ), 0 );
  ASSERT_EQ( ::chown( folder.path().c_str(), nobody, nobody ), 0 );
  EXPECT_THAT( refusal_of( path ), HasSubstr( folder.path() + " belongs to user 65534" ) );
}

TEST( AuthorizedClients, AreReadAgainAndTheDifferenceIsTold )
{
  const Folder folder;
  AuthorizedClients clients { folder.write( "list", line( one ) ), ::geteuid() };
  folder.write( "list", line( other ) );
  const auto change = clients.reload();
  EXPECT_EQ( change.problem, "" );
  EXPECT_THAT( change.added, ElementsAre( key_other ) );
  EXPECT_THAT( change.removed, ElementsAre( key_one ) );
  EXPECT_TRUE( clients.admits( key_other ) );
  EXPECT_FALSE( clients.admits( key_one ) );
  const auto nothing = clients.reload();
  EXPECT_THAT( nothing.added, IsEmpty() );
  EXPECT_THAT( nothing.removed, IsEmpty() );
}

TEST( AuthorizedClients, StayWhenTheFileCannotBeRead )
{
  const Folder folder;
  const std::string path = folder.write( "list", line( one ) );
  AuthorizedClients clients { path, ::geteuid() };
  const auto stays = [&]( const char* word ) {
    const auto change = clients.reload();
    EXPECT_THAT( change.problem, HasSubstr( word ) );
    EXPECT_TRUE( change.added.empty() and change.removed.empty() );
    EXPECT_TRUE( clients.admits( key_one ) );
    EXPECT_EQ( clients.size(), 1U );
  };
  folder.write( "list", line( other ) + "rubbish" );
  stays( ":2: " );
  folder.write( "list", line( other ), 0666 );
  stays( "chmod go-w" );
  ASSERT_EQ( ::unlink( path.c_str() ), 0 );
  stays( "No such file" );
  folder.write( "list", line( other ) );
  EXPECT_EQ( clients.reload().removed.size(), 1U );
}

} // namespace
} // namespace holdfast
