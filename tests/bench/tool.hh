#pragma once

#include <fmt/format.h>

#include <sys/resource.h>

#include <exception>

namespace holdfast {

// What the tools of this folder do around their work.

// As many descriptors as we may have. Returns how many that is.
inline rlim_t raise_descriptor_limit()
{
  rlimit limit {};
  if ( ::getrlimit( RLIMIT_NOFILE, &limit ) == 0 ) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit( RLIMIT_NOFILE, &limit );
  }
  return limit.rlim_cur;
}

// All of main(): what could not be done is said in one line.
inline int run_tool( const char* name, int ( *run )( int, char** ), int argc, char** argv )
{
  try {
    return run( argc, argv );
  } catch ( const std::exception& trouble ) {
    fmt::print( stderr, "{}: {}\n", name, trouble.what() );
    return 1;
  }
}

} // namespace holdfast
