#include "net/tls_handshake.hh"

#include "net_tls_ends.hh"

#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <thread>

// Who comes back, and what is said before the handshake is finished.

namespace holdfast {
namespace {

// A client that has tickets of the server.
class ReturningTest : public TlsTest
{
protected:
  void SetUp() override
  {
    const Ends first { client, server };
    ASSERT_TRUE( first.open() );
    first.server->let_return();
    EXPECT_EQ( send_text( *first.server, "you may return" ).count, 14 );
    EXPECT_EQ( receive_text( *first.client ), "you may return" );
  }
};

TEST_F( ReturningTest, WordsGoOutWithTheFirstFlightAndAreAnsweredInTheSecond )
{
  const Ends ends { client, server };
  ends.client->hurry();
  ASSERT_TRUE( ends.client->open() );
  ASSERT_TRUE( ends.client->may_send() );
  EXPECT_FALSE( ends.client->is_open() );
  EXPECT_EQ( send_text( *ends.client, "early" ).count, 5 );

  ASSERT_TRUE( ends.server->open() ) << ends.server->problem();
  ASSERT_TRUE( ends.server->is_open() );
  EXPECT_EQ( receive_text( *ends.server ), "early" );
  EXPECT_EQ( ends.server->channel().identity, client_key.digest() );
  EXPECT_EQ( ends.server->channel().binding, ends.client->channel().binding );
  EXPECT_EQ( send_text( *ends.server, "soon" ).count, 4 );

  ASSERT_TRUE( ends.client->open() ) << ends.client->problem();
  ASSERT_TRUE( ends.client->is_open() );
  EXPECT_FALSE( ends.client->refused_early() );
  EXPECT_EQ( receive_text( *ends.client ), "soon" );
  EXPECT_EQ( ends.client->channel().identity, server_key.digest() );
  EXPECT_EQ( ends.server->channel().binding, ends.client->channel().binding );

  EXPECT_EQ( send_text( *ends.client, "later" ).count, 5 );
  EXPECT_EQ( receive_text( *ends.server ), "later" );
  EXPECT_EQ( send_text( *ends.server, "latest" ).count, 6 );
  EXPECT_EQ( receive_text( *ends.client ), "latest" );
}

// The client once kept the binding of the first flight, and the server had that of the handshake: no proof was
// right, and a tunnel whose hello had to wait for another one's answer was given up.
TEST_F( ReturningTest, WhoSaysNothingInTheFirstFlightHasTheBindingOfTheHandshake )
{
  const Ends ends { client, server };
  ends.client->hurry();
  ASSERT_TRUE( ends.client->open() );
  ASSERT_TRUE( ends.client->may_send() );
  ASSERT_TRUE( ends.server->open() ) << ends.server->problem();
  ASSERT_TRUE( ends.client->open() ) << ends.client->problem();
  ASSERT_TRUE( ends.server->open() ) << ends.server->problem();
  ASSERT_TRUE( ends.client->is_open() and ends.server->is_open() );
  EXPECT_FALSE( ends.client->refused_early() );
  EXPECT_EQ( ends.server->channel().binding, ends.client->channel().binding );
}

TEST_F( ReturningTest, WhatDoesNotFitIntoTheFirstFlightFollowsWhenTheHandshakeIsFinished )
{
  const Ends ends { client, server };
  ends.client->hurry();
  ASSERT_TRUE( ends.client->open() );
  const std::string words( 50000, 'w' );
  const std::size_t early = send_text( *ends.client, words ).count;
  EXPECT_LT( early, 16384 );
  EXPECT_TRUE( ends.client->sends_when_readable() );

  ASSERT_TRUE( ends.server->open() );
  EXPECT_EQ( receive_text( *ends.server ), words.substr( 0, early ) );
  const std::size_t soon = send_text( *ends.server, words ).count;
  EXPECT_LT( soon, 16384 );
  EXPECT_TRUE( ends.server->sends_when_readable() );
  EXPECT_EQ( send_text( *ends.server, "no more" ).kind, Transfer::Kind::would_block );

  ASSERT_TRUE( ends.client->open() and ends.client->is_open() );
  EXPECT_FALSE( ends.client->sends_when_readable() )
    << "it once waited for ever when the handshake ended in open()";
  EXPECT_EQ( receive_text( *ends.client ), words.substr( 0, soon ) );
  EXPECT_EQ( send_text( *ends.client, words.substr( early ) ).count, words.size() - early );
  std::string rest;
  for ( int i = 0; i < 20 and rest.size() < words.size() - early; ++i ) {
    rest += receive_text( *ends.server );
  }
  EXPECT_EQ( rest, words.substr( early ) );
  EXPECT_FALSE( ends.server->sends_when_readable() );
  EXPECT_EQ( send_text( *ends.server, words.substr( soon ) ).count, words.size() - soon );
}

TEST_F( ReturningTest, AServerThatWasStartedAnewTakesNoWordsOfTheFirstFlight )
{
  TlsContext anew { TlsContext::Role::server, server_key.get(), &welcome };
  const Ends ends { client, anew };
  ends.client->hurry();
  ASSERT_TRUE( ends.client->open() );
  ASSERT_TRUE( ends.client->may_send() );
  const Digest early = ends.client->channel().binding;
  EXPECT_EQ( send_text( *ends.client, "early" ).count, 5 );
  ASSERT_TRUE( ends.open() ) << ends.client->problem() << ends.server->problem();
  EXPECT_TRUE( ends.client->refused_early() );
  EXPECT_NE( ends.client->channel().binding, early );
  EXPECT_EQ( ends.client->channel().binding, ends.server->channel().binding );
  EXPECT_EQ( receive_text( *ends.server ), "" );
  EXPECT_EQ( send_text( *ends.client, "again" ).count, 5 );
  EXPECT_EQ( receive_text( *ends.server ), "again" );
}

TEST_F( ReturningTest, EachTicketIsShownOnceUntilOnlyOneIsLeft )
{
  for ( int i = 0; i < 10; ++i ) { // four were given
    const Ends ends { client, server };
    ends.client->hurry();
    ASSERT_TRUE( ends.client->open() );
    EXPECT_TRUE( ends.client->may_send() ) << i;
  }
  const Ends ends { client, server };
  ends.client->hurry();
  ASSERT_TRUE( ends.client->open() );
  EXPECT_EQ( send_text( *ends.client, "early" ).count, 5 );
  ASSERT_TRUE( ends.server->open() );
  EXPECT_EQ( receive_text( *ends.server ), "early" );
}

TEST_F( TlsTest, WhoWasNotLetReturnMakesAFullHandshakeAndSaysNothingEarly )
{
  {
    const Ends first { client, server };
    ASSERT_TRUE( first.open() );
    EXPECT_EQ( send_text( *first.server, "words" ).count, 5 );
    EXPECT_EQ( receive_text( *first.client ), "words" );
  }
  const Ends ends { client, server };
  ends.client->hurry();
  ASSERT_TRUE( ends.client->open() );
  EXPECT_FALSE( ends.client->may_send() );
  ASSERT_TRUE( ends.open() );
}

TEST( Tls, WhoIsNotAdmittedAnyMoreDoesNotComeInWithATicket )
{
  const Key client_key, server_key;
  bool admitted = true;
  const TlsContext client { TlsContext::Role::client, client_key.get(), &welcome };
  const TlsContext server { TlsContext::Role::server, server_key.get(), [&]( const Digest& ) {
                             return admitted ? std::nullopt : std::optional<std::string> { "revoked" };
                           } };
  {
    const Ends first { client, server };
    ASSERT_TRUE( first.open() );
    first.server->let_return();
    EXPECT_EQ( send_text( *first.server, "words" ).count, 5 );
    EXPECT_EQ( receive_text( *first.client ), "words" );
  }
  admitted = false;
  const Ends ends { client, server };
  ends.client->hurry();
  ASSERT_TRUE( ends.client->open() );
  EXPECT_EQ( send_text( *ends.client, "early" ).count, 5 );
  EXPECT_FALSE( ends.open() );
  EXPECT_FALSE( ends.server->is_open() );
  EXPECT_EQ( ends.server->problem(), "revoked" );
}

TEST( Tls, ATicketIsNotShownToAServerThatIsNotTrustedAnyMore )
{
  const Key client_key, server_key;
  bool trusted = true;
  const TlsContext client { TlsContext::Role::client, client_key.get(), [&]( const Digest& ) {
                             return trusted ? std::nullopt : std::optional<std::string> { "changed" };
                           } };
  const TlsContext server { TlsContext::Role::server, server_key.get(), &welcome };
  {
    const Ends first { client, server };
    ASSERT_TRUE( first.open() );
    first.server->let_return();
    EXPECT_EQ( send_text( *first.server, "words" ).count, 5 );
    EXPECT_EQ( receive_text( *first.client ), "words" );
  }
  trusted = false;
  const Ends ends { client, server };
  ends.client->hurry();
  ASSERT_TRUE( ends.client->open() );
  EXPECT_FALSE( ends.client->may_send() );
  EXPECT_FALSE( ends.open() );
  EXPECT_EQ( ends.client->problem(), "changed" );
}

// A certificate for 127.0.0.1, signed by its own key, that is good for so many seconds: its PEM is appended to a
// file.
void certify( const Key& key, long seconds, const std::string& file )
{
  const std::unique_ptr<X509, decltype( &::X509_free )> certificate { ::X509_new(), &::X509_free };
  const std::unique_ptr<X509_EXTENSION, decltype( &::X509_EXTENSION_free )> name {
    ::X509V3_EXT_conf_nid( nullptr, nullptr, NID_subject_alt_name, "IP:127.0.0.1" ), &::X509_EXTENSION_free
  };
  X509* const x509 = certificate.get();
  ::X509_set_version( x509, 2 ); // that is, 3
  ::X509_NAME_add_entry_by_txt( ::X509_get_subject_name( x509 ),
                                "CN",
                                MBSTRING_ASC,
                                reinterpret_cast<const unsigned char*>( file.c_str() ),
                                -1,
                                -1,
                                0 );
  ::X509_set_issuer_name( x509, ::X509_get_subject_name( x509 ) );
  ::X509_gmtime_adj( ::X509_getm_notBefore( x509 ), -10 );
  ::X509_gmtime_adj( ::X509_getm_notAfter( x509 ), seconds );
  ::X509_set_pubkey( x509, &key.get() );
  ::X509_add_ext( x509, name.get(), -1 );
  ::X509_sign( x509, &key.get(), nullptr );
  const std::unique_ptr<BIO, decltype( &::BIO_free )> out { ::BIO_new_file( file.c_str(), "a" ), &::BIO_free };
  ASSERT_EQ( ::PEM_write_bio_X509( out.get(), x509 ), 1 );
}

// Two ends whose certificates a private CA has signed, good for so many seconds. They have met.
struct Certified
{
  Certified( long client_seconds, long server_seconds )
  {
    EXPECT_NE( ::mkdtemp( folder.data() ), nullptr );
    certify( client_key, client_seconds, folder + "/client" );
    certify( server_key, server_seconds, folder + "/server" );
    for ( const char* file : { "client", "server" } ) { // who signs himself is trusted if he is on the list
      std::ofstream( folder + "/ca", std::ios::app ) << std::ifstream( folder + "/" + file ).rdbuf();
    }
    client.emplace( TlsContext::Role::client, client_key.get(), files( "client" ), "127.0.0.1", &welcome );
    server.emplace( TlsContext::Role::server, server_key.get(), files( "server" ), "", &welcome );
    const Ends first { *client, *server };
    EXPECT_TRUE( first.open() ) << first.client->problem() << first.server->problem();
    first.server->let_return();
    EXPECT_EQ( send_text( *first.server, "words" ).count, 5 );
    EXPECT_EQ( receive_text( *first.client ), "words" );
  }
  Certified( const Certified& ) = delete;
  Certified& operator=( const Certified& ) = delete;
  ~Certified() { std::filesystem::remove_all( folder ); }
  [[nodiscard]] TlsContext::Certificates files( const char* whose ) const
  {
    return { folder + "/ca", folder + "/" + whose, "" };
  }

