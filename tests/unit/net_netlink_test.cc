#include "net/netlink.hh"
#include "net/routes.hh"

#include <gtest/gtest.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <cstring>

namespace holdfast {
namespace {

using Bytes = std::vector<std::byte>;

template<class T>
void put( Bytes& bytes, const T& value )
{
  const auto raw = std::as_bytes( std::span { &value, 1 } );
  bytes.insert( bytes.end(), raw.begin(), raw.end() );
  bytes.resize( ( bytes.size() + 3 ) / 4 * 4 );
}

// An answer as Linux gives it; what is wrong with it, the tests do.
struct Answer
{
  std::uint16_t type = RTM_NEWROUTE;
  unsigned char family = AF_INET;
  unsigned char kind = RTN_UNICAST;
  Bytes attributes {};

  template<class T>
  Answer& with( unsigned short attribute, const T& value )
  {
    put( attributes, rtattr { sizeof( rtattr ) + sizeof value, attribute } );
    put( attributes, value );
    return *this;
  }
  [[nodiscard]] Bytes bytes() const
  {
    Bytes all;
    nlmsghdr header {};
    header.nlmsg_len = static_cast<std::uint32_t>( sizeof header + sizeof( rtmsg ) + attributes.size() );
    header.nlmsg_type = type;
    header.nlmsg_seq = 7;
    put( all, header );
    rtmsg about {};
    about.rtm_family = family;
    about.rtm_type = kind;
    put( all, about );
    all.insert( all.end(), attributes.begin(), attributes.end() );
    return all;
  }
};

constexpr std::array<unsigned char, 4> an_address { 192, 0, 2, 7 };

Answer whole()
{
  return Answer {}
    .with( RTA_TABLE, std::uint32_t { 254 } )
    .with( RTA_OIF, std::uint32_t { 3 } )
    .with( RTA_PREFSRC, an_address );
}

TEST( Netlink, ARouteHasASourceAndAnInterface )
{
  const auto route = route_in( whole().bytes() );
  ASSERT_TRUE( route );
  EXPECT_EQ( route->source.text(), "192.0.2.7:0" );
  EXPECT_EQ( route->interface, 3U );
  EXPECT_EQ( number_of_answer( whole().bytes() ), 7U );
}

TEST( Netlink, AnIpv6RouteHasAnIpv6Source )
{
  std::array<unsigned char, 16> source { 0x20, 0x01, 0x0d, 0xb8 };
  source[15] = 1;
  Answer answer;
  answer.family = AF_INET6;
  const auto route = route_in( answer.with( RTA_OIF, std::uint32_t { 2 } ).with( RTA_PREFSRC, source ).bytes() );
  ASSERT_TRUE( route );
  EXPECT_EQ( route->source.text(), "[2001:db8::1]:0" );
}

TEST( Netlink, AnErrorIsNoRoute )
{
  Answer answer = whole();
  answer.type = NLMSG_ERROR;
  EXPECT_FALSE( route_in( answer.bytes() ) );
  EXPECT_EQ( number_of_answer( answer.bytes() ), 7U ) << "but it is the answer";
}

TEST( Netlink, ARouteThatLeadsNowhereIsNone )
{
  for ( const unsigned char kind : { RTN_UNREACHABLE, RTN_BLACKHOLE, RTN_PROHIBIT, RTN_THROW } ) {
    Answer answer = whole();
    answer.kind = kind;
    EXPECT_FALSE( route_in( answer.bytes() ) ) << int { kind };
  }
}

TEST( Netlink, CutAnywhereItIsNoRoute )
{
  const Bytes answer = whole().bytes();
  for ( std::size_t size = 0; size < answer.size(); ++size ) {
    const auto cut = std::span { answer }.first( size );
    EXPECT_FALSE( route_in( cut ) ) << size;
    EXPECT_FALSE( number_of_answer( cut ) ) << size;
  }
}

TEST( Netlink, CutAnywhereWithALengthThatAgreesItIsNeverMoreThanIsThere )
{
  const Bytes answer = whole().bytes();
  for ( std::uint32_t size = sizeof( nlmsghdr ); size < answer.size(); ++size ) {
    Bytes cut { answer.begin(), answer.begin() + size };
    std::memcpy( cut.data(), &size, sizeof size );
    if ( const auto route = route_in( cut ) ) {
      EXPECT_EQ( route->source.length, 0U ) << "the source is the last attribute: " << size;
    }
  }
}

TEST( Netlink, LengthsThatLieAreNotBelieved )
{
  for ( const std::uint32_t length : { 0U, 1U, 15U, 0x7fffffffU, 0xffffffffU } ) {
    Bytes answer = whole().bytes();
    std::memcpy( answer.data(), &length, sizeof length );
    EXPECT_FALSE( route_in( answer ) ) << length;
  }
  for ( const std::uint16_t length : std::initializer_list<std::uint16_t> { 0, 3, 0xffff } ) {
    Bytes answer = whole().bytes();
    std::memcpy( answer.data() + sizeof( nlmsghdr ) + sizeof( rtmsg ), &length, sizeof length );
    EXPECT_FALSE( route_in( answer ) ) << "of an attribute: " << length;
  }
}

TEST( Netlink, AnAddressOfTheWrongLengthIsNone )
{
  EXPECT_FALSE( route_in( Answer {}.with( RTA_PREFSRC, std::uint16_t { 1 } ).bytes() ) );
  EXPECT_FALSE( route_in( Answer {}.with( RTA_PREFSRC, std::array<char, 16> {} ).bytes() ) )
    << "of the other family";
  EXPECT_FALSE( route_in( Answer {}.with( RTA_OIF, std::uint16_t { 1 } ).bytes() ) );
}

TEST( Routes, TheWayToOurselvesIsTheLoopback )
{
  Routes routes;
  const auto route = routes.to( *literal_address( "127.0.0.1", 80 ) );
  ASSERT_TRUE( route );
  EXPECT_EQ( route->source.text(), "127.0.0.1:0" );
  EXPECT_EQ( route->interface, if_nametoindex( "lo" ) );
  EXPECT_TRUE( routes.to( *literal_address( "127.0.0.1", 80 ) ) ) << "and can be asked for again";
}

TEST( Routes, OurOwnAddressesAreLocalAndOthersAreNot )
{
  EXPECT_TRUE( is_local( *literal_address( "127.0.0.1", 80 ) ) );
  EXPECT_TRUE( is_local( *literal_address( "::ffff:127.0.0.1", 80 ) ) );
  EXPECT_FALSE( is_local( *literal_address( "203.0.113.77", 80 ) ) );
  EXPECT_FALSE( is_local( *literal_address( "::ffff:203.0.113.77", 80 ) ) );
}

} // namespace
} // namespace holdfast
