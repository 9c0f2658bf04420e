#include "net/tls_handshake.hh"

#include "net/error.hh"
#include "net/openssl.hh"
#include "net/tls.hh"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <algorithm>
#include <string_view>

namespace holdfast {

namespace {

constexpr int tickets_given = 4; // for one link: so many dials get as far as TLS while it is replaced

constexpr std::string_view exporter = "EXPORTER-Channel-Binding"; // RFC 9266, 4.2

} // namespace

void TlsHandshake::begin( SSL& ssl )
{
  ssl_ = &ssl;
  if ( context_.role_ == TlsContext::Role::server ) {
    ::SSL_set_accept_state( ssl_ );
    early_ = Early::possible;
    return;
  }
  ::SSL_set_connect_state( ssl_ );
  if ( not context_.sni_.empty() ) {
    // The macro SSL_set_tlsext_host_name without its cast.
    char* const name = const_cast<char*>( context_.sni_.c_str() );
    ::SSL_ctrl( ssl_, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name );
  }
  if ( const auto ticket = context_.take_ticket() ) {
    ::SSL_set_session( ssl_, ticket.get() ); // if it is of no use, the handshake is a full one
  }
}

bool TlsHandshake::open()
{
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
void TlsHandshake::begin_early()
{
  hurries_ = false;
  if ( const SSL_SESSION* const ticket = ::SSL_get0_session( ssl_ );
       ticket == nullptr or ::SSL_SESSION_get_max_early_data( ticket ) < early_most ) {
    return;
  }
  std::size_t none = 0;
  ::ERR_clear_error();
  if ( ::SSL_write_early_data( ssl_, "", 0, &none ) == 1 ) {
    early_ = Early::sending;
    learn_channel( true );
  }
}

// Server: the first data may be here before the handshake is finished.
bool TlsHandshake::open_early()
{
  auto& record = TlsBuffers::here().record;
  std::size_t count = 0;
  ::ERR_clear_error();
  switch ( ::SSL_read_early_data( ssl_, record.data(), record.size(), &count ) ) {
    case SSL_READ_EARLY_DATA_SUCCESS:
      held_.assign( record.begin(), record.begin() + static_cast<std::ptrdiff_t>( count ) );
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

bool TlsHandshake::shake_hands()
{
  if ( early_ == Early::sending ) {
    early_ = Early::sent;
  }
  ::ERR_clear_error();
  const int result = ::SSL_do_handshake( ssl_ );
  if ( result != 1 ) {
    return failed_to_open( result );
  }
  finish();
  return problem_.empty();
}

// Whether it may still come to something.
bool TlsHandshake::failed_to_open( int result )
{
  switch ( ::SSL_get_error( ssl_, result ) ) {
    case SSL_ERROR_WANT_READ: return true;
    case SSL_ERROR_WANT_WRITE: opens_when_writable_ = true; return true;
    default: break;
  }
  if ( problem_.empty() ) { // the judge may have said already
    problem_ = why_it_failed();
  }
  ::ERR_clear_error();
  return false;
}

// Who is at the other end, and what only the two of us know. In the first flight that is what the ticket says, and
// something that this flight has in it; whoever repeats the flight cannot read our answer.
void TlsHandshake::learn_channel( bool is_early )
{
  const auto get = [&]( auto export_material, auto... more ) {
    return export_material( ssl_,
                            reinterpret_cast<unsigned char*>( channel_.binding.data() ),
                            channel_.binding.size(),
                            exporter.data(),
                            exporter.size(),
                            nullptr,
                            0,
                            more... )
           == 1;
  };
  X509* const theirs = ::SSL_get0_peer_certificate( ssl_ );
  EVP_PKEY* const key = theirs == nullptr ? nullptr : ::X509_get0_pubkey( theirs );
  if ( key == nullptr
       or not( is_early ? get( ::SSL_export_keying_material_early ) : get( ::SSL_export_keying_material, 0 ) ) ) {
    problem_ = "TLS: " + openssl_problem();
    return;
  }
  channel_.identity = key_digest( *key );
}

void TlsHandshake::finish()
{
  const unsigned char* protocol = nullptr;
  unsigned length = 0;
  ::SSL_get0_alpn_selected( ssl_, &protocol, &length );
  if ( length == 0 ) { // a client that offered none, or a server that knows none
    problem_ = "it speaks TLS, but not Holdfast (no ALPN holdfast/1)";
    return;
  }
  finished_ = true;
  waits_ = false;
  socket_.trust();
  if ( early_ == Early::sent and early_sent_ == 0 ) {
    early_ = Early::none; // there was nothing to say in time, so for the other end nothing was early
  }
  if ( early_ != Early::none ) {
    early_ = ::SSL_get_early_data_status( ssl_ ) == SSL_EARLY_DATA_ACCEPTED ? Early::accepted : Early::refused;
  }
  if ( early_ != Early::accepted ) {
    learn_channel( false );
  }
  open_ = problem_.empty();
  // From now on the socket reads ahead, for many records; OpenSSL would move the rest to the front for each.
  ::SSL_set_read_ahead( ssl_, 0 );
  give_tickets();
}

void TlsHandshake::let_return()
{
  owes_tickets_ = true;
  give_tickets();
}

void TlsHandshake::give_tickets()
{
  if ( not owes_tickets_ or not finished_ ) {
    return;
  }
  owes_tickets_ = false;
  ::ERR_clear_error();
  for ( int i = 0; i < tickets_given; ++i ) {
    ::SSL_new_session_ticket( ssl_ ); // goes out with what is sent next
  }
  ::ERR_clear_error();
}

// -- data that travel meanwhile ----------------------------------------------------------------------------------

int TlsHandshake::read( std::span<std::byte> into, std::size_t& count )
{
  if ( not held_.empty() ) {
    count = take_held( into );
    return 1;
  }
  ::ERR_clear_error();
  if ( early_ == Early::arriving ) {
    switch ( ::SSL_read_early_data( ssl_, into.data(), into.size(), &count ) ) {
      case SSL_READ_EARLY_DATA_SUCCESS: return 1;
      case SSL_READ_EARLY_DATA_FINISH: early_ = Early::over; break;
      default: return 0;
    }
  }
  const int result = ::SSL_read_ex( ssl_, into.data(), into.size(), &count );
  if ( SSL_is_init_finished( ssl_ ) == 1 ) {
    finish();
  }
  return result;
}

std::size_t TlsHandshake::take_held( std::span<std::byte> into )
{
  const std::size_t count = std::min( into.size(), held_.size() );
  std::ranges::copy( std::span { held_ }.first( count ), into.begin() );
  held_.erase( held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>( count ) );
  if ( held_.empty() ) {
    held_ = std::vector<std::byte> {}; // with its memory ("= {}" would keep it): a link may live for weeks
  }
  return count;
}

// A client's go into its first flight; a server's are what RFC 8446 calls 0.5-RTT data, which nobody can read who
// only repeats a flight.
int TlsHandshake::write( std::span<const std::byte> from, std::size_t& count )
{
  const bool may_be_now = early_ == Early::sending or early_ == Early::arriving or early_ == Early::over;
  const std::size_t most = may_be_now ? std::min( from.size(), early_most - early_sent_ ) : 0;
  waits_ = most < from.size();
  if ( most == 0 ) {
    return 1;
  }
  ::ERR_clear_error();
  const int result = ::SSL_write_early_data( ssl_, from.data(), most, &count );
  early_sent_ += count;
  return result;
}

// -- why it failed -----------------------------------------------------------------------------------------------

// In words that help to mend it.
std::string TlsHandshake::why_it_failed() const
{
  const bool is_server = context_.role_ == TlsContext::Role::server;
  const auto first_byte = socket_.first_byte();
  constexpr char handshake_record = 0x16; // RFC 8446, 5.1
  constexpr char hello_frame = 0x01;      // PROTOCOL.md, 3.2
  if ( socket_.is_overlong() ) {
    return "its TLS handshake is too long";
  }
  if ( socket_.error() != 0 ) {
    return error_text( socket_.error() );
  }
  if ( first_byte and first_byte != handshake_record and is_server ) {
    return first_byte == hello_frame ? "it speaks Holdfast in the clear; was it started with --insecure?"
                                     : "it does not speak TLS";
  }
  if ( socket_.has_ended() ) {
    return is_server or first_byte
             ? "it left in the middle of the TLS handshake"
             : "it left at the beginning of the TLS handshake; was sproxy started with --insecure?";
  }
  return alert_or_problem();
}

std::string TlsHandshake::alert_or_problem() const
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
