#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <new>

// Include in one file of a program only: it replaces operator new, to know how much was asked for at once. The
// sanitizers see every allocation all the same, as malloc's.

namespace holdfast::fuzz {
inline std::size_t largest_allocation = 0; // in bytes, since somebody set it to 0
}

void* operator new( std::size_t size, const std::nothrow_t& /*nothrow*/ ) noexcept
{
  holdfast::fuzz::largest_allocation = std::max( holdfast::fuzz::largest_allocation, size );
  return std::malloc( size == 0 ? 1 : size );
}
void* operator new( std::size_t size )
{
  void* const memory = operator new( size, std::nothrow );
  if ( memory == nullptr ) {
    throw std::bad_alloc {};
  }
  return memory;
}
void operator delete( void* memory ) noexcept
{
  std::free( memory );
}
void operator delete( void* memory, std::size_t /*size*/ ) noexcept
{
  std::free( memory );
}
