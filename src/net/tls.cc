#include "net/tls.hh"

#include "net/error.hh"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <string_view>
#include <utility>

namespace holdfast {

namespace {

using namespace std::string_view_literals;

constexpr std::string_view alpn = "\x0aholdfast/1"; // with its length in front, as on the wire (RFC 7301, 3.1)

// A handshake needs a kilobyte of the other end's with bare keys, a few with a chain of certificates.
constexpr std::size_t handshake_max = 16384;
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

template<auto free>
struct Deleter
{
  template<class T>
  void operator()( T* object ) const
  {
    free( object );
  }
};

// What went wrong in OpenSSL last, in its words.
std::string openssl_problem()
{
  const unsigned long error = ::ERR_peek_last_error();
  const char* const reason = ::ERR_reason_error_string( error );
  ::ERR_clear_error();
  return reason == nullptr ? "OpenSSL gave no reason" : reason;
}

void expect( bool good, std::string_view what )
{
  if ( not good ) {
    throw StartupError( fmt::format( "{}: {}", what, openssl_problem() ) );
  }
}

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

// SSL's data index where it finds its wire.
int wire_index()
{
  static const int index = ::SSL_get_ex_new_index( 0, nullptr, nullptr, nullptr, nullptr );
  return index;
}

} // namespace

// TLS over one socket. OpenSSL reads and writes through us, so that every byte is counted and no call blocks,
// raises SIGPIPE, or reads more than it should.
class TlsWire : public Wire
{
public:
  TlsWire( const TlsContext& context, Fd socket ) : context_( context ), socket_( std::move( socket ) ) {}

  Fd& socket() override { return socket_; }

  bool open() override
  {
    if ( not ssl_ ) {
      start(); // not before there is something to do: who connects and says nothing gets nothing of ours
    }
    ::ERR_clear_error();
    const int result = ::SSL_do_handshake( ssl_.get() );
    opens_when_writable_ = false;
    if ( result == 1 ) {
      finish_opening();
      return problem_.empty();
    }
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
  bool is_open() const override { return open_; }
  bool opens_when_writable() const override { return opens_when_writable_; }
  Channel channel() const override { return channel_; }

  Transfer receive( std::span<std::byte> into, bool buffered_only ) override
  {
    if ( broken_ ) {
      return as_before();
    }
    reads_left_ = buffered_only ? 0 : received_ == 0 ? reads_of_stranger : reads_at_once;
    std::size_t total = 0;
    Transfer last { .kind = Transfer::Kind::moved };
    while ( total < into.size() and last.kind == Transfer::Kind::moved ) {
      std::size_t count = 0;
      ::ERR_clear_error();
      const int result = ::SSL_read_ex( ssl_.get(), into.data() + total, into.size() - total, &count );
      total += count;
      received_ += count;
      if ( result != 1 ) {
        last = not_moved( result );
      }
    }
    // Bytes come first; what ended or failed does so again in the next call.
    return total > 0 ? Transfer { .kind = Transfer::Kind::moved, .count = total } : last;
  }

  Transfer send( std::span<const iovec> from ) override
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
      ::ERR_clear_error();
      const int result = ::SSL_write_ex( ssl_.get(), context_.record_.data(), gathered, &count );
      total += count;
      if ( result != 1 ) {
        const Transfer transfer = not_moved( result );
        return total > 0 and transfer.kind == Transfer::Kind::would_block
                 ? Transfer { .kind = Transfer::Kind::moved, .count = total }
                 : transfer;
      }
    }
  }

  void say_no_more() override
  {
    if ( open_ and not broken_ ) {
      ::ERR_clear_error();
      ::SSL_shutdown( ssl_.get() ); // close_notify, as far as the socket takes it
      ::ERR_clear_error();
    }
    end_writing( socket_.get() );
  }

  bool stirred() override { return std::exchange( stirred_, false ); }
  const std::string& problem() const override { return problem_; }

  void judged( std::string problem ) { problem_ = std::move( problem ); }

  // Called by OpenSSL with each message of the TLS protocol, in the middle of a read.
  static void message( int sent, int, int type, const void*, std::size_t, SSL* ssl, void* )
  {
    auto& wire = *static_cast<TlsWire*>( ::SSL_get_ex_data( ssl, wire_index() ) );
    if ( sent == 0 and type == SSL3_RT_HANDSHAKE and wire.open_ ) {
      wire.interrupted();
    }
  }

private:
  static BIO_METHOD* methods()
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

