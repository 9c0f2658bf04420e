#pragma once

#include "core/initiation.hh"
#include "identity/state_directory.hh"

#include <string_view>

namespace holdfast {

// The identity of a cproxy: the same each time it is started on this machine, from this state directory, with the
// same `role` (its port and destination), and hard to guess. A random key in DIRECTORY/instance, made at first
// start and readable by its owner only, is mixed with the machine's id and the role.
//
// Throws StartupError, saying what cannot be read or written.
[[nodiscard]] Id client_instance( const Crypto& crypto, const StateDirectory& directory, std::string_view role );

} // namespace holdfast
