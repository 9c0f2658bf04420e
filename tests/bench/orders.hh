#pragma once

#include "net/loop.hh"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <functional>
#include <string>
#include <utility>

namespace holdfast {

// What standard input says, a line at a time. Each is answered with a line, unless the answer is empty.
class Orders : public Watcher
{
public:
  using Obey = std::function<std::string( const std::string& order )>;

  Orders( Loop& loop, Obey obey ) : loop_( loop ), obey_( std::move( obey ) )
  {
    ::fcntl( STDIN_FILENO, F_SETFL, ::fcntl( STDIN_FILENO, F_GETFL ) | O_NONBLOCK );
    loop_.watch( *this, STDIN_FILENO );
  }
  Orders( const Orders& ) = delete;
  Orders& operator=( const Orders& ) = delete;
  ~Orders() override { loop_.unwatch( *this ); }

  [[nodiscard]] bool over() const { return over_; }
  [[nodiscard]] std::uint32_t interest() const override { return EPOLLIN; }
  void ready( std::uint32_t /*events*/ ) override
  {
    std::array<char, 256> text;
    const ssize_t got = ::read( STDIN_FILENO, text.data(), text.size() );
    over_ = got == 0 or ( got < 0 and errno != EAGAIN and errno != EINTR );
    for ( ssize_t i = 0; i < got; ++i ) {
      const char letter = text[static_cast<std::size_t>( i )];
      if ( letter != '\n' ) {
        line_ += letter;
        continue;
      }
      answer( obey_( std::exchange( line_, {} ) ) );
    }
  }

  static void answer( const std::string& line )
  {
    if ( not line.empty() ) {
      fmt::print( "{}\n", line );
      std::fflush( stdout );
    }
  }

private:
  Loop& loop_;
  Obey obey_;
  std::string line_ {};
  bool over_ = false;
};

} // namespace holdfast