  static int socket_read( BIO* bio, char* into, std::size_t size, std::size_t* count )
  {
    TlsWire& wire = *static_cast<TlsWire*>( ::BIO_get_data( bio ) );
    BIO_clear_retry_flags( bio );
    if ( not wire.open_ and wire.handshake_bytes_ >= handshake_max ) {
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

  static int socket_write( BIO* bio, const char* from, std::size_t size, std::size_t* count )
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

  static long socket_control( BIO* bio, int command, long, void* )
  {
    switch ( command ) {
      case BIO_CTRL_FLUSH: return 1; // nothing is kept
      case BIO_CTRL_EOF: return static_cast<TlsWire*>( ::BIO_get_data( bio ) )->ended_ ? 1 : 0;
      default: return 0;
    }
  }

  void arrived( std::string_view bytes )
  {
    if ( handshake_bytes_ == 0 ) {
      first_byte_ = bytes.front();
    }
    if ( not open_ ) {
      handshake_bytes_ += bytes.size();
    }
    stirred_ = true;
  }

  void start()
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
    } else {
      ::SSL_set_connect_state( ssl_.get() );
      if ( not context_.sni_.empty() ) {
        // The macro SSL_set_tlsext_host_name without its cast.
        char* const name = const_cast<char*>( context_.sni_.c_str() );
        ::SSL_ctrl( ssl_.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name );
      }
    }
  }

  void finish_opening()
  {
    const unsigned char* protocol = nullptr;
    unsigned length = 0;
    ::SSL_get0_alpn_selected( ssl_.get(), &protocol, &length );
    X509* const theirs = ::SSL_get0_peer_certificate( ssl_.get() );
    EVP_PKEY* const key = theirs == nullptr ? nullptr : ::X509_get0_pubkey( theirs );
    if ( length == 0 ) { // a client that offered none, or a server that knows none
      problem_ = "it speaks TLS, but not Holdfast (no ALPN holdfast/1)";
    } else if ( key == nullptr
                or ::SSL_export_keying_material( ssl_.get(),
                                                 reinterpret_cast<unsigned char*>( channel_.binding.data() ),
                                                 channel_.binding.size(),
                                                 exporter.data(),
                                                 exporter.size(),
                                                 nullptr,
                                                 0,
                                                 0 )
                     != 1 ) {
      problem_ = "TLS: " + openssl_problem();
    } else {
      channel_.identity = key_digest( *key );
      open_ = true;
      ::SSL_set_default_read_buffer_len( ssl_.get(), read_buffer ); // not for strangers
    }
  }

  // One read of OpenSSL's goes on for as long as messages without data come. So it is told that nothing follows.
  void interrupted()
  {
    if ( ++messages_ > messages_free + received_ / bytes_per_message ) {
      problem_ = "it sends new keys too often";
      ::SSL_set_shutdown( ssl_.get(), SSL_RECEIVED_SHUTDOWN );
    }
  }

  // Gathers the next record's bytes from `slice` and `offset` on, and moves both.
  std::size_t gather( std::span<const iovec> from, std::size_t& slice, std::size_t& offset )
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

  Transfer not_moved( int result )
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
  [[nodiscard]] Transfer as_before() const
  {
    if ( not problem_.empty() ) {
      return { .kind = Transfer::Kind::failed, .error = EPROTO };
    }
    return ended_ ? Transfer { .kind = Transfer::Kind::ended }
                  : Transfer { .kind = Transfer::Kind::failed, .error = error_ };
  }

  // Why the handshake failed, in words that help to mend it.
  std::string handshake_problem()
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

  std::string alert_or_problem()
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

  const TlsContext& context_;
  Fd socket_;
  std::unique_ptr<SSL, Deleter<::SSL_free>> ssl_ {};
  Channel channel_ {};
  std::size_t handshake_bytes_ = 0; // received
  int error_ = 0;                   // errno of the socket
  char first_byte_ = 0;
  bool open_ = false;
  bool opens_when_writable_ = false;
  int reads_left_ = 1;         // of the socket, in this call
  std::uint64_t received_ = 0; // bytes of data
  std::uint64_t messages_ = 0;
  bool stirred_ = false;
  bool ended_ = false;  // the other end's stream
  bool broken_ = false; // nothing may be asked of OpenSSL any more
  std::string problem_ {};
};

void TlsContext::Free::operator()( SSL_CTX* context ) const
{
  ::SSL_CTX_free( context );
}

TlsContext::TlsContext( Role role, Judge judge )
  : role_( role )
  , judge_( std::move( judge ) )
  , context_( ::SSL_CTX_new( role == Role::server ? ::TLS_server_method() : ::TLS_client_method() ) )
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
  ::SSL_CTX_set_options( context, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_PRIORITIZE_CHACHA );
  ::SSL_CTX_set_num_tickets( context, 0 );
  SSL_CTX_set_session_cache_mode( context, SSL_SESS_CACHE_OFF );
  SSL_CTX_set_mode(
    context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS );
  SSL_CTX_set_read_ahead( context, 1 );
  SSL_CTX_set_max_cert_list( context, handshake_max );
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
  auto& wire = *static_cast<TlsWire*>( ::SSL_get_ex_data( ssl, wire_index() ) );
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
