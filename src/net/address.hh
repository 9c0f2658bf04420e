#pragma once

#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace holdfast {

// An IPv4 or IPv6 address with a port: a value.
struct Address
{
  sockaddr_storage storage {};
  socklen_t length = 0;

  [[nodiscard]] const sockaddr* raw() const { return reinterpret_cast<const sockaddr*>( &storage ); }
  [[nodiscard]] sockaddr* raw() { return reinterpret_cast<sockaddr*>( &storage ); }
  [[nodiscard]] int family() const { return storage.ss_family; }
  // "192.0.2.1:23" or "[2001:db8::1]:23"; IPv4 inside IPv6 is written as IPv4.
  [[nodiscard]] std::string text() const;
  // The same without the port and without []: "192.0.2.1" or "2001:db8::1".
  [[nodiscard]] std::string host() const;
  [[nodiscard]] bool operator==( const Address& other ) const;
};

// The network that an address belongs to: its first bits, as bytes that are good for nothing but comparing. IPv4
// inside IPv6 is IPv4.
[[nodiscard]] std::string network_of( const Address& address, unsigned bits_v4, unsigned bits_v6 );

// An address without its port as IPv6 has it, IPv4 as IPv4 inside IPv6; and back, with port 0.
[[nodiscard]] std::array<std::byte, 16> bytes_of( const Address& address );
[[nodiscard]] Address address_in( std::span<const std::byte, 16> bytes );

// A literal IPv4 or IPv6 address (with or without [] and %interface); nothing when it is a name.
[[nodiscard]] std::optional<Address> literal_address( std::string_view host, std::uint16_t port );

// Every address of this family (the wildcard of ip(7)), and whether this is one.
[[nodiscard]] Address any_address( int family, std::uint16_t port );
[[nodiscard]] bool is_any( const Address& address );
[[nodiscard]] std::uint16_t port_of( const Address& address );

// "HOST:PORT", "[IPv6]:PORT" taken apart; nothing when it is not of that form or the port not in 1..65535.
struct HostPort
{
  std::string host {};
  std::uint16_t port = 0;
};
[[nodiscard]] std::optional<HostPort> parse_host_port( std::string_view text );

} // namespace holdfast
