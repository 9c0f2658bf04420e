#include "net/tls_socket.hh"

#include "net/openssl.hh"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <memory>

namespace holdfast {

TlsBuffers& TlsBuffers::here()
{
  static thread_local TlsBuffers buffers;
  return buffers;
}

BIO* TlsSocket::make_bio()
{
  BIO* const bio = ::BIO_new( methods() );
  if ( bio != nullptr ) {
    ::BIO_set_data( bio, this );
    ::BIO_set_init( bio, 1 );
  }
  return bio;
}

BIO_METHOD* TlsSocket::methods()
{
  static const std::unique_ptr<BIO_METHOD, Deleter<::BIO_meth_free>> method = [] {
    std::unique_ptr<BIO_METHOD, Deleter<::BIO_meth_free>> made { ::BIO_meth_new(
      ::BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "holdfast link" ) };
    expect( made != nullptr and ::BIO_meth_set_read_ex( made.get(), &TlsSocket::read ) == 1
              and ::BIO_meth_set_write_ex( made.get(), &TlsSocket::write ) == 1
              and ::BIO_meth_set_ctrl( made.get(), &TlsSocket::control ) == 1,
            "OpenSSL has no memory" );
    return made;
  }();
  return method.get();
}

int TlsSocket::read( BIO* bio, char* into, std::size_t size, std::size_t* count )
{
  TlsSocket& self = *static_cast<TlsSocket*>( ::BIO_get_data( bio ) );
  BIO_clear_retry_flags( bio );
  const auto space = std::as_writable_bytes( std::span { into, size } );
  *count = self.take_fresh( space );
  if ( *count > 0 ) {
    return 1;
  }
  if ( self.bytes_left_ == 0 ) {
    self.is_overlong_ = true;
    return 0;
  }
  if ( self.reads_left_ == 0 ) {
    BIO_set_retry_read( bio );
    return 0;
  }
  --self.reads_left_;
  const bool is_shared = self.share_ > 0;
  const Transfer got = is_shared ? self.fetch() : receive( self.fd_.get(), space );
  if ( got.kind == Transfer::Kind::would_block ) {
    BIO_set_retry_read( bio );
  }
  if ( got.kind != Transfer::Kind::moved ) {
    self.has_ended_ = self.has_ended_ or got.kind == Transfer::Kind::ended;
    self.error_ = got.kind == Transfer::Kind::failed ? got.error : self.error_;
    return 0;
  }
  *count = is_shared ? self.take_fresh( space ) : got.count;
  self.arrived( *into, got.count );
  return 1;
}

// Many records at once, for the reads that follow.
Transfer TlsSocket::fetch()
{
  auto& receiving = TlsBuffers::here().receiving;
  receiving.resize( TlsBuffers::receiving_size );
  const auto space = std::span { receiving }.first( share_ );
  const Transfer got = receive( fd_.get(), space );
  fresh_ = space.first( got.count );
  if ( got.count < space.size() ) {
    reads_left_ = 0; // the socket is empty; if more came meanwhile, it will be said
  }
  return got;
}

std::size_t TlsSocket::take_fresh( std::span<std::byte> into )
{
  const std::size_t count = std::min( into.size(), fresh_.size() );
  if ( count > 0 ) {
    std::memcpy( into.data(), fresh_.data(), count );
    fresh_ = fresh_.subspan( count );
  }
  return count;
}

void TlsSocket::share( std::size_t most )
{
  assert( most <= TlsBuffers::receiving_size );
  share_ = most;
}

void TlsSocket::keep()
{
  share_ = 0;
  std::vector<std::byte> kept { fresh_.begin(), fresh_.end() }; // they may lie in what is held already
  held_ = std::move( kept );
  fresh_ = held_;
}

// -- sending ------------------------------------------------------------------------------------------------------

int TlsSocket::write( BIO* bio, const char* from, std::size_t size, std::size_t* count )
{
  TlsSocket& self = *static_cast<TlsSocket*>( ::BIO_get_data( bio ) );
  BIO_clear_retry_flags( bio );
  const auto bytes = std::as_bytes( std::span { from, size } );
  if ( self.gathers_ or self.owes() ) {
    auto& behind = self.gathers_ ? TlsBuffers::here().sending : self.unsent_;
    behind.insert( behind.end(), bytes.begin(), bytes.end() );
    *count = size;
    return 1;
  }
  const auto taken = self.put( bytes );
  *count = taken.value_or( 0 );
  if ( taken == 0 ) {
    BIO_set_retry_write( bio );
  }
  return *count > 0 ? 1 : 0;
}

// How many bytes the socket took; nothing if it failed.
std::optional<std::size_t> TlsSocket::put( std::span<const std::byte> bytes )
{
  const Transfer sent = send( fd_.get(), bytes );
  if ( sent.kind == Transfer::Kind::failed ) {
    error_ = sent.error;
    return std::nullopt;
  }
  return sent.count;
}

void TlsSocket::gather()
{
  assert( not owes() );
  TlsBuffers::here().sending.reserve( TlsBuffers::sending_size );
  gathers_ = true;
}

bool TlsSocket::send_gathered()
{
  gathers_ = false;
  auto& sending = TlsBuffers::here().sending;
  const auto taken = sending.empty() ? std::size_t { 0 } : put( sending );
  if ( taken and *taken < sending.size() ) {
    unsent_.swap( sending );
    unsent_from_ = *taken;
  }
  sending.clear();
  return taken.has_value();
}

bool TlsSocket::flush()
{
  const auto taken = owes() ? put( std::span { unsent_ }.subspan( unsent_from_ ) ) : std::size_t { 0 };
  unsent_from_ += taken.value_or( 0 );
  if ( owes() and unsent_from_ == unsent_.size() ) {
    unsent_.clear();
    unsent_from_ = 0;
    if ( auto& sending = TlsBuffers::here().sending; unsent_.capacity() > sending.capacity() ) {
      unsent_.swap( sending ); // it is in the cache, and the next call needs such a one
    }
    unsent_ = std::vector<std::byte> {}; // with its memory, which "= {}" would keep
  }
  return taken.has_value();
}

long TlsSocket::control( BIO* bio, int command, long, void* )
{
  switch ( command ) {
    case BIO_CTRL_FLUSH: return 1; // nothing is kept
    case BIO_CTRL_EOF: return static_cast<TlsSocket*>( ::BIO_get_data( bio ) )->has_ended_ ? 1 : 0;
    default: return 0;
  }
}

void TlsSocket::arrived( char first, std::size_t count )
{
  if ( not first_byte_ ) {
    first_byte_ = first;
  }
  bytes_left_ -= std::min( bytes_left_, count );
  stirred_ = true;
}

} // namespace holdfast
