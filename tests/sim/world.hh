#pragma once

#include "sim/hosts.hh"

#include <map>
#include <memory>
#include <optional>
#include <string>

namespace holdfast::sim {

// What happened in worlds, so that one sees whether they were eventful.
struct Tally
{
  std::size_t steps = 0;
  std::size_t links = 0;    // dialled
  std::size_t welcomed = 0; // that far took
  std::size_t attached = 0; // and near, too: that carried a tunnel
  std::size_t overtaken = 0;
  std::size_t sessions = 0;
  std::size_t resets = 0; // sessions that ended with one
  std::size_t resumes = 0;
  std::size_t early = 0;      // hellos with positions behind them
  std::size_t late = 0;       // frames that arrived on links that had been replaced
  std::size_t strangers = 0;  // hellos replayed or forged
  std::size_t kills = 0;      // processes that were killed and recovered
  std::size_t restarts = 0;   // and that came back from nothing
  std::size_t sleeps = 0;     // of a host or the whole world
  std::size_t bytes = 0;      // read by programs
  std::size_t bulk_links = 0; // that there were
  std::size_t bulk = 0;       // bytes said on them
  Duration time {};           // that passed in the worlds

  void add( const Tally& other );
};

// Which processes may be killed, with another one going on with their memory.
enum class Level
{
  tunnel, // none: the core objects of both proxies, with many sessions and several links
  process
};

// A world is decided by one number: one or two cproxies, an sproxy with little memory, up to eight sessions, and a
// network with delay, jitter and every way in which a connection can die. For a while everything goes wrong; then
// the faults stop, and whatever was begun must come to its end:
//
//   at every step   what a program has read is the beginning of what the other one has written, and it sees the end
//                   after the last byte, once; no byte is forgotten before it was delivered; windows, queues and
//                   memory keep to their bounds; neither side ever accuses the other of a mistake; nobody sees a
//                   reset that nobody made; no stranger gets in
//   in the end      all has arrived, within bounded time, and no session, slot, chunk or link is left over
//
// In some worlds the network is only slow, never broken: there no link may be replaced.
class World
{
public:
  World( std::uint64_t seed, Level level, bool trace );
  // What went wrong, or nothing.
  [[nodiscard]] std::optional<std::string> run( Tally& tally );

private:
  // What one program is going to do.
  struct Plan
  {
    std::string all;
    std::size_t written = 0;
    std::size_t read_checked = 0; // of what this program reads
    std::optional<std::size_t> resets_after {};
    bool end_seen = false;
    std::optional<test::Program> left {}; // after its proxy's process, or its tunnel, was gone
  };
  // A session, as the world sees it.
  struct Story
  {
    std::uint64_t run; // of the cproxy it belongs to
    SessionId id;
    Plan app;
    Plan target;
    bool excused = false; // it may end with a reset that no program made
  };
  struct Busy
  {
    Time until {}; // the host gets no turn before
    Time due {};   // it had wanted one then
  };

  // -- the world goes on -----------------------------------------------------------------------------------------
  void step();
  void mischief();
  void change_weather();
  void kill_somebody();
  void restart_somebody();
  void storm();
  void stranger();
  [[nodiscard]] Channel strange_channel( const Link& link, const TunnelRecord* owner, Hello& hello );
  void open_session();
  void live( Plan& plan, test::Program& program );
  void programs_live();
  [[nodiscard]] Time next_event();
  void give_turn_to_near( std::size_t index );
  void give_turn_to_far();
  void replace_near( std::size_t index );
  void replace_far();
  void tunnel_over( Far::Client& client );

  // -- what must be true -----------------------------------------------------------------------------------------
  void check();
  void check_reading( Story& story,
                      Plan& reader,
                      const Plan& writer,
                      const test::Program& program,
                      const char* who );
  void check_bounds( const test::End& end, Session& session );
  void check_forgetting( Story& story );
  void check_end();
  [[nodiscard]] bool all_done();
  [[nodiscard]] bool writing();
  [[nodiscard]] test::Program* app_of( const Story& story );
  [[nodiscard]] test::Program* target_of( const Story& story );
  [[nodiscard]] Near* near_of( std::uint64_t run );
  void excuse( std::uint64_t run, const std::string& why );
  void describe_rest();
  void fail( const std::string& what );
  void note( const std::string& what );

  test::Chance chance_;
  Level level_;
  bool trace_;
  bool tiny_;     // windows of a few bytes
  bool gentle_;   // a network that is only slow
  bool restarts_; // processes may come back from nothing
  test::Chance storm_;
  bool stormy_; // many dials at once, and many that break when they were welcomed
  test::Chance bulk_;
  bool has_bulk_;     // there may be bulk links
  Pool::Index quota_; // of far's memory for one client
  bool calm_ = false;
  Duration stride_; // a wild step takes up to this
  test::TestCrypto crypto_;
  SessionLimits limits_;
  Duration keep_;
  Network network_;
  Stage stage_;
  std::vector<std::unique_ptr<Near>> nears_ {};
  std::vector<Busy> near_busy_ {};
  std::unique_ptr<Far> far_ {};
  Busy far_busy_ {};
  std::uint64_t runs_ = 0;
  Duration far_clock_ {};
  std::list<Story> stories_ {};
  std::size_t sessions_left_;
  std::optional<std::string> failure_ {};
  Tally tally_ {};
};

} // namespace holdfast::sim
