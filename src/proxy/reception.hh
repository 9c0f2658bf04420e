#pragma once

#include "core/frame_batch.hh"
#include "core/initiation.hh"
#include "net/listener.hh"
#include "proxy/link_leg.hh"
#include "proxy/log.hh"

#include <functional>
#include <list>
#include <memory>
#include <span>

namespace holdfast {

// Where links arrive at sproxy and wait until they have introduced themselves. Strangers are cheap and get little:
// a place among a bounded number, a few seconds, a kilobyte, one log line.
class Reception : public LinkOwner
{
public:
  // A stranger said hello. The answer is said on the link; a link that is to stay is taken with take().
  using Introduced = std::function<void( LinkLeg& link, const Hello& hello )>;

  // `batch` and `scratch` are shared with the other links of the process. Throws StartupError when it cannot
  // listen.
  Reception( Loop& loop,
             FrameBatch& batch,
             std::span<std::byte> scratch,
             Log& log,
             std::vector<Fd> listeners,
             Pulse::Config pulse,
             Introduced introduced );

  [[nodiscard]] Address address() const { return listener_.address(); }
  // The link that is introducing itself has been accepted: it is the caller's now.
  [[nodiscard]] std::unique_ptr<LinkLeg> take( const LinkLeg& link );
  void close(); // accepts no more, and lets all strangers go

  void turn( Time now );
  [[nodiscard]] Time deadline() const;

  void frame_arrived( LinkLeg& link, const Frame& frame ) override;

private:
  struct Stranger
  {
    std::unique_ptr<LinkLeg> link;
    bool answered = false; // with a no; it stays until it has read that
  };

  void arrived( Fd socket );
  void log_end_of( const LinkLeg& link );

  Loop& loop_;
  FrameBatch& batch_;
  std::span<std::byte> scratch_;
  Log& log_;
  Pulse::Config pulse_;
  Introduced introduced_;
  std::list<Stranger> strangers_ {}; // in the order they came
  Time lines_since_ {};              // log lines in the second that began then
  unsigned lines_ = 0;
  Listener listener_;
};

} // namespace holdfast
