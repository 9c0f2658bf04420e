#pragma once

#include "core/initiation.hh"

#include <string>
#include <string_view>

namespace holdfast {

// Where a program keeps what must outlive it: `given` if not empty, else $XDG_STATE_HOME/holdfast, else
// $HOME/.local/state/holdfast (XDG Base Directory Specification), else /var/lib/holdfast.
[[nodiscard]] std::string state_directory( const std::string& given );

// The identity of a cproxy: the same each time it is started on this machine, from this state directory, with the
// same `role` (its port and destination), and hard to guess. A random key in DIRECTORY/instance, made at first
// start and readable by its owner only, is mixed with the machine's id and the role.
//
// Throws StartupError, saying what cannot be read or written.
[[nodiscard]] Id client_instance( const Crypto& crypto, const std::string& directory, std::string_view role );

} // namespace holdfast
