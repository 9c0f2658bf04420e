#pragma once

#include <cerrno>
#include <stdexcept>
#include <string>
#include <string_view>

namespace holdfast {

// A program that cannot start says which call failed on what, and why: "cannot listen on [::]:23: Permission
// denied". Thrown only while starting up; afterwards errno becomes a value where it is read.
class StartupError : public std::runtime_error
{
public:
  using std::runtime_error::runtime_error;
};

// "what: text of `error`", thrown. `error` is an errno value.
[[noreturn]] void fail( std::string_view what, int error = errno );

// The text of an errno value, as strerror(3) gives it.
[[nodiscard]] std::string error_text( int error );

// Errors of a socket that are the network's mood: they end a dial or a link, and are worth trying again.
// Errors of ours (EBADF, EFAULT, EINVAL, ...) are not among them.
[[nodiscard]] bool is_networks_mood( int error );

} // namespace holdfast
