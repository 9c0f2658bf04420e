#include "net/tls.hh"

#include "cipher/vaes_gcm.hh"
#include "net/error.hh"
#include "net/openssl.hh"
#include "net/tls_wire.hh"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <string_view>
#include <utility>

namespace holdfast {

namespace {

constexpr std::string_view alpn = "\x0aholdfast/1"; // with its length in front, as on the wire (RFC 7301, 3.1)

constexpr std::size_t tickets_kept = 8;  // each dial that gets as far as TLS uses one
constexpr long ticket_lifetime = 604800; // seconds: seven days, the longest there is (RFC 8446, 4.6.1)

// A chain of certificates; with bare keys it is a few hundred bytes.
constexpr std::size_t certificates_max = 16384;

using Certificate = std::unique_ptr<X509, Deleter<::X509_free>>;

// A certificate that says nothing but what our key is. It is valid at any time: clocks have nothing to do with it.
Certificate certificate_for( EVP_PKEY& key )
{
  constexpr std::string_view what = "cannot make a certificate for our key";
  Certificate certificate { ::X509_new() };
  expect( certificate != nullptr, what );
  X509& x509 = *certificate;
  constexpr int version_3 = 2;
  expect( ::X509_set_version( &x509, version_3 ) == 1, what );
  expect( ::ASN1_INTEGER_set( ::X509_get_serialNumber( &x509 ), 1 ) == 1, what );
  expect( ::ASN1_TIME_set_string( ::X509_getm_notBefore( &x509 ), "19700101000000Z" ) == 1, what );
  expect( ::ASN1_TIME_set_string( ::X509_getm_notAfter( &x509 ), "99991231235959Z" ) == 1, what ); // RFC 5280
  X509_NAME* const name = ::X509_get_subject_name( &x509 );
  const auto* const common_name = reinterpret_cast<const unsigned char*>( "holdfast" );
  expect( ::X509_NAME_add_entry_by_txt( name, "CN", MBSTRING_ASC, common_name, -1, -1, 0 ) == 1, what );
  expect( ::X509_set_issuer_name( &x509, name ) == 1, what );
  expect( ::X509_set_pubkey( &x509, &key ) == 1, what );
  expect( ::X509_sign( &x509, &key, nullptr ) > 0, what );
  return certificate;
}

// A context's data index where it finds what is made of it.
int context_index()
{
  static const int index = ::SSL_CTX_get_ex_new_index( 0, nullptr, nullptr, nullptr, nullptr );
  return index;
}

// Picks our protocol among those a client offers; without it there is nothing to talk about.
int select_alpn( SSL*,
                 const unsigned char** chosen,
                 unsigned char* chosen_length,
                 const unsigned char* offered,
                 unsigned offered_length,
                 void* )
{
  const auto* const ours = reinterpret_cast<const unsigned char*>( alpn.data() );
  unsigned char* match = nullptr;
  if ( ::SSL_select_next_proto( &match, chosen_length, ours, alpn.size(), offered, offered_length )
       != OPENSSL_NPN_NEGOTIATED ) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *chosen = match;
  return SSL_TLSEXT_ERR_OK;
}

} // namespace

void TlsContext::Free::operator()( SSL_CTX* context ) const
{
  ::SSL_CTX_free( context );
}

void TlsContext::Free::operator()( SSL_SESSION* session ) const
{
  ::SSL_SESSION_free( session );
}

TlsContext::TlsContext( Role role, Judge judge )
  : role_( role )
  , judge_( std::move( judge ) )
  , context_( ::SSL_CTX_new_ex( nullptr,
                                vaes_gcm(),
                                role == Role::server ? ::TLS_server_method() : ::TLS_client_method() ) )
{
  constexpr std::string_view what = "OpenSSL cannot be set up";
  SSL_CTX* const context = context_.get();
  expect( context != nullptr, what );
  expect( SSL_CTX_set_min_proto_version( context, TLS1_3_VERSION ) == 1, what );
  expect( SSL_CTX_set_max_proto_version( context, TLS1_3_VERSION ) == 1, what );
  expect( SSL_CTX_set1_groups_list( context, "X25519:P-256" ) == 1, what );
  // All are safe; the first is the fastest where the processor has AES, the last where it has not.
  expect( ::SSL_CTX_set_ciphersuites( context,
                                      "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256" )
            == 1,
          what );
  ::SSL_CTX_set_options( context, SSL_OP_NO_COMPRESSION | SSL_OP_PRIORITIZE_CHACHA );
  allow_tickets();
  SSL_CTX_set_mode(
    context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS );
  SSL_CTX_set_read_ahead( context, 1 );
  SSL_CTX_set_max_cert_list( context, certificates_max );
  ::SSL_CTX_set_verify( context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr );
  ::SSL_CTX_set_cert_verify_callback( context, &TlsContext::verify, this );
  ::SSL_CTX_set_msg_callback( context, &TlsWire::message );
  if ( role == Role::server ) {
    ::SSL_CTX_set_alpn_select_cb( context, &select_alpn, nullptr );
  } else { // 0 is success here, unlike anywhere else
    const auto* const ours = reinterpret_cast<const unsigned char*>( alpn.data() );
    expect( ::SSL_CTX_set_alpn_protos( context, ours, alpn.size() ) == 0, what );
  }
}

TlsContext::TlsContext( Role role, EVP_PKEY& key, Judge judge ) : TlsContext( role, std::move( judge ) )
{
  constexpr std::string_view what = "OpenSSL cannot use our key";
  SSL_CTX* const context = context_.get();
  // Nothing else can be asked to be verified: no stranger makes us calculate with a huge key.
  expect( SSL_CTX_set1_sigalgs_list( context, "ed25519" ) == 1, what );
  expect( SSL_CTX_set1_client_sigalgs_list( context, "ed25519" ) == 1, what );
  expect( ::SSL_CTX_use_certificate( context, certificate_for( key ).get() ) == 1, what );
  expect( ::SSL_CTX_use_PrivateKey( context, &key ) == 1, what );
  identity_ = key_digest( key );
}

TlsContext::TlsContext( Role role, EVP_PKEY& key, const Certificates& files, const std::string& host, Judge judge )
  : TlsContext( role, std::move( judge ) )
{
  SSL_CTX* const context = context_.get();
  has_ca_ = true;
  expect( ::SSL_CTX_load_verify_file( context, files.ca.c_str() ) == 1,
          fmt::format( "cannot use the certificates of the CA in {}", files.ca ) );
  expect( ::SSL_CTX_use_certificate_chain_file( context, files.certificate.c_str() ) == 1,
          fmt::format( "cannot use the certificate in {}", files.certificate ) );
  expect( ::SSL_CTX_use_PrivateKey( context, &key ) == 1, // checks that they belong together
          fmt::format( "cannot use the key in {} for the certificate in {}", files.key, files.certificate ) );
  if ( role == Role::server ) { // tells clients whose certificates are asked for
    ::SSL_CTX_set_client_CA_list( context, ::SSL_load_client_CA_file( files.ca.c_str() ) );
  } else {
    X509_VERIFY_PARAM* const expected = ::SSL_CTX_get0_param( context );
    const bool is_address = literal_address( host, 0 ).has_value();
    expect( ( is_address ? ::X509_VERIFY_PARAM_set1_ip_asc( expected, host.c_str() )
                         : ::X509_VERIFY_PARAM_set1_host( expected, host.c_str(), host.size() ) )
              == 1,
            fmt::format( "no certificate can be for {}", host ) );
  }
  identity_ = key_digest( key );
}

void TlsContext::allow_tickets()
{
  SSL_CTX* const context = context_.get();
  ::SSL_CTX_set_num_tickets( context, 0 ); // none by itself
  ::SSL_CTX_set_timeout( context, ticket_lifetime );
  if ( role_ == Role::client ) {
    SSL_CTX_set_session_cache_mode( context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL );
    ::SSL_CTX_sess_set_new_cb( context, &TlsContext::keep_ticket );
    ::SSL_CTX_set_ex_data( context, context_index(), this );
    return;
  }
  // OpenSSL's own protection against early data that come twice would keep a list of all tickets given. We need
  // none: what is said early begins with a hello, and each hello is good for one time (PROTOCOL.md, 5.3).
  ::SSL_CTX_set_options( context, SSL_OP_NO_ANTI_REPLAY );
  SSL_CTX_set_session_cache_mode( context, SSL_SESS_CACHE_OFF ); // a ticket holds all that is to be known
  const auto* const name = reinterpret_cast<const unsigned char*>( alpn.data() );
  expect( ::SSL_CTX_set_session_id_context( context, name, alpn.size() ) == 1
            and ::SSL_CTX_set_max_early_data( context, std::uint32_t { TlsHandshake::early_most } ) == 1
            and ::SSL_CTX_set_recv_max_early_data( context, std::uint32_t { TlsHandshake::early_most } ) == 1
            and ::SSL_CTX_set_session_ticket_cb( context, nullptr, &TlsContext::judge_ticket, this ) == 1,
          "OpenSSL cannot be set up" );
}

// Called by OpenSSL when a client is given a ticket. 1: it is ours now.
int TlsContext::keep_ticket( SSL* ssl, SSL_SESSION* session )
{
  auto& self = *static_cast<TlsContext*>( ::SSL_CTX_get_ex_data( ::SSL_get_SSL_CTX( ssl ), context_index() ) );
  self.tickets_.emplace_back( session );
  if ( self.tickets_.size() > tickets_kept ) {
    self.tickets_.pop_front();
  }
  return 1;
}

// Called by OpenSSL when a client shows a ticket. Whoever is not welcome any more hears why in a full handshake.
int TlsContext::judge_ticket( SSL*,
                              SSL_SESSION* session,
                              const unsigned char*,
                              std::size_t,
                              int status,
                              void* self )
{
  const bool is_ours = status == SSL_TICKET_SUCCESS or status == SSL_TICKET_SUCCESS_RENEW;
  return is_ours and static_cast<const TlsContext*>( self )->welcomes( *session ) ? SSL_TICKET_RETURN_USE
                                                                                  : SSL_TICKET_RETURN_IGNORE;
}

bool TlsContext::welcomes( const SSL_SESSION& session ) const
{
  X509* const certificate = ::SSL_SESSION_get0_peer( const_cast<SSL_SESSION*>( &session ) );
  EVP_PKEY* const key = certificate == nullptr ? nullptr : ::X509_get0_pubkey( certificate );
  if ( key == nullptr or ( has_ca_ and ::X509_cmp_current_time( ::X509_get0_notAfter( certificate ) ) <= 0 ) ) {
    return false; // it was good when it was verified, and may be out of date by now
  }
  return not judge_( key_digest( *key ) );
}

// The latest one; nothing if there is none that is good for a server whom we welcome.
TlsContext::Ticket TlsContext::take_ticket() const
{
  while ( not tickets_.empty() ) {
    Ticket ticket = std::move( tickets_.back() );
    tickets_.pop_back();
    if ( ::SSL_SESSION_is_resumable( ticket.get() ) == 1 and welcomes( *ticket ) ) {
      if ( Ticket copy { tickets_.empty() ? ::SSL_SESSION_dup( ticket.get() ) : nullptr } ) {
        tickets_.push_back( std::move( copy ) ); // one that was used once may be all there is until the next link
      }
      return ticket;
    }
  }
  return {};
}

void TlsContext::ask_for( const std::string& host )
{
  if ( not literal_address( host, 0 ) ) {
    sni_ = host;
  }
}

std::unique_ptr<Wire> TlsContext::wire( Fd socket ) const
{
  return std::make_unique<TlsWire>( *this, std::move( socket ) );
}

// Called by OpenSSL with the other end's certificates, before it believes in them.
int TlsContext::verify( X509_STORE_CTX* chain, void* self )
{
  const auto& context = *static_cast<const TlsContext*>( self );
  auto* const ssl
    = static_cast<SSL*>( ::X509_STORE_CTX_get_ex_data( chain, ::SSL_get_ex_data_X509_STORE_CTX_idx() ) );
  TlsWire& wire = TlsWire::of( ssl );
  if ( context.has_ca_ and ::X509_verify_cert( chain ) != 1 ) {
    wire.judged( fmt::format( "its certificate is not good: {}",
                              ::X509_verify_cert_error_string( ::X509_STORE_CTX_get_error( chain ) ) ) );
    return 0;
  }
  EVP_PKEY* const key = ::X509_get0_pubkey( ::X509_STORE_CTX_get0_cert( chain ) );
  std::optional<std::string> objection = key == nullptr
                                           ? std::string { "its certificate has no key that we understand" }
                                           : context.judge_( key_digest( *key ) );
  if ( objection ) {
    wire.judged( std::move( *objection ) );
    ::X509_STORE_CTX_set_error( chain, X509_V_ERR_CERT_REJECTED ); // told as bad_certificate (RFC 8446, 6.2)
    return 0;
  }
  ::X509_STORE_CTX_set_error( chain, X509_V_OK );
  return 1;
}

Digest key_digest( EVP_PKEY& key )
{
  unsigned char* encoded = nullptr;
  const int length = ::i2d_PUBKEY( &key, &encoded );
  const std::unique_ptr<unsigned char, void ( * )( unsigned char* )> owner { encoded, []( unsigned char* memory ) {
                                                                              OPENSSL_free( memory );
                                                                            } };
  Digest digest {};
  if ( length <= 0
       or ::EVP_Digest( encoded,
                        static_cast<std::size_t>( length ),
                        reinterpret_cast<unsigned char*>( digest.data() ),
                        nullptr,
                        ::EVP_sha256(),
                        nullptr )
            != 1 ) {
    throw StartupError( "OpenSSL cannot calculate the digest of a public key" );
  }
  return digest;
}

} // namespace holdfast
