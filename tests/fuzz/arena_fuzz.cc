// What a process finds in the memory that a dead one left. The fuzzer plays a life (sessions that open, write,
// send, are acknowledged, end), lets it die, scribbles over what is left, and has a successor go on with it: in a
// memfd, through Arena, or in memory of the heap, where ASan sees each step beyond it. What must hold:
//
//   a valid image       is recovered without losing a byte, a position or a flag
//   a scribbled image   is refused only when its head or its size are wrong; else what is recovered has chunks that
//                       are disjoint and within bounds, exactly those are in use, and a session that nobody
//                       scribbled over is as it was, whatever happened to its neighbours
//   either              every session can be read, written, acknowledged and closed, then all is given back;
//   looking
//                       a second time finds the same and nothing broken

#include "fuzz/input.hh"

#include "net/error.hh"
#include "state/arena.hh"
#include "unit/core/support.hh"

#include "core/recovery.hh"
#include "core/tunnel.hh"

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

using namespace holdfast;
using namespace holdfast::fuzz;

namespace {

using test::raw;
using test::stream;
using Name = std::pair<std::uint32_t, SessionId>; // of a session: its tunnel's slot, its number
using std::chrono::hours;
using std::chrono::milliseconds;

const SessionLimits limits { .outflow = { 1U << 20U }, .inflow = { 65536, 1U << 20U } };
constexpr int operations_max = 60;
constexpr int scribbles_max = 12;
constexpr Position far_from_limit = 1U << 20U; // no stream of a successor gets there: it would take millennia

std::uint64_t stream_of( SessionId id )
{
  return id;
}

// -- the image ----------------------------------------------------------------------------------------------------

// The bytes of a memfd as state/arena.cc lays it out; that a valid one is recovered shows that this is still true.
struct Image
{
  std::size_t slots = 0;
  std::size_t chunks = 0;
  std::vector<std::byte> bytes {};

  static constexpr std::size_t tunnels_at = sizeof( TunnelRecord );
  [[nodiscard]] std::size_t tunnels() const { return slots + 64; } // some are being ended
  [[nodiscard]] std::size_t sessions_at() const { return tunnels_at + tunnels() * sizeof( TunnelRecord ); }
  [[nodiscard]] std::size_t labels_at() const { return sessions_at() + slots * sizeof( SessionRecord ); }
  [[nodiscard]] std::size_t chunks_at() const
  {
    const std::size_t end = labels_at() + chunks * sizeof( Pool::Label );
    return ( end + Pool::chunk_size - 1 ) / Pool::chunk_size * Pool::chunk_size;
  }
  template<class T>
  [[nodiscard]] T get( std::size_t at ) const
  {
    T value;
    std::memcpy( &value, bytes.data() + at, sizeof( T ) );
    return value;
  }
  template<class T>
  void put( std::size_t at, const T& value )
  {
    std::memcpy( bytes.data() + at, &value, sizeof( T ) );
  }
};

// A session as it was when its process died.
struct Known
{
  SessionRecord record {};
  bool sound = true; // nobody has scribbled over it, or over what it depends on
};

// -- the life before ----------------------------------------------------------------------------------------------

class Before
{
public:
  Before( Input& input, Side side, std::size_t slots, std::size_t chunks )
    : input_( input )
    , side_( side )
    , slots_( slots )
    , chunks_( chunks )
    , arena_( { slots, chunks * Pool::chunk_size } )
  {
    const std::size_t tunnels = side == Side::opener ? 1 : 1 + input.below( 2 );
    for ( std::size_t i = 0; i < tunnels and not arena_.tunnels().full(); ++i ) {
      TunnelRecord& record = *arena_.tunnels().take();
      record.agreed = input.below( 8 ) == 0 ? 0 : 1;
      record.id.fill( static_cast<std::byte>( i + 1 ) );
      record.instance.fill( static_cast<std::byte>( i + 1 ) );
      record.used = 1;
      tunnels_.push_back( { &record, std::make_unique<Tunnel>( side, record, arena_.memory(), limits ) } );
      tunnels_.back().tunnel->attach( 65536 );
    }
    for ( int i = 0; i < operations_max and input.below( 32 ) != 0; ++i ) {
      one_operation( tunnels_[input.below( tunnels_.size() )] );
    }
  }

