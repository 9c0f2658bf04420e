#include "core/frame.hh"

#include "core/bytes.hh"

namespace holdfast {

namespace {

struct Rule
{
  std::size_t length_min;
  std::size_t length_max;
  bool of_a_session; // else of the tunnel: session 0
};

// What each type allows; the one place that knows.
constexpr std::variant<Rule, Fault> rule_of( FrameType type )
{
  switch ( type ) {
    case FrameType::hello:
    case FrameType::welcome: return Rule { 1, FrameHeader::greeting_payload_max, false };
    case FrameType::heartbeat: return Rule { 0, 0, false };
    case FrameType::goodbye: return Rule { 1, 1, false };
    case FrameType::open:
    case FrameType::opened: return Rule { 0, 0, true };
    case FrameType::resume: return Rule { 8, 8, true };
    case FrameType::data: return Rule { 1, FrameHeader::payload_max, true };
    case FrameType::ack:
    case FrameType::end: return Rule { 0, 0, true };
    case FrameType::reset: return Rule { 1, 1, true };
    case FrameType::closed: return Rule { 0, 0, true };
  }
  return Fault::unknown_type;
}

} // namespace

std::array<std::byte, FrameHeader::size> encode( const FrameHeader& header )
{
  std::array<std::byte, FrameHeader::size> raw;
  ByteWriter write { raw };
  write.number( static_cast<std::uint8_t>( header.type ) );
  write.number( header.flags );
  write.number( header.length );
  write.number( header.window );
  write.number( header.session );
  write.number( header.sequence );
  write.number( header.acknowledgement );
  return raw;
}

std::variant<FrameHeader, Fault> decode( std::span<const std::byte, FrameHeader::size> raw )
{
  ByteReader read { raw };
  FrameHeader header;
  header.type = static_cast<FrameType>( read.number<std::uint8_t>() );
  header.flags = read.number<std::uint8_t>();
  header.length = read.number<std::uint16_t>();
  header.window = read.number<std::uint32_t>();
  header.session = read.number<std::uint64_t>();
  header.sequence = read.number<std::uint64_t>();
  header.acknowledgement = read.number<std::uint64_t>();

  const auto found = rule_of( header.type );
  if ( const auto* fault = std::get_if<Fault>( &found ) ) {
    return *fault;
  }
  const Rule rule = std::get<Rule>( found );
  if ( header.length < rule.length_min or header.length > rule.length_max ) {
    return Fault::bad_length;
  }
  if ( ( header.session != 0 ) != rule.of_a_session ) {
    return Fault::bad_session;
  }
  if ( rule.of_a_session and ( header.sequence >= position_limit or header.acknowledgement >= position_limit ) ) {
    return Fault::bad_field;
  }
  return header;
}

std::string_view name( FrameType type )
{
  switch ( type ) {
    case FrameType::hello: return "hello";
    case FrameType::welcome: return "welcome";
    case FrameType::heartbeat: return "heartbeat";
    case FrameType::goodbye: return "goodbye";
    case FrameType::open: return "open";
    case FrameType::opened: return "opened";
    case FrameType::resume: return "resume";
    case FrameType::data: return "data";
    case FrameType::ack: return "ack";
    case FrameType::end: return "end";
    case FrameType::reset: return "reset";
    case FrameType::closed: return "closed";
  }
  return "unknown";
}

std::string_view describe( ResetReason reason )
{
  switch ( reason ) {
    case ResetReason::by_program: return "the program reset its connection";
    case ResetReason::refused: return "the target refused the connection";
    case ResetReason::timed_out: return "the target did not answer";
    case ResetReason::unreachable: return "the target cannot be reached";
    case ResetReason::limit: return "too many sessions";
    case ResetReason::superseded: return "a newer session took its place";
    case ResetReason::stopped: return "the proxy was stopped";
    case ResetReason::expired: return "detached for too long";
    case ResetReason::inconsistent: return "the two sides no longer agree about its bytes";
    case ResetReason::forgotten: return "it is not known there any more";
    case ResetReason::not_admitted: return "its client is not admitted any more";
    case ResetReason::too_old: return "its tunnel is as old as it may become";
    case ResetReason::unknown: return "unknown reason";
  }
  return "unknown reason";
}

ResetReason reset_reason( std::byte raw )
{
  const auto number = std::to_integer<std::uint8_t>( raw );
  if ( number >= static_cast<std::uint8_t>( ResetReason::by_program )
       and number <= static_cast<std::uint8_t>( ResetReason::too_old ) ) {
    return static_cast<ResetReason>( number );
  }
  return ResetReason::unknown;
}

} // namespace holdfast
