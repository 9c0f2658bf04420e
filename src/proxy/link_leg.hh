#pragma once

#include "core/frame_batch.hh"
#include "core/frame_reader.hh"
#include "core/frame_source.hh"
#include "core/pulse.hh"
#include "net/loop.hh"
#include "net/wire.hh"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace holdfast {

class LinkLeg;

// Who is told what arrives on a link. What else happens to it (connected, ended, writable) its owner sees when it
// looks after its links, which it does in every turn in which something stirred.
class LinkOwner
{
public:
  LinkOwner() = default;
  LinkOwner( const LinkOwner& ) = delete;
  LinkOwner& operator=( const LinkOwner& ) = delete;
  virtual ~LinkOwner() = default;

  // A whole frame other than a heartbeat. May drop() the link, must not destroy it.
  virtual void frame_arrived( LinkLeg& link, const Frame& frame ) = 0;
  // The payloads of all frames that arrived since the last call, on links of his, are about to go.
  virtual void payloads_go() {}
  // Something happened to one of his links. For those who have many, and do not look after all of them every turn.
  virtual void stirred() {}
};

// One link: its wire connects and opens, then it reads frames, writes frames, beats. Reads as soon as the loop
// reports bytes, so that when silence is judged later in the turn, everything that had arrived has been heard.
//
// Never destroyed from inside its own calls: a link that ended says so (ended()) and is removed by its owner
// afterwards.
class LinkLeg : public Watcher
{
public:
  // `greeting`: the type of the first frame that may arrive. `connecting`: connect is under way on the wire's
  // socket. `scratch` is where bytes are read into, shared by all links of the process.
  LinkLeg( Loop& loop,
           LinkOwner& owner,
           std::unique_ptr<Wire> wire,
           bool connecting,
           FrameType greeting,
           Pulse::Config pulse,
           std::span<std::byte> scratch );
  LinkLeg( const LinkLeg& ) = delete;
  LinkLeg& operator=( const LinkLeg& ) = delete;
  ~LinkLeg() override;

  void set_owner( LinkOwner& owner ) { owner_ = &owner; }

  // Does nothing with what arrives but to know of it, until let_in().
  void hold() { held_ = true; }
  [[nodiscard]] bool knocks() const { return knocks_; }
  void let_in();
  // The other side has closed the connection, whatever it said before.
  [[nodiscard]] bool left() { return has_left( wire_->socket().get() ); }

  // Before it is connected: our first words are to go with the first flight, if the other end allows that.
  void hurry() { wire_->hurry(); }
  // Frames can be said; they are lost if the other end turns out not to take words so early (starts_over()).
  [[nodiscard]] bool may_speak() const { return not connecting_ and wire_->may_send(); }
  // What was said so far has come to nothing, and channel() is another one. Told once.
  [[nodiscard]] bool starts_over() { return std::exchange( starts_over_, false ); }
  // Both ends of the wire are there and know each other: frames can be said.
  [[nodiscard]] bool connected() const { return not connecting_ and wire_->is_open(); }
  // The other side's TCP is there: the way to it works.
  [[nodiscard]] bool reached() const { return not connecting_; }
  // How long that took, of a link that we dialled and that is reached: about a round trip.
  [[nodiscard]] Duration reach() const { return reach_; }
  // Of a link that may speak.
  [[nodiscard]] Channel channel() const { return wire_->channel(); }
  [[nodiscard]] Time born() const { return born_; }
  [[nodiscard]] const Address& peer() const { return peer_; }
  [[nodiscard]] const Address& local() const { return local_; } // known as soon as connect(2) was called
  Pulse& pulse() { return pulse_; }
  // Whether the link is under suspicion, after its kernel was asked, too (once suspicion is due, and not before).
  [[nodiscard]] bool suspicious( Time now );

  // Ends the link, for this reason; the first reason counts.
  void drop( std::string reason );
  [[nodiscard]] const std::optional<std::string>& ended() const { return ended_; }
  // The link has ended, but its last words (why it was not let in) may still be on their way: reads on, and
  // forgets what it reads, until the other side has closed.
  void linger();
  [[nodiscard]] bool lingers() const { return lingers_; }

  // What was read behind the frame that has just arrived.
  [[nodiscard]] std::span<const std::byte> unread() const { return reader_.rest(); }
  // The wire of a link on which nothing was said, for another leg in another loop. Nothing may be called
  // afterwards.
  [[nodiscard]] std::unique_ptr<Wire> take_wire();
  // Such a wire is ours now: what the leg before us has read comes first.
  void begin_with( std::span<const std::byte> read );

  // Closes the socket of a link that is dead or replaced, with a reset: the kernel would go on for minutes sending
  // bytes to an address that is gone, for which nobody waits any more. Nothing may be called afterwards.
  void break_off();

  // A frame outside of any batch: a greeting, a farewell. Goes out with the next transmit().
  void say( FrameHeader header, std::span<const std::byte> payload ) { append_frame( rest_, header, payload ); }
  void say( std::span<const std::byte> frames ) { rest_.insert( rest_.end(), frames.begin(), frames.end() ); }
  // Writes what there is to say: what was left over, a heartbeat when it is due, and what `source` (may be null)
  // has.
  void transmit( FrameBatch& batch, FrameSource* source, Time now );
  // The same without heartbeats and frames of a source: only what was said.
  void flush( FrameBatch& batch );
  [[nodiscard]] bool writable() const
  {
    return may_speak() and not ended_ and writable_ and loop_.now() >= paused_until_;
  }
  // The link carries a tunnel from now on, and TCP has no more than ten segments for its first round trip, be they
  // ever so small. So writes of the first two round trips keep a little distance: what a program writes meanwhile
  // goes together, and nobody waits for a whole round trip until the eleventh segment may go.
  void begin_gently();
  [[nodiscard]] bool flushed() const { return rest_.empty() and not wire_->owes(); }
  // The other end, which dialled, is one that we expect again.
  void let_return() { wire_->let_return(); }
  // The last words are written; what still arrives is read until the other side closes. A socket that is closed
  // with unread bytes in it sends a reset, which may overtake the last words and destroy them.
  void say_no_more() { wire_->say_no_more(); }
  // When the link has to be looked at without anything having arrived: a beat is due, or silence becomes
  // suspicious.
  [[nodiscard]] Time deadline() const;

  [[nodiscard]] std::uint32_t interest() const override;
  void ready( std::uint32_t events ) override;

private:
  void finish_connecting();
  void open_wire();
  void read_on();
  void read_in();
  void read_frames( std::span<const std::byte> bytes );
  void tell_frames( std::span<const std::byte> bytes );
  void write( FrameBatch& batch );
  [[nodiscard]] std::size_t batch_max() const;
  void fit_queue();
  void drop_for( const Transfer& failed );

  Loop& loop_;
  LinkOwner* owner_;
  std::unique_ptr<Wire> wire_;
  bool connecting_;
  FrameReader reader_;
  Pulse pulse_;
  std::span<std::byte> scratch_;
  Time born_;
  Address local_;
  Address peer_ {};
  std::vector<std::byte> rest_ {};
  bool writable_ = true;
  bool starts_over_ = false;
  Duration reach_ {};
  Time gentle_until_ {};
  Duration distance_ {};                          // of writes until then
  std::size_t queue_max_ = FrameBatch::bytes_max; // may wait in the kernel, or in the wire
  Time fit_next_ {};
  Time paused_until_ {};
  bool lingers_ = false;
  bool held_ = false;
  bool knocks_ = false; // held, and something has arrived
  std::optional<std::string> ended_ {};
};

} // namespace holdfast