  // What was there, and what is left of it.
  std::map<Name, Known> known()
  {
    std::map<Name, Known> all;
    for ( Lane& lane : tunnels_ ) {
      if ( side_ == Side::opener or lane.record->agreed != 0 ) {
        lane.tunnel->for_each_session( [&]( Session& session ) {
          all[{ lane.record->slot, session.id() }].record = session.record();
        } );
      }
    }
    return all;
  }
  Image left()
  {
    Image image { slots_, chunks_ };
    const off_t size = ::lseek( arena_.memfd().get(), 0, SEEK_END );
    image.bytes.resize( static_cast<std::size_t>( size ) );
    check( ::pread( arena_.memfd().get(), image.bytes.data(), image.bytes.size(), 0 ) == size, "pread" );
    check( image.bytes.size() == image.chunks_at() + chunks_ * Pool::chunk_size, "the layout is another one" );
    return image;
  }

private:
  struct Lane
  {
    TunnelRecord* record;
    std::unique_ptr<Tunnel> tunnel;
  };

  void one_operation( Lane& lane )
  {
    const std::size_t what = input_.below( 12 );
    Tunnel& tunnel = *lane.tunnel;
    if ( what == 0 ) {
      open( lane );
      return;
    }
    std::vector<Session*> sessions;
    tunnel.for_each_session( [&]( Session& session ) { sessions.push_back( &session ); } );
    if ( sessions.empty() ) {
      return;
    }
    std::ranges::sort( sessions, {}, &Session::id );
    Session& session = *sessions[input_.below( sessions.size() )];
    tunnel.touch( session ); // so that it stays until it is served
    switch ( what ) {
      case 1:
      case 2: write( session, true ); break;
      case 3: write( session, false ); break; // it dies, or thinks again, before it commits
      case 4: session.outflow().end(); break;
      case 5: transmit( tunnel ); break;
      case 6: acknowledge( tunnel, session ); break;
      case 7: deliver( tunnel, session ); break;
      case 8:
        receive( tunnel, { .type = FrameType::end, .session = session.id(), .sequence = session.inflow().next() } );
        break;
      case 9: session.target_connected(); break;
      case 10: session.reset( ResetReason::stopped ); break;
      default: session.release(); break;
    }
    serve( tunnel );
  }
  void serve( Tunnel& tunnel )
  {
    while ( Session* const session = tunnel.next_touched() ) {
      tunnel.served( *session, now_ );
    }
  }
  void open( Lane& lane )
  {
    if ( side_ == Side::opener ) {
      static_cast<void>( lane.tunnel->open() );
    } else {
      receive( *lane.tunnel,
               { .type = FrameType::open, .window = 65536, .session = lane.record->last_session + 1 } );
    }
    serve( *lane.tunnel );
  }
  void write( Session& session, bool commits )
  {
    if ( session.outflow().ended() or session.reset_by_us() ) {
      return;
    }
    constexpr std::size_t counts[] = { 1, 100, 16384, 20000, 50000 };
    std::size_t left = input_.one_of( counts );
    std::array<std::span<std::byte>, 4> slices;
    const std::size_t filled = session.outflow().writable( slices );
    std::size_t count = 0;
    for ( std::size_t i = 0; i < filled and left > 0; ++i ) {
      const std::size_t size = std::min( left, slices.at( i ).size() );
      const std::string bytes
        = stream( session.record().outflow.kept.end + count, size, stream_of( session.id() ) );
      std::memcpy( slices.at( i ).data(), bytes.data(), size );
      count += size;
      left -= size;
    }
    if ( commits ) {
      session.outflow().commit( count );
    }
  }
  void transmit( Tunnel& tunnel )
  {
    test::Bytes rest;
    while ( tunnel.wants_to_transmit() ) {
      batch_.start( rest );
      tunnel.transmit( batch_, now_, milliseconds { 10 } );
      batch_.finish( batch_.bytes() );
    }
  }
  void acknowledge( Tunnel& tunnel, Session& session )
  {
    const Position from = session.outflow().acknowledged();
    const Position most = session.outflow().sent() > from ? session.outflow().sent() - from : 0;
    const Position step = input_.below( 2 ) == 0 ? most : std::min<Position>( most, input_.number( 2 ) );
    receive( tunnel,
             { .type = FrameType::ack, .window = 65536, .session = session.id(), .acknowledgement = from + step } );
  }
  void deliver( Tunnel& tunnel, Session& session )
  {
    if ( session.reset_by_us() ) {
      return; // nobody reads any more
    }
    const std::string bytes( 100, 'x' );
    receive( tunnel,
             { .type = FrameType::data,
               .window = 65536,
               .session = session.id(),
               .sequence = session.inflow().next(),
               .acknowledgement = session.outflow().acknowledged() },
             bytes );
    Inflow& in = session.inflow();
    in.consume( std::min<std::size_t>( in.held(), input_.byte() ), now_ );
    if ( in.end_due() ) {
      in.consume_end();
    }
  }
  void receive( Tunnel& tunnel, const FrameHeader& header, std::string_view payload = {} )
  {
    static_cast<void>( tunnel.receive( { header, raw( payload ) } ) );
    tunnel.deliver_fresh( []( Session& ) {} );
  }

