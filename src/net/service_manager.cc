#include "net/service_manager.hh"

#include "net/error.hh"
#include "net/ledger.hh"

#include <fmt/format.h>

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace holdfast {

namespace {

// Connected, so that it can be used when no path can be opened and no such socket be made any more. None, with
// errno: there is nobody.
Fd connect_to_manager( std::string_view address )
{
  sockaddr_un there {};
  there.sun_family = AF_UNIX;
  const bool is_known = address.starts_with( '/' ) or address.starts_with( '@' );
  if ( not is_known or address.size() >= sizeof there.sun_path ) {
    errno = EAFNOSUPPORT; // a virtual machine's, for one
    return {};
  }
  std::ranges::copy( address, std::begin( there.sun_path ) );
  socklen_t length = sizeof there;
  if ( address.front() == '@' ) { // abstract: begins with a zero, and its length counts
    there.sun_path[0] = '\0';
    length = static_cast<socklen_t>( offsetof( sockaddr_un, sun_path ) + address.size() );
  }
  Fd socket { ::socket( AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0 ) };
  const bool is_there
    = socket and ::connect( socket.get(), reinterpret_cast<const sockaddr*>( &there ), length ) == 0;
  return is_there ? std::move( socket ) : Fd {};
}

std::string name_of_socket( std::uint64_t cookie )
{
  return fmt::format( "socket-{}", cookie );
}

// What the kernel tells apart as long as it lives, whatever number it has here.
std::string name_of( int fd )
{
  if ( const std::uint64_t cookie = cookie_of( fd ); cookie != 0 ) {
    return name_of_socket( cookie );
  }
  struct stat about
  {};
  return ::fstat( fd, &about ) == 0 ? fmt::format( "memory-{}", about.st_ino ) : std::string {};
}

} // namespace

ServiceManager::ServiceManager( Loop& loop, Config config )
  : loop_( loop )
  , trouble_( std::move( config.trouble ) )
  , socket_( connect_to_manager( config.socket ) )
  , stored_( config.stored.begin(), config.stored.end() )
{
  if ( socket_ ) {
    loop_.watch( *this, socket_.get() );
  } else {
    complain( errno );
  }
}

ServiceManager::~ServiceManager()
{
  loop_.unwatch( *this ); // before the socket closes
}

void ServiceManager::say( std::string_view state )
{
  add( { .text = std::string { state } } );
}

// FDPOLL=0: else it would drop its copy as soon as both streams have ended, while we may still have bytes to read.
void ServiceManager::keep( int fd )
{
  std::string name = name_of( fd );
  if ( stored_.erase( name ) == 0 ) {
    std::string text = fmt::format( "FDSTORE=1\nFDPOLL=0\nFDNAME={}", name );
    add( { .text = std::move( text ), .copied = fd, .name = std::move( name ) } );
  }
}

void ServiceManager::let_go( std::uint64_t cookie )
{
  add( { .text = fmt::format( "FDSTOREREMOVE=1\nFDNAME={}", name_of_socket( cookie ) ) } );
}

void ServiceManager::let_go_rest()
{
  for ( const std::string& name : std::exchange( stored_, {} ) ) {
    add( { .text = fmt::format( "FDSTOREREMOVE=1\nFDNAME={}", name ) } );
  }
}

void ServiceManager::add( Message message )
{
  if ( not socket_ ) {
    return;
  }
  if ( unsaid_.size() == unsaid_max ) {
    complain( ENOBUFS );
    return;
  }
  unsaid_.push_back( std::move( message ) );
  speak();
}

void ServiceManager::speak()
{
  while ( not unsaid_.empty() ) {
    const int error = send( unsaid_.front() );
    if ( error == EAGAIN ) {
      break;
    }
    unsaid_.pop_front();
    if ( error != 0 ) {
      complain( error );
    }
  }
  loop_.touch( *this );
}

// Returns 0 or an errno.
int ServiceManager::send( const Message& message ) const
{
  iovec text { .iov_base = const_cast<char*>( message.text.data() ), .iov_len = message.text.size() };
  msghdr header {};
  header.msg_iov = &text;
  header.msg_iovlen = 1;
  alignas( cmsghdr ) std::array<char, CMSG_SPACE( sizeof( int ) )> room {};
  if ( message.copied >= 0 ) {
    if ( name_of( message.copied ) != message.name ) {
      return 0; // closed while this waited
    }
    header.msg_control = room.data();
    header.msg_controllen = room.size();
    cmsghdr* const with = CMSG_FIRSTHDR( &header );
    with->cmsg_level = SOL_SOCKET;
    with->cmsg_type = SCM_RIGHTS;
    with->cmsg_len = CMSG_LEN( sizeof( int ) );
    std::memcpy( CMSG_DATA( with ), &message.copied, sizeof( int ) );
  }
  ssize_t sent = -1;
  do {
    sent = ::sendmsg( socket_.get(), &header, MSG_NOSIGNAL );
  } while ( sent < 0 and errno == EINTR );
  return sent >= 0 ? 0 : errno;
}

void ServiceManager::complain( int error )
{
  if ( const auto trouble = std::exchange( trouble_, nullptr ) ) {
    trouble( error );
  }
}

std::uint32_t ServiceManager::interest() const
{
  return unsaid_.empty() ? 0U : EPOLLOUT;
}

void ServiceManager::ready( std::uint32_t events )
{
  if ( ( events & ( EPOLLERR | EPOLLHUP ) ) != 0 ) { // it has gone: nobody to talk to any more
    loop_.unwatch( *this );
    socket_.reset();
    unsaid_.clear();
    complain( ECONNREFUSED );
    return;
  }
  speak();
}

} // namespace holdfast
