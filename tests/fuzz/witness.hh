#pragma once

#include "fuzz/input.hh"
#include "unit/core/pair.hh"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

namespace holdfast::fuzz {

// One end of a tunnel with its programs, and somebody who remembers everything that was said, in both directions,
// and objects when the two do not fit. The peer may be as hostile as it likes. What must hold:
//
//   programs read    only bytes that arrived at that position, and the end where an end frame put it
//   we acknowledge   only what programs have read
//   we send          only well-formed frames; of each stream the bytes that its program wrote there, within the
//                    largest window that the peer ever offered; on each link an introduction first
//   a fault          changes no session: none is ended, nothing is delivered or forgotten
//   nobody is stuck  who has something to say has a turn or a deadline
//   memory           every chunk and every record in use belongs to a session
class Witness
{
public:
  struct Setup
  {
    Side side = Side::opener;
    Pool::Index chunks = 16;
    std::size_t slots = 8;
    std::size_t window = 65536;
    std::size_t window_max = 1U << 20U;
    bool honest_bytes = false; // the peer's bytes are stream( position, peer_stream( id ) )
  };

  explicit Witness( Setup setup )
    : setup_( setup )
    , limits_ { .outflow = { setup.window_max }, .inflow = { setup.window, setup.window_max } }
    , memory_( std::make_unique<test::TestMemory>( setup.chunks, setup.chunks, setup.slots ) )
  {
    TunnelRecord& record = *memory_->tunnels().take();
    record.agreed = 1;
    record.used = 1;
    end_.emplace( setup.side, record, *memory_, limits_ );
  }

  test::End& end() { return *end_; }
  Tunnel& tunnel() { return end_->tunnel; }
  Time now { std::chrono::hours { 1 } };
  std::string wire {}; // all that was transmitted and taken by the socket, on all links

  static std::uint64_t our_stream( SessionId id ) { return id; }
  static std::uint64_t peer_stream( SessionId id ) { return id + 1000; }

  // -- programs ---------------------------------------------------------------------------------------------------
  std::optional<SessionId> open()
  {
    if ( end_->open() == nullptr ) {
      check( memory_->slots().used() == setup_.slots, "a session was refused although there is room for it" );
      return std::nullopt;
    }
    const SessionId id = end_->legs.rbegin()->first;
    facts_[id] = { .limit = peer_window_ }; // what was said of it before it existed means nothing
    return id;
  }
  void write( SessionId id, std::size_t count )
  {
    test::Program& program = end_->legs.at( id ).program;
    Facts& facts = facts_[id];
    if ( not program.ends ) {
      program.to_write += test::stream( facts.written, count, our_stream( id ) );
      facts.written += count;
    }
  }
  void ends( SessionId id ) { end_->legs.at( id ).program.ends = true; }
  void resets( SessionId id )
  {
    end_->legs.at( id ).program.resets = true;
    facts_[id].may_be_reset = true;
  }
  [[nodiscard]] bool alive( SessionId id ) const
  {
    const auto leg = end_->legs.find( id );
    return leg != end_->legs.end() and leg->second.session != nullptr;
  }

  // -- the link ---------------------------------------------------------------------------------------------------
  void attach( std::size_t peer_window )
  {
    rest_.clear();
    peer_window_ = peer_window;
    heard_.emplace( FrameType::hello );
    heard_->feed( test::raw( greeting_ ) );
    static_cast<void>( heard_->next() );
    tunnel().attach( peer_window );
    tunnel().for_each_session( [&]( Session& session ) {
      Facts& facts = facts_[session.id()];
      facts.introduced = false;
      facts.said_reset = false;
      if ( not facts.known ) {
        facts.limit = std::max<Position>( facts.limit, peer_window );
      }
    } );
  }
  void detach() { tunnel().detach(); }
  void lost( ResetReason reason )
  {
    for ( auto& [id, facts] : facts_ ) {
      facts.may_be_reset = true;
    }
    tunnel().peer_lost( reason );
  }

