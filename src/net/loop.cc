#include "net/loop.hh"

#include "net/error.hh"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <utility>

namespace holdfast {

namespace {

constexpr int events_per_turn = 256; // enough to be fair, few enough that timers are looked at often

// The second half of a handshake is an event, too, and takes half a millisecond: 256 of them would be 130 ms.
constexpr Duration telling_max = std::chrono::milliseconds { 5 };

int milliseconds_until( Time deadline, Time now )
{
  if ( deadline <= now ) {
    return 0;
  }
  const auto wait = std::min<Duration>( deadline - now, std::chrono::hours { 1 } );
  return static_cast<int>( std::chrono::ceil<std::chrono::milliseconds>( wait ).count() );
}

} // namespace

Watcher::~Watcher()
{
  if ( loop_ != nullptr ) {
    loop_->unwatch( *this );
  }
}

Loop::Loop()
  : epoll_( ::epoll_create1( EPOLL_CLOEXEC ) ), now_( read_clock() ), gauge_( now_, read_monotonic_clock() )
{
  if ( not epoll_ ) {
    fail( "epoll_create1" );
  }
}

void Loop::watch( Watcher& watcher, int fd )
{
  assert( watcher.loop_ == nullptr and fd >= 0 );
  watcher.loop_ = this;
  watcher.fd_ = fd;
  watcher.in_epoll_ = false; // until its interest is known
  watcher.registered_ = 0;
  watcher.muted_ = false;
  touch( watcher );
}

void Loop::unwatch( Watcher& watcher )
{
  if ( watcher.loop_ == nullptr ) {
    return;
  }
  if ( watcher.in_epoll_ ) {
    ::epoll_ctl( epoll_.get(), EPOLL_CTL_DEL, watcher.fd_, nullptr );
  }
  if ( watcher.touched_ ) {
    std::erase( touched_, &watcher );
  }
  for ( Event& event : pending_ ) {
    if ( event.watcher == &watcher ) {
      event.watcher = nullptr;
    }
  }
  watcher.loop_ = nullptr;
  watcher.fd_ = -1;
  watcher.touched_ = false;
}

void Loop::touch( Watcher& watcher )
{
  if ( watcher.loop_ == nullptr or watcher.touched_ ) {
    return;
  }
  watcher.touched_ = true;
  touched_.push_back( &watcher );
}

void Loop::mute( Watcher& watcher )
{
  if ( watcher.loop_ == nullptr or watcher.muted_ ) {
    return;
  }
  if ( watcher.in_epoll_ ) {
    ::epoll_ctl( epoll_.get(), EPOLL_CTL_DEL, watcher.fd_, nullptr );
  }
  watcher.in_epoll_ = false;
  watcher.muted_ = true;
  watcher.registered_ = 0;
}

void Loop::settle( Watcher& watcher )
{
  watcher.touched_ = false;
  const std::uint32_t wanted = watcher.interest();
  if ( wanted == watcher.registered_ and ( watcher.in_epoll_ or watcher.muted_ ) ) {
    return;
  }
  epoll_event event {};
  event.events = wanted;
  event.data.ptr = &watcher;
  const int operation = watcher.in_epoll_ ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
  if ( ::epoll_ctl( epoll_.get(), operation, watcher.fd_, &event ) != 0 ) {
    fail( "epoll_ctl" ); // ENOMEM or fs.epoll.max_user_watches: there is no way to go on with this descriptor
  }
  watcher.in_epoll_ = true;
  watcher.muted_ = false;
  watcher.registered_ = wanted;
}

void Loop::settle()
{
  for ( Watcher* watcher : touched_ ) {
    settle( *watcher );
  }
  touched_.clear();
}

Duration Loop::elapsed() const
{
  return read_clock() - now_;
}

void Loop::wait( Time deadline )
{
  settle();
  const Time began = std::exchange( now_, read_clock() );
  busy_ = now_ - began;
  slept_ = {};
  if ( told_ == pending_.size() ) {
    collect( deadline );
  }
  late_ = deadline < now_ ? now_ - deadline : Duration {};
  late_in_all_ += late_;
  tell();
}

void Loop::collect( Time deadline )
{
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): the kernel fills it
  std::array<epoll_event, events_per_turn> events;
  const int count
    = ::epoll_wait( epoll_.get(), events.data(), events_per_turn, milliseconds_until( deadline, now_ ) );
  if ( count < 0 and errno != EINTR ) {
    fail( "epoll_wait" );
  }
  now_ = read_clock();
  slept_ = gauge_.slept( now_, read_monotonic_clock() );
  pending_.clear();
  told_ = 0;
  for ( int i = 0; i < count; ++i ) {
    const epoll_event& event = events[static_cast<std::size_t>( i )];
    pending_.push_back( { static_cast<Watcher*>( event.data.ptr ), event.events } );
  }
}

// A watcher may destroy another one whose event is still to come: those are found here as gone.
void Loop::tell()
{
  while ( told_ < pending_.size() ) {
    const auto [watcher, events] = pending_[told_++];
    if ( watcher == nullptr ) {
      continue;
    }
    touch( *watcher );
    watcher->ready( events );
    if ( elapsed() >= telling_max ) {
      return;
    }
  }
}

} // namespace holdfast
