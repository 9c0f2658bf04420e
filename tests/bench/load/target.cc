#include "load/common.hh"
#include "net/error.hh"
#include "net/listener.hh"
#include "net/loop.hh"
#include "net/signals.hh"
#include "net/socket.hh"

#include <sys/epoll.h>

#include <cstdio>
#include <memory>

namespace holdfast::load {

namespace {

std::span<const std::byte> as_bytes( const std::string& text )
{
  return std::as_bytes( std::span { text } );
}

// One session, as the target serves it.
class Served : public Watcher
{
public:
  Served( Loop& loop, Fd socket ) : loop_( loop ), socket_( std::move( socket ) ), taken_( loop.now() )
  {
    prepare_leg( socket_.get() );
    loop_.watch( *this, socket_.get() );
  }
  Served( const Served& ) = delete;
  Served& operator=( const Served& ) = delete;
  ~Served() override { loop_.unwatch( *this ); } // before the socket closes

  [[nodiscard]] bool over() const { return over_; }

  [[nodiscard]] std::uint32_t interest() const override
  {
    return ( may_read() ? std::uint32_t { EPOLLIN } : 0U ) | ( may_write() ? std::uint32_t { EPOLLOUT } : 0U );
  }

  void ready( std::uint32_t events ) override
  {
    if ( ( events & ( EPOLLIN | EPOLLHUP | EPOLLERR ) ) != 0 ) {
      take();
    }
    if ( task_ == 'e' or ( events & EPOLLOUT ) != 0 ) { // an echo does not wait to be told that it may be sent
      give();
    }
  }

private:
  [[nodiscard]] bool sends() const { return task_ == 'd' or task_ == 'b'; }
  [[nodiscard]] bool may_read() const { return not over_ and ( task_ != 'e' or out_.empty() ); }
  [[nodiscard]] bool may_write() const { return not over_ and ( not out_.empty() or ( sends() and not ended_ ) ); }

  void take()
  {
    const Transfer got = receive( socket_.get(), buffer() );
    switch ( got.kind ) {
      case Transfer::Kind::would_block: return;
      case Transfer::Kind::failed: over_ = true; return;
      case Transfer::Kind::ended: end(); return;
      case Transfer::Kind::moved: break;
    }
    auto bytes = std::span<const std::byte> { buffer() }.first( got.count );
    if ( task_ == 0 ) {
      task_ = static_cast<char>( bytes.front() );
      bytes = bytes.subspan( 1 );
      taken_ = Series { loop_.now() };
    }
    if ( task_ == 'e' ) {
      out_.assign( reinterpret_cast<const char*>( bytes.data() ), bytes.size() );
    } else {
      const auto bulk = pattern_part( bytes );
      if ( not pattern().is_at( received_, bulk ) ) {
        throw StartupError( fmt::format( "the target got a wrong byte, after {} right ones", received_ ) );
      }
      received_ += bulk.size();
      taken_.add( bulk.size(), read_clock() );
      if ( bulk.size() < bytes.size() ) { // the app has said that this is all
        end();
      }
    }
  }

  void end()
  {
    ended_ = true;
    if ( task_ == 'e' or reported_ ) {
      over_ = true;
    } else {
      reported_ = true;
      out_ = taken_.text() + "\n";
    }
  }

  void give()
  {
    if ( not may_write() ) {
      return;
    }
    const Transfer sent = send( socket_.get(), out_.empty() ? pattern().from( sent_ ) : as_bytes( out_ ) );
    if ( sent.kind == Transfer::Kind::failed ) {
      over_ = true;
    } else if ( out_.empty() ) {
      sent_ += sent.count;
    } else {
      out_.erase( 0, sent.count );
    }
  }

  Loop& loop_;
  Fd socket_;
  char task_ = 0;         // what it is to do, once it was said
  bool ended_ = false;    // the app has said that it will say no more
  bool reported_ = false; // how much came: the app closes then
  bool over_ = false;
  std::uint64_t received_ = 0; // of the pattern
  std::uint64_t sent_ = 0;
  std::string out_ {}; // to be echoed, or the report
  Series taken_;
};

} // namespace

int serve( const std::string& bind, std::uint16_t port )
{
  Loop loop;
  const Signals signals { loop };
  std::vector<std::unique_ptr<Served>> sessions;
  const Listener listener { loop,
                            listen_for( bind, port ),
                            [&]( Fd socket, const Address& ) {
                              sessions.push_back( std::make_unique<Served>( loop, std::move( socket ) ) );
                            },
                            []( int error ) { fail( "the target cannot accept a session", error ); } };
  fmt::print( "listening on {}\n", listener.address().text() );
  std::fflush( stdout );
  while ( signals.stops() == 0 ) {
    loop.wait( never );
    std::erase_if( sessions, []( const auto& session ) { return session->over(); } );
  }
  return 0;
}

} // namespace holdfast::load
