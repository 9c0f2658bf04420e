#include "cipher/vaes_gcm.hh"

// A build without libipsec-mb.
namespace holdfast {

const char* vaes_gcm()
{
  return nullptr;
}

} // namespace holdfast
