#pragma once

#include "net/left.hh"
#include "net/service_manager.hh"
#include "proxy/log.hh"
#include "state/arena.hh"
#include "state/reunion.hh"

#include <cstdint>
#include <string_view>
#include <vector>

namespace holdfast {

// The process before us, if there was one.
struct Predecessor
{
  Left* left = nullptr; // what it left open
  bool crashed = false; // it ended by a mistake of its own (SIGSEGV, SIGABRT and their like), and was not killed
  // Sockets that listen already: taken from `left` or new, by whoever had the right to. Empty: we take or make
  // them.
  std::vector<Fd> listeners {};
  // Memory taken from `left`, for one who is one of several. Empty: we take it.
  std::vector<Fd> memory {};
  // Others will take what is theirs from `left`: we are not the last.
  bool others_follow = false;
};

// The listening sockets that were left, or new ones. Throws StartupError when it cannot listen.
[[nodiscard]] std::vector<Fd> take_or_make_listeners( Left& left, std::string_view host, std::uint16_t port );

// What a proxy has from its predecessor: the memory of the sessions, their sockets, and the listening ones. Where
// there was nobody, or where it makes no sense, all is new. The service manager, if there is one, gets copies of
// the memory and of the listening sockets for the next one. In the order of the methods:
class Inheritance
{
public:
  Inheritance( Predecessor predecessor, ServiceManager* manager, Log& log );

  [[nodiscard]] Arena arena( Side side, Arena::Config config );
  // Throws StartupError when there is none and it cannot listen.
  [[nodiscard]] std::vector<Fd> listeners( std::string_view host, std::uint16_t port );
  // The socket of a session that was found, once; see Reunion::take().
  [[nodiscard]] Fd socket( const SessionRecord& record ) { return reunion_.take( record ); }
  // Programs that were accepted, and for which there is no session yet.
  [[nodiscard]] std::vector<Fd> newcomers( const Address& listener );
  // Everything was taken over that will be: closes the rest, if nobody follows, and says what was found.
  void settle( const Survey& found );

private:
  [[nodiscard]] Arena found_or_new( Side side, Arena::Config config );

  Left nothing_ {};
  Left& left_;
  bool crashed_;
  std::vector<Fd> listeners_;
  std::vector<Fd> memory_;
  bool others_follow_;
  ServiceManager* manager_; // null: there is none
  Log& log_;
  Time since_;
  Reunion reunion_;
  bool recovers_ = false;
};

} // namespace holdfast
