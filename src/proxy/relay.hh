#pragma once

#include "net/listener.hh"
#include "proxy/log.hh"
#include "proxy/target_dial.hh"

#include <list>
#include <memory>
#include <string>

namespace holdfast {

// --raw: every connection that arrives is relayed to the target byte for byte, without any protocol. Both proxies
// are the same then. It lets each half of the chain be tried apart, and shows what the protocol costs.
class Relay
{
public:
  struct Config
  {
    std::string bind {};
    std::uint16_t port = 0;
    HostPort target {};
  };

  // Listens; throws StartupError when it cannot.
  Relay( Loop& loop, const Config& config, Log& log );
  ~Relay();
  Relay( const Relay& ) = delete;
  Relay& operator=( const Relay& ) = delete;

  void turn();
  [[nodiscard]] Time deadline() const;
  void stop();
  [[nodiscard]] bool stopped() const { return stopped_; }

private:
  struct Pair;
  void arrived( Fd socket, const Address& peer );

  Loop& loop_;
  Config config_;
  Log& log_;
  std::list<std::unique_ptr<Pair>> pairs_;
  Listener listener_;
  bool stopped_ = false;
};

} // namespace holdfast
