#pragma once

#include <sys/types.h>

#include <cstddef>

namespace holdfast {

// Standard error, for programs that must not be kept waiting: a pipe that nobody reads, a terminal on which
// somebody has pressed Ctrl-S or a service manager that hangs would hold up whoever writes there, and all sessions
// with him.
//
// A pipe or terminal is opened once more, because not to wait is a property that ours has in common with whoever
// started us. A socket is asked not to wait each time. Where neither is possible (a terminal that belongs to
// another user) we look before we write. A file is written as always: its disk may be full, but that is said at
// once.
class StandardError
{
public:
  StandardError();
  StandardError( const StandardError& ) = delete;
  StandardError& operator=( const StandardError& ) = delete;
  ~StandardError();

  // How many of these bytes were taken; -1: none, now.
  [[nodiscard]] ssize_t write( const char* text, std::size_t size ) const;

private:
  int own_ = -1; // our own way to the same pipe or terminal; -1: there is none
};

} // namespace holdfast
