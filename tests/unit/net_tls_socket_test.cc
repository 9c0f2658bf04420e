#include "net/tls_socket.hh"

#include "net/openssl.hh"
#include "net_tls_ends.hh"

#include <gtest/gtest.h>
#include <openssl/bio.h>

#include <array>
#include <memory>
#include <string>

// The socket as OpenSSL sees it: what it may read, and what is known afterwards.

namespace holdfast {
namespace {

class TlsSocketTest : public testing::Test
{
protected:
  std::array<Fd, 2> sockets = socket_pair();
  TlsSocket ours { std::move( sockets[0] ) };
  std::unique_ptr<BIO, Deleter<::BIO_free>> bio { ours.make_bio() };
  std::string into = std::string( 1000, '\0' );

  void arrives( const std::string& bytes ) const
  {
    ASSERT_EQ( send( sockets[1].get(), bytes_of( bytes ) ).count, bytes.size() );
  }
  // How many bytes one read of OpenSSL's gets.
  std::size_t read()
  {
    std::size_t count = 0;
    return ::BIO_read_ex( bio.get(), into.data(), into.size(), &count ) == 1 ? count : 0;
  }
};

TEST_F( TlsSocketTest, IsReadAsOftenAsWasAllowed )
{
  arrives( std::string( 5000, 'x' ) );
  EXPECT_EQ( read(), 1000U ) << "as long as nobody has said how often";
  ours.allow_reads( 2 );
  EXPECT_EQ( read(), 1000U );
  EXPECT_EQ( read(), 1000U );
  EXPECT_EQ( read(), 0U );
  EXPECT_TRUE( BIO_should_read( bio.get() ) ) << "as if nothing were there: this is no end";
  ours.allow_reads( 1 );
  EXPECT_EQ( read(), 1000U );
}

TEST_F( TlsSocketTest, OfAStrangerOnlySoMuchIsRead )
{
  std::size_t total = 0;
  for ( int i = 0; i < 30; ++i ) {
    arrives( std::string( 1000, 'x' ) );
    total += read();
  }
  EXPECT_EQ( total, 17000U ) << "the read that passes 16 KiB is the last one";
  EXPECT_TRUE( ours.is_overlong() );
}

TEST_F( TlsSocketTest, OfWhoIsTrustedEverythingIsRead )
{
  ours.trust();
  for ( int i = 0; i < 30; ++i ) {
    arrives( std::string( 1000, 'x' ) );
    EXPECT_EQ( read(), 1000U );
  }
  EXPECT_FALSE( ours.is_overlong() );
}

TEST_F( TlsSocketTest, RemembersHowItBeganAndThatItEnded )
{
  EXPECT_EQ( read(), 0U );
  EXPECT_FALSE( ours.first_byte() );
  arrives( "GET /" );
  arrives( "index" );
  EXPECT_FALSE( ours.stirred() ) << "nobody has read it";
  EXPECT_EQ( read(), 10U );
  EXPECT_EQ( ours.first_byte(), 'G' );
  EXPECT_TRUE( ours.stirred() );
  EXPECT_FALSE( ours.stirred() );
  EXPECT_FALSE( ours.has_ended() );
  sockets[1].reset();
  EXPECT_EQ( read(), 0U );
  EXPECT_TRUE( ours.has_ended() );
  EXPECT_EQ( ours.error(), 0 );
}

// Two sockets of one thread. A vector that is assigned "{}" keeps its memory: with several clients each link to
// which the kernel had once not taken all kept 208 KiB.
TEST_F( TlsSocketTest, WhoOwesNothingHoldsNoMemory )
{
  const std::string much( 1'000'000, 'x' ); // more than a socket takes
  std::size_t count = 0;
  ours.gather();
  ASSERT_EQ( ::BIO_write_ex( bio.get(), much.data(), much.size(), &count ), 1 );
  ASSERT_TRUE( ours.send_gathered() );
  ASSERT_TRUE( ours.owes() );
  EXPECT_GE( ours.memory(), much.size() );

  auto others = socket_pair();
  TlsSocket another { std::move( others[0] ) };
  const std::unique_ptr<BIO, Deleter<::BIO_free>> its_bio { another.make_bio() };
  another.gather();
  ASSERT_EQ( ::BIO_write_ex( its_bio.get(), much.data(), much.size(), &count ), 1 );
  ASSERT_TRUE( another.send_gathered() );

  std::string read( much.size(), '\0' );
  for ( TlsSocket* const one : { &ours, &another } ) {
    const Fd& peer = one == &ours ? sockets[1] : others[1];
    while ( one->owes() ) {
      ASSERT_EQ( receive( peer.get(), std::as_writable_bytes( std::span { read } ) ).kind, Transfer::Kind::moved );
      ASSERT_TRUE( one->flush() );
    }
    EXPECT_EQ( one->memory(), 0U );
  }
}

} // namespace
} // namespace holdfast
