#pragma once

#include "fuzz/facts.hh"
#include "fuzz/seen.hh"

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace holdfast::fuzz {

// One end of a tunnel with its programs, and somebody who remembers everything that was said, in both directions,
// and objects when the two do not fit. The peer may be as hostile as it likes. What must hold:
//
//   programs read    only bytes that arrived at that position, and the end where an end frame put it
//   we acknowledge   only what programs have read
//   we send          only well-formed frames; of each stream the bytes that its program wrote there, within the
//                    largest window that the peer ever offered, without a gap; on each link an introduction first;
//                    on the bulk link data and ends only
//   a stream         changes links only when all that was ever said of it is acknowledged, or its bulk link is lost
//   a fault          changes no session: none is ended, nothing is delivered or forgotten
//   beside the link  nothing but data, ends and (where it was replaced) acknowledgements means anything; a gap is
//                    no fault; nor is it on the link before bytes have come there that we asked for again
//   nobody is stuck  who has something to say has a turn or a deadline; what was delivered is acknowledged on the
//                    link that there is
//   memory           every chunk and every record in use belongs to a session
//
// What is remembered of each session, and the checks of what is said about it: facts.hh. What is compared from one
// moment to another: seen.hh.
class Witness
{
public:
  using Setup = fuzz::Setup;
  using Way = fuzz::Way;

  explicit Witness( Setup setup );

  test::End& end() { return *end_; }
  Tunnel& tunnel() { return end_->tunnel; }
  Time now { std::chrono::hours { 1 } };

  static std::uint64_t peer_stream( SessionId id ) { return fuzz::peer_stream( id ); }

  // -- programs ---------------------------------------------------------------------------------------------------
  std::optional<SessionId> open();
  void write( SessionId id, std::size_t count );
  void ends( SessionId id );
  void resets( SessionId id );
  [[nodiscard]] bool alive( SessionId id ) const;

  // -- the links --------------------------------------------------------------------------------------------------
  void attach( std::size_t peer_window );
  void detach();
  void lost( ResetReason reason );
  void attach_bulk();
  void detach_bulk();
  [[nodiscard]] bool has_bulk_link() const { return has_bulk_link_; }

  [[nodiscard]] Verdict receive( const Frame& frame, Way way = Way::link );
  // Payloads go: before anything but another receive().
  void payloads_go();
  // The socket takes `most` bytes.
  void transmit( std::size_t most = std::string::npos, Way way = Way::link );
  // On all links there are, and as they come: the bulk link last.
  void transmit_all();

  // -- a turn -----------------------------------------------------------------------------------------------------
  void turn();
  // All that is due now was served and transmitted: then only time, the peer or a program can make more of it.
  void check_idle();
  // Everything that can be seen of it, for comparing one way to the same place with another.
  [[nodiscard]] std::string snapshot();
  // Our process dies between two turns; its successor goes on with what is left of the memory, and the sockets.
  void die();

  // -- the end of the story ---------------------------------------------------------------------------------------
  // Every program resets its connection, and a peer that agrees takes the last word: then nothing is left.
  void finish();
  // The tunnel goes with its sessions, whatever they were doing.
  void drop();

private:
  // On one link, in our direction.
  struct Said
  {
    test::Bytes rest {};
    std::optional<FrameReader> heard {};
    std::string wire {}; // all that was taken by the socket, on all links of the kind

    void start( std::string_view greeting );
  };

  Facts& facts_of( SessionId id ) { return facts_.try_emplace( id, setup_ ).first->second; }
  Facts& new_facts_of( SessionId id );
  void bulk_link_goes();

  Verdict hand_over( const Frame& frame, Way way );
  void check_fault( Verdict fault, const FrameHeader& header, Way way );
  void check_hearing( Verdict fault, const FrameHeader& header, Way way, const Hearing& before );
  void hear( std::string_view words, Said& said, Way way );
  void note_holes();
  void note_sent();

  void check_programs();
  void check_sessions();
  void check_memory();

  const Setup setup_;
  SessionLimits limits_;
  std::unique_ptr<test::TestMemory> memory_;
  TunnelRecord* record_ = nullptr;
  std::optional<test::End> end_;
  std::map<SessionId, Facts> facts_ {};
  std::size_t peer_window_ = 0;
  bool has_bulk_link_ = false;
  std::deque<test::Bytes> payloads_ {}; // received, and still there
  FrameBatch batch_ {};
  Said said_on_link_ {};
  Said said_on_bulk_link_ {};
  const std::string greeting_ = test::greeting( FrameType::hello );
};

} // namespace holdfast::fuzz
