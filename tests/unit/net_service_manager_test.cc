#include "net/service_manager.hh"

#include "net/ledger.hh"
#include "net/socket.hh"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

// A service manager is a datagram socket with a name. Ours has one of those that are no files.

namespace holdfast {
namespace {

struct Heard
{
  std::string text {};
  Fd copy {};
};

class Listening
{
public:
  Listening() : socket_( ::socket( AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0 ) )
  {
    sockaddr_un any {};
    any.sun_family = AF_UNIX;
    EXPECT_EQ( ::bind( socket_.get(), reinterpret_cast<sockaddr*>( &any ), sizeof any.sun_family ), 0 ); // unix(7)
    sockaddr_un ours {};
    socklen_t length = sizeof ours;
    EXPECT_EQ( ::getsockname( socket_.get(), reinterpret_cast<sockaddr*>( &ours ), &length ), 0 );
    address = "@" + std::string { &ours.sun_path[1], length - offsetof( sockaddr_un, sun_path ) - 1 };
  }

  std::optional<Heard> hear()
  {
    std::array<char, 256> text {};
    iovec into { .iov_base = text.data(), .iov_len = text.size() };
    alignas( cmsghdr ) std::array<char, CMSG_SPACE( sizeof( int ) )> room {};
    msghdr header {};
    header.msg_iov = &into;
    header.msg_iovlen = 1;
    header.msg_control = room.data();
    header.msg_controllen = room.size();
    const ssize_t size = ::recvmsg( socket_.get(), &header, 0 );
    if ( size < 0 ) {
      return std::nullopt;
    }
    Heard heard { .text = { text.data(), static_cast<std::size_t>( size ) } };
    if ( cmsghdr* const with = CMSG_FIRSTHDR( &header ); with != nullptr ) {
      int fd = -1;
      std::memcpy( &fd, CMSG_DATA( with ), sizeof fd );
      heard.copy = Fd { fd };
    }
    return heard;
  }

  std::string text()
  {
    const auto heard = hear();
    return heard ? heard->text : "";
  }

  void leave() { socket_.reset(); }

  std::string address {};

private:
  Fd socket_;
};

Fd some_socket()
{
  return Fd { ::socket( AF_INET, SOCK_STREAM, 0 ) };
}

std::string removal_of( const std::string& name )
{
  return "FDSTOREREMOVE=1\nFDNAME=" + name;
}

TEST( ServiceManager, HearsHowWeAre )
{
  Loop loop;
  Listening there;
  ServiceManager manager { loop, { .socket = there.address } };
  manager.say( "READY=1" );
  EXPECT_EQ( there.text(), "READY=1" );
}

TEST( ServiceManager, GetsACopyOfASocketByItsCookie )
{
  Loop loop;
  Listening there;
  ServiceManager manager { loop, { .socket = there.address } };
  const Fd socket = some_socket();
  const std::uint64_t cookie = cookie_of( socket.get() );
  manager.keep( socket.get() );
  const auto kept = there.hear();
  ASSERT_TRUE( kept and kept->copy );
  EXPECT_EQ( kept->text, fmt::format( "FDSTORE=1\nFDPOLL=0\nFDNAME=socket-{}", cookie ) );
  EXPECT_NE( kept->copy.get(), socket.get() );
  EXPECT_EQ( cookie_of( kept->copy.get() ), cookie );
  manager.let_go( cookie );
  EXPECT_EQ( there.text(), removal_of( fmt::format( "socket-{}", cookie ) ) );
}

TEST( ServiceManager, GetsACopyOfMemory )
{
  Loop loop;
  Listening there;
  ServiceManager manager { loop, { .socket = there.address } };
  const Fd memory { ::memfd_create( "ours", MFD_CLOEXEC ) };
  manager.keep( memory.get() );
  const auto kept = there.hear();
  ASSERT_TRUE( kept and kept->copy );
  EXPECT_NE( kept->text.find( "FDNAME=memory-" ), std::string::npos );
}

TEST( ServiceManager, IsNotGivenWhatItHasAndLetsGoOfTheRest )
{
  Loop loop;
  Listening there;
  const Fd known = some_socket();
  const std::string name = fmt::format( "socket-{}", cookie_of( known.get() ) );
  ServiceManager manager { loop, { .socket = there.address, .stored = { name, "socket-0" } } };
  manager.keep( known.get() );
  EXPECT_FALSE( there.hear() );
  manager.let_go_rest();
  EXPECT_EQ( there.text(), removal_of( "socket-0" ) );
  EXPECT_FALSE( there.hear() );
  manager.let_go_rest();
  EXPECT_FALSE( there.hear() ) << "once";
}

// The kernel lets some messages wait in its queue (net.unix.max_dgram_qlen), and takes no more until they are
// heard.
TEST( ServiceManager, ThatDoesNotListenIsToldLaterAndNobodyWaits )
{
  Loop loop;
  Listening there;
  ServiceManager manager { loop, { .socket = there.address } };
  const Fd stays = some_socket();
  Fd goes = some_socket();
  const std::uint64_t gone = cookie_of( goes.get() );
  int said = 0;
  while ( manager.unsaid() == 0 ) {
    ASSERT_LT( said, 100000 );
    manager.say( fmt::format( "{}", said++ ) );
  }
  manager.keep( goes.get() );
  manager.keep( stays.get() );
  manager.let_go( gone );
  goes.reset();
  const Fd another = some_socket(); // has its number
  EXPECT_EQ( manager.unsaid(), 4U );

  std::vector<Heard> heard;
  for ( int turn = 0; turn < 1000 and manager.unsaid() > 0; ++turn ) {
    while ( auto one = there.hear() ) {
      heard.push_back( std::move( *one ) );
    }
    loop.wait( loop.now() );
  }
  while ( auto one = there.hear() ) {
    heard.push_back( std::move( *one ) );
  }
  ASSERT_EQ( heard.size(), static_cast<std::size_t>( said ) + 2 );
  for ( int i = 0; i < said; ++i ) {
    EXPECT_EQ( heard[static_cast<std::size_t>( i )].text, fmt::format( "{}", i ) );
  }
  EXPECT_EQ( cookie_of( heard[heard.size() - 2].copy.get() ), cookie_of( stays.get() ) ) << "the other was closed";
  EXPECT_EQ( heard.back().text, removal_of( fmt::format( "socket-{}", gone ) ) );
}

TEST( ServiceManager, ThatIsNotThereIsSaidOnce )
{
  for ( const char* address : { "/nowhere/at/all", "vsock:2:1234", "@holdfast-nobody", "" } ) {
    Loop loop;
    std::vector<int> told;
    ServiceManager manager { loop,
                             { .socket = address, .trouble = [&]( int error ) { told.push_back( error ); } } };
    manager.say( "READY=1" );
    manager.keep( some_socket().get() );
    manager.let_go( 1 );
    manager.let_go_rest();
    EXPECT_EQ( told.size(), 1U ) << address;
    EXPECT_EQ( manager.unsaid(), 0U );
  }
}

TEST( ServiceManager, ThatGoesAwayIsSaidOnce )
{
  Loop loop;
  Listening there;
  std::vector<int> told;
  ServiceManager manager { loop,
                           { .socket = there.address, .trouble = [&]( int error ) { told.push_back( error ); } } };
  there.leave();
  for ( int i = 0; i < 3; ++i ) {
    manager.say( "READY=1" );
    loop.wait( loop.now() );
  }
  EXPECT_EQ( told.size(), 1U );
  EXPECT_EQ( manager.unsaid(), 0U );
}

} // namespace
} // namespace holdfast