  Input& input_;
  Side side_;
  std::size_t slots_;
  std::size_t chunks_;
  Arena arena_;
  std::vector<Lane> tunnels_ {};
  FrameBatch batch_ {};
  Time now_ { hours { 1 } };
};

// -- scribbling ---------------------------------------------------------------------------------------------------

class Scribbler
{
public:
  Scribbler( Input& input, Image& image, std::map<Name, Known>& known )
    : input_( input ), image_( image ), known_( known )
  {
    for ( int i = 0; i < scribbles_max and not input.empty(); ++i ) {
      scribble();
    }
    beware_of_doubles();
  }
  bool head_or_size = false; // of the image are wrong

private:
  void scribble()
  {
    switch ( input_.below( 8 ) ) {
      case 0: any_byte(); return;
      case 1:
      case 2: number_of_a_session(); return;
      case 3:
      case 4: label(); return;
      case 5: copy_a_session(); return;
      case 6: number_of_a_tunnel(); return;
      default: rarely(); return;
    }
  }
  void any_byte()
  {
    const std::size_t at = Image::tunnels_at + input_.number( 2 ) % ( image_.chunks_at() - Image::tunnels_at );
    touched( at );
    image_.put( at, input_.byte() );
    touched( at );
  }
  void number_of_a_session()
  {
    const std::size_t at = image_.sessions_at() + input_.below( image_.slots ) * sizeof( SessionRecord )
                           + input_.below( sizeof( SessionRecord ) / 8 ) * 8;
    other_number( at );
  }
  void number_of_a_tunnel()
  {
    other_number( Image::tunnels_at + input_.below( image_.slots ) * sizeof( TunnelRecord )
                  + input_.below( sizeof( TunnelRecord ) / 8 ) * 8 );
  }
  void other_number( std::size_t at )
  {
    touched( at );
    const auto old = image_.get<std::uint64_t>( at );
    switch ( input_.below( 7 ) ) {
      case 0: image_.put( at, old + 1 + input_.below( 3 ) ); break;
      case 1: image_.put( at, old - 1 - input_.below( 3 ) ); break;
      case 2: image_.put( at, old + Pool::chunk_size ); break;
      case 3: image_.put( at, ~std::uint64_t { 0 } - input_.below( 3 ) ); break;
      case 4: image_.put( at, position_limit - input_.below( 3 ) ); break;
      case 5: image_.put( at, image_.get<std::uint64_t>( at - 8 * input_.below( 4 ) ) + input_.below( 3 ) ); break;
      default: image_.put( at, input_.number( 8 ) ); break;
    }
    touched( at );
  }
  void label()
  {
    const std::size_t at = image_.labels_at() + input_.below( image_.chunks ) * sizeof( Pool::Label );
    touched( at );
    auto label = image_.get<Pool::Label>( at );
    if ( input_.below( 2 ) == 0 ) {
      label.owner = static_cast<std::uint32_t>( input_.below( image_.slots + 2 ) );
    } else {
      label.number = input_.below( 8 ) == 0 ? input_.number( 8 ) : input_.below( 5 );
    }
    image_.put( at, label );
    touched( at );
  }
  void copy_a_session()
  {
    const std::size_t from = image_.sessions_at() + input_.below( image_.slots ) * sizeof( SessionRecord );
    const std::size_t to = image_.sessions_at() + input_.below( image_.slots ) * sizeof( SessionRecord );
    touched( to );
    auto record = image_.get<SessionRecord>( from );
    if ( input_.below( 2 ) == 0 ) {
      record.slot = static_cast<std::uint32_t>( ( to - image_.sessions_at() ) / sizeof( SessionRecord ) );
    }
    image_.put( to, record );
    touched( to );
  }
  void rarely()
  {
    if ( input_.below( 8 ) != 0 ) {
      return;
    }
    head_or_size = true;
    if ( input_.below( 2 ) == 0 ) {
      image_.put( input_.below( 24 ), input_.byte() );
    } else {
      const std::size_t most = image_.bytes.size() - image_.chunks_at();
      image_.bytes.resize( image_.bytes.size() - std::min<std::size_t>( input_.number( 2 ), most ) );
    }
  }

