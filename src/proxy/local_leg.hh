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
class LocalLeg : public Watcher
{
public:
  // `socket` is connected. Each time the loop reports something, `stirred` is called, if it is anything. The
  // tunnel, its session and `stirred` must outlive the leg.
  LocalLeg( Loop& loop, Tunnel& tunnel, Session& session, const std::function<void()>& stirred, Fd socket );
  ~LocalLeg() override;

  // Moves what can be moved now. Returns false when the leg has done its work and can go: both streams have ended
  // here, or the connection failed (then the session has been reset).
  [[nodiscard]] bool serve( Time now );
  // Breaks the connection off, so that the program sees a reset.
  void break_off();
  // Why the connection failed, if it did: an errno.
  [[nodiscard]] std::optional<int> failure() const { return failure_; }
  // There are bytes to read and the session may take them, but the process has no memory left for them now.
  // Somebody must try_again() a little later: nothing will be reported.
  [[nodiscard]] bool starved() const { return starved_; }
  void try_again();

  [[nodiscard]] std::uint32_t interest() const override;
  void ready( std::uint32_t events ) override;

private:
  void write_out( Time now );
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

} // namespace holdfast
