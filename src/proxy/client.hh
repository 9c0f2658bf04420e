#pragma once

#include "core/admission.hh"
#include "proxy/agenda.hh"
#include "proxy/config.hh"
#include "proxy/link_leg.hh"
#include "proxy/log.hh"
#include "proxy/owners.hh"
#include "proxy/tunnel_end.hh"

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace holdfast {

// One client's tunnel at sproxy, with or without a link: how long it is kept, where it may be used from, how it
// ends. Whether a link may have it was decided before (Admission).
//
// On the agenda it gives itself a place for this turn whenever something happens to it; after a turn(), its
// deadline says when the next one is due at the latest.
class Client
  : public LinkOwner
  , public Agenda::Item
{
public:
  enum class Change // of the tunnel's link
  {
    made,
    resumed,
    lost,
  };
  struct Events
  {
    std::function<void( Client&, Session& )> session_arrived {}; // it needs a leg, or to be reset
    std::function<void( Session& )> session_left {};             // whoever keeps something about it forgets it too
    std::function<void( Change, std::string_view line )> link_changed {}; // with the line of the log about it
  };

  // The record says where and when the tunnel was made: say_birth(). All that is passed by reference must outlive
  // it.
  Client( Loop& loop,
          Agenda& agenda,
          FrameBatch& batch,
          TunnelRecord& record,
          Memory memory,
          const SproxyConfig& config,
          Log& log,
          Events events,
          ServiceManager* manager );
  static void say_birth( TunnelRecord& record, const Address& from, Time now );

  [[nodiscard]] TunnelEnd& end() { return end_; }
  [[nodiscard]] const TunnelEnd& end() const { return end_; }
  [[nodiscard]] TunnelRecord& record() { return record_; }
  [[nodiscard]] const TunnelRecord& record() const { return record_; }
  [[nodiscard]] const std::string& name() const { return name_; } // for the log

  // Where an sproxy is several: that this one has it.
  void belongs_here( Owners::Claim claim ) { claim_ = std::move( claim ); }
  // A process before us had it; the peer is where it was.
  void recovered() { last_address_ = "before a restart"; }
  // This link has proved itself: it carries the tunnel now.
  void take( std::unique_ptr<LinkLeg> link, const Hello& hello );
  // And this one too: it is the tunnel's bulk link.
  void take_for_bulk( std::unique_ptr<LinkLeg> link, const Hello& hello );
  // Whether the tunnel may be used from there (--roam).
  [[nodiscard]] bool may_be_at( const Address& address ) const;
  // It was heard of not long ago.
  [[nodiscard]] bool is_in_use() const;
  // Sessions that were not reset by us.
  [[nodiscard]] std::size_t sessions();

  // Ends a tunnel that nobody uses any more.
  void end_at_once( ResetReason reason );
  // Ends one that its client still uses, and tells it.
  void dismiss( ResetReason reason );
  [[nodiscard]] bool leaves() const
  {
    return over_ or leaves_by_ != never;
  }                                                 // it has been ended, one way or the other,
  [[nodiscard]] bool over() const { return over_; } // and may be removed

  void turn();
  [[nodiscard]] Time deadline() const;

  void frame_arrived( LinkLeg& link, const Frame& frame ) override;
  void payloads_go() override { end_.deliver_fresh(); }
  void stirred() override { touch(); }

private:
  void look_after_link( Time now );
  // When it has been without a link for too long.
  [[nodiscard]] Time expiry() const;

  Loop& loop_;
  const SproxyConfig& config_;
  Log& log_;
  TunnelRecord& record_;
  std::string name_;
  Owners::Claim claim_ {};
  TunnelEnd end_;
  Time made_;
  Address home_;                // the client's, when the tunnel was made
  std::string last_address_ {}; // of the client, to see it move
  Time leaves_by_ = never;      // it was told goodbye, and is over when it has heard that, or then
  bool over_ = false;
  Duration excused_; // of the loop's lateness, in all
  std::function<void( Change, std::string_view )> link_changed_;
};

} // namespace holdfast