  // What lies there belongs to these, which may be lost now: said before and after it changed.
  void touched( std::size_t at )
  {
    if ( at < image_.sessions_at() ) {
      for ( auto& [name, known] : known_ ) {
        known.sound = false; // a tunnel takes its sessions along, and another of the same name may win
      }
    } else if ( at < image_.labels_at() ) {
      in_slot( ( at - image_.sessions_at() ) / sizeof( SessionRecord ) );
    } else {
      const std::size_t label = ( at - image_.labels_at() ) / sizeof( Pool::Label );
      if ( label < image_.chunks ) {
        const auto owner = image_.get<Pool::Label>( image_.labels_at() + label * sizeof( Pool::Label ) ).owner;
        if ( owner != 0 and owner <= image_.slots ) {
          in_slot( owner - 1 );
        }
      }
    }
  }
  void in_slot( std::size_t slot )
  {
    for ( auto& [name, known] : known_ ) {
      known.sound = known.sound and known.record.slot != slot;
    }
  }
  // Of two with the same name only the first is taken.
  void beware_of_doubles()
  {
    for ( std::size_t slot = 0; slot < image_.slots; ++slot ) {
      const auto record = image_.get<SessionRecord>( image_.sessions_at() + slot * sizeof( SessionRecord ) );
      const auto known = known_.find( { record.tunnel, record.session } );
      if ( known != known_.end() and known->second.record.slot != slot ) {
        known->second.sound = false;
      }
    }
  }

  Input& input_;
  Image& image_;
  std::map<Name, Known>& known_;
};

// -- what a successor finds ---------------------------------------------------------------------------------------

// In memory of the heap, each part as long as it is and not a byte longer.
class Heap
{
public:
  Heap( Side side, const Image& image )
    : side_( side )
    , tunnel_records_( part<TunnelRecord>( image, Image::tunnels_at, image.tunnels() ) )
    , session_records_( part<SessionRecord>( image, image.sessions_at(), image.slots ) )
    , labels_( part<Pool::Label>( image, image.labels_at(), image.chunks ) )
    , bytes_( part<std::byte>( image, image.chunks_at(), image.chunks * Pool::chunk_size ) )
    , inflow_bytes_( std::make_unique_for_overwrite<std::byte[]>( bytes_.size() ) )
    , next_( image.chunks )
    , inflow_next_( image.chunks )
    , outflow_( bytes_, next_, labels_, 2 )
    , inflow_( { inflow_bytes_.get(), bytes_.size() }, inflow_next_, {}, 2 )
    , found_( survey( side, tunnel_records_, session_records_, labels_ ) )
  {
    const Survey again = look_again();
    check( again.broken == 0 and again.ended == 0 and again.tunnels == found_.tunnels
             and again.sessions.size() == found_.sessions.size(),
           "looking a second time finds something else" );
    for ( std::size_t i = 0; i < again.sessions.size(); ++i ) {
      check( again.sessions[i].record == found_.sessions[i].record
               and again.sessions[i].chunks == found_.sessions[i].chunks,
             "looking a second time finds other chunks" );
    }
    tunnels_.recover( tunnel_records_.size() );
    slots_.recover( session_records_.size() );
    outflow_.recover( labels_.size(), []( std::span<std::byte> chunk ) { wipe( chunk ); } );
  }
  Memory memory() { return { outflow_, inflow_, slots_ }; }
  Slots<TunnelRecord>& tunnels() { return tunnels_; }
  [[nodiscard]] const Survey& found() const { return found_; }
  // What would be found if we died now.
  Survey look_again() { return survey( side_, tunnel_records_, session_records_, labels_ ); }

private:
  template<class T>
  static std::vector<T> part( const Image& image, std::size_t at, std::size_t count )
  {
    std::vector<T> all( count );
    std::memcpy( all.data(), image.bytes.data() + at, count * sizeof( T ) );
    return all;
  }

