#pragma once

#include "core/session.hh"
#include "core/tunnel.hh"
#include "net/loop.hh"
#include "net/socket.hh"

#include <functional>
#include <optional>

namespace holdfast {

// A session's local socket: the app's in cproxy, the target's in sproxy. Moves bytes between the socket and the
// session, straight into and out of the session's memory, and never holds any of its own.
//
// What the loop reports is only noted and the session touched; bytes move in serve(). Interest follows from the
// session's state: we want to read while the outflow has room, and to write while the inflow holds what the socket
// refused.
//
// Should we die, the next process finds the socket by its cookie, and asks the kernel what we did last (Reunion).
// So the cookie is in the record before the first byte moves, and everything else is done in an order in which what
// is not written yet is in the kernel's counts, or is harmless when it is done again:
//
//   receive, then commit         bytes read lie in chunks that carry the session's label; the kernel knows how many
//   receive the end, then end    the end is read again
//   send, then consume           the kernel knows how many were written
//   shutdown, then consume_end   the peer says the end again, and we shut down again
//   be told of an error, reset   the kernel knows that the connection was not closed by two ends
//   reset, close, release        the socket is reset again, or is not found, and its session is released
//   both ends, release, close    the socket is nobody's, and is closed
class LocalLeg : public Watcher
{
public:
  // `socket` is connected and prepared (prepare_leg). Each time the loop reports something, `stirred` is called, if
  // it is anything. The tunnel, its session and `stirred` must outlive the leg.
  LocalLeg( Loop& loop, Tunnel& tunnel, Session& session, const std::function<void()>& stirred, Fd socket );
  LocalLeg( const LocalLeg& ) = delete;
  LocalLeg& operator=( const LocalLeg& ) = delete;
  ~LocalLeg() override;

  // Moves what can be moved now. Returns false when the leg has done its work and can go: both streams have ended
  // here, or the connection failed (then the session has been reset).
  [[nodiscard]] bool serve( Time now );
  // The half of serve() that writes to the socket what the session holds for it.
  void write_out( Time now );
  // Breaks the connection off, so that the program sees a reset.
  void break_off();
  // Whether the program sees one as well when we, and whoever else has the socket, are gone without a word.
  void guard( bool on ) { reset_when_closed( socket_.get(), on ); }
  [[nodiscard]] int socket() const { return socket_.get(); }
  // Why the connection failed, if it did: an errno.
  [[nodiscard]] std::optional<int> failure() const { return failure_; }
  // There are bytes to read and the session may take them, but the process has no memory left for them now.
  // Somebody must try_again() a little later: nothing will be reported.
  [[nodiscard]] bool starved() const { return starved_; }
  void try_again();

  [[nodiscard]] std::uint32_t interest() const override;
  void ready( std::uint32_t events ) override;

private:
  void remember_socket();
  void read_in();
  void heed_hang_up();
  void failed( int error );

  Loop& loop_;
  Tunnel& tunnel_;
  Session& session_;
  const std::function<void()>& stirred_;
  Fd socket_;
  bool readable_ = false; // the loop said so
  bool writable_ = true;  // until the socket refuses
  bool hung_up_ = false;  // the loop reports a hang-up or an error: there is something to be read, if only that
  bool starved_ = false;
  std::optional<int> failure_ {};
};

// Bytes that one call of a leg can move, and that the next process may find unbooked.
inline constexpr std::size_t leg_read_max = 8 * Pool::chunk_size; // 128 KiB: no session keeps the others waiting
inline constexpr std::size_t leg_write_max = 16 * Pool::chunk_size;

} // namespace holdfast
