#pragma once

#include "core/memory.hh"
#include "net/loop.hh"
#include "proxy/account.hh"
#include "proxy/agenda.hh"
#include "proxy/client.hh"
#include "proxy/config.hh"
#include "proxy/few_lines.hh"
#include "proxy/log.hh"
#include "proxy/siblings.hh"
#include "state/arena.hh"

#include <functional>
#include <map>
#include <memory>

namespace holdfast {

// All clients of an sproxy, with a link now or without: each has its turn when it is due, and its memory from the
// account of its key. Thousands may come and go at once when a network fails; the log gets a few lines and a count.
class Clients
{
public:
  using ByTunnel = std::map<Id, std::unique_ptr<Client>>;
  struct Events
  {
    std::function<void( Client&, Session& )> session_arrived {}; // it needs a leg, or to be reset
    std::function<void( Session& )> session_left {};             // whoever keeps something about it forgets it too
    std::function<void( const Client& )> leaves {};              // its tunnel is being ended: nobody may claim it
  };

  // All that is passed by reference must outlive it. `manager` and `siblings` may be null.
  Clients( Loop& loop,
           const SproxyConfig& config,
           Arena& arena,
           FrameBatch& batch,
           Log& log,
           Events events,
           ServiceManager* manager,
           const Siblings* siblings );

  // The one whose tunnel this is; made if there is none.
  Client& of( TunnelRecord& record );
  // nullptr: there is none.
  [[nodiscard]] Client* find( const Id& tunnel ) const;
  // nullptr: it has no tunnel, or all clients are alike (--insecure).
  [[nodiscard]] Account* account_of( const Digest& identity );
  [[nodiscard]] const ByTunnel& all() const { return clients_; }

  // Gives those a turn who are due, and removes who is over.
  void turn( Time now );
  [[nodiscard]] Time deadline() const;

private:
  [[nodiscard]] std::unique_ptr<Client> make( TunnelRecord& record, Quotas* quotas );
  [[nodiscard]] Account* open_account( const Digest& identity );
  void look_after( Client& client );
  void remove( Client& client );
  [[nodiscard]] FewLines& lines_about( Client::Change change );

  Loop& loop_;
  const SproxyConfig& config_;
  Arena& arena_;
  FrameBatch& batch_;
  Log& log_;
  Events events_;
  ServiceManager* manager_;  // null: there is none
  const Siblings* siblings_; // null: there are none
  std::map<Digest, Account> accounts_ {};
  Agenda agenda_ {};
  ByTunnel clients_ {}; // their sessions live in the arena
  FewLines made_;
  FewLines resumed_;
  FewLines lost_;
};

} // namespace holdfast
