// wan: a wide area network on one machine. Makes a TAP interface in each of two network namespaces and carries
// ethernet frames between them, with delay, jitter, loss, a bottleneck with a bounded queue, and black holes on
// command. The kernel of the machine need not know netem.
//
//   wan NETNS_A NETNS_B [--interface wan0] [--mtu 1500] [COMMAND...]
//
//   ip netns add left; ip netns add right
//   wan left right "delay 50ms" "rate 1gbit"          commands of commands.hh; more of them from standard input
//   ip -n left address add 10.0.0.1/24 dev wan0; ...
//
// It says "ready" when both interfaces are up, answers each line of standard input with one line, and ends, taking
// the interfaces with it, when standard input ends: so it never outlives the test that started it.
//
// Frames keep the kernel's segmentation offload (IFF_VNET_HDR): what the sender's TCP hands over in one piece of up
// to 64 KiB crosses in one piece and is lost in one piece, as between two virtual machines. That is what makes 1
// Gbit/s cheap. --no-offload gives frames of at most the MTU. Each frame counts at the bottleneck with its length,
// without the headers that its segments would have had of their own.

#include "wan/commands.hh"

#include "core/time.hh"
#include "net/error.hh"
#include "net/fd.hh"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <iostream>
#include <span>
#include <string>
#include <vector>

