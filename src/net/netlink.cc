#include "net/netlink.hh"

#include <linux/rtnetlink.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <type_traits>

namespace holdfast {

namespace {

constexpr std::size_t alignment = 4; // NLMSG_ALIGNTO and RTA_ALIGNTO

constexpr std::size_t aligned( std::size_t size )
{
  return ( size + alignment - 1 ) / alignment * alignment;
}

template<class T>
void append( std::vector<std::byte>& message, const T& value )
{
  static_assert( std::is_trivially_copyable_v<T> );
  const auto bytes = std::as_bytes( std::span { &value, 1 } );
  message.insert( message.end(), bytes.begin(), bytes.end() );
  message.resize( aligned( message.size() ) );
}

template<class T>
void append_attribute( std::vector<std::byte>& message, unsigned short type, const T& value )
{
  append( message, rtattr { .rta_len = sizeof( rtattr ) + sizeof value, .rta_type = type } );
  append( message, value );
}

// The first bytes as a T; nothing when there are not so many.
template<class T>
std::optional<T> first( std::span<const std::byte> bytes )
{
  T value {};
  if ( bytes.size() < sizeof value ) {
    return std::nullopt;
  }
  std::memcpy( &value, bytes.data(), sizeof value );
  return value;
}

// The address in an attribute; nothing when its length is not that of the family.
std::optional<Address> address_in( int family, std::span<const std::byte> bytes )
{
  Address address;
  if ( family == AF_INET and bytes.size() == sizeof( in_addr ) ) {
    sockaddr_in in {};
    in.sin_family = AF_INET;
    std::memcpy( &in.sin_addr, bytes.data(), sizeof in.sin_addr );
    std::memcpy( &address.storage, &in, sizeof in );
    address.length = sizeof in;
    return address;
  }
  if ( family == AF_INET6 and bytes.size() == sizeof( in6_addr ) ) {
    sockaddr_in6 in {};
    in.sin6_family = AF_INET6;
    std::memcpy( &in.sin6_addr, bytes.data(), sizeof in.sin6_addr );
    std::memcpy( &address.storage, &in, sizeof in );
    address.length = sizeof in;
    return address;
  }
  return std::nullopt;
}

// What stands between the header of the message and its end; nothing when it is not all there.
std::optional<std::span<const std::byte>> body_of( std::span<const std::byte> datagram )
{
  const auto header = first<nlmsghdr>( datagram );
  if ( not header or header->nlmsg_len < sizeof( nlmsghdr ) or header->nlmsg_len > datagram.size() ) {
    return std::nullopt;
  }
  return datagram.first( header->nlmsg_len ).subspan( sizeof( nlmsghdr ) );
}

// Takes one attribute into account. False: its bytes are not what they should be.
bool take( Route& route, int family, unsigned type, std::span<const std::byte> value )
{
  if ( type == RTA_OIF ) {
    const auto interface = first<std::uint32_t>( value );
    route.interface = interface.value_or( 0 );
    return interface.has_value();
  }
  if ( type == RTA_PREFSRC ) {
    const auto source = address_in( family, value );
    route.source = source.value_or( Address {} );
    return source.has_value();
  }
  return true; // many more, of no interest to us
}

} // namespace

std::vector<std::byte> route_question( const Address& to, unsigned interface, std::uint32_t number )
{
  const bool is_v6 = to.family() == AF_INET6;
  std::vector<std::byte> message;
  nlmsghdr header {};
  header.nlmsg_type = RTM_GETROUTE;
  header.nlmsg_flags = NLM_F_REQUEST;
  header.nlmsg_seq = number;
  append( message, header );
  rtmsg question {};
  question.rtm_family = is_v6 ? AF_INET6 : AF_INET;
  question.rtm_dst_len = is_v6 ? 128 : 32;
  question.rtm_flags = interface != 0 ? RTM_F_FIB_MATCH : 0;
  append( message, question );
  if ( is_v6 ) {
    sockaddr_in6 in {};
    std::memcpy( &in, &to.storage, sizeof in );
    append_attribute( message, RTA_DST, in.sin6_addr );
    if ( interface == 0 ) {
      interface = in.sin6_scope_id; // of a link-local address
    }
  } else {
    sockaddr_in in {};
    std::memcpy( &in, &to.storage, sizeof in );
    append_attribute( message, RTA_DST, in.sin_addr );
  }
  if ( interface != 0 ) {
    append_attribute( message, RTA_OIF, std::uint32_t { interface } );
  }
  header.nlmsg_len = static_cast<std::uint32_t>( message.size() );
  std::memcpy( message.data(), &header, sizeof header );
  return message;
}

std::optional<std::uint32_t> number_of_answer( std::span<const std::byte> datagram )
{
  if ( not body_of( datagram ) ) {
    return std::nullopt;
  }
  return first<nlmsghdr>( datagram )->nlmsg_seq;
}

std::optional<Route> route_in( std::span<const std::byte> datagram )
{
  const auto body = body_of( datagram );
  if ( not body or first<nlmsghdr>( datagram )->nlmsg_type != RTM_NEWROUTE ) {
    return std::nullopt; // above all NLMSG_ERROR: ENETUNREACH and its like
  }
  const auto about = first<rtmsg>( *body );
  if ( not about or ( about->rtm_type != RTN_UNICAST and about->rtm_type != RTN_LOCAL ) ) {
    return std::nullopt;
  }
  Route route { .local = about->rtm_type == RTN_LOCAL };
  auto rest = body->subspan( std::min( aligned( sizeof( rtmsg ) ), body->size() ) );
  while ( not rest.empty() ) {
    const auto attribute = first<rtattr>( rest );
    if ( not attribute or attribute->rta_len < sizeof( rtattr ) or attribute->rta_len > rest.size() ) {
      return std::nullopt;
    }
    const auto value = rest.first( attribute->rta_len ).subspan( sizeof( rtattr ) );
    if ( not take( route, about->rtm_family, attribute->rta_type, value ) ) {
      return std::nullopt;
    }
    rest = rest.subspan( std::min( aligned( attribute->rta_len ), rest.size() ) );
  }
  return route;
}

} // namespace holdfast
