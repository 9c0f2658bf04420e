#pragma once

#include "core/admission.hh"
#include "core/claim.hh"
#include "unit/core/crypto.hh"
#include "unit/core/pair.hh"

#include <list>
#include <memory>
#include <optional>
#include <string>

namespace holdfast::sim {

// What happened in worlds, so that one sees whether they were eventful.
struct Tally
{
  std::size_t steps = 0;
  std::size_t links = 0;     // dialled
  std::size_t attached = 0;  // that carried the tunnel
  std::size_t overtaken = 0; // refused because a later attempt was faster
  std::size_t remade = 0;    // tunnels made again, because the first welcome was lost
  std::size_t replayed = 0;  // hellos of strangers
  std::size_t sessions = 0;
  std::size_t resets = 0; // seen by a program
  std::size_t resumes = 0;
  std::size_t bytes = 0; // read by programs
};

// A world is decided by one number: a cproxy and an sproxy with little memory, up to eight sessions, and a network
// that loses links at any byte, hellos and welcomes not excepted. For a while everything goes wrong; then the
// faults stop, and whatever was begun must come to its end:
//
//   at every step   what a program has read is the beginning of what the other one has written; neither side ever
//                   accuses the other of a mistake; the tunnel is never given up; nobody sees a reset that nobody
//                   made
//   in the end      all has arrived, within bounded time, and no session, slot or chunk is left over
class World
{
public:
  World( std::uint64_t seed, bool trace );
  // What went wrong, or nothing.
  [[nodiscard]] std::optional<std::string> run( Tally& tally );

private:
  // A link as both sides see it. Each side may have closed its end, without the other knowing yet.
  struct Link
  {
    explicit Link( std::size_t number_ ) : number( number_ ) {}
    std::size_t number;
    test::Pipe up { FrameType::hello };
    test::Pipe down { FrameType::welcome };
    std::size_t up_left = std::string::npos; // so many bytes still get through
    std::size_t down_left = std::string::npos;
    Hello hello {};
    bool client_open = true;
    bool server_open = true;
    bool welcomed = false; // the client has the answer
  };
  // What one program is going to do.
  struct Plan
  {
    std::string all;
    std::size_t written = 0;
    std::size_t read_checked = 0; // of what this program reads
    std::optional<std::size_t> resets_after {};
  };
  struct Story
  {
    SessionId id;
    Plan app;
    Plan target;
  };

  // -- the world goes on -----------------------------------------------------------------------------------------
  void step();
  void dial();
  void stranger();
  void open_session();
  void live( Plan& plan, test::Program& program );
  void move( Link& link );
  [[nodiscard]] std::size_t pass( std::size_t& left );

  // -- the two ends ----------------------------------------------------------------------------------------------
  [[nodiscard]] Verdict server_receives( Link& link, const Frame& frame );
  [[nodiscard]] Verdict client_receives( Link& link, const Frame& frame );
  void answer( Link& link, const Hello& hello );
  void close_client( Link& link );
  void close_server( Link& link );

  // -- what must be true -----------------------------------------------------------------------------------------
  void check();
  void check_reading( const Story& story,
                      Plan& reader,
                      const Plan& writer,
                      test::Program& program,
                      const char* who );
  void check_end();
  [[nodiscard]] bool all_done();
  void describe_rest(); // of a world that does not come to an end
  void fail( const std::string& what );
  void note( const std::string& what );

  test::Chance chance_;
  bool trace_;
  bool calm_ = false; // the faults have stopped
  bool harsh_;        // links live for a few hundred bytes only
  bool tiny_;         // windows of a few bytes
  Time now_ { std::chrono::hours { 1 } };
  Digest binding_ {};
  test::TestCrypto crypto_;
  SessionLimits limits_;
  test::TestMemory near_;
  test::TestMemory far_;
  FrameBatch batch_ {};
  TunnelRecord client_record_ {};
  std::array<TunnelRecord, 2> server_records_ {};
  Slots<TunnelRecord> server_slots_ { server_records_ };
  Claim claim_;
  Admission admission_;
  test::End client_;
  std::unique_ptr<test::End> server_ {};
  std::list<Link> links_ {};
  Link* client_link_ = nullptr; // carries the tunnel, as the client believes
  Link* server_link_ = nullptr;
  std::optional<Hello> overheard_ {};
  std::list<Story> stories_ {};
  std::size_t sessions_left_;
  std::optional<std::string> failure_ {};
  Tally tally_ {};
};

} // namespace holdfast::sim
