#pragma once

#include "core/tunnel.hh"
#include "unit/core/support.hh"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string>
#include <utility>

// Two tunnels with a link between them that can be chopped, stopped, lost and replaced; programs on both sides.

namespace holdfast::test {

using namespace std::chrono_literals;

// App or target, together with the socket between it and its proxy.
struct Program
{
  std::string to_write {};               // written by it, not yet read by the proxy
  bool ends = false;                     // and then it ends its stream
  bool resets = false;                   // it resets its connection
  std::size_t takes = std::string::npos; // how much it reads in a turn; 0: it has stopped reading
  std::string read {};
  bool saw_end = false;
  int ends_seen = 0;
  std::optional<ResetReason> saw_reset {};
  bool closed = false; // the proxy has closed the socket
};

// The program reads, so much of what there is for it.
inline void read_some( Session& session, Program& program, std::size_t most, Time now )
{
  std::array<std::span<const std::byte>, 1> piece;
  for ( std::size_t left = most; left > 0 and session.inflow().readable( piece ) > 0; ) {
    const std::size_t size = std::min( left, piece[0].size() );
    program.read += text( piece[0].first( size ) );
    session.inflow().consume( size, now );
    left -= size;
  }
}

// What a proxy does for the local socket of a session that is not released: moves bytes both ways, if the program
// is connected, and tells ends and resets. The session is released when the socket is closed.
inline void serve_socket( Session& session, Program& program, bool connected, Time now )
{
  if ( program.resets ) {
    session.reset( ResetReason::by_program );
  }
  Outflow& outflow = session.outflow();
  if ( const auto reason = session.reset_by_peer() ? session.reset_by_peer() : session.reset_by_us() ) {
    program.saw_reset = reason;
  } else if ( connected ) {
    read_some( session, program, program.takes, now );
    if ( session.inflow().end_due() ) {
      program.saw_end = true;
      ++program.ends_seen;
      session.inflow().consume_end();
    }
    std::array<std::span<std::byte>, 4> slices;
    const std::size_t filled = program.to_write.empty() ? 0 : outflow.writable( slices );
    std::size_t taken = 0;
    for ( std::size_t i = 0; i < filled; ++i ) {
      const std::size_t size = std::min( slices[i].size(), program.to_write.size() - taken );
      std::ranges::copy( raw( program.to_write ).subspan( taken, size ), slices[i].begin() );
      taken += size;
    }
    outflow.commit( taken );
    program.to_write.erase( 0, taken );
    if ( program.to_write.empty() and program.ends and not outflow.ended() ) {
      outflow.end();
    }
  }
  if ( program.saw_reset or ( outflow.ended() and session.inflow().finished() ) ) {
    program.closed = true;
    session.release();
  }
}

// One of the two proxies, without its sockets.
class End
{
public:
  struct Leg
  {
    Program program {};
    Session* session = nullptr; // until it is released
  };

  End( Side side, TestMemory& memory, SessionLimits limits, Quotas* quotas = nullptr )
    : tunnel( side, record_, bounded( memory, quotas ), limits ), opens_( side == Side::opener )
  {}

  // One that goes on with a tunnel's record, and with the sessions of it that were found.
  End( Side side, TunnelRecord& record, TestMemory& memory, SessionLimits limits, Quotas* quotas = nullptr )
    : tunnel( side, record, bounded( memory, quotas ), limits ), opens_( side == Side::opener )
  {
    for ( const auto& [session, chunks] : memory.found.sessions ) {
      if ( session->tunnel == record.slot ) {
        tunnel.restore( *session, chunks );
      }
    }
  }
  // The programs of an earlier process are still there, and their sockets.
  void inherit( std::map<SessionId, Leg>&& left )
  {
    legs = std::move( left );
    for ( auto& [id, leg] : legs ) {
      leg.session = nullptr;
    }
    tunnel.for_each_session( [this]( Session& session ) {
      if ( not session.released() ) {
        legs[session.id()].session = &session;
      }
    } );
  }

private:
  static Memory bounded( TestMemory& memory, Quotas* quotas )
  {
    Memory all = memory.memory();
    all.quotas = quotas;
    return all;
  }

  TunnelRecord record_ {};

public:
  Tunnel tunnel;
  std::map<SessionId, Leg> legs {};
  bool connects = true; // targets, at once
  std::optional<ResetReason> refuses {};

