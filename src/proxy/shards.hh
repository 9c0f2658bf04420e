#pragma once

#include "net/mailbox.hh"
#include "proxy/owners.hh"
#include "proxy/siblings.hh"
#include "proxy/sproxy.hh"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <thread>
#include <vector>

namespace holdfast {

// What each of several shards has from the process before us: a memory, if there are as many. The sockets are for
// whoever knows them, and the last one closes the rest. A crash is that of the thread that served `crashed_memory`
// (its inode), or of any if that is 0.
[[nodiscard]] std::vector<Predecessor> parts_of( Predecessor whole,
                                                 std::size_t shards,
                                                 std::uint64_t crashed_memory );

// An sproxy as several (docs/decisions/0014-more-cores.md): shards, each with a loop, a memory and its clients. The
// first one is served by the caller's thread, as an Sproxy is, and is the door: it accepts all links, and hands on
// those of whom another one has something. The others have a thread each. With one shard there is no thread and
// nothing to be handed on.
//
//   make all shards, start(), then while ( not shards.stopped() ) { loop.wait( shards.deadline() ); shards.turn();
//   }
class Shards
{
public:
  // Makes a shard; called in the caller's thread, for each in turn. `siblings` is null for the only one.
  using Make = std::function<std::unique_ptr<Sproxy>( std::size_t shard, const Siblings* siblings )>;
  // Called in the thread of a shard when it begins.
  using Began = std::function<void( const Sproxy& sproxy )>;

  // The loops are for one shard each, and must outlive us.
  Shards( std::span<Loop* const> loops, const Make& make );
  // Waits for the threads. They end now if we are not stopped().
  ~Shards();
  Shards( const Shards& ) = delete;
  Shards& operator=( const Shards& ) = delete;

  // From here on each shard is its own thread's. Throws StartupError.
  void start( const Began& began );
  // In the thread of each shard, as soon as it has time; at once before start(). `what` is copied.
  void in_each( const std::function<void( Sproxy& )>& what );

  // -- as an Sproxy -----------------------------------------------------------------------------------------------
  void turn() { shards_.front()->sproxy->turn(); }
  [[nodiscard]] Time deadline() const { return shards_.front()->sproxy->deadline(); }
  void stop();
  // The first one has; the others have had the same time, and are waited for by the destructor.
  [[nodiscard]] bool stopped() const { return shards_.front()->sproxy->stopped(); }

private:
  struct Shard
  {
    explicit Shard( Loop& its_loop ) : loop( its_loop ) {}
    Loop& loop;
    std::optional<Siblings> siblings {};
    std::optional<Mailbox> mailbox {};
    std::unique_ptr<Sproxy> sproxy {};
    bool ends = false; // in its own thread
    std::thread thread {};
  };

  void hand_over( Passage passage );
  static void serve( Shard& shard ) noexcept;

  Owners owners_;
  std::vector<std::unique_ptr<Shard>> shards_ {};
};

} // namespace holdfast
