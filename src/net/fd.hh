#pragma once

#include <unistd.h>

#include <utility>

namespace holdfast {

// A file descriptor with one owner, closed with it. Moved, never copied. -1 means: none.
class Fd
{
public:
  Fd() = default;
  explicit Fd( int number ) : number_( number ) {}
  Fd( Fd&& other ) noexcept : number_( std::exchange( other.number_, -1 ) ) {}
  Fd& operator=( Fd&& other ) noexcept
  {
    if ( this != &other ) {
      reset();
      number_ = std::exchange( other.number_, -1 );
    }
    return *this;
  }
  Fd( const Fd& ) = delete;
  Fd& operator=( const Fd& ) = delete;
  ~Fd() { reset(); }

  [[nodiscard]] int get() const { return number_; }
  explicit operator bool() const { return number_ >= 0; }

  // Somebody else closes it.
  [[nodiscard]] int release() { return std::exchange( number_, -1 ); }
  // Closes now. Linux frees the number even when close(2) reports an error, so there is nothing to try again.
  void reset()
  {
    if ( number_ >= 0 ) {
      ::close( std::exchange( number_, -1 ) );
    }
  }

private:
  int number_ = -1;
};

} // namespace holdfast