  [[nodiscard]] Verdict receive( const Frame& frame )
  {
    const FrameHeader& header = frame.header;
    const bool was_here = knows( header.session );
    const auto before = all_alive();
    listen( header, frame.payload );
    const auto fault = tunnel().receive( frame );
    check( not fault or all_alive() == before, "a fault ended or delivered something" );
    if ( not was_here and knows( header.session ) ) { // an open made it: both are introduced
      facts_[header.session] = { .limit = header.window, .known = true, .introduced = true };
    }
    check_sessions();
    return fault;
  }

  // The socket takes `most` bytes.
  void transmit( std::size_t most = std::string::npos )
  {
    do {
      batch_.start( rest_ );
      if ( not batch_.full() ) {
        tunnel().transmit( batch_, now, std::chrono::milliseconds { 10 } );
      }
      const std::size_t taken = std::min( most, batch_.bytes() );
      const std::string said = test::gathered( batch_ ).substr( 0, taken );
      batch_.finish( taken );
      most -= taken;
      note_sent();
      hear( said );
      wire += said;
    } while ( most > 0 and tunnel().wants_to_transmit() );
    check_sessions();
  }
  [[nodiscard]] bool rest_waits() const { return not rest_.empty(); }

  // -- a turn -----------------------------------------------------------------------------------------------------
  void turn()
  {
    end_->turn( now );
    check_programs();
    check_sessions();
  }
  // All that is due now was served and transmitted: then only time, the peer or a program can make more of it.
  void check_idle()
  {
    check( not tunnel().has_touched() and not( tunnel().attached() and tunnel().wants_to_transmit() ),
           "something is left although all was served and transmitted" );
    const bool somebody_waits = tunnel().deadline() != never;
    tunnel().for_each_session( [&]( Session& session ) {
      const bool in_time = session.voice().something_can_wait() or session.over();
      check( not tunnel().attached() or not in_time or somebody_waits, "nobody will come back to a session" );
      check( not tunnel().attached() or not session.voice().has_something_to_say() or session.inflow().hungry(),
             "a session has something to say and no turn" );
    } );
  }

  // Everything that can be seen of it, for comparing one way to the same place with another.
  [[nodiscard]] std::string snapshot()
  {
    std::map<SessionId, std::string> sessions;
    tunnel().for_each_session( [&]( Session& session ) {
      const Outflow& out = session.outflow();
      const Inflow& in = session.inflow();
      std::string& text = sessions[session.id()];
      for ( const std::uint64_t number :
            std::initializer_list<std::uint64_t> { in.delivered(),
                                                   in.next(),
                                                   in.window(),
                                                   in.held(),
                                                   out.acknowledged(),
                                                   out.sent(),
                                                   out.retained(),
                                                   out.room(),
                                                   session.connected(),
                                                   in.finished(),
                                                   in.end_due(),
                                                   in.news(),
                                                   in.hungry(),
                                                   out.ended(),
                                                   out.finished(),
                                                   out.end_due(),
                                                   session.closed_by_peer(),
                                                   session.over(),
                                                   session.released(),
                                                   session.voice().has_something_to_say(),
                                                   reason( session.reset_by_us() ),
                                                   reason( session.reset_by_peer() ) } ) {
        text += std::to_string( number ) + ' ';
      }
    } );
    std::string all = std::to_string( reason( tunnel().goodbye() ) ) + ' '
                      + std::to_string( tunnel().deadline().time_since_epoch().count() ) + ' '
                      + std::to_string( memory_->outflow().used() ) + ' '
                      + std::to_string( memory_->inflow().used() ) + '\n';
    for ( const auto& [id, text] : sessions ) {
      all += "session " + std::to_string( id ) + ": " + text + '\n';
    }
    for ( const auto& [id, leg] : end_->legs ) {
      const test::Program& program = leg.program;
      all += "program " + std::to_string( id ) + ": " + std::to_string( program.to_write.size() ) + ' '
             + std::to_string( program.saw_end ) + ' ' + std::to_string( reason( program.saw_reset ) ) + ' '
             + std::to_string( program.closed ) + ' ' + program.read + '\n';
    }
    return all + wire;
  }

