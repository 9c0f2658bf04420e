#pragma once

#include "net/clock.hh"
#include "net/error.hh"
#include "net/loop.hh"
#include "net/socket.hh"

#include <fmt/format.h>

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace holdfast {

// An app whose target is `bench_load target`: says a record of a known pattern now and then, and checks the echo
// byte for byte.
class EchoApp : public Watcher
{
public:
  static constexpr std::size_t record_size = 32; // what it says at once: some keystrokes

  EchoApp( Loop& loop, std::uint64_t number, const Address& to, Duration every )
    : loop_( loop ), number_( number ), every_( every ), next_( loop.now() )
  {
    Connecting connecting = connect_to( to );
    if ( not connecting.fd ) {
      fail( "connect", connecting.error );
    }
    socket_ = std::move( connecting.fd );
    prepare_leg( socket_.get() );
    loop_.watch( *this, socket_.get() );
  }
  EchoApp( const EchoApp& ) = delete;
  EchoApp& operator=( const EchoApp& ) = delete;
  ~EchoApp() override { loop_.unwatch( *this ); } // before the socket closes

  [[nodiscard]] std::uint32_t interest() const override
  {
    return lost_ ? 0U : EPOLLIN | ( connected_ ? 0U : std::uint32_t { EPOLLOUT } );
  }

  void ready( std::uint32_t events ) override
  {
    if ( not connected_ and ( events & EPOLLOUT ) != 0 ) {
      connected_ = true;
      const std::array task { std::byte { 'e' } }; // bench_load's target: echo
      lost_ = lost_ or send( socket_.get(), task ).kind != Transfer::Kind::moved;
    }
    while ( not lost_ ) {
      std::array<std::byte, 4096> bytes;
      const Transfer got = receive( socket_.get(), bytes );
      if ( got.kind == Transfer::Kind::would_block ) {
        return;
      }
      lost_ = got.kind != Transfer::Kind::moved;
      take( std::span { bytes }.first( got.count ) );
    }
    loop_.mute( *this );
  }

  // When it is time for the next record.
  void speak( Time now )
  {
    if ( connected_ and now >= next_ ) {
      next_ = std::max( next_ + every_, now ); // those who were late do not come together from then on
      say( now );
    }
  }
  void say( Time now )
  {
    if ( not connected_ or lost_ ) {
      return;
    }
    std::array<std::byte, record_size> record;
    for ( std::byte& byte : record ) {
      byte = pattern( number_, sent_++ );
    }
    lost_ = send( socket_.get(), record ).count != record.size(); // the socket has room for minutes of this
    said_.push_back( now );
  }

  // Time begins now: it is back when it gets an echo beyond what it has had until now.
  void mark( Time now )
  {
    marked_ = now;
    had_ = received_;
    back_ = never;
    worst_ = {};
  }
  [[nodiscard]] bool heard() const { return received_ > 0; }
  [[nodiscard]] bool lost() const { return lost_; }
  [[nodiscard]] bool wrong() const { return wrong_; }
  [[nodiscard]] bool is_back() const { return back_ != never; }
  [[nodiscard]] Duration took() const { return back_ - marked_; }
  [[nodiscard]] Duration worst() const { return worst_; } // echo since the mark

private:
  // The byte at this position of this app's stream: eight at a time from a hash (splitmix64's finalizer), so that a
  // byte that is lost, doubled or another app's does not fit.
  [[nodiscard]] static std::byte pattern( std::uint64_t app, std::uint64_t position )
  {
    std::uint64_t mixed = ( app << 40U ) + position / 8 + 0x9E3779B97F4A7C15U;
    mixed = ( mixed ^ ( mixed >> 30U ) ) * 0xBF58476D1CE4E5B9U;
    mixed = ( mixed ^ ( mixed >> 27U ) ) * 0x94D049BB133111EBU;
    mixed ^= mixed >> 31U;
    return static_cast<std::byte>( mixed >> ( position % 8 * 8 ) );
  }

  void take( std::span<const std::byte> bytes )
  {
    const Time now = read_clock();
    for ( const std::byte byte : bytes ) {
      wrong_ = wrong_ or byte != pattern( number_, received_ );
      if ( ++received_ % record_size == 0 and not said_.empty() ) {
        worst_ = std::max( worst_, now - said_.front() );
        said_.pop_front();
      }
    }
    if ( received_ > had_ and back_ == never ) {
      back_ = now;
    }
  }

  Loop& loop_;
  std::uint64_t number_;
  Duration every_;
  Time next_;
  Fd socket_ {};
  bool connected_ = false;
  bool lost_ = false;
  bool wrong_ = false;
  std::uint64_t sent_ = 0;
  std::uint64_t received_ = 0;
  std::deque<Time> said_ {}; // records without an echo
  Time marked_ {};
  std::uint64_t had_ = 0; // bytes, at the mark
  Time back_ = never;
  Duration worst_ {};
};

// Many of them, and what they know together.
class EchoApps
{
public:
  using All = std::vector<std::unique_ptr<EchoApp>>;

  All& all() { return all_; }
  [[nodiscard]] const All& all() const { return all_; }

  // "mark", "say", "mark and say" or "report"; what there is to answer.
  [[nodiscard]] std::string obey( const std::string& order )
  {
    if ( order == "report" ) {
      return report();
    }
    const Time now = read_clock();
    if ( order.starts_with( "mark" ) ) {
      marked_ = now;
      std::ranges::for_each( all_, [now]( const auto& app ) { app->mark( now ); } );
    }
    if ( order.ends_with( "say" ) ) {
      std::ranges::for_each( all_, [now]( const auto& app ) { app->say( now ); } );
    }
    return "done";
  }

private:
  // The mark (ns of the clock), milliseconds from it until half, nine tenths and all of the sessions that are back
  // were; the longest echo, of one that was said since the mark or heard after it; sessions lost, and those with a
  // wrong byte.
  [[nodiscard]] std::string report() const
  {
    std::vector<double> back;
    double worst = 0;
    for ( const auto& app : all_ ) {
      worst = std::max( worst, in_ms( app->worst() ) );
      if ( app->is_back() ) {
        back.push_back( in_ms( app->took() ) );
      }
    }
    std::ranges::sort( back );
    const auto at
      = [&]( std::size_t percent ) { return back.empty() ? 0 : back[( back.size() * percent + 99 ) / 100 - 1]; };
    return fmt::format(
      R"({{"mark":{},"count":{},"back":{},"p50":{:.1f},"p90":{:.1f},"max":{:.1f},"echo":{:.1f},"lost":{},"wrong":{}}})",
      marked_.time_since_epoch().count(),
      all_.size(),
      back.size(),
      at( 50 ),
      at( 90 ),
      at( 100 ),
      worst,
      std::ranges::count_if( all_, []( const auto& app ) { return app->lost(); } ),
      std::ranges::count_if( all_, []( const auto& app ) { return app->wrong(); } ) );
  }

  static double in_ms( Duration duration ) { return std::chrono::duration<double, std::milli>( duration ).count(); }

  All all_ {};
  Time marked_ {};
};

} // namespace holdfast