  Side side_;
  std::vector<TunnelRecord> tunnel_records_;
  std::vector<SessionRecord> session_records_;
  std::vector<Pool::Label> labels_;
  std::vector<std::byte> bytes_;
  std::unique_ptr<std::byte[]> inflow_bytes_;
  std::vector<Pool::Index> next_;
  std::vector<Pool::Index> inflow_next_;
  Pool outflow_;
  Pool inflow_;
  Slots<TunnelRecord> tunnels_ { tunnel_records_ };
  Slots<SessionRecord> slots_ { session_records_ };
  Survey found_;
};

Fd memfd_of( const Image& image )
{
  Fd fd { ::memfd_create( "fuzz", MFD_CLOEXEC ) };
  const auto size = static_cast<ssize_t>( image.bytes.size() );
  check( fd and ::pwrite( fd.get(), image.bytes.data(), image.bytes.size(), 0 ) == size, "pwrite" );
  return fd;
}

// -- and goes on with it ------------------------------------------------------------------------------------------

class After
{
public:
  After( Side side, Memory memory, Slots<TunnelRecord>& tunnels, const Survey& found, std::map<Name, Known>& known )
    : side_( side ), memory_( memory ), tunnels_( tunnels ), found_( found ), known_( known )
  {}

  // `look_again`, if given, says what the next one would find.
  void go_on( const std::function<Survey()>& look_again = {} )
  {
    check_what_was_found();
    for ( TunnelRecord* const record : found_.tunnels ) {
      Tunnel tunnel { side_, *record, memory_, limits };
      for ( const auto& [session, chunks] : found_.sessions ) {
        if ( session->tunnel == record->slot ) {
          tunnel.restore( *session, chunks );
        }
      }
      tunnel.attach( 65536 );
      use( tunnel );
      if ( look_again ) {
        const Survey again = look_again();
        check( again.broken == 0 and again.sessions.size() == memory_.slots.used(),
               "what was recovered cannot be recovered again" );
      }
      if ( record->attempt % 2 == 0 ) {
        finish( tunnel );
        check( tunnel.sessions() == 0, "a session does not end" );
      }
    }
    check( memory_.outflow.used() == 0 and memory_.inflow.used() == 0, "chunks are left over" );
    check( memory_.slots.used() == 0, "records are left over" );
    take_everything( memory_.outflow );
    take_everything( memory_.inflow );
  }

private:
  void check_what_was_found()
  {
    const std::size_t all = memory_.outflow.free() + memory_.outflow.used();
    std::set<Pool::Index> taken;
    std::set<Name> names;
    std::set<std::uint32_t> tunnels;
    for ( const TunnelRecord* const record : found_.tunnels ) {
      check( tunnels.insert( record->slot ).second, "a tunnel was found twice" );
    }
    for ( const auto& [record, chunks] : found_.sessions ) {
      check( tunnels.contains( record->tunnel ), "a session without a tunnel" );
      check( names.emplace( record->tunnel, record->session ).second, "two sessions of one name" );
      check( chunks.size() == record->outflow.kept.chunks_needed(), "a session has not its chunks" );
      for ( const Pool::Index chunk : chunks ) {
        check( chunk < all and taken.insert( chunk ).second, "a chunk out of bounds, or of two sessions" );
      }
    }
    check( memory_.outflow.used() == taken.size(), "chunks in use that nobody has" );
    check( memory_.slots.used() == found_.sessions.size(), "records in use that nobody has" );
    check( tunnels_.used() == found_.tunnels.size(), "tunnels in use that nobody has" );
    for ( const auto& [name, known] : known_ ) {
      check( not known.sound or names.contains( name ), "a sound session is lost" );
    }
  }

