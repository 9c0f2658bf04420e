#include "proxy/client.hh"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace holdfast {

namespace {

using namespace std::chrono_literals;

constexpr Duration empty_patience = 60s; // a tunnel without link and sessions is forgotten: nothing is lost with it
constexpr Duration farewell_patience = 1s; // for the last words

using Tenths = std::chrono::duration<std::uint32_t, std::deci>; // of seconds: 13 years of uptime in 32 bits

std::string short_name( const Id& id )
{
  return fmt::format( "{:02x}{:02x}{:02x}{:02x}",
                      std::to_integer<unsigned>( id[0] ),
                      std::to_integer<unsigned>( id[1] ),
                      std::to_integer<unsigned>( id[2] ),
                      std::to_integer<unsigned>( id[3] ) );
}

} // namespace

Client::Client( Loop& loop,
                Agenda& agenda,
                FrameBatch& batch,
                TunnelRecord& record,
                Memory memory,
                const SproxyConfig& config,
                Log& log,
                Events events,
                ServiceManager* manager )
  : Agenda::Item( agenda )
  , loop_( loop )
  , config_( config )
  , log_( log )
  , record_( record )
  , name_( "tunnel " + short_name( record.id ) )
  , end_( loop,
          batch,
          Side::acceptor,
          record,
          memory,
          config.session_limits(),
          log,
          { .session_arrived =
              [this, arrived = std::move( events.session_arrived )]( TunnelEnd&, Session& session ) {
                arrived( *this, session );
              },
            .session_left
            = [left = std::move( events.session_left )]( TunnelEnd&, Session& session ) { left( session ); },
            .bulk_link_ended =
              [this]( const std::string& why ) {
                log_.debug( "{}: second link, for bulk, ended: {}", name_, why.empty() ? "idle" : why );
              },
            .stirred = [this] { touch(); } },
          manager )
  , made_( Time { Tenths { record.made } } )
  , home_( address_in( record.home ) )
  , excused_( loop.late_in_all() )
  , link_changed_( std::move( events.link_changed ) )
{}

void Client::say_birth( TunnelRecord& record, const Address& from, Time now )
{
  record.home = bytes_of( from );
  record.made = std::chrono::ceil<Tenths>( now.time_since_epoch() ).count();
}

// -- its link -----------------------------------------------------------------------------------------------------

void Client::take( std::unique_ptr<LinkLeg> link, const Hello& hello )
{
  const std::string address = link->peer().text();
  if ( last_address_.empty() ) {
    link_changed_( Change::made, fmt::format( "{}: new, link from {}", name_, address ) );
  } else {
    link_changed_( Change::resumed,
                   fmt::format( "{}: resumed, link from {} (was {}), carrying {}",
                                name_,
                                address,
                                last_address_,
                                end_.how_many_sessions() ) );
  }
  last_address_ = address;
  link->pulse().peer_beats_every( hello.beat );
  link->set_owner( *this );
  link->let_return();
  excused_ = loop_.late_in_all();
  end_.attach( std::move( link ), hello.window );
  touch();
}

void Client::take_for_bulk( std::unique_ptr<LinkLeg> link, const Hello& hello )
{
  log_.debug( "{}: second link, for bulk, from {}", name_, link->peer().text() );
  link->pulse().peer_beats_every( hello.beat );
  link->let_return();
  end_.attach_bulk( std::move( link ) );
  touch();
}

void Client::frame_arrived( LinkLeg& link, const Frame& frame )
{
  if ( ( frame.header.flags & FrameHeader::early ) == 0 ) {
    Admission::confirm( record_ );
  }
  if ( const auto fault = end_.tunnel().receive( frame ) ) {
    link.drop( std::string { describe( *fault ) } );
  }
}

void Client::look_after_link( Time now )
{
  LinkLeg* const link = end_.link();
  if ( link == nullptr ) {
    return;
  }
  const Duration late = loop_.late_in_all(); // we were not there in every turn
  link->pulse().excuse( late - std::exchange( excused_, late ), now );
  if ( not link->ended() and link->pulse().hopeless( now ) ) {
    link->drop( "silent for too long" );
  }
  if ( link->ended() ) {
    link_changed_(
      Change::lost,
      fmt::format(
        "{}: link from {} lost: {}; keeping {}", name_, last_address_, *link->ended(), end_.how_many_sessions() ) );
    end_.drop_link( now );
  }
}

// -- policy -------------------------------------------------------------------------------------------------------

bool Client::may_be_at( const Address& address ) const
{
  if ( config_.roam == Roam::anywhere ) {
    return true;
  }
  const bool exactly = config_.roam == Roam::nowhere;
  const unsigned bits_v4 = exactly ? 32 : 24; // a network as most are cut
  const unsigned bits_v6 = exactly ? 128 : 64;
  return network_of( address, bits_v4, bits_v6 ) == network_of( home_, bits_v4, bits_v6 );
}

bool Client::is_in_use() const
{
  return end_.link() != nullptr or loop_.now() - end_.detached_since() < config_.pulse.patience;
}

std::size_t Client::sessions()
{
  std::size_t sessions = 0;
  end_.tunnel().for_each_session( [&]( const Session& session ) { sessions += session.reset_by_us() ? 0U : 1U; } );
  return sessions;
}

// -- the end ------------------------------------------------------------------------------------------------------

void Client::end_at_once( ResetReason reason )
{
  end_.reset_all( reason );
  over_ = true;
  touch();
}

void Client::dismiss( ResetReason reason )
{
  if ( not leaves() ) {
    end_.say_goodbye( reason );
    leaves_by_ = loop_.now() + farewell_patience;
    touch();
  }
}

// -- a turn -------------------------------------------------------------------------------------------------------

void Client::turn()
{
  const Time now = loop_.now();
  if ( over_ ) {
    return;
  }
  if ( leaves_by_ != never ) {
    end_.turn( now );
    over_ = end_.goodbye_heard() or now >= leaves_by_;
    return;
  }
  if ( config_.age_max and now - made_ >= *config_.age_max ) {
    log_.info( "{}: as old as a tunnel may become (--max-age): ending {}", name_, end_.how_many_sessions() );
    dismiss( ResetReason::too_old );
    return;
  }
  if ( const auto reason = end_.tunnel().goodbye() ) {
    log_.info( "{}: the client said goodbye: {}", name_, describe( *reason ) );
    end_at_once( *reason );
    return;
  }
  look_after_link( now );
  end_.turn( now );
  if ( now >= expiry() ) {
    if ( now - end_.detached_since() >= config_.keep ) {
      log_.info( "{}: detached for too long: ending {}", name_, end_.how_many_sessions() );
    }
    end_at_once( ResetReason::expired );
  }
}

Time Client::expiry() const
{
  if ( end_.link() != nullptr ) {
    return never;
  }
  const Duration patience = end_.tunnel().sessions() == 0 ? std::min( empty_patience, config_.keep ) : config_.keep;
  return end_.detached_since() + patience;
}

Time Client::deadline() const
{
  const Time of_age = config_.age_max ? made_ + *config_.age_max : never;
  return std::min( { end_.deadline(), leaves_by_, of_age, expiry() } );
}

} // namespace holdfast
