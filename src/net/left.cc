#include "net/left.hh"

#include "net/error.hh"
#include "net/ledger.hh"

#include <fmt/format.h>

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <climits>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <utility>

namespace holdfast {

namespace {

// The numbers of all open descriptors, but for standard ones. They are read before any is touched: the list is of
// this moment.
std::vector<int> open_descriptors()
{
  const std::unique_ptr<DIR, int ( * )( DIR* )> folder { ::opendir( "/proc/self/fd" ), ::closedir };
  if ( not folder ) {
    fail( "cannot see which descriptors are open (/proc/self/fd)" );
  }
  std::vector<int> numbers;
  while ( const dirent* const entry = ::readdir( folder.get() ) ) { // NOLINT(concurrency-mt-unsafe): ours alone
    const std::string_view name { entry->d_name };
    int number = -1;
    std::from_chars( name.data(), name.data() + name.size(), number );
    if ( number > STDERR_FILENO and number != ::dirfd( folder.get() ) ) {
      numbers.push_back( number );
    }
  }
  return numbers;
}

std::string what_is( int fd )
{
  std::array<char, PATH_MAX> target {};
  const ssize_t size = ::readlink( fmt::format( "/proc/self/fd/{}", fd ).c_str(), target.data(), target.size() );
  return { target.data(), static_cast<std::size_t>( std::max<ssize_t>( size, 0 ) ) };
}

bool is_memory( int fd, std::string_view name )
{
  return what_is( fd ) == fmt::format( "/memfd:{} (deleted)", name );
}

bool nothing_has_happened( int fd )
{
  const auto counts = counts_of( fd );
  const bool is_open
    = counts and ( counts->state == TcpState::established or counts->state == TcpState::close_wait );
  const std::uint64_t end = is_open and counts->state == TcpState::close_wait ? 1 : 0;
  linger patience {};
  socklen_t length = sizeof patience;
  const bool is_being_reset
    = ::getsockopt( fd, SOL_SOCKET, SO_LINGER, &patience, &length ) == 0 and patience.l_onoff != 0;
  return is_open and counts->taken == end and counts->given == 0 and not is_being_reset;
}

bool has_ended( TcpState state )
{
  return state == TcpState::last_ack or state == TcpState::closing or state == TcpState::time_wait
         or state == TcpState::closed;
}

} // namespace

Left::Left( std::span<const int> spare ) : Left( spare, std::numeric_limits<int>::max() ) {}

Left::Left( std::span<const int> spare, int given )
{
  for ( const int fd : open_descriptors() ) {
    const int place = fd - ( STDERR_FILENO + 1 );
    if ( place < given and std::ranges::find( spare, fd ) == spare.end() ) {
      sort( fd );
    }
  }
}

Left::~Left()
{
  for ( Fd& fd : memory_ ) {
    static_cast<void>( fd.release() );
  }
  for ( auto& [cookie, fd] : sockets_ ) {
    static_cast<void>( fd.release() );
  }
}

void Left::sort( int fd )
{
  Fd owned { fd }; // closed at once if it is of no use, as is a second descriptor of the same socket
  if ( tcp_state_of( fd ) ) {
    sockets_.emplace( cookie_of( fd ), std::move( owned ) );
  } else if ( what_is( fd ).starts_with( "/memfd:" ) ) {
    memory_.push_back( std::move( owned ) );
  }
}

std::vector<Fd> Left::take_memory( std::string_view name )
{
  std::vector<Fd> taken;
  std::erase_if( memory_, [&]( Fd& fd ) {
    const bool is_it = is_memory( fd.get(), name );
    if ( is_it ) {
      taken.push_back( std::move( fd ) );
    }
    return is_it;
  } );
  return taken;
}

std::size_t Left::count_memory( std::string_view name ) const
{
  return static_cast<std::size_t>(
    std::ranges::count_if( memory_, [&]( const Fd& fd ) { return is_memory( fd.get(), name ); } ) );
}

Fd Left::take( std::uint64_t cookie )
{
  auto node = sockets_.extract( cookie );
  return node.empty() or cookie == 0 ? Fd {} : std::move( node.mapped() );
}

std::vector<Fd> Left::take_listeners( std::string_view host, std::uint16_t port )
{
  std::vector<Fd> taken;
  for ( auto& [cookie, fd] : sockets_ ) {
    if ( tcp_state_of( fd.get() ) == TcpState::listening ) {
      Fd listener = std::move( fd );
      if ( listens_for( listener.get(), host, port ) ) {
        taken.push_back( std::move( listener ) );
      }
    }
  }
  std::erase_if( sockets_, []( const auto& entry ) { return not entry.second; } );
  return taken;
}

std::vector<Fd> Left::take_newcomers( const Address& listener )
{
  std::vector<Fd> taken;
  for ( auto& [cookie, fd] : sockets_ ) {
    if ( is_accepted_by( local_address( fd.get() ), listener ) and nothing_has_happened( fd.get() ) ) {
      taken.push_back( std::move( fd ) );
    }
  }
  std::erase_if( sockets_, []( const auto& entry ) { return not entry.second; } );
  return taken;
}

void Left::close()
{
  memory_.clear();
  for ( auto& [cookie, fd] : sockets_ ) {
    const auto state = tcp_state_of( fd.get() );
    if ( state and not has_ended( *state ) ) {
      close_with_reset( fd );
    }
  }
  sockets_.clear();
}

} // namespace holdfast
