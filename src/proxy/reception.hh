#pragma once

#include "core/frame_batch.hh"
#include "core/initiation.hh"
#include "net/listener.hh"
#include "proxy/few_lines.hh"
#include "proxy/link_leg.hh"
#include "proxy/log.hh"
#include "proxy/siblings.hh"
#include "proxy/turnstile.hh"

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string_view>
#include <unordered_map>

namespace holdfast {

// Where links arrive at sproxy and wait until they have introduced themselves. Strangers are cheap and get little:
// a place among a bounded number, a few seconds from accept on whatever they send, a bounded handshake when it is
// their turn (as many are begun in a turn of the loop as fit into some milliseconds, so sessions never wait for
// them for long), one log line. Who has left meanwhile costs nothing more: of a client that dialled again and
// again, only the connection is served on which it still waits.
//
// Where an sproxy is several, the first one's door is the only one. Who says hello there and belongs to another one
// goes on to that one's reception, and is given no more time than anybody else.
class Reception : public LinkOwner
{
public:
  // A stranger said hello. The answer is said on the link; a link that is to stay is taken with take().
  using Introduced = std::function<void( LinkLeg& link, const Hello& hello )>;

  // `batch` and `scratch` are shared with the other links of the loop. Without listeners nobody comes but who is
  // handed over. `siblings` may be null. Throws StartupError when it cannot listen.
  Reception( Loop& loop,
             FrameBatch& batch,
             std::span<std::byte> scratch,
             Log& log,
             std::vector<Fd> listeners,
             MakeWire wire,
             Pulse::Config pulse,
             Introduced introduced,
             const Siblings* siblings );

  [[nodiscard]] Address address() const { return listener_.address(); }
  // The link that is introducing itself has been accepted: it is the caller's now.
  [[nodiscard]] std::unique_ptr<LinkLeg> take( const LinkLeg& link );
  // A sibling's stranger, who has said hello to us.
  void take_over( Passage passage );
  void close(); // accepts no more, and lets all strangers go
  // These clients are not admitted any more: not those either who have shown their key already and not said hello.
  void turn_out( std::span<const Digest> identities );

  // A line about a link that led to nothing. Whoever makes a thousand such links a second does not fill the log.
  void tell( spdlog::level::level_enum level, const LinkLeg& link, std::string_view what );

  void turn( Time now );
  [[nodiscard]] Time deadline() const;

  void frame_arrived( LinkLeg& link, const Frame& frame ) override;

private:
  struct Stranger
  {
    std::unique_ptr<LinkLeg> link;
    Time since;                        // accepted
    Owners::Claim claim {};            // of who said hello, where there are siblings
    bool knocked = false;              // waits to be let in, or was
    bool answered = false;             // with a no; it stays until it has read that
    bool leaving = false;              // the same, its handshake has failed
    std::vector<std::byte> to_read {}; // not by us: it goes to a sibling, and this with it
  };
  using Strangers = std::map<Turnstile::Guest, Stranger>; // in the order they came

  Stranger& arrived( std::unique_ptr<Wire> wire, Time since );
  [[nodiscard]] bool belongs_here( Stranger& stranger, const Hello& hello );
  void hand_over( Stranger& stranger );
  void let_some_in( Time now );
  void let_in( Turnstile::Guest guest );
  // Whether it is to stay.
  [[nodiscard]] bool look_after( Stranger& stranger, Time now );
  Strangers::iterator find( const LinkLeg& link );
  Strangers::iterator let_go( Strangers::iterator stranger );
  void tell_end_of( const LinkLeg& link );
  void give_back_memory();

  Loop& loop_;
  FrameBatch& batch_;
  std::span<std::byte> scratch_;
  Log& log_;
  MakeWire wire_;
  Pulse::Config pulse_;
  Introduced introduced_;
  const Siblings* siblings_; // null: there are none
  bool closed_ = false;
  Turnstile turnstile_;
  Strangers strangers_ {};
  std::unordered_map<const LinkLeg*, Turnstile::Guest> guests_ {}; // by their links
  Turnstile::Guest last_ = 0;
  Time impatient_ = never; // with the first one of them, as of the last turn
  std::size_t most_ = 0;   // strangers at the same time, since there were none
  FewLines lines_;         // about links that led to nothing
  Listener listener_;
};

} // namespace holdfast
