#pragma once

#include <gtest/gtest.h>

#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

// Processes for tests, made without any library's knowledge.

namespace holdfast::test {

// Runs `body` in another process. It has a copy of all descriptors; or it has ours, if they are `shared`: what it
// opens is then open here as well, and stays so when it dies (clone(2), CLONE_FILES). Never returns in that
// process.
template<class Body>
pid_t start_process( Body body, bool shared = false )
{
  const unsigned long flags = SIGCHLD | ( shared ? CLONE_FILES : 0 );
  const auto pid = static_cast<pid_t>( ::syscall( SYS_clone, flags, nullptr, nullptr, nullptr, 0 ) );
  if ( pid == 0 ) {
    body();
    ::_exit( testing::Test::HasFailure() ? 1 : 0 );
  }
  return pid;
}

inline int end_of( pid_t pid )
{
  int status = 0;
  EXPECT_EQ( ::waitpid( pid, &status, 0 ), pid );
  return status;
}

// And waits until it ends by itself; what it did not expect has been printed by then.
template<class Body>
void in_a_process( Body body )
{
  const int status = end_of( start_process( body ) );
  EXPECT_TRUE( WIFEXITED( status ) and WEXITSTATUS( status ) == 0 ) << "status " << status;
}

} // namespace holdfast::test
