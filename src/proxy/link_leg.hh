#pragma once

#include "core/frame_batch.hh"
#include "core/frame_reader.hh"
#include "core/pulse.hh"
#include "core/tunnel.hh"
#include "net/loop.hh"
#include "net/socket.hh"

#include <optional>
#include <string>
#include <vector>

namespace holdfast {

class LinkLeg;

// Who is told what arrives on a link. What else happens to it (connected, ended, writable) its owner sees when it
// looks after its links, which it does every turn.
class LinkOwner
{
public:
  LinkOwner() = default;
  LinkOwner( const LinkOwner& ) = delete;
  LinkOwner& operator=( const LinkOwner& ) = delete;
  virtual ~LinkOwner() = default;

  // A whole frame other than a heartbeat. May drop() the link, must not destroy it.
  virtual void frame_arrived( LinkLeg& link, const Frame& frame ) = 0;
};

// One link's socket: connects, reads frames, writes frames, beats. Reads as soon as the loop reports bytes, so that
// when silence is judged later in the turn, everything that had arrived has been heard.
//
// Never destroyed from inside its own calls: a link that ended says so (ended()) and is removed by its owner
// afterwards.
class LinkLeg : public Watcher
{
public:
  // `greeting`: the type of the first frame that may arrive. `connecting`: connect is under way on the socket.
  // `scratch` is where bytes are read into, shared by all links of the process.
  LinkLeg( Loop& loop,
           LinkOwner& owner,
           Fd socket,
           bool connecting,
           FrameType greeting,
           Pulse::Config pulse,
           std::span<std::byte> scratch );
  ~LinkLeg() override;

  void set_owner( LinkOwner& owner ) { owner_ = &owner; }
  [[nodiscard]] bool connected() const { return not connecting_; }
  [[nodiscard]] Time born() const { return born_; }
  [[nodiscard]] const Address& peer() const { return peer_; }
  [[nodiscard]] Address local() const { return local_address( socket_.get() ); }
  Pulse& pulse() { return pulse_; }

  // Ends the link, for this reason; the first reason counts.
  void drop( std::string reason );
  [[nodiscard]] const std::optional<std::string>& ended() const { return ended_; }

  // Closes the socket of a link that is dead or replaced, with a reset: the kernel would go on for minutes sending
  // bytes to an address that is gone, for which nobody waits any more. Nothing may be called afterwards.
  void break_off();

  // A frame outside of any batch: a greeting, a farewell. Goes out with the next transmit().
  void say( FrameHeader header, std::span<const std::byte> payload ) { append_frame( rest_, header, payload ); }
  // Writes what there is to say: what was left over, a heartbeat when it is due, and what `tunnel` (may be null)
  // has.
  void transmit( FrameBatch& batch, Tunnel* tunnel, Time now );
  [[nodiscard]] bool writable() const { return connected() and not ended_ and writable_; }
  [[nodiscard]] bool flushed() const { return rest_.empty(); }
  // The last words are written; what still arrives is read until the other side closes. A socket that is closed
  // with unread bytes in it sends a reset, which may overtake the last words and destroy them.
  void say_no_more() { end_writing( socket_.get() ); }
  // When the link has to be looked at without anything having arrived: a beat is due, or silence becomes
  // suspicious.
  [[nodiscard]] Time deadline() const;

  [[nodiscard]] std::uint32_t interest() const override;
  void ready( std::uint32_t events ) override;

private:
  void finish_connecting();
  void read_in();

  Loop& loop_;
  LinkOwner* owner_;
  Fd socket_;
  bool connecting_;
  FrameReader reader_;
  Pulse pulse_;
  std::span<std::byte> scratch_;
  Time born_;
  Address peer_ {};
  std::vector<std::byte> rest_ {};
  bool writable_ = true;
  std::optional<std::string> ended_ {};
};

} // namespace holdfast
