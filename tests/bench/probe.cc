// bench_probe: what a relay costs at least. Two in a row stand where cproxy and sproxy would.
//
//   bench_probe copy PORT TARGET        only copies: reads from one side, writes to the other
//   bench_probe near PORT FAR           with frames and retention, and nothing else: no sessions, no heartbeats, no
//   bench_probe far PORT TARGET         TLS, one link for each connection; lost when the link is lost
//
// TARGET and FAR are ports of 127.0.0.1. Says "listening on ADDR:PORT" and serves until it is killed.

#include "net/error.hh"
#include "net/listener.hh"
#include "net/loop.hh"
#include "net/signals.hh"
#include "net/socket.hh"
#include "tool.hh"

#include <fmt/format.h>

#include <sys/epoll.h>

#include <array>
#include <charconv>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace holdfast {
namespace {

constexpr std::size_t piece = 262144; // of one read; as large as a relay would choose it to be fast

struct Socket : Watcher
{
  Socket( Loop& its, Fd connected ) : loop( its ), fd( std::move( connected ) ) { loop.watch( *this, fd.get() ); }
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
  Fd fd;
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
  [[nodiscard]] std::span<const std::byte> content() const { return std::span { bytes }.subspan( begin, size() ); }
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
    const Transfer got = receive( from.fd.get(), into.room() );
    into.end += got.count;
    ended = ended or got.kind == Transfer::Kind::ended;
    over_ = over_ or got.kind == Transfer::Kind::failed;
    return got.kind == Transfer::Kind::moved or ended;
  }
  // False: it takes no more now.
  bool give( const Socket& to, Buffer& from )
  {
    const Transfer sent = send( to.fd.get(), from.content() );
    from.consume( sent.count );
    over_ = over_ or sent.kind == Transfer::Kind::failed;
    return from.size() == 0;
  }

  bool over_ = false;
};

// -- only copies -------------------------------------------------------------------------------------------------

class Copy : public Pair
{
public:
  Copy( Loop& loop, Fd accepted, Fd connected )
    : a_( loop, std::move( accepted ) ), b_( loop, std::move( connected ) )
  {
    connect( a_, b_, there_, back_ );
    connect( b_, a_, back_, there_ );
  }

private:
  struct Way
  {
    Buffer buffer {};
    bool ended = false;
  };

  void connect( Socket& from, Socket& to, Way& way, Way& other )
  {
    from.may_read = [&way] { return not way.ended and way.buffer.size() == 0; };
    to.may_write = [&way] { return way.buffer.size() > 0; };
    const auto pass_on = [this, &from, &to, &way, &other] {
      if ( way.buffer.size() > 0 ) {
        give( to, way.buffer );
      }
      if ( way.ended and way.buffer.size() == 0 ) {
        end_writing( to.fd.get() );
        over_ = over_ or other.ended;
      }
      from.loop.touch( from );
      to.loop.touch( to );
    };
    to.write = pass_on;
    from.read = [this, &from, &way, pass_on] {
      if ( take( from, way.buffer, way.ended ) ) {
        pass_on();
      }
    };
  }

  Way there_ {}, back_ {};
  Socket a_, b_;
};

// -- with frames and retention -----------------------------------------------------------------------------------

struct Header
{
  enum class Kind : std::uint32_t
  {
    data,
    acknowledgement,
    end
  };
  std::uint32_t length = 0;
  Kind kind = Kind::data;
  std::uint64_t position = 0;
};

