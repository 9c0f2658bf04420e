#include "net/wire.hh"

#include <utility>

namespace holdfast {

namespace {

class ClearWire : public Wire
{
public:
  explicit ClearWire( Fd socket ) : socket_( std::move( socket ) ) {}

  Fd& socket() override { return socket_; }
  bool open() override { return true; }
  bool is_open() const override { return true; }
  bool opens_when_writable() const override { return false; }
  Channel channel() const override { return {}; }

  Transfer receive( std::span<std::byte> into, bool buffered_only ) override
  {
    if ( buffered_only ) {
      return {}; // nothing ever is
    }
    const Transfer got = holdfast::receive( socket_.get(), into );
    stirred_ = stirred_ or got.kind == Transfer::Kind::moved;
    return got;
  }
  Transfer send( std::span<const iovec> from ) override { return holdfast::send( socket_.get(), from ); }
  void say_no_more() override { end_writing( socket_.get() ); }

  bool stirred() override { return std::exchange( stirred_, false ); }
  const std::string& problem() const override { return no_problem_; }

private:
  Fd socket_;
  bool stirred_ = false;
  std::string no_problem_ {};
};

} // namespace

std::unique_ptr<Wire> clear_wire( Fd socket )
{
  return std::make_unique<ClearWire>( std::move( socket ) );
}

} // namespace holdfast
