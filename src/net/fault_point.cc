#include "net/fault_point.hh"

#ifdef HOLDFAST_FAULTS

#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

namespace holdfast {

std::string_view name_of( FaultPoint point )
{
  switch ( point ) {
    case FaultPoint::accepted: return "accepted";
    case FaultPoint::opened: return "opened";
    case FaultPoint::known: return "known";
    case FaultPoint::dialled: return "dialled";
    case FaultPoint::connected: return "connected";
    case FaultPoint::received: return "received";
    case FaultPoint::received_end: return "received_end";
    case FaultPoint::failed: return "failed";
    case FaultPoint::sent: return "sent";
    case FaultPoint::sent_end: return "sent_end";
    case FaultPoint::broken_off: return "broken_off";
    case FaultPoint::released: return "released";
    case FaultPoint::closed: return "closed";
    case FaultPoint::said_hello: return "said_hello";
    case FaultPoint::welcomed: return "welcomed";
    case FaultPoint::mended: return "mended";
    case FaultPoint::taken_over: return "taken_over";
  }
  return "";
}

namespace {

[[noreturn]] void die( bool by_crash )
{
  if ( by_crash ) {
    const rlimit nothing {}; // and no core
    ::setrlimit( RLIMIT_CORE, &nothing );
    std::abort();
  }
  ::kill( ::getpid(), SIGKILL );
  std::abort(); // never reached
}

} // namespace

void pass( FaultPoint point )
{
  static thread_local unsigned long passed = 0;               // places of other names are not counted
  const char* const wanted = std::getenv( "HOLDFAST_FAULT" ); // NOLINT(concurrency-mt-unsafe): nobody sets it
  if ( wanted == nullptr ) {
    return;
  }
  const std::string_view text { wanted };
  const auto colon = text.find( ':' );
  if ( text.substr( 0, colon ) != name_of( point ) ) {
    return;
  }
  const unsigned long nth
    = colon == std::string_view::npos ? 1 : std::strtoul( text.data() + colon + 1, nullptr, 10 );
  const char* const once = std::getenv( "HOLDFAST_FAULT_ONCE" ); // NOLINT(concurrency-mt-unsafe): the same
  if ( ++passed == nth and ( once == nullptr or ::unlink( once ) == 0 ) ) {
    die( text.ends_with( ":abort" ) );
  }
}

} // namespace holdfast

#endif