  std::string folder = testing::TempDir() + "holdfast-certificates-XXXXXX";
  Key client_key {}, server_key {};
  std::optional<TlsContext> client {}, server {};
};

// Tickets outlived the certificates with which they were got, by up to seven days each.
TEST( Tls, ATicketIsNoLongerGoodThanTheCertificate )
{
  const Certified good { 1000, 1000 };
  const Certified short_client { 5, 1000 }; // in which they must meet, on a busy machine, too
  const Certified short_server { 1000, 5 };
  std::this_thread::sleep_until( std::chrono::system_clock::now() + std::chrono::seconds { 5 } ); // by their clock
  {
    const Ends ends { *good.client, *good.server };
    ends.client->hurry();
    ASSERT_TRUE( ends.client->open() );
    EXPECT_TRUE( ends.client->may_send() ) << "with a ticket";
    EXPECT_TRUE( ends.open() );
  }
  {
    const Ends ends { *short_client.client, *short_client.server };
    EXPECT_FALSE( ends.open() );
    EXPECT_EQ( ends.server->problem(), "its certificate is not good: certificate has expired" );
  }
  const Ends ends { *short_server.client, *short_server.server };
  ends.client->hurry();
  ASSERT_TRUE( ends.client->open() );
  EXPECT_FALSE( ends.client->may_send() );
  EXPECT_FALSE( ends.open() );
  EXPECT_EQ( ends.client->problem(), "its certificate is not good: certificate has expired" );
}

// What RFC 8446 calls a replay (section 8): the words arrive twice. What they may do then is PROTOCOL.md's matter;
// whoever repeats them can say nothing else, and read nothing.
TEST_F( ReturningTest, WhoRepeatsAFirstFlightIsNotBelievedInTheEnd )
{
  auto recorded = socket_pair();
  const auto original = client.wire( std::move( recorded[0] ) );
  original->hurry();
  ASSERT_TRUE( original->open() );
  EXPECT_EQ( send_text( *original, "early" ).count, 5 );
  std::string flight( 20000, '\0' );
  flight.resize( receive( recorded[1].get(), std::as_writable_bytes( std::span { flight } ) ).count );

  auto repeated = socket_pair();
  const auto at_server = server.wire( std::move( repeated[1] ) );
  ASSERT_EQ( send( repeated[0].get(), bytes_of( flight ) ).count, flight.size() );
  ASSERT_TRUE( at_server->open() and at_server->is_open() );
  EXPECT_EQ( receive_text( *at_server ), "early" );
  EXPECT_EQ( at_server->channel().binding, original->channel().binding );
  ASSERT_EQ( send( repeated[0].get(), bytes_of( flight ) ).count, flight.size() );
  std::array<std::byte, 100> into {};
  Transfer got = at_server->receive( into );
  for ( int i = 0; i < 10 and got.kind == Transfer::Kind::would_block; ++i ) {
    got = at_server->receive( into );
  }
  EXPECT_EQ( got.kind, Transfer::Kind::failed );
}

} // namespace
} // namespace holdfast
