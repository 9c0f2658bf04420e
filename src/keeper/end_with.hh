#pragma once

#include <sys/prctl.h>
#include <sys/types.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

namespace holdfast {

// From here on the kernel kills us when our parent, the keeper, dies: a worker that lived on would keep the port,
// and serve sessions that nobody can find again.
inline void end_with( pid_t keeper )
{
  ::prctl( PR_SET_PDEATHSIG, SIGKILL );
  if ( ::getppid() != keeper ) { // it died before we asked
    ::_exit( EXIT_FAILURE );
  }
}

} // namespace holdfast