  // An app connects.
  Program* open()
  {
    Session* const session = tunnel.open();
    if ( session == nullptr ) {
      return nullptr;
    }
    Leg& leg = legs[session->id()];
    leg.session = session;
    return &leg.program;
  }
  // A target's connection, made or failed.
  void connected( SessionId id )
  {
    legs.at( id ).session->target_connected();
    tunnel.touch( *legs.at( id ).session );
  }
  void reset( SessionId id, ResetReason reason )
  {
    legs.at( id ).session->reset( reason );
    tunnel.touch( *legs.at( id ).session );
  }

  // One turn: sockets that became ready, then whatever was touched.
  void turn( Time now )
  {
    tunnel.tick( now );
    for ( auto& [id, leg] : legs ) {
      if ( leg.session != nullptr and ready( leg ) ) {
        tunnel.touch( *leg.session );
      }
    }
    while ( Session* const session = tunnel.next_touched() ) {
      serve( *session, now );
      tunnel.served( *session, now );
    }
  }
  // Payloads go: a program that reads all there is gets its bytes from there.
  void deliver_fresh( Time now )
  {
    tunnel.deliver_fresh( [&]( Session& session ) {
      const auto leg = legs.find( session.id() );
      const bool reads = leg != legs.end() and leg->second.session != nullptr and ( opens_ or session.connected() );
      if ( reads and leg->second.program.takes == std::string::npos ) {
        read_some( session, leg->second.program, std::string::npos, now );
      }
    } );
  }
  [[nodiscard]] bool idle()
  {
    return not tunnel.wants_to_transmit() and not tunnel.bulk().wants_to_transmit() and not tunnel.has_touched()
           and tunnel.deadline() == never;
  }

private:
  [[nodiscard]] static bool ready( const Leg& leg )
  {
    const Program& program = leg.program;
    Outflow& outflow = leg.session->outflow();
    const bool readable = not program.to_write.empty() and outflow.room() > 0;
    const bool ended = program.to_write.empty() and program.ends and not outflow.ended();
    const bool writable = program.takes > 0 and not leg.session->inflow().empty();
    return readable or ended or writable or program.resets;
  }

  void serve( Session& session, Time now )
  {
    if ( session.released() ) {
      return;
    }
    const bool arrived = not legs.contains( session.id() );
    Leg& leg = legs[session.id()];
    Program& program = leg.program;
    leg.session = &session;
    if ( arrived and refuses ) {
      session.reset( *refuses );
    } else if ( arrived and connects ) {
      session.target_connected();
    }
    serve_socket( session, program, opens_ or session.connected(), now );
    if ( session.released() ) {
      leg.session = nullptr;
    }
  }

  bool opens_;
};

// One direction of a link: what the sender's socket has not taken yet, what is under way, and who reads it.
struct Pipe
{
  explicit Pipe( FrameType greeting ) : reader( greeting ) {}

  Bytes rest {};
  std::string wire {};
  std::size_t capacity = 65536; // of the wire: the kernel's buffers
  FrameReader reader;
  Bytes piece {}; // what arrived last: payloads lie in it

  // The sender writes what it has to say, as far as its socket takes it.
  void fill( FrameBatch& batch, FrameSource* source, Time now )
  {
    bool more = true;
    while ( more and wire.size() < capacity ) {
      batch.start( rest );
      if ( source != nullptr ) {
        source->transmit( batch, now, 10ms );
      }
      const std::size_t taken = std::min( batch.bytes(), capacity - wire.size() );
      more = source != nullptr and batch.bytes() > 0;
      std::string all = gathered( batch );
      wire.append( all, 0, taken );
      batch.finish( taken );
    }
  }
  // Up to `most` bytes arrive.
  template<class Receive>
  Verdict deliver( std::size_t most, Receive receive )
  {
    piece.assign( raw( wire ).begin(),
                  raw( wire ).begin() + static_cast<std::ptrdiff_t>( std::min( most, wire.size() ) ) );
    wire.erase( 0, piece.size() );
    reader.feed( piece );
    while ( const auto frame = reader.next() ) {
      if ( const auto fault = receive( *frame ) ) {
        return fault;
      }
    }
    return reader.fault();
  }
};

struct Setup
{
  Pool::Index near_chunks = 64; // of each of the opener's two pools
  Pool::Index far_chunks = 64;
  std::size_t slots = 16;
  std::size_t far_slots = 16;
  std::size_t window = 65536;
  std::size_t window_max = 1U << 20U;
  Quotas* far_quotas = nullptr; // of the acceptor's memory
  bool in_place = true;         // payloads stay until Tunnel::deliver_fresh()
  BulkMeter::Limits bulk {};
};

class Pair
{
public:
  explicit Pair( Setup setup = {} )
    : setup_( setup )
    , near_( setup.near_chunks, setup.near_chunks, setup.slots )
    , far_( setup.far_chunks, setup.far_chunks, setup.far_slots )
    , opener( Side::opener, in_place( near_, setup.in_place ), limits() )
    , acceptor( Side::acceptor, in_place( far_, setup.in_place ), limits(), setup.far_quotas )
  {}