  void use( Tunnel& tunnel )
  {
    tunnel.for_each_session( [&]( Session& session ) {
      read_again( session );
      write( session );
    } );
    transmit( tunnel );
    std::vector<Session*> all;
    tunnel.for_each_session( [&]( Session& session ) { all.push_back( &session ); } );
    for ( Session* const session : all ) {
      receive( tunnel,
               { .type = FrameType::ack,
                 .window = 65536,
                 .session = session->id(),
                 .acknowledgement = session->outflow().sent() } );
      if ( session->inflow().next() < position_limit - far_from_limit ) { // a decoder lets no other frame pass
        receive( tunnel,
                 { .type = FrameType::data,
                   .window = 65536,
                   .session = session->id(),
                   .sequence = session->inflow().next(),
                   .acknowledgement = session->outflow().acknowledged() },
                 "these are some bytes" );
      }
      if ( not session->reset_by_us() ) {
        session->inflow().consume( session->inflow().held(), now_ );
      }
    }
    transmit( tunnel );
  }
  void read_again( Session& session )
  {
    Outflow& out = session.outflow();
    const auto found = known_.find( { session.record().tunnel, session.id() } );
    const bool sound = found != known_.end() and found->second.sound;
    if ( sound ) {
      check( same( found->second.record, session.record() ), "a sound session has changed" );
    }
    check( not out.finished() or ( out.ended() and out.retained() == 0 ),
           "its end was acknowledged before its bytes" );
    check( not out.replay_from( out.acknowledged(), out.acknowledged(), 1U << 20U ),
           "it does not know its own past" );
    Position at = out.acknowledged();
    for ( auto piece = out.readable(); not piece.empty(); piece = out.readable() ) {
      const std::string bytes = test::text( piece );
      check( not sound or bytes == stream( at, bytes.size(), stream_of( session.id() ) ), "a byte has changed" );
      at += piece.size();
      out.consume( piece.size() );
    }
    const Position end = session.record().outflow.kept.end;
    check( at == end or ( out.finished() and at == end + 1 ), "bytes are missing" );
  }
  static bool same( const SessionRecord& a, const SessionRecord& b )
  {
    return a.session == b.session and a.slot == b.slot and a.tunnel == b.tunnel
           and a.outflow.kept.begin == b.outflow.kept.begin and a.outflow.kept.end == b.outflow.kept.end
           and a.outflow.sent_most == b.outflow.sent_most and a.outflow.ended == b.outflow.ended
           and a.outflow.end_acknowledged == b.outflow.end_acknowledged and a.inflow.delivered == b.inflow.delivered
           and a.inflow.end_delivered == b.inflow.end_delivered and a.cookie == b.cookie and a.syn == b.syn
           and a.blamed == b.blamed and a.connected == b.connected and a.known == b.known and a.named == b.named
           and a.released == b.released and a.reset_ours == b.reset_ours and a.reset_theirs == b.reset_theirs;
  }
  static void write( Session& session )
  {
    if ( session.outflow().ended() or session.reset_by_us()
         or session.record().outflow.kept.end >= position_limit - far_from_limit ) {
      return;
    }
    std::array<std::span<std::byte>, 4> slices;
    const std::size_t filled = session.outflow().writable( slices );
    std::size_t count = 0;
    for ( std::size_t i = 0; i < filled; ++i ) {
      std::ranges::fill( slices.at( i ), std::byte { 'w' } );
      count += slices.at( i ).size();
    }
    session.outflow().commit( count );
  }
  void finish( Tunnel& tunnel )
  {
    std::vector<SessionId> ids;
    tunnel.for_each_session( [&]( Session& session ) {
      session.reset( ResetReason::stopped );
      session.release();
      tunnel.touch( session );
      ids.push_back( session.id() );
    } );
    transmit( tunnel );
    for ( const SessionId id : ids ) {
      receive( tunnel, { .type = FrameType::closed, .session = id } );
    }
    for ( int i = 0; i < 3; ++i ) {
      now_ += milliseconds { 100 };
      tunnel.tick( now_ );
      transmit( tunnel );
    }
  }