// One end of a link: local bytes are kept until the other end has delivered them.
class Framed : public Pair
{
public:
  Framed( Loop& loop, Fd local, Fd link ) : local_( loop, std::move( local ) ), link_( loop, std::move( link ) )
  {
    local_.may_read
      = [this] { return not local_ended_ and outgoing_.empty() and kept() + payload_max <= ring_size; };
    local_.may_write = [this] { return payload_ > 0 and arrived_.size() > 0; };
    local_.read = [this] { read_local(); };
    local_.write = [this] { deliver(); };
    link_.may_read = [this] { return not link_ended_ and arrived_.end < arrived_.bytes.size(); };
    link_.may_write = [this] { return not outgoing_.empty(); };
    link_.read = [this] { read_link(); };
    link_.write = [this] { flush(); };
  }

private:
  static constexpr std::size_t payload_max = 131072;
  static constexpr std::size_t ring_size = 1U << 20U;

  [[nodiscard]] std::size_t kept() const { return read_ - acknowledged_; }

  void touch()
  {
    local_.loop.touch( local_ );
    link_.loop.touch( link_ );
  }

  void read_local()
  {
    const std::size_t at = read_ % ring_size;
    const auto room = std::span { ring_ }.subspan( at, std::min( payload_max, ring_size - at ) );
    const Transfer got = receive( local_.fd.get(), room );
    over_ = over_ or got.kind == Transfer::Kind::failed;
    if ( got.kind == Transfer::Kind::ended ) {
      local_ended_ = true;
      say( { .kind = Header::Kind::end, .position = read_ }, {} );
    } else if ( got.count > 0 ) {
      say( { .length = static_cast<std::uint32_t>( got.count ), .position = read_ }, room.first( got.count ) );
      read_ += got.count;
    }
    flush();
  }

  void say( Header header, std::span<std::byte> payload )
  {
    headers_.resize( headers_.size() + sizeof header );
    std::memcpy( headers_.data() + headers_.size() - sizeof header, &header, sizeof header );
    if ( not payload.empty() ) {
      payload_out_ = payload;
    }
    outgoing_ = { { .iov_base = headers_.data(), .iov_len = headers_.size() } };
    if ( not payload_out_.empty() ) {
      outgoing_.push_back( { .iov_base = payload_out_.data(), .iov_len = payload_out_.size() } );
    }
  }

  void flush()
  {
    if ( not outgoing_.empty() ) {
      const Transfer sent = send( link_.fd.get(), outgoing_ );
      over_ = over_ or sent.kind == Transfer::Kind::failed;
      std::size_t count = sent.count;
      const std::size_t of_headers = std::min( count, headers_.size() );
      headers_.erase( headers_.begin(), headers_.begin() + static_cast<std::ptrdiff_t>( of_headers ) );
      payload_out_ = payload_out_.subspan( count - of_headers );
      outgoing_.clear();
      if ( not headers_.empty() ) {
        outgoing_.push_back( { .iov_base = headers_.data(), .iov_len = headers_.size() } );
      }
      if ( not payload_out_.empty() ) {
        outgoing_.push_back( { .iov_base = payload_out_.data(), .iov_len = payload_out_.size() } );
      }
    }
    touch();
  }

  void read_link()
  {
    if ( take( link_, arrived_, link_ended_ ) ) {
      deliver();
    }
    over_ = over_ or ( link_ended_ and arrived_.size() == 0 );
  }

  // Takes frames apart as far as the local socket takes their bytes.
  void deliver()
  {
    while ( not over_ ) {
      if ( payload_ > 0 ) {
        const auto part = arrived_.content().first( std::min<std::size_t>( payload_, arrived_.size() ) );
        if ( part.empty() ) {
          break;
        }
        const Transfer sent = send( local_.fd.get(), part );
        over_ = over_ or sent.kind == Transfer::Kind::failed;
        arrived_.consume( sent.count );
        payload_ -= static_cast<std::uint32_t>( sent.count );
        delivered_ += sent.count;
        if ( sent.count < part.size() ) {
          break;
        }
      } else if ( arrived_.size() < sizeof( Header ) or not next_frame() ) {
        break;
      }
    }
    make_room();
    if ( delivered_ - told_ >= payload_max and outgoing_.empty() ) {
      told_ = delivered_;
      say( { .kind = Header::Kind::acknowledgement, .position = delivered_ }, {} );
    }
    flush();
  }