namespace holdfast::wan {
namespace {

constexpr std::size_t offload_header = 10; // struct virtio_net_hdr stands before every frame (linux/virtio_net.h)
constexpr std::size_t frame_max = 65536 + 64; // the largest segment, its ethernet header and the offload header
constexpr std::size_t small_max = 4096;       // frames up to here are copied, larger ones are moved
constexpr int frames_per_turn = 64;           // of one direction, then the other one has its turn

// CLOCK_MONOTONIC, as the timer that wakes us.
Time read_monotonic_clock()
{
  timespec now {};
  ::clock_gettime( CLOCK_MONOTONIC, &now );
  return Time { std::chrono::seconds { now.tv_sec } + std::chrono::nanoseconds { now.tv_nsec } };
}

// What a frame occupies on the wire: its segments, each with headers of its own, and on ethernet preamble, checksum
// and gap.
std::size_t wire_size( std::span<const std::byte> frame )
{
  constexpr std::size_t ethernet_extra = 24;
  const auto number = [&]( std::size_t at ) { // 16 bit, in the order of this machine
    std::uint16_t value = 0;
    std::memcpy( &value, &frame[at], sizeof value );
    return std::size_t { value };
  };
  const std::size_t size = frame.size() - offload_header;
  const auto offload = std::to_integer<int>( frame[1] ); // gso_type; 0: one segment
  const std::size_t headers = number( 2 );               // hdr_len
  const std::size_t payload_max = number( 4 );           // gso_size
  if ( offload == 0 or payload_max == 0 or headers >= size ) {
    return size + ethernet_extra;
  }
  const std::size_t segments = ( size - headers + payload_max - 1 ) / payload_max;
  return size - headers + segments * ( headers + ethernet_extra );
}

// While it lives, this thread is in another network namespace.
class Inside
{
public:
  explicit Inside( const std::string& netns )
  {
    const std::string path = "/run/netns/" + netns;
    const Fd there { ::open( path.c_str(), O_RDONLY | O_CLOEXEC ) };
    if ( not home_ or not there or ::setns( there.get(), CLONE_NEWNET ) != 0 ) {
      fail( fmt::format( "cannot enter the network namespace {} (it takes root)", netns ) );
    }
  }
  Inside( const Inside& ) = delete;
  Inside& operator=( const Inside& ) = delete;
  ~Inside()
  {
    if ( ::setns( home_.get(), CLONE_NEWNET ) != 0 ) {
      std::abort(); // nothing done from here on would be where it belongs
    }
  }

private:
  Fd home_ { ::open( "/proc/self/ns/net", O_RDONLY | O_CLOEXEC ) };
};

struct InterfaceOptions
{
  std::string name = "wan0";
  int mtu = 1500;
  bool no_offload = false;
};

// A TAP interface in this namespace, up, whose wire ends at the descriptor.
Fd make_interface( const std::string& netns, const InterfaceOptions& options )
{
  const Inside inside { netns };
  Fd tap { ::open( "/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC ) };
  ifreq request {};
  request.ifr_flags = static_cast<short>( IFF_TAP | IFF_NO_PI | IFF_VNET_HDR );
  options.name.copy( request.ifr_name, IFNAMSIZ - 1 );
  if ( not tap or ::ioctl( tap.get(), TUNSETIFF, &request ) != 0 ) {
    fail( fmt::format( "cannot make the interface {} in {} (/dev/net/tun)", options.name, netns ) );
  }
  const unsigned long offload = options.no_offload ? 0 : TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
  if ( ::ioctl( tap.get(), TUNSETOFFLOAD, offload ) != 0 ) {
    fail( "TUNSETOFFLOAD" );
  }
  const Fd any { ::socket( AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0 ) };
  request.ifr_mtu = options.mtu;
  if ( ::ioctl( any.get(), SIOCSIFMTU, &request ) != 0 ) {
    fail( fmt::format( "cannot set the MTU of {} in {} to {}", options.name, netns, options.mtu ) );
  }
  request.ifr_flags = 0;
  if ( ::ioctl( any.get(), SIOCGIFFLAGS, &request ) != 0 ) {
    fail( "SIOCGIFFLAGS" );
  }
  request.ifr_flags = static_cast<short>( request.ifr_flags | IFF_UP );
  if ( ::ioctl( any.get(), SIOCSIFFLAGS, &request ) != 0 ) {
    fail( fmt::format( "cannot bring {} in {} up", options.name, netns ) );
  }
  return tap;
}

class Wan
{
public:
  Wan( const std::array<std::string, 2>& netns, const InterfaceOptions& options )
    : taps_ { make_interface( netns[0], options ), make_interface( netns[1], options ) }
    , timer_( ::timerfd_create( CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC ) )
    , epoll_( ::epoll_create1( EPOLL_CLOEXEC ) )
  {
    if ( not timer_ or not epoll_ ) {
      fail( "timerfd_create or epoll_create1" );
    }
    for ( const int fd : { taps_[0].get(), taps_[1].get(), timer_.get(), STDIN_FILENO } ) {
      epoll_event event { .events = EPOLLIN, .data = { .fd = fd } };
      if ( ::epoll_ctl( epoll_.get(), EPOLL_CTL_ADD, fd, &event ) != 0 ) {
        fail( "epoll_ctl (is standard input a regular file? it must be a pipe or a terminal)" );
      }
    }
  }

  Paths& paths() { return paths_; }

  // Carries frames until standard input ends.
  void run()
  {
    bool more = true;
    while ( more ) {
      set_timer();
      std::array<epoll_event, 4> events {};
      const int count = ::epoll_wait( epoll_.get(), events.data(), static_cast<int>( events.size() ), -1 );
      if ( count < 0 and errno != EINTR ) {
        fail( "epoll_wait" );
      }
      for ( int i = 0; i < count; ++i ) {
        const int fd = events[static_cast<std::size_t>( i )].data.fd;
        if ( fd == STDIN_FILENO ) {
          more = read_commands();
        }
      }
      for ( const std::size_t direction : { 0U, 1U } ) {
        deliver( direction );
        take_in( direction );
        deliver( direction ); // without delay a frame need not wait for another turn
      }
    }
  }

private:
  void set_timer()
  {
    const Time due = std::min( paths_.path[0].deadline(), paths_.path[1].deadline() );
    if ( due == timer_set_ ) {
      return;
    }
    timer_set_ = due;
    itimerspec when {};
    if ( due != never ) {
      const auto since = std::max( due.time_since_epoch(), Duration { 1 } ); // all zeros would disarm it
      when.it_value.tv_sec = std::chrono::duration_cast<std::chrono::seconds>( since ).count();
      when.it_value.tv_nsec = ( since % std::chrono::seconds { 1 } ).count();
    }
    if ( ::timerfd_settime( timer_.get(), TFD_TIMER_ABSTIME, &when, nullptr ) != 0 ) { // clears an old expiry, too
      fail( "timerfd_settime" );
    }
  }

  void take_in( std::size_t direction )
  {
    for ( int i = 0; i < frames_per_turn; ++i ) {
      if ( space_.size() != frame_max ) {
        space_.resize( frame_max );
      }
      const ssize_t got = ::read( taps_[direction].get(), space_.data(), space_.size() );
      if ( got <= 0 ) {
        return; // nothing more, or the interface was taken down: that is the network's mood
      }
      const auto size = static_cast<std::size_t>( got );
      if ( size < offload_header ) {
        continue;
      }
      const std::size_t on_wire = wire_size( std::span { space_ }.first( size ) );
      const Time now = read_monotonic_clock();
      if ( size <= small_max ) {
        paths_.path[direction].enter( { space_.begin(), space_.begin() + got }, on_wire, now );
      } else {
        space_.resize( size );
        paths_.path[direction].enter( std::move( space_ ), on_wire, now );
        space_.clear();
      }
    }
  }

  void deliver( std::size_t direction )
  {
    const int to = taps_[1 - direction].get();
    while ( const auto frame = paths_.path[direction].leave( read_monotonic_clock() ) ) {
      if ( ::write( to, frame->data(), frame->size() ) < 0 ) {
        paths_.path[direction].refused();
      }
    }
  }

  // False when standard input has ended.
  bool read_commands()
  {
    std::array<char, 4096> bytes {};
    const ssize_t got = ::read( STDIN_FILENO, bytes.data(), bytes.size() );
    if ( got <= 0 ) {
      return got < 0 and ( errno == EINTR or errno == EAGAIN );
    }
    commands_.append( bytes.data(), static_cast<std::size_t>( got ) );
    for ( auto end = commands_.find( '\n' ); end != std::string::npos; end = commands_.find( '\n' ) ) {
      std::cout << obey( paths_, std::string_view { commands_ }.substr( 0, end ) ) << std::endl;
      commands_.erase( 0, end + 1 );
    }
    return commands_.size() < bytes.size(); // no command is so long
  }

  std::array<Fd, 2> taps_;
  Fd timer_;
  Fd epoll_;
  Paths paths_ {};
  Time timer_set_ = never;
  std::vector<std::byte> space_ {};
  std::string commands_ {};
};

int run( int argc, char** argv )
{
  CLI::App app { "A wide area network between two network namespaces.", "wan" };
  std::array<std::string, 2> netns;
  InterfaceOptions options;
  std::vector<std::string> commands;
  app.add_option( "NETNS_A", netns[0], "A namespace made by ip netns add" )->required();
  app.add_option( "NETNS_B", netns[1], "Another one" )->required();
  app.add_option( "COMMAND", commands, "Conditions to begin with, such as 'delay 50ms' or 'ab loss 1%'" );
  app.add_option( "--interface", options.name, "Name of the interface in both" )->capture_default_str();
  app.add_option( "--mtu", options.mtu )->check( CLI::Range( 576, 65000 ) )->capture_default_str();
  app.add_flag( "--no-offload", options.no_offload, "Frames of at most the MTU" );
  CLI11_PARSE( app, argc, argv );

  ::setpriority( PRIO_PROCESS, 0, -15 ); // frames should be late by the network, not by us
  Wan wan { netns, options };
  for ( const std::string& command : commands ) {
    if ( const std::string answer = obey( wan.paths(), command ); answer != "ok" ) {
      throw StartupError( answer );
    }
  }
  std::cout << "ready" << std::endl;
  wan.run();
  return 0;
}

} // namespace
} // namespace holdfast::wan

int main( int argc, char** argv )
{
  try {
    return holdfast::wan::run( argc, argv );
  } catch ( const std::exception& trouble ) {
    std::cerr << "wan: " << trouble.what() << '\n';
    return 1;
  }
}