  // Our process dies between two turns; its successor goes on with what is left of the memory, and the sockets.
  void die()
  {
    const auto before = all_that_lasts();
    auto legs = std::move( end_->legs );
    const bool connects = end_->connects;
    const auto refuses = end_->refuses;
    auto left = std::make_unique<test::TestMemory>( *memory_, setup_.side );
    check( left->found.broken == 0 and left->found.ended == 0 and left->found.tunnels.size() == 1,
           "what a sound process leaves makes no sense" );
    end_.emplace( setup_.side, *left->found.tunnels.front(), *left, limits_ );
    memory_ = std::move( left );
    end_->inherit( std::move( legs ) );
    end_->connects = connects;
    end_->refuses = refuses;
    rest_.clear();
    check( all_that_lasts() == before, "a death changed something" );
    check_sessions();
  }

  // -- the end of the story ---------------------------------------------------------------------------------------
  // Every program resets its connection, and a peer that agrees takes the last word: then nothing is left.
  void finish()
  {
    attach( 65536 );
    for ( auto& [id, leg] : end_->legs ) {
      if ( leg.session != nullptr ) {
        resets( id );
      }
    }
    std::vector<SessionId> ids;
    tunnel().for_each_session( [&]( Session& session ) { ids.push_back( session.id() ); } );
    turn();
    transmit();
    for ( const SessionId id : ids ) {
      const FrameHeader closed { .type = FrameType::closed, .session = id };
      check( not receive( { closed, {} } ), "closed was taken for a fault" );
    }
    for ( int i = 0; i < 3; ++i ) {
      now += std::chrono::seconds { 1 };
      turn();
      transmit();
    }
    check( tunnel().sessions() == 0, "a session is left over" );
    check( memory_->all_back(), "memory is left over" );
  }
  // The tunnel goes with its sessions, whatever they were doing.
  void drop()
  {
    end_.reset();
    check( memory_->all_back(), "memory is left over after the tunnel" );
  }

private:
  // What is known of one session from what was said.
  struct Facts
  {
    Position written = 0;   // by its program, ever
    Position limit = 0;     // the largest window that the peer ever offered ends here
    Position sent_most = 0; // ever
    Position told = 0;      // our latest acknowledgement
    Position offered = 0;   // the end of the largest window that we ever offered
    bool known = false;     // the peer has named it
    bool introduced = false;
    bool said_reset = false;
    bool may_be_reset = false; // somebody gave a reason for it
    std::vector<std::pair<Position, test::Bytes>> arrived {};
    std::set<Position> ends {};
    std::size_t checked = 0; // of what its program read
  };

  static std::uint64_t reason( std::optional<ResetReason> why )
  {
    return why ? static_cast<std::uint64_t>( *why ) : 0;
  }

  [[nodiscard]] bool knows( SessionId id )
  {
    bool found = false;
    tunnel().for_each_session( [&]( Session& session ) { found = found or session.id() == id; } );
    return found;
  }
  using Alive = std::tuple<SessionId, Position, Position, bool, std::uint64_t, std::uint64_t>;
  [[nodiscard]] std::vector<Alive> all_alive()
  {
    std::vector<Alive> all;
    tunnel().for_each_session( [&]( Session& session ) {
      all.emplace_back( session.id(),
                        session.inflow().delivered(),
                        session.inflow().next(),
                        session.closed_by_peer(),
                        reason( session.reset_by_us() ),
                        reason( session.reset_by_peer() ) );
    } );
    return all;
  }

  using Lasting = std::tuple<Alive, Position, std::size_t, bool, bool>;
  [[nodiscard]] std::map<SessionId, Lasting> all_that_lasts()
  {
    std::map<SessionId, Lasting> all;
    tunnel().for_each_session( [&]( Session& session ) {
      const Outflow& out = session.outflow();
      const Position delivered = session.inflow().delivered();
      const Alive alive { session.id(),
                          delivered,
                          delivered,
                          false,
                          reason( session.reset_by_us() ),
                          reason( session.reset_by_peer() ) };
      all[session.id()] = { alive, out.acknowledged(), out.retained(), out.ended(), session.connected() };
    } );
    return all;
  }

