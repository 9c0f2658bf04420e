#pragma once

#include "keeper/end_with.hh"
#include "proxy/config.hh"
#include "proxy/log.hh"
#include "sandbox/sandbox.hh"

#include <unistd.h>

namespace holdfast::program {

// Gives up what a proxy that has started does not need: another user if one was named, and the sandbox. Throws
// StartupError.
inline void give_up_rights( const Security& security, Confinement needs, Log& log )
{
  if ( security.user ) {
    const pid_t keeper = ::getppid();
    become( *security.user );
    end_with( keeper ); // whoever becomes another user has forgotten it (prctl(2), PR_SET_PDEATHSIG)
  }
  if ( not security.sandbox ) {
    log.warn( "--no-sandbox: an error in our code could do more harm than it has to" );
    return;
  }
  const Protection protection = confine( needs );
  const bool any = protection.privileges.in_force or protection.files.in_force or protection.system_calls.in_force;
  log.log( any ? spdlog::level::debug : spdlog::level::warn, "sandbox: {}", to_string( protection ) );
}

} // namespace holdfast::program
