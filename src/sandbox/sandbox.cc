#include "sandbox/sandbox.hh"

#include "sandbox/layers.hh"

#include <fmt/format.h>

namespace holdfast {

namespace {

std::string told( const char* name, const Layer& layer )
{
  return fmt::format( "{}: {}{}", name, layer.in_force ? "" : "not confined, ", layer.detail );
}

} // namespace

Protection confine( const Confinement& needs )
{
  Protection protection;
  protection.privileges = drop_privileges(); // first: without CAP_SYS_ADMIN, the other two ask for no_new_privs
  protection.files = confine_files( needs.readable, needs.writable );
  protection.system_calls
    = confine_system_calls( needs.program, needs.threads ); // last: it would refuse what set up the others
  return protection;
}

std::string to_string( const Protection& protection )
{
  return fmt::format( "{}; {}; {}",
                      told( "privileges", protection.privileges ),
                      told( "files", protection.files ),
                      told( "system calls", protection.system_calls ) );
}

} // namespace holdfast
