#pragma once

#include "net/socket.hh"

#include <gtest/gtest.h>

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

// Programs and targets that talk through proxies, and check every byte.

namespace holdfast::test {

// For a process that is yet to start. Not one of those that the kernel chooses by itself (from 32768 on), which it
// may give to a test beside this one meanwhile; and each process tries others first. As long as this process lives,
// nobody else is given it: two tests once had the same one, each before the other listened.
inline std::uint16_t free_port()
{
  constexpr unsigned first = 10000;
  constexpr unsigned count = 22000;
  constexpr unsigned each = 50;
  static unsigned taken = 0;
  static std::vector<Fd> reservations;
  for ( ;; ) {
    const auto port
      = static_cast<std::uint16_t>( first + ( static_cast<unsigned>( ::getpid() ) * each + taken++ ) % count );
    const Address address = *literal_address( "127.0.0.1", port );
    Fd reservation { ::socket( AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0 ) };
    if ( ::bind( reservation.get(), address.raw(), address.length ) == 0 ) { // else somebody has it
      const int yes = 1; // from now on somebody may listen there who says the same (socket.hh)
      EXPECT_EQ( ::setsockopt( reservation.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes ), 0 );
      reservations.push_back( std::move( reservation ) );
      return port;
    }
  }
}

inline std::byte byte_at( std::uint64_t stream, std::uint64_t at )
{
  return static_cast<std::byte>( ( ( at * 31 + stream * 7 ) ^ ( at >> 8U ) ^ ( at >> 16U ) ) & 0xffU );
}

inline void set_blocking_patience( int fd )
{
  const timeval patience { .tv_sec = 60, .tv_usec = 0 };
  ::setsockopt( fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience );
  ::setsockopt( fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience );
}

inline bool write_all( int fd, std::span<const std::byte> bytes )
{
  while ( not bytes.empty() ) {
    const ssize_t n = ::send( fd, bytes.data(), bytes.size(), MSG_NOSIGNAL );
    if ( n <= 0 ) {
      return false;
    }
    bytes = bytes.subspan( static_cast<std::size_t>( n ) );
  }
  return true;
}

// Says back what it hears, and ends when its program does; or resets whoever says anything.
class EchoTarget
{
public:
  EchoTarget() : listener_( ::socket( AF_INET, SOCK_STREAM, 0 ) )
  {
    const Address any = *literal_address( "127.0.0.1", 0 );
    EXPECT_EQ( ::bind( listener_.get(), any.raw(), any.length ), 0 );
    EXPECT_EQ( ::listen( listener_.get(), 1000 ), 0 );
    port = static_cast<std::uint16_t>( std::stoi( local_address( listener_.get() ).text().substr( 10 ) ) );
  }
  void start()
  {
    acceptor_ = std::thread { [this] {
      for ( int fd = ::accept( listener_.get(), nullptr, nullptr ); fd >= 0;
            fd = ::accept( listener_.get(), nullptr, nullptr ) ) {
        const std::scoped_lock lock { mutex_ };
        echoes_.emplace_back( [this, fd] { echo( Fd { fd } ); } );
      }
    } };
  }
  ~EchoTarget()
  {
    ::shutdown( listener_.get(), SHUT_RDWR );
    acceptor_.join();
    for ( std::thread& each : echoes_ ) {
      each.join();
    }
  }
  std::uint16_t port = 0;
  std::atomic<int> resets = 0; // that it saw
  std::atomic<bool> resets_all = false;

private:
  void echo( Fd fd )
  {
    set_blocking_patience( fd.get() );
    std::vector<std::byte> bytes( 70000 );
    for ( ;; ) {
      const ssize_t n = ::recv( fd.get(), bytes.data(), bytes.size(), 0 );
      if ( n <= 0 ) {
        resets += n < 0 and errno == ECONNRESET ? 1 : 0;
        ::shutdown( fd.get(), SHUT_WR );
        return;
      }
      if ( resets_all ) {
        close_with_reset( fd );
        return;
      }
      if ( not write_all( fd.get(), std::span { bytes }.first( static_cast<std::size_t>( n ) ) ) ) {
        return;
      }
    }
  }
  Fd listener_;
  std::mutex mutex_ {};
  std::vector<std::thread> echoes_ {};
  std::thread acceptor_ {};
};

inline std::string log_level()
{
  const char* const level = std::getenv( "HOLDFAST_TEST_LOG" );
  return level == nullptr ? "off" : level;
}

// Connects, however often that is refused while nobody listens yet.
inline Fd dial( std::uint16_t port )
{
  const Address address = *literal_address( "127.0.0.1", port );
  Fd fd { ::socket( AF_INET, SOCK_STREAM, 0 ) };
  set_blocking_patience( fd.get() );
  EXPECT_EQ( ::connect( fd.get(), address.raw(), address.length ), 0 );
  return fd;
}

// Says `size` bytes and its end, and hears them all again; counts itself when it hears the first. What went wrong,
// or nothing.
inline std::string converse( std::uint16_t port,
                             std::uint64_t stream,
                             std::size_t size,
                             std::size_t piece,
                             std::atomic<std::size_t>& begun )
{
  const Fd fd = dial( port );
  std::thread writer { [&] {
    std::vector<std::byte> bytes;
    for ( std::size_t at = 0; at < size; at += bytes.size() ) {
      bytes.resize( std::min( piece, size - at ) );
      for ( std::size_t i = 0; i < bytes.size(); ++i ) {
        bytes[i] = byte_at( stream, at + i );
      }
      if ( not write_all( fd.get(), bytes ) ) {
        return;
      }
    }
    ::shutdown( fd.get(), SHUT_WR );
  } };
  std::string wrong;
  std::size_t at = 0;
  std::vector<std::byte> bytes( 50000 );
  for ( ;; ) {
    const ssize_t n = ::recv( fd.get(), bytes.data(), bytes.size(), 0 );
    if ( n < 0 ) {
      wrong = "error " + std::to_string( errno ) + " after " + std::to_string( at );
      break;
    }
    if ( n == 0 ) {
      wrong = at == size ? "" : "it ends after " + std::to_string( at );
      break;
    }
    begun += at == 0 ? 1U : 0U;
    for ( std::size_t i = 0; i < static_cast<std::size_t>( n ); ++i, ++at ) {
      if ( at >= size or bytes[i] != byte_at( stream, at ) ) {
        wrong = "another byte at " + std::to_string( at );
        break;
      }
    }
    if ( not wrong.empty() ) {
      break;
    }
  }
  ::shutdown( fd.get(), SHUT_RDWR );
  writer.join();
  return wrong;
}

struct Conversations
{
  Conversations( std::uint16_t port, std::size_t count, std::size_t size, std::size_t rounds = 1 )
  {
    for ( std::size_t i = 0; i < count; ++i ) {
      threads.emplace_back( [this, port, i, size, rounds] {
        for ( std::size_t round = 0; round < rounds; ++round ) {
          const std::string wrong = converse( port, i + 100 * round, size, 1000 + 40000 * ( i % 3 ), begun );
          const std::scoped_lock lock { mutex };
          ++done;
          if ( not wrong.empty() ) {
            problems.push_back( std::to_string( i ) + ": " + wrong );
          }
        }
      } );
    }
  }
  void join()
  {
    for ( std::thread& thread : threads ) {
      thread.join();
    }
    for ( const std::string& problem : problems ) {
      ADD_FAILURE() << problem;
    }
  }
  std::vector<std::thread> threads {};
  std::mutex mutex {};
  std::vector<std::string> problems {};
  std::atomic<std::size_t> begun = 0;
  std::atomic<std::size_t> done = 0;
};

// Says one byte and hears it again.
inline bool says( const Fd& fd, char letter )
{
  const std::array said { static_cast<std::byte>( letter ) };
  std::array<std::byte, 1> heard {};
  return write_all( fd.get(), said ) and ::recv( fd.get(), heard.data(), 1, 0 ) == 1 and heard == said;
}

} // namespace holdfast::test