  // -- the link --------------------------------------------------------------------------------------------------
  // Another link takes over; whatever the one before still carried is lost.
  void connect()
  {
    cut();
    up_.emplace( FrameType::hello );
    down_.emplace( FrameType::welcome );
    up_->wire = greeting( FrameType::hello );
    down_->wire = greeting( FrameType::welcome );
    opener.tunnel.attach( setup_.window );
    acceptor.tunnel.attach( setup_.window );
  }
  // The opener says hello on a link beside the one there is, if any, and its positions behind it.
  void say_hello( bool data )
  {
    early_.clear();
    opener.tunnel.speak_early( early_, 12000, ++hello_, data, now, 10ms );
  }
  // The acceptor hears that: from now on it speaks on that link, and what is under way on the old one comes late.
  void hello_heard()
  {
    late_up_ = std::exchange( up_, std::nullopt );
    late_down_ = std::exchange( down_, std::nullopt );
    lose_bulk();
    up_.emplace( FrameType::hello ).wire = greeting( FrameType::hello );
    up_->wire.append( text( early_ ) );
    down_.emplace( FrameType::welcome ).wire = greeting( FrameType::welcome );
    acceptor.tunnel.attach( setup_.window );
    carry( *up_, std::string::npos, acceptor );
    opener_moved_ = false;
  }
  // And the opener hears the welcome.
  void welcome_heard()
  {
    opener.tunnel.attach( setup_.window, hello_ );
    opener_moved_ = true;
  }
  void cut()
  {
    late_up_.reset();
    late_down_.reset();
    opener_moved_ = true;
    up_.reset();
    down_.reset();
    lose_bulk();
    opener.tunnel.detach();
    acceptor.tunnel.detach();
  }
  // A second link, for bulk, beside it; one before is lost.
  void join()
  {
    cut_bulk();
    bulk_up_.emplace( FrameType::hello ).wire = greeting( FrameType::hello );
    bulk_down_.emplace( FrameType::welcome ).wire = greeting( FrameType::welcome );
    opener.tunnel.attach_bulk();
    acceptor.tunnel.attach_bulk();
  }
  // With all that is under way on it.
  void cut_bulk()
  {
    lose_bulk();
    opener.tunnel.detach_bulk();
    acceptor.tunnel.detach_bulk();
  }
  std::size_t bulk_up_most = std::string::npos; // as up_most
  std::size_t bulk_down_most = std::string::npos;
  std::size_t up_most = std::string::npos; // bytes that arrive in a step; 0: the network has stopped
  std::size_t down_most = std::string::npos;
  std::size_t capacity = 65536;                  // of the wires: the kernel's buffers
  std::size_t down_capacity = std::string::npos; // of one of them, if it is smaller

