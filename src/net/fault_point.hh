#pragma once

#include <string_view>

namespace holdfast {

// Places where a process can die at the worst time: after a system call that cannot be taken back, and before it is
// written down that it was made; or between two things that must be written one after the other.
//
// In a build for tests (CMake option HOLDFAST_FAULTS) the process kills itself with SIGKILL when it comes by the
// place named in the environment for the n-th time: HOLDFAST_FAULT=sent:3. With :abort behind it, it crashes
// instead. With HOLDFAST_FAULT_ONCE=FILE it does so only if it can remove that file: its successor, which comes by
// the same place, lives on. In others there is nothing there.
//
// Every one of them is hit by a test (tests/unit/proxy_recovery_test.cc), which fails when one is not.
enum class FaultPoint
{
  accepted,  // a connection, and nobody knows of it
  opened,    // a session for it, that does not know its socket
  known,     // and which does now, and nothing else has happened
  dialled,   // a target, and its session does not know
  connected, // and it does; but not that it has a target
  received,  // bytes of the program: the kernel has forgotten them, and they are not booked
  received_end,
  failed,     // we were told that the connection has failed; nobody will be again
  sent,       // bytes to the program, not booked
  sent_end,   // the same for the end
  broken_off, // the socket of a session that has been reset is closed
  released,   // the session has no socket any more, and it is not closed
  closed,
  said_hello, // an attempt is used up
  welcomed,   // secrets have changed, and the other side does not know
  mended,     // a session that was left has what was not booked, and the next one not
  taken_over, // all that was left has an owner again, and the rest is not closed
};

#ifdef HOLDFAST_FAULTS
void pass( FaultPoint point );
// As the environment says it; empty for a number that is no place, so that all can be listed.
[[nodiscard]] std::string_view name_of( FaultPoint point );
#else
inline void pass( FaultPoint /*point*/ ) {}
#endif

} // namespace holdfast
