#include "net/tls.hh"

#include "net_tls_ends.hh"

#include <gmock/gmock.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

// What two ends that have agreed say to each other, and who is not let in.

namespace holdfast {
namespace {

using testing::HasSubstr;

TEST_F( TlsTest, BothEndsKnowEachOtherAndShareABinding )
{
  const Ends ends { client, server };
  ASSERT_TRUE( ends.open() ) << ends.client->problem() << ends.server->problem();
  EXPECT_EQ( ends.client->channel().identity, server_key.digest() );
  EXPECT_EQ( ends.server->channel().identity, client_key.digest() );
  EXPECT_EQ( ends.client->channel().binding, ends.server->channel().binding );
  EXPECT_NE( ends.client->channel().binding, Digest {} );
}

TEST_F( TlsTest, AnotherConnectionOfTheSameEndsHasAnotherBinding )
{
  const Ends one { client, server };
  const Ends other { client, server };
  ASSERT_TRUE( one.open() and other.open() );
  EXPECT_NE( one.client->channel().binding, other.client->channel().binding );
}

TEST_F( TlsTest, WordsGoBothWays )
{
  const Ends ends { client, server };
  ASSERT_TRUE( ends.open() );
  EXPECT_EQ( send_text( *ends.client, "from client" ).count, 11 );
  EXPECT_EQ( send_text( *ends.server, "from server" ).count, 11 );
  EXPECT_EQ( receive_text( *ends.server ), "from client" );
  EXPECT_EQ( receive_text( *ends.client ), "from server" );
}

// As a link sends: what was not taken comes again, perhaps gathered from other slices, and more behind it.
TEST_F( TlsTest, EveryByteArrivesOnceWhateverTheSocketTakes )
{
  const Ends ends { client, server };
  const int small = 4096;
  ASSERT_EQ( ::setsockopt( ends.client->socket().get(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small ), 0 );
  ASSERT_TRUE( ends.open() );

  std::mt19937 random { 1 };
  std::string all( 3'000'000, '\0' );
  for ( char& c : all ) {
    c = static_cast<char>( random() );
  }
  std::size_t sent = 0;
  std::string got;
  std::string into( 262144, '\0' );
  while ( got.size() < all.size() ) {
    std::vector<iovec> slices;
    for ( std::size_t at = sent; at < all.size() and at < sent + 131072; ) {
      const std::size_t size = std::min<std::size_t>( 1 + random() % 17000, all.size() - at );
      slices.push_back( { all.data() + at, size } );
      at += size;
    }
    if ( ends.client->flush() and sent < all.size() ) {
      const Transfer transfer = ends.client->send( slices );
      ASSERT_NE( transfer.kind, Transfer::Kind::failed ) << ends.client->problem();
      sent += transfer.count;
    }
    const std::size_t room = 1 + random() % into.size();
    const Transfer transfer
      = ends.server->receive( std::as_writable_bytes( std::span { into } ).first( room ), random() % 4 == 0 );
    ASSERT_NE( transfer.kind, Transfer::Kind::failed ) << ends.server->problem();
    got.append( into, 0, transfer.count );
  }
  EXPECT_EQ( got, all );
}

// Each record was a sendmsg of its own once, which woke the other end for a recvmsg of its own.
TEST_F( TlsTest, ManyRecordsAreOneSystemCallAtEitherEnd )
{
  const Ends ends { client, server };
  ASSERT_TRUE( ends.open() );
  send_text( *ends.client, "greeting" ); // who has said nothing gets shorter reads
  ASSERT_EQ( receive_text( *ends.server ), "greeting" );
  send_text( *ends.client, std::string( 70'000, 'x' ) ); // no small records any more
  ASSERT_EQ( receive_text( *ends.server ).size(), 70'000U );
  std::array<int, 2> fds {};
  ASSERT_EQ( ::socketpair( AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds.data() ), 0 ); // what is sent together
  ends.client->socket() = Fd { fds[0] };                                                  // must be read together
  ends.server->socket() = Fd { fds[1] };
  EXPECT_EQ( send_text( *ends.client, std::string( 90'000, 'x' ) ).count, 90'000U );
  EXPECT_EQ( receive_text( *ends.server ).size(), 90'000U );
}

TEST_F( TlsTest, WhatTheSocketDoesNotTakeWaitsInTheWire )
{
  const Ends ends { client, server };
  ASSERT_TRUE( ends.open() );
  EXPECT_FALSE( ends.client->owes() );
  EXPECT_TRUE( ends.client->flush() );
  std::size_t sent = 0;
  while ( not ends.client->owes() ) {
    const Transfer transfer = send_text( *ends.client, std::string( 100'000, 'x' ) );
    ASSERT_EQ( transfer.count, 100'000U ) << "all of it is taken, by the socket or by the wire";
    sent += transfer.count;
  }
  EXPECT_EQ( send_text( *ends.client, "more" ).kind, Transfer::Kind::would_block );
  EXPECT_FALSE( ends.client->flush() );
  std::size_t got = 0;
  while ( got < sent ) {
    const std::size_t count = receive_text( *ends.server ).size();
    got += count;
    ASSERT_TRUE( ends.client->flush() or count > 0 );
  }
  EXPECT_FALSE( ends.client->owes() );
  EXPECT_EQ( send_text( *ends.client, "more" ).count, 4U );
  EXPECT_EQ( receive_text( *ends.server ), "more" );
}

// What OpenSSL has read from the socket does not wake anybody: it must be had without reading the socket again.
TEST_F( TlsTest, NothingIsLeftBehindWhenTheSocketIsNotReadAnyMore )
{
  const Ends ends { client, server };
  ASSERT_TRUE( ends.open() );
  for ( int i = 0; i < 20; ++i ) {
    ASSERT_EQ( send_text( *ends.client, std::string( 1000, 'x' ) ).count, 1000 );
  }
  std::array<std::byte, 500> little {};
  std::size_t total = ends.server->receive( little ).count; // reads all that there is from the socket
  ASSERT_EQ( total, little.size() );
  for ( ;; ) {
    const Transfer transfer = ends.server->receive( little, true );
    if ( transfer.kind != Transfer::Kind::moved ) {
      break;
    }
    total += transfer.count;
  }
  EXPECT_EQ( total, 20000 );
}

TEST_F( TlsTest, APartOfARecordIsASignOfLife )
{
  const Ends ends { client, server };
  ASSERT_TRUE( ends.open() );
  static_cast<void>( ends.server->stirred() );
  send_text( *ends.client, std::string( 16000, 'x' ) );
  std::array<std::byte, 100> stolen {};
  auto sockets = socket_pair(); // the server gets the record in two parts
  const Transfer part = receive( ends.server->socket().get(), stolen );
  ASSERT_EQ( part.count, stolen.size() );
  std::swap( ends.server->socket(), sockets[0] );
  ASSERT_EQ( send( sockets[1].get(), std::span<const std::byte> { stolen } ).count, stolen.size() );
  EXPECT_EQ( receive_text( *ends.server ), "" );
  EXPECT_TRUE( ends.server->stirred() );
  EXPECT_FALSE( ends.server->stirred() );
}

TEST_F( TlsTest, KnowsThatTheRestOfARecordIsUnderWay )
{
  const Ends ends { client, server };
  ASSERT_TRUE( ends.open() );
  EXPECT_FALSE( ends.server->in_record() );
  send_text( *ends.client, std::string( 1000, 'x' ) );
  std::array<std::byte, 1022> record {};
  ASSERT_EQ( receive( ends.server->socket().get(), record ).count, record.size() );
  auto sockets = socket_pair(); // the server gets the record in two parts
  std::swap( ends.server->socket(), sockets[0] );
  ASSERT_EQ( send( sockets[1].get(), std::span<const std::byte> { record }.first( 500 ) ).count, 500 );
  EXPECT_EQ( receive_text( *ends.server ), "" );
  EXPECT_TRUE( ends.server->in_record() );
  ASSERT_EQ( send( sockets[1].get(), std::span<const std::byte> { record }.subspan( 500 ) ).count, 522 );
  EXPECT_EQ( receive_text( *ends.server ).size(), 1000 );
  EXPECT_FALSE( ends.server->in_record() );
}

// Ten segments are all that TCP sends at first. What they hold must be of use, so records are small then.
TEST_F( TlsTest, TheFirstRecordsFitIntoASegment )
{
  const auto ends_with = [&]( std::size_t cut_at ) {
    const Ends ends { client, server };
    EXPECT_TRUE( ends.open() );
    send_text( *ends.client, std::string( 14'480, 'x' ) );
    std::vector<std::byte> first( cut_at );
    EXPECT_EQ( receive( ends.server->socket().get(), first ).count, cut_at );
    auto sockets = socket_pair();
    std::swap( ends.server->socket(), sockets[0] );
    EXPECT_EQ( send( sockets[1].get(), std::span<const std::byte> { first } ).count, cut_at );
    return receive_text( *ends.server ).size();
  };
  EXPECT_EQ( ends_with( 1'422 ), 1'400 );
  EXPECT_EQ( ends_with( 10 * 1'422 ), 14'000 );
}

TEST_F( TlsTest, AClientGoesNoFurtherWithAServerItDoesNotKnow )
{
  std::optional<Digest> shown;
  const TlsContext careful { TlsContext::Role::client, client_key.get(), [&]( const Digest& identity ) {
                              shown = identity;
                              return std::optional<std::string> { "I do not know this key" };
                            } };
  const Ends ends { careful, server };
  EXPECT_FALSE( ends.open() );
  EXPECT_EQ( shown, server_key.digest() );
  EXPECT_EQ( ends.client->problem(), "I do not know this key" );
  EXPECT_FALSE( ends.server->open() );
  EXPECT_THAT( ends.server->problem(), HasSubstr( "refuses our key" ) ); // and never learned the client's
}

TEST_F( TlsTest, AServerTellsTheClientWhoseKeyItDoesNotAdmit )
{
  const TlsContext strict { TlsContext::Role::server, server_key.get(), []( const Digest& ) {
                             return std::optional<std::string> { "not on the list" };
                           } };
  const Ends ends { client, strict };
  EXPECT_FALSE( ends.open() );
  EXPECT_EQ( ends.server->problem(), "not on the list" );
  ASSERT_TRUE( ends.client->is_open() ); // a client is done before the server has seen its key (RFC 8446, 2)
  std::array<std::byte, 10> nothing {};
  EXPECT_EQ( ends.client->receive( nothing ).kind, Transfer::Kind::failed );
  EXPECT_THAT( ends.client->problem(), HasSubstr( "does not admit our key" ) );
}

TEST_F( TlsTest, WhoSpeaksInTheClearIsTold )
{
  auto sockets = socket_pair();
  const auto wire = server.wire( std::move( sockets[0] ) );
  ASSERT_EQ( send( sockets[1].get(), bytes_of( std::string( 200, '\1' ) ) ).count, 200 );
  EXPECT_FALSE( wire->open() );
  EXPECT_THAT( wire->problem(), HasSubstr( "--insecure" ) );
}

TEST_F( TlsTest, WhoSpeaksSomethingElseIsNotUnderstood )
{
  auto sockets = socket_pair();
  const auto wire = server.wire( std::move( sockets[0] ) );
  ASSERT_GT( send( sockets[1].get(), bytes_of( "GET / HTTP/1.1\r\n\r\n" ) ).count, 0 );
  EXPECT_FALSE( wire->open() );
  EXPECT_THAT( wire->problem(), HasSubstr( "does not speak TLS" ) );
}

TEST_F( TlsTest, AHandshakeThatDoesNotEndIsCutShort )
{
  auto sockets = socket_pair();
  const auto wire = server.wire( std::move( sockets[0] ) );
  // The beginning of a client hello that announces 2^24 - 1 bytes, in records of 16 KiB.
  std::string record { "\x16\x03\x01\x40\x00", 5 };
  record += std::string { "\x01\xff\xff\xff\x03\x03", 6 } + std::string( 16384 - 6, '\0' );
  bool good = true;
  for ( int i = 0; i < 10 and good; ++i ) {
    static_cast<void>( send( sockets[1].get(), bytes_of( record ) ) );
    good = wire->open();
  }
  EXPECT_FALSE( good );
}

TEST_F( TlsTest, AStreamThatIsCutShortHasEnded )
{
  const Ends ends { client, server };
  ASSERT_TRUE( ends.open() );
  send_text( *ends.client, "last words" );
  ends.client->socket().reset(); // without a close_notify
  EXPECT_EQ( receive_text( *ends.server ), "last words" );
  std::array<std::byte, 10> nothing {};
  EXPECT_EQ( ends.server->receive( nothing ).kind, Transfer::Kind::ended );
}

TEST_F( TlsTest, ARecordThatWasChangedOnItsWayEndsTheLink )
{
  const Ends ends { client, server };
  ASSERT_TRUE( ends.open() );
  send_text( *ends.client, "transfer 1 coin" );
  std::array<std::byte, 200> record {};
  const Transfer taken = receive( ends.server->socket().get(), record );
  record[taken.count / 2] ^= std::byte { 1 };
  auto sockets = socket_pair();
  std::swap( ends.server->socket(), sockets[0] );
  static_cast<void>( send( sockets[1].get(), std::span<const std::byte> { record }.first( taken.count ) ) );
  std::array<std::byte, 100> into {};
  EXPECT_EQ( ends.server->receive( into ).kind, Transfer::Kind::failed );
  EXPECT_THAT( ends.server->problem(), HasSubstr( "TLS" ) );
}

// A pair of sockets over TCP, which takes many small records.
std::array<Fd, 2> tcp_pair()
{
  const Fd listener = listen_on( literal_address( "127.0.0.1", 0 ).value() );
  Fd client = connect_to( local_address( listener.get() ) ).fd;
  prepare_leg( client.get() ); // each write goes out at once
  pollfd waiting { .fd = listener.get(), .events = POLLIN, .revents = 0 };
  EXPECT_EQ( ::poll( &waiting, 1, 10'000 ), 1 );
  return { accept_from( listener.get() ).fd, std::move( client ) };
}

// Clients that are not ours.
class OtherClient
{
public:
  explicit OtherClient( Fd socket )
    : socket_( std::move( socket ) ), context_( ::SSL_CTX_new( ::TLS_client_method() ), &::SSL_CTX_free )
  {}
  SSL_CTX* context() { return context_.get(); }
  void shake()
  {
    if ( not ssl_ ) {
      ssl_.reset( ::SSL_new( context_.get() ) );
      ::SSL_set_fd( ssl_.get(), socket_.get() );
      ::SSL_set_msg_callback( ssl_.get(), &remember );
      ::SSL_set_msg_callback_arg( ssl_.get(), this );
    }
    ::SSL_connect( ssl_.get() );
  }
  void say( std::string_view words )
  {
    while ( ::SSL_write( ssl_.get(), words.data(), static_cast<int>( words.size() ) ) <= 0 ) {
      ASSERT_EQ( ::SSL_get_error( ssl_.get(), -1 ), SSL_ERROR_WANT_WRITE );
      pollfd full { .fd = socket_.get(), .events = POLLOUT, .revents = 0 };
      ASSERT_EQ( ::poll( &full, 1, 10'000 ), 1 );
    }
  }
  // What comes next; nothing if it takes too long.
  std::string hear()
  {
    std::array<char, 100> words {};
    pollfd waiting { .fd = socket_.get(), .events = POLLIN, .revents = 0 };
    int count = -1;
    int problem = SSL_ERROR_WANT_READ;
    while ( count <= 0 and problem == SSL_ERROR_WANT_READ and ::poll( &waiting, 1, 10'000 ) == 1 ) {
      count = ::SSL_read( ssl_.get(), words.data(), words.size() );
      problem = ::SSL_get_error( ssl_.get(), count );
    }
    return { words.data(), static_cast<std::size_t>( std::max( count, 0 ) ) };
  }
  // Messages of TLS that it was sent, of this type.
  int heard_of( unsigned char type )
  {
    return static_cast<int>( std::count( messages_.begin(), messages_.end(), type ) );
  }
  // 27 bytes that make the other side derive new keys (RFC 8446, 4.6.3).
  void update_keys()
  {
    ::SSL_key_update( ssl_.get(), SSL_KEY_UPDATE_NOT_REQUESTED );
    ::SSL_do_handshake( ssl_.get() );
  }

private:
  static void remember( int sent, int, int type, const void* message, std::size_t, SSL*, void* self )
  {
    if ( sent == 0 and type == SSL3_RT_HANDSHAKE ) {
      static_cast<OtherClient*>( self )->messages_.push_back( *static_cast<const unsigned char*>( message ) );
    }
  }

  Fd socket_;
  std::vector<unsigned char> messages_ {}; // the type of each
  std::unique_ptr<SSL_CTX, decltype( &::SSL_CTX_free )> context_;
  std::unique_ptr<SSL, decltype( &::SSL_free )> ssl_ { nullptr, &::SSL_free };
};

// Whether the server lets it in. What one of them says need not be there at once for the other.
bool opens( Wire& server, OtherClient& client )
{
  bool good = true;
  for ( int ms = 0; ms < 10'000 and good and not server.is_open(); ++ms ) {
    client.shake();
    good = server.open();
    ::usleep( 1000 );
  }
  return server.is_open();
}

class OtherClientTest : public TlsTest
{
protected:
  std::array<Fd, 2> sockets = tcp_pair();
  std::unique_ptr<Wire> wire = server.wire( std::move( sockets[0] ) );
  OtherClient other { std::move( sockets[1] ) };

  // What the server reads next, which may be on its way.
  std::string heard()
  {
    std::string text = receive_text( *wire );
    pollfd waiting { .fd = wire->socket().get(), .events = POLLIN, .revents = 0 };
    for ( int i = 0; i < 100 and text.empty() and ::poll( &waiting, 1, 10'000 ) == 1; ++i ) {
      text = receive_text( *wire );
    }
    return text;
  }
  void show_a_key()
  {
    ASSERT_EQ( ::SSL_CTX_use_PrivateKey( other.context(), &client_key.get() ), 1 );
    const std::unique_ptr<X509, decltype( &::X509_free )> certificate { ::X509_new(), &::X509_free };
    ::X509_set_pubkey( certificate.get(), &client_key.get() );
    ::X509_gmtime_adj( ::X509_getm_notBefore( certificate.get() ), 0 );
    ::X509_gmtime_adj( ::X509_getm_notAfter( certificate.get() ), 1000 );
    ::X509_sign( certificate.get(), &client_key.get(), nullptr );
    ASSERT_EQ( ::SSL_CTX_use_certificate( other.context(), certificate.get() ), 1 );
  }
  void offer( std::string_view protocols )
  {
    ::SSL_CTX_set_alpn_protos( other.context(),
                               reinterpret_cast<const unsigned char*>( protocols.data() ),
                               static_cast<unsigned>( protocols.size() ) );
  }
};

TEST_F( OtherClientTest, IsLetInWhenItDoesAllThatWeAskFor ) // or the tests below prove nothing
{
  show_a_key();
  offer( "\x0aholdfast/1" );
  EXPECT_TRUE( opens( *wire, other ) ) << wire->problem();
}

TEST_F( OtherClientTest, MayUpdateItsKeysNowAndThen )
{
  show_a_key();
  offer( "\x0aholdfast/1" );
  ASSERT_TRUE( opens( *wire, other ) );
  for ( int i = 0; i < 10; ++i ) {
    other.update_keys();
    other.say( "still me" );
    EXPECT_EQ( heard(), "still me" );
  }
}

TEST_F( OtherClientTest, IsSentNewKeysBeforeTheOldOnesAreWorn )
{
  show_a_key();
  offer( "\x0aholdfast/1" );
  server.renew_keys_after( 3 );
  ASSERT_TRUE( opens( *wire, other ) );
  for ( int i = 0; i < 10; ++i ) {
    EXPECT_EQ( send_text( *wire, "a record" ).count, 8U );
    EXPECT_EQ( other.hear(), "a record" );
  }
  EXPECT_EQ( other.heard_of( SSL3_MT_KEY_UPDATE ), 3 );
}

TEST_F( TlsTest, NewKeysComeInTheMiddleOfBulk )
{
  server.renew_keys_after( 20 );
  client.renew_keys_after( 25 );
  const Ends ends( client, server );
  ASSERT_TRUE( ends.open() );
  std::string sent( 3'000'000, 'x' );
  for ( std::size_t i = 0; i < sent.size(); ++i ) {
    sent[i] = static_cast<char>( i / 7 );
  }
  for ( const auto& [from, to] : { std::pair { &ends.server, &ends.client }, { &ends.client, &ends.server } } ) {
    std::string received;
    for ( std::size_t count = 0; received.size() < sent.size(); ) {
      const Transfer taken = send_text( **from, std::string_view { sent }.substr( count ) );
      ASSERT_NE( taken.kind, Transfer::Kind::failed );
      count += taken.count;
      const std::string piece = receive_text( **to );
      ASSERT_TRUE( ( **to ).problem().empty() ) << ( **to ).problem();
      received += piece;
    }
    EXPECT_TRUE( received == sent );
  }
}

TEST_F( OtherClientTest, CannotKeepUsBusyWithTinyRecords )
{
  show_a_key();
  offer( "\x0aholdfast/1" );
  ASSERT_TRUE( opens( *wire, other ) );
  for ( int i = 0; i < 6000; ++i ) { // 140,000 bytes on the wire
    other.say( "x" );
  }
  const std::string greeting = heard();
  EXPECT_GT( greeting.size(), 0U );
  EXPECT_LT( greeting.size(), 3000U ) << "one read of 64 KiB for a stranger";
  std::size_t total = greeting.size();
  pollfd waiting { .fd = wire->socket().get(), .events = POLLIN, .revents = 0 };
  while ( total < 6000 and ::poll( &waiting, 1, 10'000 ) == 1 ) {
    const std::size_t count = receive_text( *wire ).size();
    EXPECT_LT( count, 4 * 3000U );
    total += count;
  }
  EXPECT_EQ( total, 6000U ) << "nothing is left behind";
}

TEST_F( OtherClientTest, CannotKeepUsBusyWithUpdatesOfItsKeys )
{
  show_a_key();
  offer( "\x0aholdfast/1" );
  ASSERT_TRUE( opens( *wire, other ) );
  for ( int i = 0; i < 1000; ++i ) { // fewer than the socket holds
    other.update_keys();
  }
  std::array<std::byte, 100> into {};
  Transfer transfer = wire->receive( into );
  for ( int i = 0; i < 1000 and transfer.kind == Transfer::Kind::would_block; ++i ) { // some are still on their way
    ::usleep( 1000 );
    transfer = wire->receive( into );
  }
  EXPECT_EQ( transfer.kind, Transfer::Kind::failed );
  EXPECT_THAT( wire->problem(), HasSubstr( "too often" ) );
}

TEST_F( OtherClientTest, MustSpeakTls13 )
{
  show_a_key();
  offer( "\x0aholdfast/1" );
  SSL_CTX_set_max_proto_version( other.context(), TLS1_2_VERSION );
  EXPECT_FALSE( opens( *wire, other ) );
}

TEST_F( OtherClientTest, MustShowAKey )
{
  offer( "\x0aholdfast/1" );
  EXPECT_FALSE( opens( *wire, other ) );
}

TEST_F( OtherClientTest, MustOfferOurProtocol )
{
  show_a_key();
  EXPECT_FALSE( opens( *wire, other ) );
  EXPECT_THAT( wire->problem(), HasSubstr( "not Holdfast" ) );
}

TEST_F( OtherClientTest, MayNotOfferAnotherProtocolOnly )
{
  show_a_key();
  offer( "\x08http/1.1" );
  EXPECT_FALSE( opens( *wire, other ) );
}

TEST_F( OtherClientTest, MayNotMakeUsCalculateWithAnotherKindOfKey )
{
  const std::unique_ptr<EVP_PKEY, decltype( &::EVP_PKEY_free )> rsa {
    ::EVP_PKEY_Q_keygen( nullptr, nullptr, "RSA", std::size_t { 2048 } ), &::EVP_PKEY_free
  };
  client_key.owner.reset( nullptr );
  const std::unique_ptr<X509, decltype( &::X509_free )> certificate { ::X509_new(), &::X509_free };
  ::X509_set_pubkey( certificate.get(), rsa.get() );
  ::X509_sign( certificate.get(), rsa.get(), ::EVP_sha256() );
  ASSERT_EQ( ::SSL_CTX_use_certificate( other.context(), certificate.get() ), 1 );
  ASSERT_EQ( ::SSL_CTX_use_PrivateKey( other.context(), rsa.get() ), 1 );
  offer( "\x0aholdfast/1" );
  EXPECT_FALSE( opens( *wire, other ) );
}

TEST( Tls, AKeysDigestIsThatOfItsPublicKeyInDer )
{
  // openssl genpkey -algorithm ED25519 and then: openssl pkey -pubout -outform DER | openssl dgst -sha256
  const std::array<unsigned char, 32> seed { 1 };
  const std::unique_ptr<EVP_PKEY, decltype( &::EVP_PKEY_free )> key {
    ::EVP_PKEY_new_raw_private_key( EVP_PKEY_ED25519, nullptr, seed.data(), seed.size() ), &::EVP_PKEY_free
  };
  constexpr std::array<unsigned, 4> begins { 0x6b, 0x7b, 0x14, 0x7f };
  const Digest digest = key_digest( *key );
  for ( std::size_t i = 0; i < begins.size(); ++i ) {
    EXPECT_EQ( std::to_integer<unsigned>( digest[i] ), begins[i] );
  }
}

} // namespace
} // namespace holdfast