  // What the peer says, before we judge it.
  void listen( const FrameHeader& header, std::span<const std::byte> payload )
  {
    Facts& facts = facts_[header.session];
    facts.known = true;
    if ( header.type == FrameType::data or header.type == FrameType::ack or header.type == FrameType::end
         or header.type == FrameType::resume ) {
      if ( header.acknowledgement <= facts.sent_most ) {
        facts.limit = std::max( facts.limit, header.acknowledgement + header.window );
      }
    }
    switch ( header.type ) {
      case FrameType::data:
        if ( not setup_.honest_bytes ) {
          facts.arrived.emplace_back( header.sequence, test::Bytes { payload.begin(), payload.end() } );
        }
        break;
      case FrameType::end: facts.ends.insert( header.sequence ); break;
      case FrameType::resume: // a peer that forgot what we do not have leaves us no choice
        tunnel().for_each_session( [&]( Session& session ) {
          facts.may_be_reset = facts.may_be_reset
                               or ( session.id() == header.session and header.sequence > session.inflow().next() );
        } );
        break;
      case FrameType::reset:
      case FrameType::closed: facts.may_be_reset = true; break;
      case FrameType::hello:
      case FrameType::welcome:
      case FrameType::heartbeat:
      case FrameType::goodbye:
      case FrameType::open:
      case FrameType::opened:
      case FrameType::ack: break;
    }
  }

  void note_sent()
  {
    tunnel().for_each_session( [&]( Session& session ) {
      Facts& facts = facts_[session.id()];
      facts.sent_most = std::max( facts.sent_most, session.outflow().sent() );
      facts.offered = std::max( facts.offered, session.inflow().delivered() + session.inflow().window() );
    } );
  }

  // What we say, as the peer hears it.
  void hear( std::string_view said )
  {
    heard_->feed( test::raw( said ) );
    while ( const auto frame = heard_->next() ) {
      hear( *frame );
    }
    check( not heard_->fault(), "we sent a frame that is not one" );
  }
  void hear( const Frame& frame )
  {
    const FrameHeader& header = frame.header;
    Facts& facts = facts_[header.session];
    switch ( header.type ) {
      case FrameType::hello:
      case FrameType::welcome:
      case FrameType::heartbeat:
      case FrameType::goodbye: check( false, "the tunnel said what only its owner says" ); return;
      case FrameType::closed: return; // about a session that we may never have had
      case FrameType::reset: facts.said_reset = true; return;
      case FrameType::open:
        check( setup_.side == Side::opener, "an acceptor opened a session" );
        facts.introduced = true;
        break;
      case FrameType::opened:
        check( setup_.side == Side::acceptor, "an opener said opened" );
        check( facts.introduced, "opened before the introduction" );
        break;
      case FrameType::resume: facts.introduced = true; break;
      case FrameType::data: hear_data( facts, header, frame.payload ); break;
      case FrameType::end:
        check( facts.introduced, "end before the introduction" );
        check( header.sequence == facts.written and end_->legs.at( header.session ).program.ends,
               "an end in the wrong place" );
        break;
      case FrameType::ack: check( facts.introduced, "ack before the introduction" ); break;
    }
    check( not facts.said_reset, "something was said after the reset" );
    hear_acknowledgement( facts, header );
  }
  static void hear_data( const Facts& facts, const FrameHeader& header, std::span<const std::byte> payload )
  {
    check( facts.introduced, "data before the introduction" );
    check( header.sequence + payload.size() <= facts.written, "more data than the program wrote" );
    check( header.sequence + payload.size() <= facts.limit, "data beyond every window that was offered" );
    check( test::text( payload ) == test::stream( header.sequence, payload.size(), our_stream( header.session ) ),
           "the data of another place" );
  }
  void hear_acknowledgement( Facts& facts, const FrameHeader& header )
  {
    const auto leg = end_->legs.find( header.session );
    const Position read
      = leg == end_->legs.end() ? 0 : leg->second.program.read.size() + ( leg->second.program.saw_end ? 1 : 0 );
    check( header.acknowledgement <= read, "more was acknowledged than the program has read" );
    check( header.acknowledgement >= facts.told, "an acknowledgement was taken back" );
    facts.told = header.acknowledgement;
    check( header.window <= setup_.window_max, "a window beyond the limit" );
  }