  // -- time ------------------------------------------------------------------------------------------------------
  void step( Duration passes = 1ms )
  {
    now += passes;
    opener.turn( now );
    acceptor.turn( now );
    step_bulk();
    if ( up_ ) {
      up_->capacity = capacity;
      down_->capacity = std::min( capacity, down_capacity );
      if ( auto& pipe = opener_moved_ ? up_ : late_up_ ) {
        pipe->fill( batch_, &opener.tunnel, now );
      }
      down_->fill( batch_, &acceptor.tunnel, now );
      carry( *up_, up_most, acceptor );
    }
    if ( down_ and opener_moved_ ) {
      carry( *down_, down_most, opener );
    }
    if ( late_up_ ) {
      carry( *late_up_, late_most, acceptor, true );
    }
    if ( late_down_ ) {
      carry( *late_down_, late_most, opener, opener_moved_ );
    }
  }
  std::size_t late_most = std::string::npos; // bytes that arrive in a step on the link that was replaced
  void steps( int count )
  {
    while ( count-- > 0 ) {
      step();
    }
  }
  // Until nothing moves any more, or for so long.
  void run( Duration most = 10s )
  {
    for ( const Time until = now + most; now < until; ) {
      step();
      if ( opener.idle() and acceptor.idle()
           and ( not up_
                 or ( up_->wire.empty() and down_->wire.empty() and up_->rest.empty() and down_->rest.empty() ) )
           and ( not bulk_up_ or ( bulk_up_->wire.empty() and bulk_down_->wire.empty() ) ) ) {
        return;
      }
    }
  }
  // Nothing is left over, on either side.
  [[nodiscard]] bool all_back()
  {
    return opener.tunnel.sessions() == 0 and acceptor.tunnel.sessions() == 0 and near_.all_back()
           and far_.all_back();
  }

  Program* open() { return opener.open(); }
  Program& target( SessionId id = 1 ) { return acceptor.legs.at( id ).program; }
  [[nodiscard]] bool reached( SessionId id ) const { return acceptor.legs.contains( id ); }

private:
  static TestMemory& in_place( TestMemory& memory, bool is )
  {
    memory.in_place = is;
    return memory;
  }
  [[nodiscard]] SessionLimits limits() const
  {
    return { .outflow = { setup_.window_max },
             .inflow = { setup_.window, setup_.window_max },
             .bulk = setup_.bulk };
  }
  void lose_bulk()
  {
    bulk_up_.reset();
    bulk_down_.reset();
  }
  // Before the other link has its turn, and after what has arrived there was served.
  void step_bulk()
  {
    if ( bulk_up_ ) {
      bulk_up_->fill( batch_, &opener.tunnel.bulk(), now );
      bulk_down_->fill( batch_, &acceptor.tunnel.bulk(), now );
      carry_bulk( *bulk_up_, bulk_up_most, acceptor );
    }
    if ( bulk_down_ ) {
      carry_bulk( *bulk_down_, bulk_down_most, opener );
    }
  }
  void carry_bulk( Pipe& pipe, std::size_t most, End& to )
  {
    const auto fault = pipe.deliver( most, [&]( const Frame& frame ) -> Verdict {
      if ( frame.header.type == FrameType::hello or frame.header.type == FrameType::welcome ) {
        return std::nullopt;
      }
      ++bulk_frames[frame.header.type];
      return to.tunnel.receive_bulk( frame );
    } );
    to.deliver_fresh( now );
    if ( fault ) {
      faults.push_back( *fault );
      cut_bulk();
    }
  }
  void carry( Pipe& pipe, std::size_t most, End& to, bool late = false )
  {
    const auto fault = pipe.deliver( most, [&]( const Frame& frame ) -> Verdict {
      if ( frame.header.type == FrameType::hello or frame.header.type == FrameType::welcome ) {
        return std::nullopt;
      }
      ++frames[frame.header.type];
      return late ? to.tunnel.receive_late( frame ) : to.tunnel.receive( frame );
    } );
    to.deliver_fresh( now );
    if ( fault ) {
      faults.push_back( *fault );
      cut();
    }
  }

  Setup setup_;
  TestMemory near_;
  TestMemory far_;
  FrameBatch batch_ {};
  std::optional<Pipe> up_ {};
  std::optional<Pipe> down_ {};
  std::optional<Pipe> bulk_up_ {};
  std::optional<Pipe> bulk_down_ {};
  std::optional<Pipe> late_up_ {}; // the link before
  std::optional<Pipe> late_down_ {};
  bool opener_moved_ = true;
  std::uint64_t hello_ = 0;
  Bytes early_ {};

public:
  End opener;
  End acceptor;
  Time now { 1h };
  std::vector<Fault> faults {};
  std::map<FrameType, std::size_t> frames {};      // that arrived, both ways
  std::map<FrameType, std::size_t> bulk_frames {}; // the same, on the bulk link
  TestMemory& near_memory() { return near_; }
  TestMemory& far_memory() { return far_; }
};

} // namespace holdfast::test