  void transmit( Tunnel& tunnel )
  {
    while ( Session* const session = tunnel.next_touched() ) {
      tunnel.served( *session, now_ );
    }
    test::Bytes rest;
    while ( tunnel.wants_to_transmit() ) {
      batch_.start( rest );
      tunnel.transmit( batch_, now_, milliseconds { 10 } );
      batch_.finish( batch_.bytes() );
    }
  }
  static void receive( Tunnel& tunnel, const FrameHeader& header, std::string_view payload = {} )
  {
    static_cast<void>( tunnel.receive( { header, raw( payload ) } ) );
    tunnel.deliver_fresh( []( Session& ) {} );
  }
  static void take_everything( Pool& pool )
  {
    const Pool::Index all = pool.free();
    std::set<Pool::Index> taken;
    for ( Pool::Index chunk = pool.take(); chunk != Pool::none; chunk = pool.take() ) {
      check( chunk < all and taken.insert( chunk ).second, "a chunk was given out twice" );
    }
    check( taken.size() == all, "chunks have got lost" );
  }

  Side side_;
  Memory memory_;
  Slots<TunnelRecord>& tunnels_;
  const Survey& found_;
  std::map<Name, Known>& known_;
  FrameBatch batch_ {};
  Time now_ { hours { 1 } };
};

void recover( Side side, const Image& image, std::map<Name, Known>& known, bool may_be_refused )
{
  std::optional<Arena> arena;
  try {
    arena.emplace( Arena::Remains { .side = side, .memfd = memfd_of( image ) } );
  } catch ( const StartupError& ) {
    check( may_be_refused, "memory of the right layout was refused" );
    return;
  }
  if ( may_be_refused ) {
    for ( auto& [name, each] : known ) {
      each.sound = false; // another head, and all lies elsewhere
    }
  }
  After { side, arena->memory(), arena->tunnels(), arena->found(), known }.go_on();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput( const std::uint8_t* data, std::size_t size )
{
  Input input { data, size };
  const std::uint8_t how = input.byte();
  const Side side = ( how & 1U ) == 0 ? Side::opener : Side::acceptor;
  const bool in_a_memfd = ( how & 2U ) != 0;
  const std::size_t slots = 1 + ( ( how >> 2U ) & 3U );
  const std::size_t chunks = 1 + ( ( how >> 4U ) & 7U );
  Image image;
  std::map<Name, Known> known;
  {
    Before before { input, side, slots, chunks };
    image = before.left();
    known = before.known();
    for ( const auto& [name, each] : known ) {
      const auto record
        = image.get<SessionRecord>( image.sessions_at() + each.record.slot * sizeof( SessionRecord ) );
      check( record.session == name.second and record.tunnel == name.first, "the layout is another one" );
    }
  }
  bool wrong_head = false;
  if ( ( how & 128U ) != 0 ) { // nothing but what the input says
    known.clear();
    const auto bytes = input.rest();
    const std::size_t most = image.chunks_at() - Image::tunnels_at;
    std::ranges::copy( bytes.first( std::min( bytes.size(), most ) ), image.bytes.begin() + Image::tunnels_at );
  } else {
    wrong_head = Scribbler { input, image, known }.head_or_size;
  }
  if ( in_a_memfd ) {
    recover( side, image, known, wrong_head );
  } else if ( not wrong_head ) {
    Heap heap { side, image };
    After { side, heap.memory(), heap.tunnels(), heap.found(), known }.go_on( [&] { return heap.look_again(); } );
  }
  return 0;
}
