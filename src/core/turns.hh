#pragma once

#include "core/queue.hh"
#include "core/session.hh"
#include "core/time.hh"

#include <algorithm>
#include <chrono>
#include <cstddef>

namespace holdfast {

// Whose turn it is to speak on the link that carries a tunnel. Who has something to say has a turn now; what can
// wait does so for a moment, for it may ride on something else. On a new link those who have only to introduce
// themselves have their turns between those of all others, one by one: an idle thousand does not keep the one who
// waits from his bytes, and is heard all the same.
//
// Owns no session, and none may go while has() is true of it.
class Turns
{
public:
  // Another link: nobody has a turn, until begin() was called for each. What can wait goes on waiting.
  void clear()
  {
    turns_.clear();
    greetings_.clear();
  }
  void begin( Session& session )
  {
    if ( session.voice().is_waited_for() ) {
      give( session );
    } else {
      greetings_.push_back( session );
    }
  }

  void give( Session& session ) { turns_.push_back( session ); }
  void give_first( Session& session ) { turns_.push_front( session ); } // before all others
  // Something happened to it: gives it a turn, now or in a moment, if it has something to say.
  void look( Session& session, Time now )
  {
    const Voice& voice = session.voice();
    if ( greetings_.has( session ) and not voice.is_waited_for() ) {
      return; // all it has to say
    }
    if ( voice.has_something_to_say() ) {
      give( session );
    } else if ( voice.something_can_wait() and not later_.has( session ) ) {
      later_.push_back( session );
      later_due_ = std::min( later_due_, now + moment );
    }
  }

  // Whose turn it is, and is no more; nullptr: nobody's.
  [[nodiscard]] Session* next()
  {
    const bool greets = not greetings_.empty() and ( greets_next_ or turns_.empty() );
    greets_next_ = not greets;
    return greets ? greetings_.pop_front() : turns_.pop_front();
  }
  // Who has waited for his moment, and has a turn now if that is still of use; nullptr: nobody (else) has.
  [[nodiscard]] Session* overdue( Time now )
  {
    if ( now < later_due_ ) {
      return nullptr;
    }
    Session* const session = later_.pop_front();
    later_due_ = later_.empty() ? never : later_due_;
    if ( session != nullptr and session->voice().something_can_wait() ) {
      give( *session );
    }
    return session;
  }
  [[nodiscard]] Time deadline() const { return later_due_; }

  [[nodiscard]] bool empty() const { return turns_.empty() and greetings_.empty(); }
  [[nodiscard]] bool has_turn( const Session& session ) const { return turns_.has( session ); }
  [[nodiscard]] bool has( const Session& session ) const
  {
    return turns_.has( session ) or greetings_.has( session ) or later_.has( session );
  }
  [[nodiscard]] std::size_t size() const { return turns_.size() + greetings_.size() + later_.size(); }

private:
  // How long an acknowledgement waits for data to ride on. An echo comes back within a few milliseconds; nothing
  // but the sender's memory waits for the rest.
  static constexpr Duration moment = std::chrono::milliseconds { 20 };

  Queue<Session, &Session::in_turns> turns_ {};
  Queue<Session, &Session::in_greetings> greetings_ {}; // have only to introduce themselves
  bool greets_next_ = false;
  Queue<Session, &Session::in_later> later_ {}; // until later_due_
  Time later_due_ = never;
};

} // namespace holdfast
