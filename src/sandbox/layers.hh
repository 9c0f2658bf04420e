#pragma once

#include "sandbox/sandbox.hh"

#include <string>
#include <vector>

// The three layers of confine(), each in a file of its own.
namespace holdfast {

// Sanitizers and gcov need more than the proxies do when they end: ptrace, threads, files of their own.
#if defined( __SANITIZE_ADDRESS__ ) || defined( __SANITIZE_THREAD__ ) || defined( HOLDFAST_COVERAGE )
inline constexpr bool is_measured_build = true;
#elif defined( __has_feature )
inline constexpr bool is_measured_build = __has_feature( address_sanitizer ) or __has_feature( thread_sanitizer );
#else
inline constexpr bool is_measured_build = false;
#endif

inline constexpr const char* not_in_this_build = "not in this build";
inline constexpr const char* not_in_this_kernel = "not in this kernel";

// privileges.cc: no new ones for programs that are started, and no capabilities for us.
[[nodiscard]] Layer drop_privileges();

// landlock.cc: the file system becomes these paths. Throws StartupError if a writable one cannot be opened.
[[nodiscard]] Layer confine_files( const std::vector<std::string>& readable,
                                   const std::vector<std::string>& writable );

// system_calls.cc: only those that the proxies use. `program` begins the line about any other one.
[[nodiscard]] Layer confine_system_calls( const std::string& program, bool threads );

} // namespace holdfast
