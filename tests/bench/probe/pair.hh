#pragma once

#include "net/loop.hh"
#include "net/socket.hh"

#include <sys/epoll.h>

#include <cstddef>
#include <functional>
#include <span>
#include <utility>
#include <vector>

namespace holdfast {

inline constexpr std::size_t piece = 262144; // of one read; as large as a relay would choose it to be fast

struct Socket : Watcher
{
  Socket( Loop& its, Fd connected ) : Socket( its, connected.get() ) { own = std::move( connected ); }
  Socket( Loop& its, int connected ) : loop( its ), fd( connected ) // somebody else's
  {
    loop.watch( *this, fd );
  }
  ~Socket() override { loop.unwatch( *this ); }
  [[nodiscard]] std::uint32_t interest() const override
  {
    return ( may_read() ? std::uint32_t { EPOLLIN } : 0U ) | ( may_write() ? std::uint32_t { EPOLLOUT } : 0U );
  }
  void ready( std::uint32_t events ) override
  {
    if ( ( events & EPOLLOUT ) != 0 ) {
      write();
    }
    if ( ( events & ~EPOLLOUT ) != 0 and may_read() ) {
      read();
    }
  }

  Loop& loop;
  Fd own {};
  int fd;
  std::function<bool()> may_read {}, may_write {};
  std::function<void()> read {}, write {};
};

// Bytes that lie one behind the other, from begin to end.
struct Buffer
{
  std::vector<std::byte> bytes = std::vector<std::byte>( piece );
  std::size_t begin = 0, end = 0;

  [[nodiscard]] std::size_t size() const { return end - begin; }
  [[nodiscard]] std::span<std::byte> room() { return std::span { bytes }.subspan( end ); }
  [[nodiscard]] std::span<std::byte> content() { return std::span { bytes }.subspan( begin, size() ); }
  void consume( std::size_t count )
  {
    begin += count;
    if ( begin == end ) {
      begin = end = 0;
    }
  }
};

class Pair
{
public:
  virtual ~Pair() = default;
  [[nodiscard]] bool over() const { return over_; }

protected:
  // False: nothing came.
  bool take( const Socket& from, Buffer& into, bool& ended )
  {
    const Transfer got = receive( from.fd, into.room() );
    into.end += got.count;
    ended = ended or got.kind == Transfer::Kind::ended;
    over_ = over_ or got.kind == Transfer::Kind::failed;
    return got.kind == Transfer::Kind::moved or ended;
  }
  // False: it takes no more now.
  bool give( const Socket& to, Buffer& from )
  {
    const Transfer sent = send( to.fd, from.content() );
    from.consume( sent.count );
    over_ = over_ or sent.kind == Transfer::Kind::failed;
    return from.size() == 0;
  }

  bool over_ = false;
};

} // namespace holdfast
