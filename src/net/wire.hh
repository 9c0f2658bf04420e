#pragma once

#include "core/initiation.hh"
#include "net/fd.hh"
#include "net/socket.hh"

#include <functional>
#include <memory>
#include <span>
#include <string>

namespace holdfast {

// What carries the bytes of a link: a connected TCP socket, in the clear or under TLS. Non-blocking: each call does
// what can be done now.
class Wire
{
public:
  Wire() = default;
  Wire( const Wire& ) = delete;
  Wire& operator=( const Wire& ) = delete;
  virtual ~Wire() = default;

  [[nodiscard]] virtual Fd& socket() = 0;

  // -- before the first byte --------------------------------------------------------------------------------------
  // Before the first open(): bytes of ours are to go out with the very first flight, if the other end has let us
  // return (let_return() there) and so would know us by it.
  virtual void hurry() {}
  // The two ends agree (a handshake). Call when the socket is ready, until it is open; false: it failed, problem()
  // says why, and the wire is dead.
  [[nodiscard]] virtual bool open() = 0;
  [[nodiscard]] virtual bool is_open() const = 0;
  // open() goes on when the socket takes bytes; else when it has some.
  [[nodiscard]] virtual bool opens_when_writable() const = 0;
  // Whether bytes can be sent, which may be sooner than the wire is open: what is sent then arrives at the other
  // end before it has answered at all. If it does not want that, refused_early() says so once the wire is open:
  // none of those bytes will ever arrive, and channel() is another one.
  [[nodiscard]] virtual bool may_send() const { return is_open(); }
  [[nodiscard]] virtual bool refused_early() const { return false; }
  // Of a wire that may send.
  [[nodiscard]] virtual Channel channel() const = 0;

  // -- bytes ------------------------------------------------------------------------------------------------------
  // As receive() and send() of net/socket.hh, on an open wire. Transfer::failed with the error EPROTO: problem()
  // says more.
  //
  // A wire may hold bytes back that it has read from the socket already; poll and epoll do not know of them. They
  // are gone when receive() returns less than was asked for. With `buffered_only` the socket is not read: so
  // this happens soon, however fast the other side sends.
  [[nodiscard]] virtual Transfer receive( std::span<std::byte> into, bool buffered_only = false ) = 0;
  // What was not taken must come again, from the same byte on, and not less of it.
  [[nodiscard]] virtual Transfer send( std::span<const iovec> from ) = 0;
  // Bytes that were taken wait in the wire until the socket takes more: flush() when it does, and as long as there
  // are any, send() takes none. They are no more than one send() took.
  [[nodiscard]] virtual bool owes() const { return false; }
  // Returns whether nothing is owed. What fails is told by the next receive() or send().
  virtual bool flush() { return true; }
  // What was not taken waits for the other end, not for the socket: the socket being writable means nothing.
  [[nodiscard]] virtual bool sends_when_readable() const { return false; }
  // Nothing more will be sent; the other direction goes on.
  virtual void say_no_more() = 0;
  // Of an open wire whose other end dialled: it may come back with less ado (hurry()).
  virtual void let_return() {}

  // Whether any byte has come from the network since this was last asked: a sign of life, even if it completes
  // nothing.
  [[nodiscard]] virtual bool stirred() = 0;
  // Whether the last bytes that came are part of something that has not come whole: more of it is under way.
  [[nodiscard]] virtual bool in_record() const { return false; }
  // Why open(), receive() or send() failed, when there is more to say than an errno; for a person.
  [[nodiscard]] virtual const std::string& problem() const = 0;
};

// Makes the wire of a connection that was dialled or accepted; its connect may still be under way.
using MakeWire = std::function<std::unique_ptr<Wire>( Fd socket )>;

// Plain TCP: nobody is authenticated, nothing is private.
[[nodiscard]] std::unique_ptr<Wire> clear_wire( Fd socket );

} // namespace holdfast
