#pragma once

#include "probe/pair.hh"

#include <utility>

namespace holdfast {

// Only copies.
class Copy : public Pair
{
public:
  Copy( Loop& loop, Fd accepted, Fd connected )
    : a_( loop, std::move( accepted ) ), b_( loop, std::move( connected ) )
  {
    connect( a_, b_, there_, back_ );
    connect( b_, a_, back_, there_ );
  }

private:
  struct Way
  {
    Buffer buffer {};
    bool ended = false;
  };

  void connect( Socket& from, Socket& to, Way& way, Way& other )
  {
    from.may_read = [&way] { return not way.ended and way.buffer.size() == 0; };
    to.may_write = [&way] { return way.buffer.size() > 0; };
    const auto pass_on = [this, &from, &to, &way, &other] {
      if ( way.buffer.size() > 0 ) {
        give( to, way.buffer );
      }
      if ( way.ended and way.buffer.size() == 0 ) {
        end_writing( to.fd );
        over_ = over_ or other.ended;
      }
      from.loop.touch( from );
      to.loop.touch( to );
    };
    to.write = pass_on;
    from.read = [this, &from, &way, pass_on] {
      if ( take( from, way.buffer, way.ended ) ) {
        pass_on();
      }
    };
  }

  Way there_ {}, back_ {};
  Socket a_, b_;
};

} // namespace holdfast
