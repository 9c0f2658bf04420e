#pragma once

#include "net/socket.hh"
#include "net/tls.hh"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <sys/socket.h>

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

// Two ends of a link in one process, over a pair of sockets, whichever of them has something to do.

namespace holdfast {

struct Key
{
  Key() : owner( ::EVP_PKEY_Q_keygen( nullptr, nullptr, "ED25519" ), &::EVP_PKEY_free ) {}
  [[nodiscard]] EVP_PKEY& get() const { return *owner; }
  [[nodiscard]] Digest digest() const { return key_digest( *owner ); }
  std::unique_ptr<EVP_PKEY, decltype( &::EVP_PKEY_free )> owner;
};

inline std::optional<std::string> welcome( const Digest& )
{
  return std::nullopt;
}

inline std::array<Fd, 2> socket_pair()
{
  std::array<int, 2> fds {};
  EXPECT_EQ( ::socketpair( AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds.data() ), 0 );
  return { Fd { fds[0] }, Fd { fds[1] } };
}

struct Ends
{
  std::unique_ptr<Wire> client, server;

  Ends( const TlsContext& client_context, const TlsContext& server_context )
  {
    auto sockets = socket_pair();
    client = client_context.wire( std::move( sockets[0] ) );
    server = server_context.wire( std::move( sockets[1] ) );
  }
  // Both open as far as they can; whether both are open.
  bool open() const
  {
    bool good = true;
    for ( int i = 0; i < 10 and good; ++i ) {
      good = ( client->is_open() or client->open() ) and ( server->is_open() or server->open() );
    }
    return client->is_open() and server->is_open();
  }
};

class TlsTest : public testing::Test
{
protected:
  Key client_key, server_key;
  TlsContext client { TlsContext::Role::client, client_key.get(), &welcome };
  TlsContext server { TlsContext::Role::server, server_key.get(), &welcome };
};

inline std::span<const std::byte> bytes_of( std::string_view text )
{
  return std::as_bytes( std::span { text } );
}

inline Transfer send_text( Wire& wire, std::string_view text )
{
  const iovec slice { const_cast<char*>( text.data() ), text.size() };
  return wire.send( std::span { &slice, 1 } );
}

inline std::string receive_text( Wire& wire )
{
  std::string text( 100000, '\0' );
  text.resize( wire.receive( std::as_writable_bytes( std::span { text } ) ).count );
  return text;
}

} // namespace holdfast
