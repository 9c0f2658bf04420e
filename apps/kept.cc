#include "keeper/keeper.hh"
#include "standard_descriptors.hh"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>

// The main of cproxy and of sproxy: the keeper. The proxy itself is a library beside this program, which only
// workers load, so that the keeper holds no code that talks to anybody. It knows no option either: that is for the
// worker.
namespace holdfast {
namespace {

// The worker's library. The file that was found at the start stays the one, also when a package is replaced: a
// worker after a crash must understand what the one before left. It is held by a descriptor, and since workers can
// do what they like with descriptors, the keeper remembers which file that was.
class Library
{
public:
  // Looks beside this program, then where it is installed. False: it is not there, and that has been said.
  bool find()
  {
    const ssize_t size = ::readlink( "/proc/self/exe", program_.data(), program_.size() - 1 );
    const char* const slash = size < 0 ? nullptr : std::strrchr( program_.data(), '/' );
    if ( slash == nullptr ) {
      ::dprintf( STDERR_FILENO, "%s: cannot find out where we are: /proc is missing\n", HOLDFAST_NAME );
      return false;
    }
    const int length = static_cast<int>( slash - program_.data() );
    for ( const char* folder : { ".", HOLDFAST_LIBRARIES } ) {
      std::snprintf( path_.data(), path_.size(), "%.*s/%s/%s", length, program_.data(), folder, HOLDFAST_LIBRARY );
      descriptor_ = ::open( path_.data(), O_RDONLY | O_CLOEXEC );
      if ( descriptor_ >= 0 ) {
        return ::fstat( descriptor_, &found_ ) == 0;
      }
    }
    ::dprintf( STDERR_FILENO, "%s: cannot open %s: %s\n", HOLDFAST_NAME, path_.data(), std::strerror( errno ) );
    return false;
  }

  [[nodiscard]] int descriptor() const { return descriptor_; }

  // This program's path, as it was at the start: a newer one may be there by now.
  [[nodiscard]] const char* program() const { return program_.data(); }

  // Its name, for debuggers and core files, as long as that still means the same file. Null: it is lost.
  [[nodiscard]] const char* name()
  {
    struct stat now
    {};
    if ( ::stat( path_.data(), &now ) == 0 and is_found( now ) ) {
      return path_.data();
    }
    if ( ::fstat( descriptor_, &now ) != 0 or not is_found( now ) ) {
      return nullptr;
    }
    std::snprintf( path_.data(), path_.size(), "/proc/self/fd/%d", descriptor_ );
    return path_.data();
  }

private:
  [[nodiscard]] bool is_found( const struct stat& file ) const
  {
    return file.st_dev == found_.st_dev and file.st_ino == found_.st_ino;
  }

  std::array<char, PATH_MAX> program_ {};
  std::array<char, 2 * PATH_MAX> path_ {};
  int descriptor_ = -1;
  struct stat found_ = {};
};

struct Program
{
  int argc;
  char** argv;
  Library library {};
};

// A function of the library. Null: there is none, and that has been said.
template<class Function>
Function load( Library& library, const char* function )
{
  const char* const name = library.name();
  void* const loaded = name == nullptr ? nullptr : ::dlopen( name, RTLD_NOW | RTLD_LOCAL );
  void* const found = loaded == nullptr ? nullptr : ::dlsym( loaded, function );
  if ( found == nullptr ) {
    ::dprintf( STDERR_FILENO,
               "%s: cannot load %s: %s\n",
               HOLDFAST_NAME,
               HOLDFAST_LIBRARY,
               name == nullptr ? "it was removed" : ::dlerror() ); // NOLINT(concurrency-mt-unsafe): one thread
  }
  return reinterpret_cast<Function>( found );
}

// In the worker's process.
int work( Register& shared, void* context )
{
  auto& program = *static_cast<Program*>( context );
  const auto entry = load<int ( * )( int, char**, Register* )>( program.library, "holdfast_worker" );
  return entry == nullptr ? EXIT_FAILURE : entry( program.argc, program.argv, &shared );
}

// Asked by a keeper that is to be replaced by us: whether our workers could go on with what its worker keeps. That
// one is still at work, so nothing may be changed.
int check( Library& library )
{
  int descriptor = -1;
  const Register* const shared = inherited_register( descriptor );
  if ( shared == nullptr ) {
    ::dprintf(
      STDERR_FILENO, "%s: there is no running %s of our kind to be checked\n", HOLDFAST_NAME, HOLDFAST_NAME );
    return EXIT_FAILURE;
  }
  const auto entry = load<int ( * )( const Register* )>( library, "holdfast_check_state" );
  return entry == nullptr ? EXIT_FAILURE : entry( shared );
}

int keep( int argc, char** argv )
{
  program::keep_standard_descriptors();
  Program program { .argc = argc, .argv = argv };
  if ( not program.library.find() ) {
    return EXIT_FAILURE;
  }
  if ( argc == 2 and std::strcmp( argv[1], check_option ) == 0 ) {
    return check( program.library );
  }
  Keeper keeper { HOLDFAST_NAME, work, &program };
  keeper.own( program.library.descriptor() );
  keeper.upgrade_to( program.library.program(), argv );
  return keeper.run();
}

} // namespace
} // namespace holdfast

int main( int argc, char** argv )
{
  return holdfast::keep( argc, argv );
}
