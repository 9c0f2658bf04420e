#include "net/address.hh"

#include <fmt/format.h>

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace holdfast {

Address any_address( int family, std::uint16_t port )
{
  Address address;
  if ( family == AF_INET6 ) {
    sockaddr_in6 in {};
    in.sin6_family = AF_INET6;
    in.sin6_port = htons( port );
    std::memcpy( &address.storage, &in, sizeof in );
    address.length = sizeof in;
  } else {
    sockaddr_in in {};
    in.sin_family = AF_INET;
    in.sin_port = htons( port );
    std::memcpy( &address.storage, &in, sizeof in );
    address.length = sizeof in;
  }
  return address;
}

std::uint16_t port_of( const Address& address )
{
  sockaddr_in in {}; // sin6_port lies in the same place
  std::memcpy( &in, &address.storage, sizeof in );
  return ntohs( in.sin_port );
}

bool is_any( const Address& address )
{
  const auto bytes = bytes_of( address );
  const std::size_t first = address.family() == AF_INET ? 12 : 0;
  return std::all_of( bytes.begin() + static_cast<std::ptrdiff_t>( first ), bytes.end(), []( std::byte each ) {
    return each == std::byte { 0 };
  } );
}

std::string Address::text() const
{
  sockaddr_in in {}; // the port is at the same place in both families (RFC 3493, 3.3)
  std::memcpy( &in, &storage, sizeof in );
  std::string digits = host();
  if ( family() != AF_INET and family() != AF_INET6 ) {
    return digits;
  }
  const bool has_colons = digits.find( ':' ) != std::string::npos;
  return fmt::format( "{}{}{}:{}", has_colons ? "[" : "", digits, has_colons ? "]" : "", ntohs( in.sin_port ) );
}

std::string Address::host() const
{
  std::array<char, INET6_ADDRSTRLEN> digits {};
  if ( storage.ss_family == AF_INET ) {
    sockaddr_in in {};
    std::memcpy( &in, &storage, sizeof in );
    return ::inet_ntop( AF_INET, &in.sin_addr, digits.data(), digits.size() );
  }
  if ( storage.ss_family == AF_INET6 ) {
    sockaddr_in6 in {};
    std::memcpy( &in, &storage, sizeof in );
    return IN6_IS_ADDR_V4MAPPED( &in.sin6_addr )
             ? ::inet_ntop( AF_INET, &in.sin6_addr.s6_addr[12], digits.data(), digits.size() )
             : ::inet_ntop( AF_INET6, &in.sin6_addr, digits.data(), digits.size() );
  }
  return "an unknown address";
}

bool Address::operator==( const Address& other ) const
{
  return length == other.length and std::memcmp( &storage, &other.storage, length ) == 0;
}

std::string network_of( const Address& address, unsigned bits_v4, unsigned bits_v6 )
{
  std::string network; // the family, then the address's bytes
  unsigned bits = 0;
  if ( address.family() == AF_INET6 ) {
    sockaddr_in6 in {};
    std::memcpy( &in, &address.storage, sizeof in );
    const bool is_v4 = IN6_IS_ADDR_V4MAPPED( &in.sin6_addr );
    const auto bytes = std::span { in.sin6_addr.s6_addr }.subspan( is_v4 ? 12 : 0 );
    network.assign( 1, is_v4 ? '4' : '6' ).append( bytes.begin(), bytes.end() );
    bits = is_v4 ? bits_v4 : bits_v6;
  } else {
    sockaddr_in in {};
    std::memcpy( &in, &address.storage, sizeof in );
    network.assign( 1, '4' ).append( reinterpret_cast<const char*>( &in.sin_addr ), sizeof in.sin_addr );
    bits = bits_v4;
  }
  for ( unsigned i = 1; i < network.size(); ++i ) {
    const unsigned before = 8 * ( i - 1 );
    const unsigned kept = bits > before ? std::min( bits - before, 8U ) : 0;
    network[i] = static_cast<char>( static_cast<unsigned char>( network[i] ) & ( 0xff00U >> kept ) );
  }
  return network;
}

std::array<std::byte, 16> bytes_of( const Address& address )
{
  std::array<std::byte, 16> bytes {};
  if ( address.family() == AF_INET6 ) {
    sockaddr_in6 in {};
    std::memcpy( &in, &address.storage, sizeof in );
    std::memcpy( bytes.data(), &in.sin6_addr, bytes.size() );
  } else if ( address.family() == AF_INET ) {
    sockaddr_in in {};
    std::memcpy( &in, &address.storage, sizeof in );
    bytes[10] = bytes[11] = std::byte { 0xff };
    std::memcpy( &bytes[12], &in.sin_addr, sizeof in.sin_addr );
  }
  return bytes;
}

Address address_in( std::span<const std::byte, 16> bytes )
{
  Address address = any_address( AF_INET6, 0 );
  sockaddr_in6 in {};
  std::memcpy( &in, &address.storage, sizeof in );
  std::memcpy( &in.sin6_addr, bytes.data(), bytes.size() );
  std::memcpy( &address.storage, &in, sizeof in );
  return address;
}

std::optional<Address> literal_address( std::string_view host, std::uint16_t port )
{
  if ( host.size() >= 2 and host.front() == '[' and host.back() == ']' ) {
    host = host.substr( 1, host.size() - 2 );
  }
  const std::string name { host };
  const std::string service = std::to_string( port );
  addrinfo hints {};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if ( name.empty() or ::getaddrinfo( name.c_str(), service.c_str(), &hints, &found ) != 0 ) {
    return std::nullopt;
  }
  Address address;
  std::memcpy( &address.storage, found->ai_addr, found->ai_addrlen );
  address.length = found->ai_addrlen;
  ::freeaddrinfo( found );
  return address;
}

std::optional<HostPort> parse_host_port( std::string_view text )
{
  const auto colon = text.rfind( ':' );
  if ( colon == std::string_view::npos or colon == 0 ) {
    return std::nullopt;
  }
  std::string_view host = text.substr( 0, colon );
  const std::string_view digits = text.substr( colon + 1 );
  if ( host.size() >= 2 and host.front() == '[' and host.back() == ']' ) {
    host = host.substr( 1, host.size() - 2 );
  } else if ( host.find( ':' ) != std::string_view::npos ) {
    return std::nullopt; // an IPv6 address needs [], or the port cannot be told from it
  }
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars( digits.data(), digits.data() + digits.size(), port );
  if ( error != std::errc {} or end != digits.data() + digits.size() or port == 0 or host.empty() ) {
    return std::nullopt;
  }
  return HostPort { std::string { host }, port };
}

} // namespace holdfast