  // False: it was the last one.
  bool next_frame()
  {
    Header header;
    std::memcpy( &header, arrived_.content().data(), sizeof header );
    arrived_.consume( sizeof header );
    switch ( header.kind ) {
      case Header::Kind::data: payload_ = header.length; break;
      case Header::Kind::acknowledgement: acknowledged_ = header.position; break;
      case Header::Kind::end:
        end_writing( local_.fd.get() );
        their_end_ = true;
        break;
    }
    over_ = over_ or ( their_end_ and local_ended_ and outgoing_.empty() );
    return not over_;
  }

  void make_room()
  {
    if ( arrived_.begin > 0 and arrived_.bytes.size() - arrived_.end < sizeof( Header ) ) {
      std::memmove( arrived_.bytes.data(), arrived_.content().data(), arrived_.size() );
      arrived_.end -= arrived_.begin;
      arrived_.begin = 0;
    }
  }

  std::vector<std::byte> ring_ = std::vector<std::byte>( ring_size );
  std::uint64_t read_ = 0, acknowledged_ = 0, delivered_ = 0, told_ = 0;
  std::vector<std::byte> headers_ {};
  std::span<std::byte> payload_out_ {};
  std::vector<iovec> outgoing_ {}; // headers, then the payload behind the last one
  Buffer arrived_ {};
  std::uint32_t payload_ = 0; // of the frame that is being delivered, yet to come
  bool local_ended_ = false, link_ended_ = false, their_end_ = false;
  Socket local_, link_;
};

// -- the program -------------------------------------------------------------------------------------------------

std::uint16_t port_in( const char* text )
{
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars( text, text + std::strlen( text ), port );
  if ( error != std::errc {} or *end != '\0' ) {
    throw StartupError( fmt::format( "'{}' is not a port", text ) );
  }
  return port;
}

std::unique_ptr<Pair> pair_for( const std::string& role, Loop& loop, Fd accepted, Fd connected )
{
  prepare_leg( accepted.get() );
  prepare_leg( connected.get() );
  if ( role == "copy" ) {
    return std::make_unique<Copy>( loop, std::move( accepted ), std::move( connected ) );
  }
  return role == "near" ? std::make_unique<Framed>( loop, std::move( accepted ), std::move( connected ) )
                        : std::make_unique<Framed>( loop, std::move( connected ), std::move( accepted ) );
}

int run( int argc, char** argv )
{
  const std::string role = argc == 4 ? argv[1] : "";
  if ( role != "copy" and role != "near" and role != "far" ) {
    fmt::print( stderr, "usage: bench_probe copy|near|far PORT PORT-TO\n" );
    return 2;
  }
  const auto to = literal_address( "127.0.0.1", port_in( argv[3] ) );
  raise_descriptor_limit();
  Loop loop;
  const Signals signals { loop };
  std::vector<std::unique_ptr<Pair>> pairs;
  const Listener listener { loop,
                            listen_for( "127.0.0.1", port_in( argv[2] ) ),
                            [&]( Fd socket, const Address& ) {
                              Connecting connecting = connect_to( *to );
                              if ( connecting.fd ) {
                                pairs.push_back(
                                  pair_for( role, loop, std::move( socket ), std::move( connecting.fd ) ) );
                              }
                            },
                            []( int error ) { fail( "cannot accept", error ); } };
  fmt::print( "listening on {}\n", listener.address().text() );
  std::fflush( stdout );
  while ( signals.stops() == 0 ) {
    loop.wait( never );
    std::erase_if( pairs, []( const auto& pair ) { return pair->over(); } );
  }
  return 0;
}

} // namespace
} // namespace holdfast

int main( int argc, char** argv )
{
  return holdfast::run_tool( "bench_probe", holdfast::run, argc, argv );
}
