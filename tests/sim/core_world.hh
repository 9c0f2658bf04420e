#pragma once

#include "sim/world.hh"

#include <deque>
#include <memory>
#include <optional>
#include <string>

namespace holdfast::sim {

// Two sessions, the two ends of one, and nothing else: no tunnel, no bytes to be cut, no clock to speak of. Frames
// go from one to the other, in order, until a link is lost with all that is under way; each end takes the next link
// when it hears of it, one before the other. Beside it there is a bulk link now and then, of which each end hears
// by itself as well; streams go there and back as chance will have it. Small and fast, for the part that everything
// rests upon: positions.
//
// What is checked is what World checks, of one session.
class CoreWorld
{
public:
  CoreWorld( std::uint64_t seed, bool trace );
  [[nodiscard]] std::optional<std::string> run( Tally& tally );

private:
  struct Sent
  {
    std::size_t link;
    FrameHeader header;
    std::string payload;
  };
  struct Half
  {
    const char* name;
    Side side;
    test::TestMemory memory;
    std::string all {};      // what its program writes
    std::size_t written = 0; // of that
    std::optional<std::size_t> resets_after {};
    test::Program program {};
    std::size_t read_checked = 0;
    std::unique_ptr<Session> session {};
    SessionRecord* record = nullptr;
    SessionId last = 0;   // session ever opened
    std::size_t link = 0; // it is on now
    std::deque<Sent> out {};
    std::size_t bulk = 0;      // bulk link it has beside that one, or 0
    std::size_t bulk_left = 0; // the last one that it has given up
    std::deque<Sent> bulk_out {};
  };

  void step();
  void lose_link();
  void serve( Half& half );
  void live( Half& half );
  void speak( Half& half );
  void hear( Half& half, const Sent& sent, Half& from );
  void take_link( Half& half );
  void change_bulk_link();
  void take_bulk_link( Half& half );
  void leave_bulk_link( Half& half );
  void choose_link( Half& half );
  void speak_bulk( Half& half );
  void arrive_bulk( Half& half, Half& from );
  void hear_bulk( Half& half, const Sent& sent, const Half& from );
  [[nodiscard]] std::size_t some_piece();
  void say( Half& half, std::size_t link, std::deque<Sent>& out );
  void drop_if_over( Half& half );
  void check( Half& reader, const Half& writer );
  void fail( const std::string& what );
  void note( const std::string& what );
  void note_heard( const Half& half, const Sent& sent, const char* hears );

  test::Chance chance_;
  bool trace_;
  bool calm_ = false;
  SessionLimits limits_;
  Half near_;
  Half far_;
  std::size_t link_ = 1;
  bool has_bulk_;         // links, now and then
  bool flips_;            // what is much changes in the end, too
  std::size_t bulk_pace_; // a frame arrives once in so many attempts
  std::size_t bulk_ = 0;  // the one that there is
  std::size_t bulks_ = 0; // that there were
  Time now_ { 1h };
  FrameBatch batch_ {};
  std::optional<std::string> failure_ {};
  Tally tally_ {};
};

} // namespace holdfast::sim
