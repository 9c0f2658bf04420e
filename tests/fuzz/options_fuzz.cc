// The command lines of cproxy, sproxy, client and server. The first byte chooses the program, the rest are its
// arguments, each ended by a NUL. What must hold:
//
//   any arguments at all give options within the documented ranges, or an answer (--help, --version) on standard
//   output, or exactly one printable line on standard error and status 2; nothing is thrown
//   HOST:PORT and addresses that are accepted can be written down and are accepted again

#include "fuzz/input.hh"

#include "net/congestion.hh"
#include "options/line_options.hh"
#include "options/proxy_options.hh"
#include "options/say.hh"

#include <cstdint>
#include <iostream>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

using namespace holdfast;
using namespace holdfast::fuzz;

namespace {

// What is written to standard output and standard error meanwhile. (glibc lets its stderr be assigned.)
class Captured
{
public:
  Captured() : out_before_( std::cout.rdbuf( out_.rdbuf() ) ), error_before_( stderr )
  {
    stderr = ::open_memstream( &error_, &error_size_ );
  }
  Captured( const Captured& ) = delete;
  Captured& operator=( const Captured& ) = delete;
  ~Captured() { stop(); }

  void stop()
  {
    if ( out_before_ != nullptr ) {
      std::cout.rdbuf( out_before_ );
      out_before_ = nullptr;
      std::fclose( stderr );
      stderr = error_before_;
      error = { error_, error_size_ };
      std::free( error_ );
      out = out_.str();
    }
  }
  std::string out {};
  std::string error {};

private:
  std::ostringstream out_ {};
  std::streambuf* out_before_;
  FILE* error_before_;
  char* error_ = nullptr;
  std::size_t error_size_ = 0;
};

std::vector<std::string> arguments_in( std::span<const std::byte> bytes )
{
  std::vector<std::string> arguments { "program" };
  std::string_view text { reinterpret_cast<const char*>( bytes.data() ), bytes.size() };
  while ( not text.empty() ) {
    const std::string_view argument = text.substr( 0, text.find( '\0' ) );
    arguments.emplace_back( argument );
    text.remove_prefix( std::min( argument.size() + 1, text.size() ) );
  }
  return arguments;
}

// Whether there are options now; else what was said is one line, or the answer to a question.
template<class Parse>
bool parsed( std::string_view name, const std::vector<std::string>& arguments, Parse parse )
{
  std::vector<const char*> argv;
  for ( const std::string& argument : arguments ) {
    argv.push_back( argument.c_str() );
  }
  argv.push_back( nullptr );
  Captured captured;
  const std::optional<int> status = parse( static_cast<int>( arguments.size() ), argv.data() );
  captured.stop();
  if ( not status ) {
    check( captured.out.empty() and captured.error.empty(), "said something although all was well" );
    return true;
  }
  if ( *status == 0 ) {
    check( not captured.out.empty() and captured.error.empty(), "an answer belongs to standard output" );
    return false;
  }
  check( *status == program::status_usage and captured.out.empty(), "wrong options end with status 2" );
  check( captured.error.starts_with( std::string { name } + ": " ), "the line does not say whose it is" );
  check( captured.error.back() == '\n', "the line has no end" );
  captured.error.pop_back();
  check( std::ranges::none_of( captured.error, []( char c ) { return ( c >= 0 and c < ' ' ) or c == '\x7f'; } ),
         "more than one line, or something that a terminal would obey" );
  return false;
}

void check_ranges( const program::ProxyOptions& options )
{
  using namespace std::chrono_literals;
  ProxyConfig config;
  program::apply( options, config );
  check( options.port <= 65535 and config.port == options.port, "--port" );
  check( config.bind == "*" or literal_address( config.bind, 0 ), "--bind" );
  check( config.pulse.beat >= 1ms and config.pulse.beat <= 1h, "--heartbeat" );
  check( config.pulse.idle >= config.pulse.beat and config.pulse.idle <= 1h, "--heartbeat-idle" );
  check( config.pulse.misses >= 1 and config.pulse.misses <= 1000, "--misses" );
  check( config.congestion.size() <= congestion_control_name_max, "--congestion" );
  check( config.window >= 16384 and config.window <= ( std::size_t { 1 } << 30U ), "--window" );
  check( config.memory.memory >= 1048576 and config.memory.memory <= ( std::size_t { 1 } << 40U ), "--memory" );
  check( config.memory.sessions >= 1 and config.memory.sessions <= 1000000, "--max-sessions" );
  check( config.keep >= 0s and config.keep <= 365 * 24h, "--keep" );
  check( config.pulse.patience >= 0s and config.pulse.patience <= 30s, "patience" );
  constexpr std::string_view levels[] = { "trace", "debug", "info", "warn", "error", "off" };
  check( std::ranges::find( levels, options.log_level ) != std::end( levels ), "--log-level" );
}

// What somebody asked for to be safe is never given up without a word.
void check_security( const program::SecurityOptions& options, bool raw )
{
  Security security;
  program::apply( options, security );
  check( not security.state_directory.empty(), "--state-dir" );
  check( not security.user or not security.user->empty(), "--user" );
  check( security.insecure == options.insecure and security.sandbox != options.no_sandbox,
         "--insecure, --no-sandbox" );
  const bool keys = security.certificates or options.print_key;
  check( not keys or not( raw or security.insecure ), "keys on a link in the clear" );
  check( not security.certificates
           or not( security.certificates->ca.empty() or security.certificates->certificate.empty()
                   or security.certificates->key.empty() ),
         "--ca, --cert, --key" );
}

void check_clients( const program::SproxyOptions& options )
{
  using namespace std::chrono_literals;
  SproxyConfig config;
  program::apply( options, config );
  const ClientLimits& limits = config.client_limits;
  check( limits.tunnels >= 1 and limits.tunnels <= 1000000, "--client-tunnels" );
  check( limits.sessions >= 1 and limits.sessions <= 1000000, "--client-sessions" );
  check( limits.memory >= 524288 and limits.memory <= ( std::size_t { 1 } << 40U ), "--client-memory" );
  check( not config.age_max or ( *config.age_max >= 1s and *config.age_max <= 365 * 24h ), "--max-age" );
  check( not config.authorized_clients
           or not( config.authorized_clients->empty() or options.raw or config.security.insecure ),
         "a list of clients that nobody would look at" );
}

void check_host_port( const HostPort& address )
{
  check( not address.host.empty() and address.port != 0, "half an address" );
  const bool brackets = address.host.find( ':' ) != std::string::npos;
  const auto again = parse_host_port(
    fmt::format( "{}{}{}:{}", brackets ? "[" : "", address.host, brackets ? "]" : "", address.port ) );
  check( again and again->host == address.host and again->port == address.port, "HOST:PORT means something else" );
}

void parse_address( std::span<const std::byte> bytes )
{
  const std::string text { reinterpret_cast<const char*>( bytes.data() ), bytes.size() };
  if ( const auto address = parse_host_port( text ) ) {
    check_host_port( *address );
  }
  if ( const auto address = literal_address( text, 4711 ) ) {
    const auto written = parse_host_port( address->text() );
    check( written and written->port == 4711, "an address that cannot be written" );
    const auto again = literal_address( written->host, 4711 );
    check( again and again->text() == address->text(), "an address means something else" );
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput( const std::uint8_t* data, std::size_t size )
{
  Input input { data, size };
  const std::size_t what = input.below( 5 );
  const auto arguments = arguments_in( input.rest() );
  if ( what == 0 ) {
    program::CproxyOptions options;
    if ( parsed( "cproxy", arguments, [&]( int argc, const char* const* argv ) {
           return program::parse_cproxy( argc, argv, options );
         } ) ) {
      check_ranges( options );
      check_security( options.security, options.raw );
      CproxyConfig config;
      program::apply( options, config );
      const bool printing = options.security.print_key; // then the ports may be missing
      check( printing or ( options.far_port >= 1 and options.far_port <= 65535 and not options.host.empty() ),
             "SIP SPORT" );
      check( config.fingerprints.size() == options.fingerprints.size(), "--fingerprint" );
      check( config.fingerprints.empty()
               or not( options.raw or config.security.insecure or config.security.certificates ),
             "a pinned key that nobody would look at" );
    }
  } else if ( what == 1 ) {
    program::SproxyOptions options;
    if ( parsed( "sproxy", arguments, [&]( int argc, const char* const* argv ) {
           return program::parse_sproxy( argc, argv, options );
         } ) ) {
      check_ranges( options );
      check_security( options.security, options.raw );
      check_host_port( options.target );
      check_clients( options );
    }
  } else if ( what == 2 ) {
    std::string host;
    std::uint16_t port = 0;
    if ( parsed( "client", arguments, [&]( int argc, const char* const* argv ) {
           return program::parse_client( argc, argv, host, port );
         } ) ) {
      check( port != 0 and not host.empty(), "SIP SPORT" );
    }
  } else if ( what == 3 ) {
    std::uint16_t port = 0;
    static_cast<void>( parsed( "server", arguments, [&]( int argc, const char* const* argv ) {
      return program::parse_server( argc, argv, port );
    } ) );
  } else {
    parse_address( input.rest() );
  }
  return 0;
}