  void check_programs()
  {
    for ( auto& [id, leg] : end_->legs ) {
      const test::Program& program = leg.program;
      Facts& facts = facts_[id];
      if ( setup_.honest_bytes ) {
        check( program.read.substr( facts.checked )
                 == test::stream( facts.checked, program.read.size() - facts.checked, peer_stream( id ) ),
               "a program read what was not written there" );
      } else {
        check( all_arrived( facts, program.read ), "a program read what never arrived there" );
      }
      facts.checked = program.read.size();
      check( not program.saw_end or facts.ends.contains( program.read.size() ), "an end that nobody said" );
      check( not program.saw_reset or facts.may_be_reset or program.saw_reset == ResetReason::refused,
             "a reset that nobody said" );
    }
  }
  static bool all_arrived( const Facts& facts, std::string_view read )
  {
    std::vector<bool> seen( read.size() - facts.checked );
    for ( const auto& [at, bytes] : facts.arrived ) {
      for ( std::size_t i = 0; i < bytes.size() and at + i < read.size(); ++i ) {
        if ( at + i >= facts.checked and static_cast<char>( bytes[i] ) == read[at + i] ) {
          seen[at + i - facts.checked] = true;
        }
      }
    }
    return std::ranges::find( seen, false ) == seen.end();
  }

  void check_sessions()
  {
    std::size_t retained_chunks = 0;
    std::size_t held_least = 0;
    std::size_t held_most = 0;
    tunnel().for_each_session( [&]( Session& session ) {
      const Facts& facts = facts_[session.id()];
      const Outflow& out = session.outflow();
      const Inflow& in = session.inflow();
      check( out.acknowledged() <= out.sent() and out.sent() <= facts.written + 1, "acknowledged, sent, written" );
      check( out.acknowledged() <= facts.sent_most or session.reset_by_us(), "acknowledged before it was sent" );
      check( out.retained() <= facts.written, "more is retained than was written" );
      check( out.retained() <= setup_.window_max + Outflow::Limits::ahead, "too much is retained" );
      check( in.delivered() <= in.next(), "more is delivered than arrived" );
      const Position most = std::max<Position>( facts.offered, std::min( setup_.window, setup_.window_max ) );
      const Position received = in.delivered() - ( in.finished() ? 1 : 0 ) + in.held();
      check( received <= most and in.held() <= setup_.window_max, "more was taken than was offered" );
      retained_chunks += session.record().outflow.kept.chunks_needed();
      held_least += ( in.held() + Pool::chunk_size - 1 ) / Pool::chunk_size;
      held_most += in.held() == 0 ? 0 : ( in.held() - 1 ) / Pool::chunk_size + 2;
    } );
    check( memory_->outflow().used() == retained_chunks, "chunks of the outflow pool belong to nobody" );
    check( memory_->inflow().used() >= held_least and memory_->inflow().used() <= held_most,
           "chunks of the inflow pool belong to nobody" );
    check( memory_->slots().used() == tunnel().sessions(), "a record belongs to nobody" );
  }

  Setup setup_;
  SessionLimits limits_;
  std::unique_ptr<test::TestMemory> memory_;
  std::optional<test::End> end_;
  std::map<SessionId, Facts> facts_ {};
  std::size_t peer_window_ = 0;
  FrameBatch batch_ {};
  test::Bytes rest_ {};
  std::optional<FrameReader> heard_ {};
  const std::string greeting_ = test::greeting( FrameType::hello );
};

} // namespace holdfast::fuzz
