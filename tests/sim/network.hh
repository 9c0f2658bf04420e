#pragma once

#include "core/initiation.hh"
#include "core/pulse.hh"
#include "unit/core/pair.hh"

#include <deque>
#include <functional>
#include <list>
#include <optional>
#include <set>
#include <string>

namespace holdfast::sim {

using namespace std::chrono_literals;

inline constexpr std::size_t all_of_it = std::string::npos;

// How TCP makes a path look: pieces arrive in order, and one that is lost holds up those behind it until it has
// come again. The kernels see more than their programs: what waits behind a lost piece, and acknowledgements.
struct Path
{
  Duration delay {};
  Duration jitter {};             // on top of it, evenly distributed
  std::size_t lost_of_1000 = 0;   // pieces
  std::size_t rate = 0;           // bytes a second; 0: as many as you like
  std::size_t capacity = 131'072; // bytes that wait or are under way
};

// One direction of a link: what the sender's socket has not taken, what is under way and when it arrives, and the
// reader at the other end. A wire that is dead swallows bytes until the sender's buffers are full, and says
// nothing.
class Wire
{
public:
  explicit Wire( FrameType greeting ) : reader( greeting ) {}

  test::Bytes rest {};
  FrameReader reader;
  std::size_t capacity = 65536; // of the kernels' buffers
  Duration delay {};
  Duration jitter {};
  Time stalled_until {};
  std::size_t lives = all_of_it; // so many bytes still get through
  std::optional<Path> path {};   // instead of delay and jitter
  Wire* back = nullptr;          // with a path: the other direction

  [[nodiscard]] bool dead() const { return lives == 0; }
  [[nodiscard]] std::size_t room() const { return capacity > under_way_ ? capacity - under_way_ : 0; }
  void send( std::string_view bytes, Time now, test::Chance& chance );
  // What has arrived, at most so much of it.
  [[nodiscard]] std::string arrived( Time now, std::size_t most );
  [[nodiscard]] Time next_arrival() const;
  // When the reader's kernel last saw anything of the other one; only with a path.
  [[nodiscard]] Time last_sight( Time now );
  void drop_all();

private:
  void send_on_path( std::string_view bytes, Time now, test::Chance& chance );
  [[nodiscard]] Duration trip( test::Chance& chance ) const;
  [[nodiscard]] bool loses( test::Chance& chance ) const { return chance.below( 1000 ) < path->lost_of_1000; }

  struct Piece
  {
    Time at;
    std::string bytes;
  };
  std::deque<Piece> pieces_ {};
  std::size_t under_way_ = 0;
  Time line_free_ {};             // with a rate
  std::multiset<Time> sights_ {}; // by the reader's kernel
  Time last_sight_ {};
};

// A TCP connection between a near and a far host. Each end is open until its host closes it; that the other end
// did, or that the connection was reset, a host is told some time later, or never.
struct Link
{
  struct Place // what one end has
  {
    Wire* out;
    Wire* in;
    bool open = true;
    Time told = never;          // world time: then it hears that the connection is no more
    bool gone = false;          // it heard it
    Time drained_until = never; // replaced, and read until then; this end's time
    std::optional<Pulse> pulse {};
    Time born {}; // its host's time
  };

  Link( std::size_t number_, std::size_t near_host_ ) : number( number_ ), near_host( near_host_ ) {}
  Link( const Link& ) = delete;
  Link& operator=( const Link& ) = delete;

  std::size_t number;
  std::size_t near_host; // who dialled it
  Wire up { FrameType::hello };
  Wire down { FrameType::welcome };
  Place near { .out = &up, .in = &down };
  Place far { .out = &down, .in = &up };
  Time connected = never; // world time: near's dial succeeds
  std::optional<Hello> hello {};
  bool answered = false; // far said no
};

// What one end has to say now: its rest, a heartbeat when it is due, and what its tunnel, or the bulk of that, has
// (may be null).
void transmit( Link::Place& place,
               FrameBatch& batch,
               FrameSource* source,
               Time host_now,
               Time now,
               test::Chance& chance );

// All links, and the weather.
class Network
{
public:
  explicit Network( test::Chance& chance ) : chance_( chance ) {}

  enum class Dials
  {
    succeed,
    vanish,    // nobody answers
    are_closed // somebody answers and closes
  };
  struct Weather
  {
    Dials dials = Dials::succeed;
    Duration delay {};
    Duration jitter {};
    bool small_buffers = false;
    std::size_t life_max = 0;    // links die within so many bytes; 0: they live
    bool calm = false;           // no new faults
    std::optional<Path> path {}; // every dial succeeds, and this is what it gets
  };
  Weather weather {};

  Link& dial( std::size_t near_host, Time now );
  // One end closes; the other one hears of it when the way there is not dead.
  void close( Link& link, Link::Place& place, Time now );
  // Something happens to the link: it dies without a word, is reset, or only one end hears that it is gone.
  void harm( Link& link, Time now );
  void forget_closed();

  std::list<Link> links {};
  std::size_t dialled = 0;

private:
  test::Chance& chance_;
};

} // namespace holdfast::sim
