#include "net/tls_wire.hh"

#include <openssl/err.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

namespace holdfast {

namespace {

// The first bytes go in records of a segment's size: nothing of a record is of use before all of it is there, and
// after ten segments TCP waits for a round trip (RFC 6928). With 22 bytes of TLS and a timestamp they fit into
// 1,500 bytes of IPv6.
constexpr std::size_t small_at_first = 65536;
constexpr std::size_t small_record = 1400;

// What is read in one call is bounded in ciphertext, too: records of one byte cost as much as large ones, 11,000 of
// them 25 ms. Who has not sent any data yet, not even a greeting, gets less.
constexpr int reads_at_once = 2;
constexpr std::size_t read_size = TlsBuffers::receiving_size;
constexpr int reads_of_stranger = 1;
constexpr std::size_t read_size_of_stranger = 65536;

// Records are sent when so much has been gathered: a batch of frames is one system call, and wakes the other end
// once.
constexpr std::size_t gathered_most = TlsBuffers::sending_size - 20480; // one more record fits, and a few tickets

// How many messages of TLS itself may come on an open wire, all of them new keys or tickets: each costs us more
// than it costs the other end (35 us for 27 bytes). Ours sends one in millions of records (TlsContext).
constexpr std::uint64_t messages_free = 16;
constexpr std::uint64_t bytes_per_message = 1U << 20U;

// SSL's data index where it finds its wire.
int wire_index()
{
  static const int index = ::SSL_get_ex_new_index( 0, nullptr, nullptr, nullptr, nullptr );
  return index;
}

} // namespace

TlsWire& TlsWire::of( const SSL* ssl )
{
  return *static_cast<TlsWire*>( ::SSL_get_ex_data( ssl, wire_index() ) );
}

// -- opening ------------------------------------------------------------------------------------------------------

bool TlsWire::open()
{
  if ( not ssl_ ) {
    start(); // not before there is something to do: who connects and says nothing gets nothing of ours
  }
  const bool good = handshake_.open();
  if ( is_open() ) {
    socket_.allow_reads( 0 ); // from now on receive() says how many
  }
  return good;
}

void TlsWire::start()
{
  ssl_.reset( ::SSL_new( context_.context_.get() ) );
  BIO* const bio = socket_.make_bio();
  if ( not ssl_ or bio == nullptr ) {
    throw std::bad_alloc();
  }
  ::SSL_set_bio( ssl_.get(), bio, bio );
  ::SSL_set_ex_data( ssl_.get(), wire_index(), this );
  handshake_.begin( *ssl_ );
}

// -- bytes --------------------------------------------------------------------------------------------------------

Transfer TlsWire::receive( std::span<std::byte> into, bool buffered_only )
{
  if ( broken_ ) {
    return as_before();
  }
  const bool is_stranger = received_ == 0;
  socket_.allow_reads( buffered_only ? 0 : is_stranger ? reads_of_stranger : reads_at_once );
  socket_.share( not handshake_.is_finished() ? 0 : is_stranger ? read_size_of_stranger : read_size );
  std::size_t total = 0;
  Transfer last { .kind = Transfer::Kind::moved };
  while ( total < into.size() and last.kind == Transfer::Kind::moved ) {
    std::size_t count = 0;
    const int result = read_some( into.subspan( total ), count );
    total += count;
    received_ += count;
    if ( result != 1 ) {
      last = not_moved( result );
    }
  }
  socket_.keep();
  // Bytes come first; what ended or failed does so again in the next call.
  return total > 0 ? Transfer { .kind = Transfer::Kind::moved, .count = total } : last;
}

int TlsWire::read_some( std::span<std::byte> into, std::size_t& count )
{
  if ( not handshake_.is_finished() ) {
    return handshake_.read( into, count );
  }
  ::ERR_clear_error();
  return ::SSL_read_ex( ssl_.get(), into.data(), into.size(), &count );
}

Transfer TlsWire::send( std::span<const iovec> from )
{
  if ( broken_ ) {
    return as_before();
  }
  if ( not flush() ) {
    return broken_ ? as_before() : Transfer {};
  }
  if ( not handshake_.is_finished() ) {
    return send_records( from );
  }
  socket_.gather();
  const Transfer taken = send_records( from );
  broken_ = not socket_.send_gathered() or broken_;
  return broken_ ? as_before() : taken;
}

bool TlsWire::flush()
{
  broken_ = not socket_.flush() or broken_;
  return not broken_ and not socket_.owes();
}

Transfer TlsWire::send_records( std::span<const iovec> from )
{
  std::size_t total = 0;
  std::size_t slice = 0;
  std::size_t offset = 0; // in that slice
  for ( ;; ) {
    const std::size_t gathered = socket_.gathered() < gathered_most ? gather( from, slice, offset ) : 0;
    if ( gathered == 0 ) {
      return { .kind = Transfer::Kind::moved, .count = total };
    }
    std::size_t count = 0;
    const int result = write_some( std::span { TlsBuffers::here().record }.first( gathered ), count );
    total += count;
    sent_ += count;
    if ( ++records_ >= context_.records_per_key_ and handshake_.is_finished() ) {
      renew_keys();
    }
    if ( result != 1 or count < gathered ) {
      const Transfer transfer = result == 1 ? Transfer {} : not_moved( result );
      return total > 0 and transfer.kind == Transfer::Kind::would_block
               ? Transfer { .kind = Transfer::Kind::moved, .count = total }
               : transfer;
    }
  }
}

int TlsWire::write_some( std::span<const std::byte> from, std::size_t& count )
{
  if ( not handshake_.is_finished() ) {
    return handshake_.write( from, count );
  }
  ::ERR_clear_error();
  return ::SSL_write_ex( ssl_.get(), from.data(), from.size(), &count );
}

// The message that says so goes before the next record. It cannot be now if this record is not whole, but then.
void TlsWire::renew_keys()
{
  if ( ::SSL_key_update( ssl_.get(), SSL_KEY_UPDATE_NOT_REQUESTED ) == 1 ) {
    records_ = 0;
  }
  ::ERR_clear_error();
}

void TlsWire::say_no_more()
{
  if ( is_open() and not broken_ ) {
    static_cast<void>( flush() );
    ::ERR_clear_error();
    ::SSL_shutdown( ssl_.get() ); // close_notify, as far as the socket takes it
    ::ERR_clear_error();
  }
  end_writing( socket().get() );
}

void TlsWire::message( int sent, int, int type, const void*, std::size_t, SSL* ssl, void* )
{
  TlsWire& wire = of( ssl );
  if ( sent == 0 and type == SSL3_RT_HANDSHAKE and wire.is_open() ) {
    wire.interrupted();
  }
}

// One read of OpenSSL's goes on for as long as messages without data come. So it is told that nothing follows.
void TlsWire::interrupted()
{
  if ( ++messages_ > messages_free + received_ / bytes_per_message ) {
    problem_ = "it sends new keys too often";
    ::SSL_set_shutdown( ssl_.get(), SSL_RECEIVED_SHUTDOWN );
  }
}

// Gathers the next record's bytes from `slice` and `offset` on, and moves both.
std::size_t TlsWire::gather( std::span<const iovec> from, std::size_t& slice, std::size_t& offset ) const
{
  const bool is_small = sent_ < small_at_first and is_open(); // all of a client's first flight arrives at once
  std::span<std::byte> record { TlsBuffers::here().record };
  record = is_small ? record.first( small_record ) : record;
  std::size_t filled = 0;
  while ( slice < from.size() and filled < record.size() ) {
    const std::span<const std::byte> all { static_cast<const std::byte*>( from[slice].iov_base ),
                                           from[slice].iov_len };
    const auto rest = all.subspan( offset, std::min( all.size() - offset, record.size() - filled ) );
    std::memcpy( record.data() + filled, rest.data(), rest.size() );
    filled += rest.size();
    offset += rest.size();
    if ( offset == all.size() ) {
      ++slice;
      offset = 0;
    }
  }
  return filled;
}

Transfer TlsWire::not_moved( int result )
{
  switch ( ::SSL_get_error( ssl_.get(), result ) ) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: return {};
    case SSL_ERROR_ZERO_RETURN:
      return problem().empty() ? Transfer { .kind = Transfer::Kind::ended }
                               : Transfer { .kind = Transfer::Kind::failed, .error = EPROTO };
    default: break;
  }
  broken_ = true;
  // Whoever cuts a link short gains nothing: every stream's end is a frame of its own.
  if ( socket_.has_ended() or socket_.error() != 0 ) {
    ::ERR_clear_error();
    return as_before();
  }
  problem_ = handshake_.alert_or_problem();
  return as_before();
}

// A wire that is broken says the same each time.
Transfer TlsWire::as_before() const
{
  if ( not problem().empty() ) {
    return { .kind = Transfer::Kind::failed, .error = EPROTO };
  }
  return socket_.has_ended() ? Transfer { .kind = Transfer::Kind::ended }
                             : Transfer { .kind = Transfer::Kind::failed, .error = socket_.error() };
}

} // namespace holdfast
