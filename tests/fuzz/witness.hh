#pragma once

#include "core/bytes.hh"
#include "fuzz/input.hh"
#include "unit/core/pair.hh"

#include <algorithm>
#include <deque>
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
//                    largest window that the peer ever offered, without a gap; on each link an introduction first;
//                    on the bulk link data and ends only
//   a stream         changes links only when all that was ever said of it is acknowledged, or its bulk link is lost
//   a fault          changes no session: none is ended, nothing is delivered or forgotten
//   beside the link  nothing but data, ends and (where it was replaced) acknowledgements means anything; a gap is
//                    no fault; nor is it on the link before bytes have come there that we asked for again
//   nobody is stuck  who has something to say has a turn or a deadline; what was delivered is acknowledged on the
//                    link that there is
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
    bool in_place = false;     // payloads stay until payloads_go()
    BulkMeter::Limits bulk {};
  };
  // Where something is said.
  enum class Way
  {
    link,
    bulk_link,
    replaced_link
  };

  explicit Witness( Setup setup )
    : setup_( setup )
    , limits_ { .outflow = { setup.window_max }, .inflow = { setup.window, setup.window_max }, .bulk = setup.bulk }
    , memory_( std::make_unique<test::TestMemory>( setup.chunks, setup.chunks, setup.slots ) )
  {
    memory_->in_place = setup.in_place;
    record_ = memory_->tunnels().take();
    record_->agreed = 1;
    record_->used = 1;
    end_.emplace( setup.side, *record_, *memory_, limits_ );
  }

  test::End& end() { return *end_; }
  Tunnel& tunnel() { return end_->tunnel; }
  Time now { std::chrono::hours { 1 } };

  static std::uint64_t our_stream( SessionId id ) { return id; }
  static std::uint64_t peer_stream( SessionId id ) { return id + 1000; }

  // -- programs ---------------------------------------------------------------------------------------------------
  std::optional<SessionId> open()
  {
    payloads_go();
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
    payloads_go();
    bulk_link_goes();
    peer_window_ = peer_window;
    said_on_link_.start( greeting_ );
    tunnel().attach( peer_window );
    tunnel().for_each_session( [&]( Session& session ) {
      Facts& facts = facts_[session.id()];
      facts.introduced = false;
      facts.may_send = false;
      facts.said_reset = false;
      facts.told_here = 0;
      facts.goes_on = 0;
      if ( not facts.known ) {
        facts.limit = std::max<Position>( facts.limit, peer_window );
      }
    } );
  }
  void detach()
  {
    payloads_go();
    bulk_link_goes();
    tunnel().detach();
  }
  void lost( ResetReason reason )
  {
    payloads_go();
    bulk_link_goes();
    for ( auto& [id, facts] : facts_ ) {
      facts.may_be_reset = true;
    }
    tunnel().peer_lost( reason );
  }
  void attach_bulk()
  {
    detach_bulk();
    has_bulk_link_ = true;
    said_on_bulk_link_.start( greeting_ );
    tunnel().attach_bulk();
  }
  void detach_bulk()
  {
    payloads_go();
    bulk_link_goes();
    tunnel().detach_bulk();
  }
  [[nodiscard]] bool has_bulk_link() const { return has_bulk_link_; }

  [[nodiscard]] Verdict receive( const Frame& frame, Way way = Way::link )
  {
    const FrameHeader& header = frame.header;
    // Memory of its own, no byte longer than the frame.
    const test::Bytes& payload = payloads_.emplace_back( frame.payload.begin(), frame.payload.end() );
    const bool was_here = knows( header.session );
    const bool counts = way == Way::link or ( was_here and means_something( header.type, way ) );
    const auto before = all_alive();
    const std::string seen_before = counts ? std::string {} : all_seen();
    const Before how = how_is( header.session );
    if ( counts ) {
      listen( header, payload, way );
    }
    const auto fault = hand_over( { header, payload }, way );
    check( not fault or all_alive() == before, "a fault ended or delivered something" );
    check( counts or all_seen() == seen_before, "a frame that means nothing changed something" );
    check_fault( fault, header, way );
    check_session( fault, header, way, how );
    if ( not was_here and knows( header.session ) ) { // an open made it: both are introduced
      facts_[header.session] = { .limit = header.window, .known = true, .introduced = true, .may_send = true };
    }
    note_received( fault, header, way, how.next );
    if ( not setup_.in_place ) {
      payloads_go();
    }
    check_sessions();
    return fault;
  }
  // Payloads go: before anything but another receive().
  void payloads_go()
  {
    if ( not payloads_.empty() ) {
      end_->deliver_fresh( now );
      payloads_.clear();
      note_holes();
      check_programs();
      check_sessions();
    }
  }

  // The socket takes `most` bytes.
  void transmit( std::size_t most = std::string::npos, Way way = Way::link )
  {
    payloads_go();
    const bool bulk = way == Way::bulk_link;
    Said& said = bulk ? said_on_bulk_link_ : said_on_link_;
    FrameSource& source = bulk ? tunnel().bulk() : tunnel();
    const auto news = sessions_with_news();
    do {
      const std::size_t begun = said.rest.size();
      batch_.start( said.rest );
      if ( not batch_.full() ) {
        source.transmit( batch_, now, std::chrono::milliseconds { 10 } );
      }
      const std::string all = test::gathered( batch_ );
      const std::size_t taken = std::min( most, all.size() );
      batch_.finish( taken );
      most -= taken;
      note_sent();
      hear( std::string_view { all }.substr( begun ), said, way );
      said.wire.append( all, 0, taken );
    } while ( most > 0 and source.wants_to_transmit() );
    check( not bulk or sessions_with_news() == news, "what may be lost with the bulk link counts as told" );
    check_sessions();
  }
  // On all links there are, and as they come: the bulk link last.
  void transmit_all()
  {
    if ( tunnel().attached() ) {
      transmit();
      if ( has_bulk_link_ ) {
        transmit( std::string::npos, Way::bulk_link );
      }
    }
  }

  // -- a turn -----------------------------------------------------------------------------------------------------
  void turn()
  {
    payloads_go();
    end_->turn( now );
    if ( has_bulk_link_ and not tunnel().attached() ) {
      detach_bulk(); // it is alone
      end_->turn( now );
    }
    note_holes();
    check_programs();
    check_sessions();
  }
  // All that is due now was served and transmitted: then only time, the peer or a program can make more of it.
  void check_idle()
  {
    check( not tunnel().has_touched() and not( tunnel().attached() and tunnel().wants_to_transmit() )
             and not tunnel().bulk().wants_to_transmit(),
           "something is left although all was served and transmitted" );
    const bool somebody_waits = tunnel().deadline() != never;
    tunnel().for_each_session( [&]( Session& session ) {
      const bool in_time = session.voice().something_can_wait() or session.over();
      check( not tunnel().attached() or not in_time or somebody_waits, "nobody will come back to a session" );
      check( not tunnel().attached() or not session.voice().has_something_to_say() or session.inflow().hungry(),
             "a session has something to say and no turn" );
      check( not tunnel().attached() or not is_stuck( session ), "bytes wait for nothing" );
      check( not is_alive( session ) or session.outflow().sent() == all_said( session ),
             "something counts as said on this link and was not" );
      check( not tunnel().attached() or all_told( session ), "what counts as told was not told on this link" );
    } );
  }

  // Everything that can be seen of it, for comparing one way to the same place with another.
  [[nodiscard]] std::string snapshot()
  {
    std::string all = all_seen();
    for ( const auto& [id, leg] : end_->legs ) {
      const test::Program& program = leg.program;
      all += "program " + std::to_string( id ) + ": " + std::to_string( program.to_write.size() ) + ' '
             + std::to_string( program.saw_end ) + ' ' + std::to_string( reason( program.saw_reset ) ) + ' '
             + std::to_string( program.closed ) + ' ' + program.read + '\n';
    }
    return all + said_on_link_.wire + said_on_bulk_link_.wire;
  }

  // Our process dies between two turns; its successor goes on with what is left of the memory, and the sockets.
  void die()
  {
    payloads_go();
    bulk_link_goes();
    const auto before = all_that_lasts();
    auto legs = std::move( end_->legs );
    const bool connects = end_->connects;
    const auto refuses = end_->refuses;
    auto left = std::make_unique<test::TestMemory>( *memory_, setup_.side );
    check( left->found.broken == 0 and left->found.ended == 0 and left->found.tunnels.size() == 1,
           "what a sound process leaves makes no sense" );
    record_ = left->found.tunnels.front();
    end_.emplace( setup_.side, *record_, *left, limits_ );
    memory_ = std::move( left );
    end_->inherit( std::move( legs ) );
    end_->connects = connects;
    end_->refuses = refuses;
    for ( auto& [id, facts] : facts_ ) {
      facts.hole = false; // what was not delivered is asked for again
      facts.goes_on = 0;
    }
    note_sent();
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
    payloads_go();
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
    bool may_send = false; // and the peer has said from where on it wants our bytes, or need not
    bool said_reset = false;
    bool may_be_reset = false; // somebody gave a reason for it
    Position told_here = 0;    // as `told`, on this link; 0 goes without saying
    Way stream_on = Way::link; // where our stream was said last
    Position said_most = 0;    // of it, on any link
    Position goes_on = 0;      // there, if that is not acknowledged yet
    bool hole = false;         // bytes were let go, and have not come again on the link
    std::vector<std::pair<Position, test::Bytes>> arrived {};
    std::set<Position> ends {};
    std::size_t checked = 0; // of what its program read
  };

  // On one link, in our direction.
  struct Said
  {
    test::Bytes rest {};
    std::optional<FrameReader> heard {};
    std::string wire {}; // all that was taken by the socket, on all links of the kind

    void start( std::string_view greeting )
    {
      rest.clear();
      heard.emplace( FrameType::hello );
      heard->feed( test::raw( greeting ) );
      static_cast<void>( heard->next() );
    }
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
  // How a session is before and after it hears something.
  struct Before
  {
    Position next = 0;
    Position sent_most = 0;
    bool hungry = false;
    bool hears = false; // it is not over because of us
  };
  [[nodiscard]] Before how_is( SessionId id )
  {
    Before how;
    tunnel().for_each_session( [&]( Session& session ) {
      if ( session.id() == id ) {
        how = { session.inflow().next(),
                session.record().outflow.sent_most,
                session.inflow().hungry(),
                not session.reset_by_us() };
      }
    } );
    return how;
  }
  [[nodiscard]] std::set<SessionId> sessions_with_news()
  {
    std::set<SessionId> all;
    tunnel().for_each_session( [&]( Session& session ) {
      if ( session.inflow().news() ) {
        all.insert( session.id() );
      }
    } );
    return all;
  }
  // Of the tunnel; not what programs have read.
  [[nodiscard]] std::string all_seen()
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
                      + std::to_string( memory_->inflow().used() ) + ' ' + std::to_string( tunnel().queued() ) + ' '
                      + std::to_string( record_->last_session ) + '\n';
    for ( const auto& [id, text] : sessions ) {
      all += "session " + std::to_string( id ) + ": " + text + '\n';
    }
    return all;
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

  // The streams that went on the bulk link go on the other one, from what is acknowledged.
  void bulk_link_goes()
  {
    has_bulk_link_ = false;
    for ( auto& [id, facts] : facts_ ) {
      if ( facts.stream_on == Way::bulk_link ) {
        facts.stream_on = Way::link;
        facts.goes_on = 0;
      }
    }
  }

  static bool means_something( FrameType type, Way way )
  {
    return type == FrameType::data or type == FrameType::end
           or ( type == FrameType::ack and way == Way::replaced_link );
  }
  Verdict hand_over( const Frame& frame, Way way )
  {
    switch ( way ) {
      case Way::link: return tunnel().receive( frame );
      case Way::bulk_link: return tunnel().receive_bulk( frame );
      case Way::replaced_link: return tunnel().receive_late( frame );
    }
    return std::nullopt;
  }
  void check_fault( Verdict fault, const FrameHeader& header, Way way )
  {
    const bool is_strange = way == Way::bulk_link and not means_something( header.type, way );
    check( not is_strange or fault == Fault::out_of_order, "a frame that may not come on the bulk link" );
    check( way == Way::link or fault != Fault::gap, "a gap beside the link is a fault" );
    check( way != Way::replaced_link or fault != Fault::beyond_window,
           "what another process may have offered is a fault" );
    check( fault != Fault::gap or not facts_[header.session].hole,
           "a gap is a fault before what we asked for has come" );
  }
  void check_session( Verdict fault, const FrameHeader& header, Way way, const Before& before )
  {
    const bool acknowledges
      = header.type == FrameType::ack ? way != Way::bulk_link : means_something( header.type, way );
    check( not before.hears or not acknowledges or header.acknowledgement <= before.sent_most
             or fault == Fault::ahead_of_sent,
           "what was not sent was acknowledged, and that was no fault" );
    const Before now_is = how_is( header.session );
    check( not now_is.hears or now_is.next >= before.next or now_is.hungry,
           "bytes were let go, and nobody will ask for them again" );
    check( way == Way::link or header.type != FrameType::data or not before.hungry or now_is.next <= before.next,
           "what was let go came back before it was asked for" );
  }
  // `next`: before.
  void note_received( Verdict fault, const FrameHeader& header, Way way, Position next )
  {
    if ( fault or way != Way::link ) {
      note_holes();
      return;
    }
    Facts& facts = facts_[header.session];
    if ( header.type == FrameType::data or header.type == FrameType::end ) {
      const bool comes_next = header.sequence <= next and header.sequence + header.length >= next;
      const bool is_news = header.type == FrameType::end or header.sequence + header.length > next;
      facts.hole = facts.hole and not( comes_next and is_news );
    }
    if ( header.type == FrameType::resume ) {
      facts.goes_on = ByteReader { payloads_.back() }.number<std::uint64_t>();
    }
    facts.may_send = facts.may_send or header.type == FrameType::resume or header.type == FrameType::open;
    note_holes();
  }
  void note_holes()
  {
    tunnel().for_each_session( [&]( Session& session ) {
      Facts& facts = facts_[session.id()];
      facts.hole = facts.hole or session.inflow().hungry();
    } );
  }

  // What the peer says, before we judge it.
  void listen( const FrameHeader& header, std::span<const std::byte> payload, Way way )
  {
    Facts& facts = facts_[header.session];
    facts.known = true;
    if ( header.type == FrameType::data or header.type == FrameType::ack or header.type == FrameType::end
         or header.type == FrameType::resume ) {
      if ( header.acknowledgement <= facts.sent_most ) {
        const Position window = way == Way::replaced_link ? 0 : header.window;
        facts.limit = std::max( facts.limit, header.acknowledgement + window );
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
      // Whoever asks again for what was let go offers less than it had in mind, and takes that all the same.
      const std::size_t window = facts.hole ? setup_.window_max : session.inflow().window();
      facts.offered = std::max( facts.offered, session.inflow().delivered() + window );
    } );
  }

  // What we say, as the peer would hear it: also what is lost with the link.
  void hear( std::string_view words, Said& said, Way way )
  {
    said.heard->feed( test::raw( words ) );
    while ( const auto frame = said.heard->next() ) {
      hear( *frame, way );
    }
    check( not said.heard->fault() and said.heard->held() == 0, "we sent a frame that is not one" );
  }
  void hear( const Frame& frame, Way way )
  {
    const FrameHeader& header = frame.header;
    Facts& facts = facts_[header.session];
    check( way == Way::link or means_something( header.type, way ),
           "on the bulk link goes what does not belong there" );
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
        facts.may_send = true;
        break;
      case FrameType::opened:
        check( setup_.side == Side::acceptor, "an opener said opened" );
        check( facts.introduced, "opened before the introduction" );
        break;
      case FrameType::resume: facts.introduced = true; break;
      case FrameType::data:
        hear_data( facts, header, frame.payload );
        hear_stream( facts, header, header.sequence + frame.payload.size(), way );
        break;
      case FrameType::end:
        check( facts.introduced, "end before the introduction" );
        check( header.sequence == facts.written and end_->legs.at( header.session ).program.ends,
               "an end in the wrong place" );
        hear_stream( facts, header, header.sequence + 1, way );
        break;
      case FrameType::ack: check( facts.introduced, "ack before the introduction" ); break;
    }
    check( not facts.said_reset, "something was said after the reset" );
    hear_acknowledgement( facts, header, way );
  }
  static void hear_data( const Facts& facts, const FrameHeader& header, std::span<const std::byte> payload )
  {
    check( facts.introduced, "data before the introduction" );
    check( header.sequence + payload.size() <= facts.written, "more data than the program wrote" );
    check( header.sequence + payload.size() <= facts.limit, "data beyond every window that was offered" );
    check( test::text( payload ) == test::stream( header.sequence, payload.size(), our_stream( header.session ) ),
           "the data of another place" );
  }
  // `after`: one past the last position that is said.
  void hear_stream( Facts& facts, const FrameHeader& header, Position after, Way way )
  {
    check( facts.may_send, "bytes that the peer has not asked for" );
    tunnel().for_each_session( [&]( Session& session ) {
      if ( session.id() == header.session ) {
        const Position acknowledged = session.outflow().acknowledged();
        check( way == facts.stream_on or acknowledged == facts.said_most,
               "a stream changed links while something was under way" );
        check( header.sequence == std::max( facts.goes_on, acknowledged ),
               "a gap in what we say, or something twice" );
      }
    } );
    facts.stream_on = way;
    facts.goes_on = after;
    facts.said_most = std::max( facts.said_most, after );
  }
  void hear_acknowledgement( Facts& facts, const FrameHeader& header, Way way )
  {
    const auto leg = end_->legs.find( header.session );
    const Position read
      = leg == end_->legs.end() ? 0 : leg->second.program.read.size() + ( leg->second.program.saw_end ? 1 : 0 );
    check( header.acknowledgement <= read, "more was acknowledged than the program has read" );
    check( header.window <= setup_.window_max, "a window beyond the limit" );
    if ( way == Way::bulk_link ) {
      return; // may be lost with it
    }
    check( header.acknowledgement >= facts.told, "an acknowledgement was taken back" );
    facts.told = header.acknowledgement;
    if ( header.type != FrameType::open and header.type != FrameType::opened ) { // there it does not count
      facts.told_here = header.acknowledgement;
    }
  }

  // It may go on, and nobody but the peer could be the reason why it does not.
  [[nodiscard]] bool is_stuck( Session& session )
  {
    const Outflow& out = session.outflow();
    // Before it changes links.
    const bool waits_for_the_peer = has_bulk_link_ and not out.all_delivered() and not out.says_again();
    return session.voice().bulk_due()
           or ( is_alive( session ) and facts_[session.id()].may_send and out.something_due()
                and not waits_for_the_peer );
  }
  [[nodiscard]] Position all_said( Session& session )
  {
    return std::max( facts_[session.id()].goes_on, session.outflow().acknowledged() );
  }
  [[nodiscard]] bool all_told( Session& session )
  {
    const Facts& facts = facts_[session.id()];
    return not is_alive( session ) or not facts.introduced or session.inflow().news()
           or facts.told_here == session.inflow().delivered();
  }
  static bool is_alive( const Session& session )
  {
    return not session.closed_by_peer() and not session.reset_by_us() and not session.reset_by_peer();
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
    bool all_kept = true;
    check( not tunnel().wants_bulk_link( now ) or ( tunnel().attached() and tunnel().sessions() > 1 ),
           "a second link would be of use to nobody" );
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
      all_kept = all_kept and not in.has_fresh();
      retained_chunks += session.record().outflow.kept.chunks_needed();
      held_least += ( in.held() + Pool::chunk_size - 1 ) / Pool::chunk_size;
      held_most += in.held() == 0 ? 0 : ( in.held() - 1 ) / Pool::chunk_size + 2;
    } );
    check( memory_->outflow().used() == retained_chunks, "chunks of the outflow pool belong to nobody" );
    check( memory_->inflow().used() <= held_most and ( memory_->inflow().used() >= held_least or not all_kept ),
           "chunks of the inflow pool belong to nobody" );
    check( memory_->slots().used() == tunnel().sessions(), "a record belongs to nobody" );
  }

  Setup setup_;
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
