#include "keeper/register.hh"

#include "keeper/keeper.hh"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace holdfast {

Register* inherited_register( int& descriptor )
{
  const char* const number = std::getenv( register_variable ); // NOLINT(concurrency-mt-unsafe): one thread
  if ( number == nullptr ) {
    return nullptr;
  }
  const int fd = static_cast<int>( std::strtol( number, nullptr, 10 ) );
  ::unsetenv( register_variable ); // NOLINT(concurrency-mt-unsafe): one thread
  struct stat about
  {};
  errno = EINVAL;
  if ( fd <= STDERR_FILENO or ::fstat( fd, &about ) != 0 or about.st_size != off_t { sizeof( Register ) } ) {
    errno = EINVAL;
    return nullptr;
  }
  void* const at = ::mmap( nullptr, sizeof( Register ), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0 );
  if ( at == MAP_FAILED or not static_cast<Register*>( at )->is_ours() ) {
    errno = EINVAL;
    return nullptr;
  }
  ::fcntl( fd, F_SETFD, FD_CLOEXEC );
  descriptor = fd;
  return static_cast<Register*>( at );
}

bool Keeper::make_register()
{
  errno = 0;
  register_ = inherited_register( own_.front() );
  if ( register_ != nullptr or errno != 0 ) {
    return register_ != nullptr;
  }
  const int fd = ::memfd_create( "holdfast-register", MFD_CLOEXEC | MFD_ALLOW_SEALING );
  if ( fd < 0 or ::ftruncate( fd, sizeof( Register ) ) != 0 ) {
    return false;
  }
  ::fcntl( fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL ); // a worker could take our page away
  void* const at = ::mmap( nullptr, sizeof( Register ), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0 );
  if ( at == MAP_FAILED ) {
    return false;
  }
  own_.front() = fd;
  register_ = static_cast<Register*>( at );
  register_->magic = Register::right_magic;
  register_->version = Register::right_version;
  register_->size = sizeof( Register );
  return true;
}

} // namespace holdfast
