#pragma once

#include "net/fd.hh"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <exception>
#include <functional>
#include <string>

namespace holdfast {

// What became of a child process: its exit status (or 128 and the signal that ended it), and its standard error.
struct Ended
{
  int status = 0;
  std::string said {};
};

// Plays a story in a child process, which ends with what the story returns. An exception is said and is status 99.
// `meanwhile` happens here when the child first says something.
inline Ended in_child( const std::function<int()>& story, const std::function<void()>& meanwhile = {} )
{
  std::array<int, 2> ends {};
  if ( ::pipe2( ends.data(), O_CLOEXEC ) != 0 ) {
    return { 98, "no pipe" };
  }
  const Fd hear { ends[0] };
  Fd speak { ends[1] };
  const pid_t child = ::fork();
  if ( child == 0 ) {
    ::dup2( speak.get(), STDERR_FILENO );
    try {
      ::_exit( story() ); // without the leak check of ASan, which a confined process cannot do
    } catch ( const std::exception& trouble ) {
      std::fprintf( stderr, "%s", trouble.what() );
      ::_exit( 99 );
    }
  }
  speak.reset();
  Ended ended;
  std::array<char, 4096> some {};
  for ( ssize_t n = 0; ( n = ::read( hear.get(), some.data(), some.size() ) ) > 0; ) {
    if ( ended.said.empty() and meanwhile ) {
      meanwhile();
    }
    ended.said.append( some.data(), static_cast<std::size_t>( n ) );
  }
  int status = 0;
  ::waitpid( child, &status, 0 );
  ended.status = WIFEXITED( status ) ? WEXITSTATUS( status ) : 128 + WTERMSIG( status );
  return ended;
}

} // namespace holdfast
