#pragma once

#include <string>

namespace holdfast {

// How TCP shares a path with others: the algorithms of congestion control that the kernel has, chosen for each
// connection by name (TCP_CONGESTION, tcp(7)).

inline constexpr std::size_t congestion_control_name_max = 15; // characters (TCP_CA_NAME_MAX)

// This connection uses that one from now on, whatever its route or its listener said. Its handshake may still be
// under way. 0, or an errno: ENOENT, there is no such algorithm; EPERM, it is not for everybody.
[[nodiscard]] int use_congestion_control( int fd, const std::string& name );

// Whoever has no privileges can use it. If we may, the kernel loads the module it is in. Throws StartupError: what
// is missing, and what to do.
void require_congestion_control( const std::string& name );

} // namespace holdfast
