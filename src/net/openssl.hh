#pragma once

#include "net/error.hh"

#include <fmt/format.h>
#include <openssl/err.h>

#include <string>
#include <string_view>

// What everybody here needs who calls OpenSSL.
namespace holdfast {

// For std::unique_ptr: Deleter<::SSL_free>.
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
inline std::string openssl_problem()
{
  const unsigned long error = ::ERR_peek_last_error();
  const char* const reason = ::ERR_reason_error_string( error );
  ::ERR_clear_error();
  return reason == nullptr ? "OpenSSL gave no reason" : reason;
}

// For what only fails when OpenSSL is broken, or was given something that it cannot use. Throws StartupError.
inline void expect( bool good, std::string_view what )
{
  if ( not good ) {
    throw StartupError( fmt::format( "{}: {}", what, openssl_problem() ) );
  }
}

} // namespace holdfast
