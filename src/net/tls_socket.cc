#include "net/tls_socket.hh"

#include "net/openssl.hh"
#include "net/socket.hh"

#include <algorithm>
#include <memory>
#include <span>

namespace holdfast {

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
  if ( self.bytes_left_ == 0 ) {
    self.is_overlong_ = true;
    return 0;
  }
  const bool may_read = self.reads_left_ > 0;
  self.reads_left_ -= may_read ? 1 : 0;
  const Transfer got
    = may_read ? receive( self.fd_.get(), std::as_writable_bytes( std::span { into, size } ) ) : Transfer {};
  *count = got.count;
  switch ( got.kind ) {
    case Transfer::Kind::moved: self.arrived( *into, got.count ); return 1;
    case Transfer::Kind::would_block: BIO_set_retry_read( bio ); return 0;
    case Transfer::Kind::ended: self.has_ended_ = true; return 0;
    case Transfer::Kind::failed: self.error_ = got.error; return 0;
  }
  return 0;
}

int TlsSocket::write( BIO* bio, const char* from, std::size_t size, std::size_t* count )
{
  TlsSocket& self = *static_cast<TlsSocket*>( ::BIO_get_data( bio ) );
  BIO_clear_retry_flags( bio );
  const Transfer sent = send( self.fd_.get(), std::as_bytes( std::span { from, size } ) );
  *count = sent.count;
  if ( sent.kind == Transfer::Kind::would_block ) {
    BIO_set_retry_write( bio );
  }
  if ( sent.kind == Transfer::Kind::failed ) {
    self.error_ = sent.error;
  }
  return sent.kind == Transfer::Kind::moved ? 1 : 0;
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
