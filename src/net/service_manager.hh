#pragma once

#include "net/loop.hh"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace holdfast {

// The service manager that started us, systemd or what speaks like it: how we are goes to it, and copies of
// descriptors, which it gives to whoever is started in our place (sd_notify(3), FDSTORE). A copy is known by a name
// that says what it is a copy of: keeping the same thing twice is keeping it once.
//
// Nobody ever waits for it. What it does not take now is said in turns of the loop, in the same order.
class ServiceManager : public Watcher
{
public:
  struct Config
  {
    std::string socket {};                       // as NOTIFY_SOCKET has it: a path, or '@' and a name
    std::vector<std::string> stored {};          // names of what it keeps already
    std::function<void( int error )> trouble {}; // it did not hear something, and will not: said once
  };
  static constexpr std::size_t unsaid_max = 65536; // messages that wait; what is beyond is not said

  // Not there, or an address of another kind: trouble, and nothing is said to anybody.
  ServiceManager( Loop& loop, Config config );
  ServiceManager( const ServiceManager& ) = delete;
  ServiceManager& operator=( const ServiceManager& ) = delete;
  ~ServiceManager() override;

  // "READY=1"
  void say( std::string_view state );
  // It shall have a copy of this socket or this memory, which stays open until it was let_go() or we end.
  void keep( int fd );
  // It closes its copy of the socket that has, or had, this cookie (cookie_of()).
  void let_go( std::uint64_t cookie );
  // And those of all that was stored before us and that we did not keep.
  void let_go_rest();
  // What was stored before that one and that it did not keep is ours, to be kept or let go.
  void take_rest_of( ServiceManager& other ) { stored_.swap( other.stored_ ); }

  // Messages that it has not taken yet.
  [[nodiscard]] std::size_t unsaid() const { return unsaid_.size(); }

  [[nodiscard]] std::uint32_t interest() const override;
  void ready( std::uint32_t events ) override;

private:
  struct Message
  {
    std::string text {};
    int copied = -1;     // with a copy of this descriptor, if
    std::string name {}; // it is still what has this name
  };

  void add( Message message );
  void speak();
  [[nodiscard]] int send( const Message& message ) const;
  void complain( int error );

  Loop& loop_;
  std::function<void( int error )> trouble_;
  Fd socket_;
  std::deque<Message> unsaid_ {};
  std::unordered_set<std::string> stored_; // before us, and not kept yet
};

} // namespace holdfast
