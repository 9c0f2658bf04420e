#include "net/tls_wire.hh"

#include "net/error.hh"

#include <openssl/err.h>
#include <openssl/x509.h>

#include <algorithm>
#include <cerrno>
#include <new>

namespace holdfast {

namespace {

// A handshake needs a kilobyte of the other end's with bare keys, a few with a chain of certificates.
constexpr std::size_t handshake_max = 16384;
constexpr int tickets_given = 4;           // for one link: so many dials get as far as TLS while it is replaced
constexpr std::size_t read_buffer = 65536; // ciphertext read at once: four records

// What is read in one call is bounded in ciphertext, too: records of one byte cost as much as large ones, 11,000 of
// them 25 ms. Who has not sent any data yet, not even a greeting, gets less.
constexpr int reads_at_once = 4;
constexpr int reads_of_stranger = 1;

// How many messages of TLS itself may come on an open wire, all of them new keys or tickets: each costs us more
// than it costs the other end (35 us for 27 bytes). Ours sends none; AES-GCM needs new keys once in 2^24 records
// (RFC 8446, 5.5).
constexpr std::uint64_t messages_free = 16;
constexpr std::uint64_t bytes_per_message = 1U << 20U;

constexpr std::string_view exporter = "EXPORTER-Channel-Binding"; // RFC 9266, 4.2

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
  opens_when_writable_ = false;
  if ( early_ == Early::possible ) {
    return open_early();
  }
  if ( hurries_ and early_ == Early::none ) {
    begin_early();
    if ( early_ == Early::sending ) {
      return problem_.empty();
    }
  }
  return shake_hands();
}

// Client: our hello of TLS is made, with a ticket, and waits for what is to go with it.
void TlsWire::begin_early()
{
  hurries_ = false;
  if ( const SSL_SESSION* const ticket = ::SSL_get0_session( ssl_.get() );
       ticket == nullptr or ::SSL_SESSION_get_max_early_data( ticket ) < early_most ) {
    return;
  }
  std::size_t none = 0;
  ::ERR_clear_error();
  if ( ::SSL_write_early_data( ssl_.get(), "", 0, &none ) == 1 ) {
    early_ = Early::sending;
    learn_channel( true );
  }
}

// Server: the first data may be here before the handshake is finished.
bool TlsWire::open_early()
{
  std::size_t count = 0;
  ::ERR_clear_error();
  switch ( ::SSL_read_early_data( ssl_.get(), context_.record_.data(), context_.record_.size(), &count ) ) {
    case SSL_READ_EARLY_DATA_SUCCESS:
      held_.assign( context_.record_.begin(), context_.record_.begin() + static_cast<std::ptrdiff_t>( count ) );
      early_ = Early::arriving;
      learn_channel( true );
      open_ = problem_.empty();
      return open_;
    case SSL_READ_EARLY_DATA_FINISH: // none came, or none that we take
      early_ = Early::none;
      return shake_hands();
    default: return failed_to_open( 0 );
  }
}

bool TlsWire::shake_hands()
{
  if ( early_ == Early::sending ) {
    early_ = Early::sent;
  }
  ::ERR_clear_error();
  const int result = ::SSL_do_handshake( ssl_.get() );
  if ( result != 1 ) {
    return failed_to_open( result );
  }
  finish_handshake();
  return problem_.empty();
}

// Whether it may still come to something.
bool TlsWire::failed_to_open( int result )
{
  switch ( ::SSL_get_error( ssl_.get(), result ) ) {
    case SSL_ERROR_WANT_READ: return true;
    case SSL_ERROR_WANT_WRITE: opens_when_writable_ = true; return true;
    default: break;
  }
  if ( problem_.empty() ) { // the judge may have said already
    problem_ = handshake_problem();
  }
  ::ERR_clear_error();
  return false;
}

void TlsWire::start()
{
  ssl_.reset( ::SSL_new( context_.context_.get() ) );
  BIO* const bio = ::BIO_new( methods() );
  if ( not ssl_ or bio == nullptr ) {
    throw std::bad_alloc();
  }
  ::BIO_set_data( bio, this );
  ::BIO_set_init( bio, 1 );
  ::SSL_set_bio( ssl_.get(), bio, bio );
  ::SSL_set_ex_data( ssl_.get(), wire_index(), this );
  if ( context_.role_ == TlsContext::Role::server ) {
    ::SSL_set_accept_state( ssl_.get() );
    early_ = Early::possible;
    return;
  }
  ::SSL_set_connect_state( ssl_.get() );
  if ( not context_.sni_.empty() ) {
    // The macro SSL_set_tlsext_host_name without its cast.
    char* const name = const_cast<char*>( context_.sni_.c_str() );
    ::SSL_ctrl( ssl_.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name );
  }
  if ( const auto ticket = context_.take_ticket() ) {
    ::SSL_set_session( ssl_.get(), ticket.get() ); // if it is of no use, the handshake is a full one
  }
}

// Who is at the other end, and what only the two of us know. In the first flight that is what the ticket says, and
// something that this flight has in it; whoever repeats the flight cannot read our answer.
void TlsWire::learn_channel( bool is_early )
{
  const auto get = [&]( auto export_material, auto... more ) {
    return export_material( ssl_.get(),
                            reinterpret_cast<unsigned char*>( channel_.binding.data() ),
                            channel_.binding.size(),
                            exporter.data(),
                            exporter.size(),
                            nullptr,
                            0,
                            more... )
           == 1;
  };
  X509* const theirs = ::SSL_get0_peer_certificate( ssl_.get() );
  EVP_PKEY* const key = theirs == nullptr ? nullptr : ::X509_get0_pubkey( theirs );
  if ( key == nullptr
       or not( is_early ? get( ::SSL_export_keying_material_early ) : get( ::SSL_export_keying_material, 0 ) ) ) {
    problem_ = "TLS: " + openssl_problem();
    return;
  }
  channel_.identity = key_digest( *key );
}

void TlsWire::finish_handshake()
{
  const unsigned char* protocol = nullptr;
  unsigned length = 0;
  ::SSL_get0_alpn_selected( ssl_.get(), &protocol, &length );
  if ( length == 0 ) { // a client that offered none, or a server that knows none
    problem_ = "it speaks TLS, but not Holdfast (no ALPN holdfast/1)";
    return;
  }
  finished_ = true;
  if ( early_ != Early::none ) {
    early_
      = ::SSL_get_early_data_status( ssl_.get() ) == SSL_EARLY_DATA_ACCEPTED ? Early::accepted : Early::refused;
  }
  if ( early_ != Early::accepted ) {
    learn_channel( false );
  }
  open_ = problem_.empty();
  ::SSL_set_default_read_buffer_len( ssl_.get(), read_buffer ); // not for strangers
  give_tickets();
}

void TlsWire::let_return()
{
  owes_tickets_ = true;
  give_tickets();
}

void TlsWire::give_tickets()
{
  if ( not owes_tickets_ or not finished_ ) {
    return;
  }
  owes_tickets_ = false;
  ::ERR_clear_error();
  for ( int i = 0; i < tickets_given; ++i ) {
    ::SSL_new_session_ticket( ssl_.get() ); // goes out with what is sent next
  }
  ::ERR_clear_error();
}

// -- bytes --------------------------------------------------------------------------------------------------------

Transfer TlsWire::receive( std::span<std::byte> into, bool buffered_only )
{
  if ( broken_ ) {
    return as_before();
  }
  reads_left_ = buffered_only ? 0 : received_ == 0 ? reads_of_stranger : reads_at_once;
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
  // Bytes come first; what ended or failed does so again in the next call.
  return total > 0 ? Transfer { .kind = Transfer::Kind::moved, .count = total } : last;
}

// As SSL_read_ex, also in the middle of a handshake.
int TlsWire::read_some( std::span<std::byte> into, std::size_t& count )
{
  if ( not held_.empty() ) {
    count = std::min( into.size(), held_.size() );
    std::ranges::copy( std::span { held_ }.first( count ), into.begin() );
    held_.erase( held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>( count ) );
    if ( held_.empty() ) {
      held_ = {}; // with its memory: a link may live for weeks
    }
    return 1;
  }
  ::ERR_clear_error();
  if ( early_ == Early::arriving ) {
    switch ( ::SSL_read_early_data( ssl_.get(), into.data(), into.size(), &count ) ) {
      case SSL_READ_EARLY_DATA_SUCCESS: return 1;
      case SSL_READ_EARLY_DATA_FINISH: early_ = Early::over; break;
      default: return 0;
    }
  }
  const int result = ::SSL_read_ex( ssl_.get(), into.data(), into.size(), &count );
  if ( not finished_ and SSL_is_init_finished( ssl_.get() ) == 1 ) {
    finish_handshake();
    waits_ = false;
  }
  return result;
}

Transfer TlsWire::send( std::span<const iovec> from )
{
  if ( broken_ ) {
    return as_before();
  }
  std::size_t total = 0;
  std::size_t slice = 0;
  std::size_t offset = 0; // in that slice
  for ( ;; ) {
    const std::size_t gathered = gather( from, slice, offset );
    if ( gathered == 0 ) {
      return { .kind = Transfer::Kind::moved, .count = total };
    }
    std::size_t count = 0;
    const int result = write_some( std::span { context_.record_ }.first( gathered ), count );
    total += count;
    if ( result != 1 or count < gathered ) {
      const Transfer transfer = result == 1 ? Transfer {} : not_moved( result );
      return total > 0 and transfer.kind == Transfer::Kind::would_block
               ? Transfer { .kind = Transfer::Kind::moved, .count = total }
               : transfer;
    }
  }
}

// As SSL_write_ex, also in the middle of a handshake: then no more than early_most bytes in all. A client's go into
// its first flight; a server's are what RFC 8446 calls 0.5-RTT data, which nobody can read who only repeats a
// flight.
int TlsWire::write_some( std::span<const std::byte> from, std::size_t& count )
{
  ::ERR_clear_error();
  if ( finished_ ) {
    return ::SSL_write_ex( ssl_.get(), from.data(), from.size(), &count );
  }
  const bool may_be_now = early_ == Early::sending or early_ == Early::arriving or early_ == Early::over;
  const std::size_t most = may_be_now ? std::min( from.size(), early_most - early_sent_ ) : 0;
  waits_ = most < from.size();
  if ( most == 0 ) {
    return 1;
  }
  const int result = ::SSL_write_early_data( ssl_.get(), from.data(), most, &count );
  early_sent_ += count;
  return result;
}

void TlsWire::say_no_more()
{
  if ( open_ and not broken_ ) {
    ::ERR_clear_error();
    ::SSL_shutdown( ssl_.get() ); // close_notify, as far as the socket takes it
    ::ERR_clear_error();
  }
  end_writing( socket_.get() );
}

void TlsWire::message( int sent, int, int type, const void*, std::size_t, SSL* ssl, void* )
{
  TlsWire& wire = of( ssl );
  if ( sent == 0 and type == SSL3_RT_HANDSHAKE and wire.open_ ) {
    wire.interrupted();
  }
}

BIO_METHOD* TlsWire::methods()
{
  static const std::unique_ptr<BIO_METHOD, Deleter<::BIO_meth_free>> method = [] {
    std::unique_ptr<BIO_METHOD, Deleter<::BIO_meth_free>> made { ::BIO_meth_new(
      ::BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "holdfast link" ) };
    expect( made != nullptr and ::BIO_meth_set_read_ex( made.get(), &TlsWire::socket_read ) == 1
              and ::BIO_meth_set_write_ex( made.get(), &TlsWire::socket_write ) == 1
              and ::BIO_meth_set_ctrl( made.get(), &TlsWire::socket_control ) == 1,
            "OpenSSL has no memory" );
    return made;
  }();
  return method.get();
}

int TlsWire::socket_read( BIO* bio, char* into, std::size_t size, std::size_t* count )
{
  TlsWire& wire = *static_cast<TlsWire*>( ::BIO_get_data( bio ) );
  BIO_clear_retry_flags( bio );
  if ( not wire.finished_ and wire.handshake_bytes_ >= handshake_max ) {
    wire.judged( "its TLS handshake is too long" );
    return 0;
  }
  const bool may_read = not wire.open_ or wire.reads_left_-- > 0;
  const Transfer got
    = may_read ? holdfast::receive( wire.socket_.get(), std::as_writable_bytes( std::span { into, size } ) )
               : Transfer {};
  *count = got.count;
  switch ( got.kind ) {
    case Transfer::Kind::moved: wire.arrived( { into, got.count } ); return 1;
    case Transfer::Kind::would_block: BIO_set_retry_read( bio ); return 0;
    case Transfer::Kind::ended: wire.ended_ = true; return 0;
    case Transfer::Kind::failed: wire.error_ = got.error; return 0;
  }
  return 0;
}

int TlsWire::socket_write( BIO* bio, const char* from, std::size_t size, std::size_t* count )
{
  TlsWire& wire = *static_cast<TlsWire*>( ::BIO_get_data( bio ) );
  BIO_clear_retry_flags( bio );
  const Transfer sent = holdfast::send( wire.socket_.get(), std::as_bytes( std::span { from, size } ) );
  *count = sent.count;
  if ( sent.kind == Transfer::Kind::would_block ) {
    BIO_set_retry_write( bio );
  }
  if ( sent.kind == Transfer::Kind::failed ) {
    wire.error_ = sent.error;
  }
  return sent.kind == Transfer::Kind::moved ? 1 : 0;
}

long TlsWire::socket_control( BIO* bio, int command, long, void* )
{
  switch ( command ) {
    case BIO_CTRL_FLUSH: return 1; // nothing is kept
    case BIO_CTRL_EOF: return static_cast<TlsWire*>( ::BIO_get_data( bio ) )->ended_ ? 1 : 0;
    default: return 0;
  }
}

void TlsWire::arrived( std::string_view bytes )
{
  if ( handshake_bytes_ == 0 ) {
    first_byte_ = bytes.front();
  }
  if ( not finished_ ) {
    handshake_bytes_ += bytes.size();
  }
  stirred_ = true;
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
std::size_t TlsWire::gather( std::span<const iovec> from, std::size_t& slice, std::size_t& offset )
{
  std::span<std::byte> record { context_.record_ };
  std::size_t filled = 0;
  while ( slice < from.size() and filled < record.size() ) {
    const std::span<const std::byte> all { static_cast<const std::byte*>( from[slice].iov_base ),
                                           from[slice].iov_len };
    const auto rest = all.subspan( offset, std::min( all.size() - offset, record.size() - filled ) );
    std::ranges::copy( rest, record.subspan( filled ).begin() );
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
      return problem_.empty() ? Transfer { .kind = Transfer::Kind::ended }
                              : Transfer { .kind = Transfer::Kind::failed, .error = EPROTO };
    default: break;
  }
  broken_ = true;
  // Whoever cuts a link short gains nothing: every stream's end is a frame of its own.
  if ( ended_ or error_ != 0 ) {
    ::ERR_clear_error();
    return as_before();
  }
  problem_ = alert_or_problem();
  return as_before();
}

// A wire that is broken says the same each time.
Transfer TlsWire::as_before() const
{
  if ( not problem_.empty() ) {
    return { .kind = Transfer::Kind::failed, .error = EPROTO };
  }
  return ended_ ? Transfer { .kind = Transfer::Kind::ended }
                : Transfer { .kind = Transfer::Kind::failed, .error = error_ };
}

// Why the handshake failed, in words that help to mend it.
std::string TlsWire::handshake_problem() const
{
  const bool is_server = context_.role_ == TlsContext::Role::server;
  constexpr char handshake_record = 0x16; // RFC 8446, 5.1
  constexpr char hello_frame = 0x01;      // PROTOCOL.md, 3.2
  if ( error_ != 0 ) {
    return error_text( error_ );
  }
  if ( handshake_bytes_ > 0 and first_byte_ != handshake_record and is_server ) {
    return first_byte_ == hello_frame ? "it speaks Holdfast in the clear; was it started with --insecure?"
                                      : "it does not speak TLS";
  }
  if ( ended_ ) {
    return is_server or handshake_bytes_ > 0
             ? "it left in the middle of the TLS handshake"
             : "it left at the beginning of the TLS handshake; was sproxy started with --insecure?";
  }
  return alert_or_problem();
}

std::string TlsWire::alert_or_problem() const
{
  switch ( ERR_GET_REASON( ::ERR_peek_last_error() ) ) {
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
      ::ERR_clear_error();
      return context_.role_ == TlsContext::Role::client ? "sproxy does not admit our key" : "it refuses our key";
    case SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL:
      ::ERR_clear_error();
      return "it speaks TLS, but not Holdfast (no ALPN holdfast/1)";
    default: return "TLS: " + openssl_problem();
  }
}

} // namespace holdfast
