#pragma once

#include "core/admission.hh"
#include "core/claim.hh"
#include "core/redial.hh"
#include "sim/network.hh"
#include "unit/core/crypto.hh"

#include <map>
#include <memory>
#include <optional>
#include <vector>

// The two proxies without their sockets: what src/proxy does with the core, in few words. Every host has a clock of
// its own, which started at some time; a turn is given to it from outside, perhaps late.

namespace holdfast::sim {

struct HostConfig
{
  SessionLimits limits {};
  Duration clock {};     // this host's time minus the world's
  Duration keep = 96h;   // sessions without a link end after it
  Pool::Index quota = 0; // far: chunks that one client may hold, or 0 for no bound
  std::uint64_t id = 0;  // of the instance
  std::uint64_t run = 0; // of the process, unless it was recovered
};

// What one world's hosts tell each other and the world.
struct Stage
{
  Network& network;
  test::Chance& chance;
  const Crypto& crypto;
  bool clear = false; // links are in the clear: nobody can tell them, or clients, apart
  bool trace = false;
  std::function<void( const std::string& )> note {};
  std::function<void( const std::string& )> fail {};
  // All sessions of that client's process may end with a reset from now on, and this is why.
  std::function<void( std::uint64_t run, const std::string& why )> excuse {};
  test::Chance* bulk = nullptr; // there may be bulk links; what they do by chance comes from here
  FrameBatch batch {};
  Time now { 1h }; // the world's
  // Tallies.
  std::size_t welcomed = 0; // by far
  std::size_t attached = 0; // by near: the others' welcomes were lost, or came too late
  std::size_t overtaken = 0;
  std::size_t resumes = 0;
  std::size_t early = 0;      // hellos with more behind them
  std::size_t late = 0;       // frames taken from links that were replaced
  std::size_t joined = 0;     // bulk links, by near
  std::size_t bulk_bytes = 0; // that arrived on them

  // What the two ends of a link know of it.
  [[nodiscard]] Channel channel( const Link& link ) const;
};

// cproxy's part.
class Near
{
public:
  Near( Stage& stage, std::size_t index, HostConfig config, std::unique_ptr<test::TestMemory> memory );

  test::End& end() { return *end_; }
  test::TestMemory& memory() { return *memory_; }
  [[nodiscard]] std::uint64_t run() const { return record_->run; }
  [[nodiscard]] bool has_tunnel() const { return claim_->has_tunnel(); }
  [[nodiscard]] Link* link() const { return link_; }

  // An app connects.
  test::Program* open();
  // The system hints, or the socket reports an error: this link is given up.
  void give_up_link();
  // The system hints: another link might be better than the one there is. It is dialled beside it.
  void dial_beside() { beside_ = true; }
  void give_up_bulk() { drop_bulk(); }
  // The process is killed, and another one goes on with its memory.
  void recover();
  // The process says goodbye, as well as it can, and its sessions end.
  void say_goodbye();
  // What is left of the process when it goes for good.
  void leave();

  void turn( Duration late );
  [[nodiscard]] Time deadline() const; // world's time

private:
  [[nodiscard]] Time local() const { return stage_.now + config_.clock; }
  void start();
  void read( Link& link );
  void frame_arrived( Link& link, const Frame& frame );
  void welcomed( Link& link, const Welcome& welcome );
  void look_after_link( Duration late );
  void look_after_candidates();
  void look_after_bulk( Duration late );
  void look_after_join();
  void joined( Link& link, const Welcome& welcome );
  void drop_bulk();
  void need();
  void attach( Link& link, const Welcome& welcome );
  void drop( Link& link );
  void drop_link();
  void drain( Link& link );
  void drop_drained( bool all );
  void tunnel_lost( ResetReason reason );
  [[nodiscard]] Time until( const Link& link ) const;
  [[nodiscard]] Time expiry() const;

  Stage& stage_;
  std::size_t index_;
  HostConfig config_;
  std::unique_ptr<test::TestMemory> memory_;
  TunnelRecord* record_;
  std::unique_ptr<Claim> claim_ {};
  std::unique_ptr<test::End> end_ {};
  Redial redial_ { {} };
  bool needed_ = false;
  bool beside_ = false;
  Link* link_ = nullptr;
  std::vector<Link*> candidates_ {};
  std::vector<Link*> drained_ {}; // links that were replaced, and are read for a while
  Link* bulk_ = nullptr;          // beside link_
  Link* joins_ = nullptr;         // perhaps the next one
  bool may_have_bulk_ = false;
  Time bulk_used_ {};
  Time detached_since_ {};
};

// sproxy's part.
class Far
{
public:
  struct Client
  {
    TunnelRecord* record;
    std::unique_ptr<test::End> end;
    Link* link = nullptr;
    Link* bulk = nullptr; // beside it
    Time detached_since {};
    std::vector<Link*> drained {};
  };

  Far( Stage& stage, HostConfig config, std::unique_ptr<test::TestMemory> memory );

  std::map<Id, Client>& clients() { return clients_; }
  // The tunnel of that client's process, if there is one.
  [[nodiscard]] Client* client( std::uint64_t run );
  test::TestMemory& memory() { return *memory_; }
  Admission& admission() { return *admission_; }
  [[nodiscard]] const std::map<Digest, Quotas>& quotas() const { return quotas_; }
  // Called for a tunnel that is over, while its programs can still be seen.
  std::function<void( Client& )> over {};

  void give_up_link( Client& client ) { drop_link( client ); }
  void give_up_bulk( Client& client ) { drop_bulk( client ); }
  void recover();
  void leave();

  void turn( Duration late );
  [[nodiscard]] Time deadline() const;

private:
  [[nodiscard]] Time local() const { return stage_.now + config_.clock; }
  void read( Link& link );
  void frame_arrived( Link& link, const Frame& frame );
  void answer( Link& link, const Hello& hello );
  [[nodiscard]] Client* carried_by( const Link& link );
  [[nodiscard]] Client* drained_by( const Link& link );
  [[nodiscard]] Client* bulk_of( const Link& link );
  void make_admission();
  void join( Link& link, const Hello& hello, Client& client );
  void look_after_bulk( Client& client, Duration late );
  void drop_drained( Client& client, bool all );
  void drop( Link& link );
  void drop_link( Client& client );
  void drop_bulk( Client& client );
  void end_client( const Id& id, ResetReason reason );
  [[nodiscard]] std::unique_ptr<test::End> make_end( TunnelRecord& record );

  Stage& stage_;
  HostConfig config_;
  std::unique_ptr<test::TestMemory> memory_;
  std::unique_ptr<Admission> admission_ {};
  std::map<Digest, Quotas> quotas_ {}; // by identity
  std::map<Id, Client> clients_ {};
};

} // namespace holdfast::sim
