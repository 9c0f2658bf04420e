#include "net/mailbox.hh"

#include "net/error.hh"

#include <sys/epoll.h>
#include <sys/eventfd.h>

namespace holdfast {

namespace {

constexpr Duration reading_max = std::chrono::milliseconds { 5 }; // in a turn: then those who wait longer are heard

} // namespace

Mailbox::Mailbox( Loop& loop ) : loop_( loop ), bell_( ::eventfd( 0, EFD_CLOEXEC | EFD_NONBLOCK ) )
{
  if ( not bell_ ) {
    fail( "eventfd" );
  }
  loop_.watch( *this, bell_.get() );
}

Mailbox::~Mailbox()
{
  loop_.unwatch( *this ); // before the descriptor closes
}

void Mailbox::add( std::unique_ptr<Letter> letter )
{
  const std::scoped_lock lock { mutex_ };
  letters_.push_back( std::move( letter ) );
  if ( letters_.size() == 1 ) {
    ::eventfd_write( bell_.get(), 1 ); // cannot fail: it counts to one
  }
}

// Null: there is none, and the bell is silent.
std::unique_ptr<Mailbox::Letter> Mailbox::next()
{
  const std::scoped_lock lock { mutex_ };
  if ( letters_.empty() ) {
    return nullptr;
  }
  auto letter = std::move( letters_.front() );
  letters_.pop_front();
  if ( letters_.empty() ) {
    eventfd_t rung = 0;
    ::eventfd_read( bell_.get(), &rung );
  }
  return letter;
}

std::size_t Mailbox::waiting() const
{
  const std::scoped_lock lock { mutex_ };
  return letters_.size();
}

std::uint32_t Mailbox::interest() const
{
  return EPOLLIN;
}

void Mailbox::ready( std::uint32_t /*events*/ )
{
  const Time end = loop_.now() + loop_.elapsed() + reading_max;
  while ( const auto letter = next() ) {
    letter->read();
    if ( loop_.now() + loop_.elapsed() >= end ) {
      return;
    }
  }
}

} // namespace holdfast
