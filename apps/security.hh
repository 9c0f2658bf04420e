#pragma once

#include "identity/authorized_clients.hh"
#include "identity/fingerprint.hh"
#include "identity/private_key.hh"
#include "identity/state_directory.hh"
#include "net/congestion.hh"
#include "net/error.hh"
#include "net/tls.hh"
#include "net/wire.hh"
#include "program.hh"
#include "proxy/config.hh"
#include "proxy/log.hh"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Who a proxy is and whom it trusts, made of what its options say.
namespace holdfast::program {

// The user's number. Throws StartupError when there is none of this name.
inline uid_t user_number( const std::string& name )
{
  errno = 0;
  const passwd* const user = ::getpwnam( name.c_str() ); // one thread, and nobody else asks
  if ( user == nullptr ) {
    throw StartupError(
      fmt::format( "--user: there is no user '{}' here{}", name, errno == 0 ? "" : ": " + error_text( errno ) ) );
  }
  return user->pw_uid;
}

// Whom our files have to belong to, if not to root: whoever we shall be. Throws StartupError.
inline uid_t owner_of_files( const Security& security )
{
  if ( security.user and ::geteuid() != 0 ) {
    throw StartupError( "--user: only root can become another user" );
  }
  return security.user ? user_number( *security.user ) : ::geteuid();
}

// Made if need be. Throws StartupError.
inline StateDirectory open_state_directory( const Security& security )
{
  return StateDirectory { security.state_directory, owner_of_files( security ) };
}

// Whom sproxy admits; nothing: anyone. Throws StartupError.
inline std::optional<AuthorizedClients> open_authorized_clients( const SproxyConfig& config )
{
  return config.authorized_clients ? std::optional<AuthorizedClients> { std::in_place,
                                                                        *config.authorized_clients,
                                                                        owner_of_files( config.security ) }
                                   : std::nullopt;
}

// The key that says who we are: the one given with --key, or the one in the state directory, made if need be.
// Nothing with --insecure. Throws StartupError.
inline std::optional<PrivateKey> own_key( const Security& security, const char* name )
{
  if ( security.insecure ) {
    return std::nullopt;
  }
  return security.certificates ? PrivateKey::load( security.certificates->key )
                               : PrivateKey::load_or_make( open_state_directory( security ), name );
}

// The same for --print-key: who asks as root may mean a proxy of any user, such as the dynamic one of a service,
// which nobody can become. So a state directory is taken for that of whoever it belongs to.
inline std::optional<PrivateKey> any_key( const Security& security, const char* name )
{
  struct stat about = {};
  const bool is_of_somebody = ::geteuid() == 0 and not security.user and not security.certificates
                              and ::stat( security.state_directory.c_str(), &about ) == 0;
  return is_of_somebody
           ? PrivateKey::load_or_make( StateDirectory { security.state_directory, about.st_uid }, name )
           : own_key( security, name );
}

// How links are secured: with our key, or the certificate for it. Nothing with --insecure. `host` is who a client
// expects to find. Throws StartupError.
inline std::unique_ptr<TlsContext> make_tls( TlsContext::Role role,
                                             const Security& security,
                                             const std::optional<PrivateKey>& key,
                                             const std::string& host,
                                             TlsContext::Judge judge )
{
  if ( not key ) {
    return nullptr;
  }
  return security.certificates
           ? std::make_unique<TlsContext>( role, key->get(), *security.certificates, host, std::move( judge ) )
           : std::make_unique<TlsContext>( role, key->get(), std::move( judge ) );
}

// Over TLS, or in the clear if there is none. `tls` must outlive all links.
inline MakeWire make_wires( const TlsContext* tls )
{
  if ( tls == nullptr ) {
    return clear_wire;
  }
  return [tls]( Fd socket ) { return tls->wire( std::move( socket ) ); };
}

// The same, and with this congestion control, if one is named: on each link itself, whether it was dialled or
// accepted, because a route that names one would overrule a listener. What could be used at the start and cannot
// be any more is said once; `log` must outlive all links.
inline MakeWire make_wires( const TlsContext* tls, const std::string& congestion, Log& log )
{
  if ( congestion.empty() ) {
    return make_wires( tls );
  }
  return [make = make_wires( tls ), congestion, &log, told = false]( Fd socket ) mutable {
    const int error = use_congestion_control( socket.get(), congestion );
    if ( error != 0 and not std::exchange( told, true ) ) {
      log.warn( "links go on without --congestion {}: {}", congestion, error_text( error ) );
    }
    return make( std::move( socket ) );
  };
}

// Answers --print-key. The exit status.
inline int print_key( const Security& security, const char* name )
{
  const auto key = any_key( security, name ); // --insecure and --print-key exclude each other
  if ( std::puts( fingerprint( key.value().digest() ).c_str() ) < 0 or std::fflush( stdout ) != 0 ) {
    fail( "cannot write to standard output" );
  }
  return 0;
}

} // namespace holdfast::program
