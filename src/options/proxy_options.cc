#include "options/proxy_options.hh"

#include "identity/fingerprint.hh"
#include "net/congestion.hh"
#include "options/command_line.hh"
#include "options/quantities.hh"

#include <algorithm>
#include <string_view>

namespace holdfast::program {
namespace {

// A file or folder that a person names: an unset variable of a shell is an empty argument.
CLI::Option* add_path( CLI::App& app, const char* name, std::string& path, const std::string& text )
{
  return app.add_option( name, path, text )
    ->check( CLI::Validator { is_not_empty, "" } )
    ->type_name( "FILE" )
    ->group( "Security" );
}

// Call it when the positional arguments are there: with --print-key they need not be given.
void add_security_options( CLI::App& app, SecurityOptions& options, const std::string& what_is_printed )
{
  add_path( app, "--state-dir", options.state_directory, "Where our keys are (default $XDG_STATE_HOME/holdfast)" )
    ->type_name( "DIR" );
  const auto positionals = app.get_options( []( const CLI::Option* option ) { return option->get_positional(); } );
  app
    .add_flag_callback(
      "--print-key",
      [&options, positionals] {
        options.print_key = true;
        for ( CLI::Option* const positional : positionals ) {
          positional->required( false );
        }
      },
      what_is_printed )
    ->group( "Security" );
  app
    .add_flag( "--insecure",
               options.insecure,
               "Plain TCP, no encryption, no keys: for tests and trusted wires. Must be given on both sides" )
    ->group( "Security" );
  add_path( app, "--ca", options.ca, "Trust what this private CA has signed, not single keys (PEM)" );
  add_path( app, "--cert", options.certificate, "With --ca: our certificate (PEM, intermediate ones behind it)" );
  add_path( app, "--key", options.key, "With --ca: our private key (PEM, without a passphrase, mode 0600)" );
  app.add_option( "--user", options.user, "Become this user once the ports are open; needs root" )
    ->check( CLI::Validator { is_not_empty, "" } )
    ->type_name( "NAME" )
    ->group( "Security" );
  app
    .add_flag( "--no-sandbox",
               options.no_sandbox,
               "Give up no files and system calls, to find out whether that is to blame" )
    ->group( "Security" );
}

// Which options do not go together, in words; empty when all do. `trust` names the option that says whose key we
// trust, if it was given.
std::string contradiction( const SecurityOptions& options, bool raw, std::string_view trust )
{
  const bool any = not( options.ca.empty() and options.certificate.empty() and options.key.empty() );
  const bool all = not( options.ca.empty() or options.certificate.empty() or options.key.empty() );
  if ( any and not all ) {
    return "--ca, --cert and --key belong together: give all three or none";
  }
  const std::string_view keys = not trust.empty()   ? trust
                                : any               ? std::string_view { "--ca" }
                                : options.print_key ? "--print-key"
                                                    : "";
  if ( options.insecure and not keys.empty() ) {
    return fmt::format( "--insecure and {} exclude each other: without encryption there are no keys", keys );
  }
  if ( raw and not keys.empty() ) {
    return fmt::format( "--raw and {} exclude each other: --raw relays bytes in the clear, there are no keys",
                        keys );
  }
  return {};
}

std::string is_address_to_bind( const std::string& text )
{
  const bool good = text == "*" or literal_address( text, 0 ).has_value();
  return good ? std::string {} : "'" + text + "' is not an IPv4 or IPv6 address, nor *";
}

// Whether the kernel has it, is not the command line's affair.
std::string is_algorithm( const std::string& text )
{
  const bool good = not text.empty() and text.size() <= congestion_control_name_max
                    and std::ranges::all_of( text, []( unsigned char c ) { return c > ' ' and c < 0x7f; } );
  return good ? std::string {} : "'" + text + "' is not the name of a congestion control, such as bbr or cubic";
}

std::string is_fingerprint( const std::string& text )
{
  return parse_fingerprint( text )
           ? std::string {}
           : "'" + text + "' is not SHA256: and 43 characters of base64, as --print-key shows it";
}

// Nothing if there is nothing to say; else says what is wrong with the options.
std::optional<int> wrong( const char* name, const std::string& what )
{
  if ( what.empty() ) {
    return std::nullopt;
  }
  say( name, "{} (see {} --help)", what, name );
  return status_usage;
}

void add_proxy_options( CLI::App& app, ProxyOptions& options )
{
  app.add_option( "--bind", options.bind, "Listen on this address only; * for all of both families" )
    ->type_name( "ADDR" )
    ->check( CLI::Validator { is_address_to_bind, "" } )
    ->capture_default_str();
  app.add_flag( "--raw", options.raw, "Relay bytes as they are, without the protocol: nothing survives a move" );
  app.add_option( "--heartbeat", options.heartbeat_ms, "Say that we are here this often (default 100ms)" )
    ->transform( between( 1, 3.6e6, "1ms and 1h", duration() ) )
    ->type_name( "DURATION" )
    ->group( "Links" );
  app
    .add_option( "--heartbeat-idle",
                 options.heartbeat_idle_ms,
                 "Say it more rarely when nothing happens, down to this often (default 30s)" )
    ->transform( between( 1, 3.6e6, "1ms and 1h", duration() ) )
    ->type_name( "DURATION" )
    ->group( "Links" );
  app.add_option( "--misses", options.misses, "Heartbeats of the other side to miss before a link is suspected" )
    ->check( between( 1, 1000, "1 and 1000" ) )
    ->type_name( "N" )
    ->capture_default_str()
    ->group( "Links" );
  app
    .add_option( "--congestion",
                 options.congestion,
                 "TCP's congestion control on links, such as bbr or cubic (default: the system's)" )
    ->check( CLI::Validator { is_algorithm, "" } )
    ->type_name( "NAME" )
    ->group( "Links" );
  app
    .add_flag(
      "--no-bulk-link", options.no_bulk_link, "Never a second link beside the first, for sessions that carry much" )
    ->group( "Links" );
  app.add_option( "--window", options.window, "Most bytes under way per session and direction (default 16MiB)" )
    ->transform( between( 16384, 1U << 30U, "16KiB and 1GiB", size() ) )
    ->type_name( "SIZE" )
    ->group( "Limits" );
  app.add_option( "--memory", options.memory, "Most bytes retained for all sessions together (default 256MiB)" )
    ->transform( between( 1048576, 1099511627776, "1MiB and 1TiB", size() ) )
    ->type_name( "SIZE" )
    ->group( "Limits" );
  app.add_option( "--keep", options.keep_ms, "Keep sessions for so long without any link (default 24h)" )
    ->transform( between( 0, 365 * 8.64e7, "0s and 365d", duration() ) )
    ->type_name( "DURATION" )
    ->group( "Limits" );
  app.add_option( "--max-sessions", options.max_sessions, "Most sessions at the same time" )
    ->check( between( 1, 1000000, "1 and 1000000" ) )
    ->type_name( "N" )
    ->capture_default_str()
    ->group( "Limits" );
  app.add_option( "--log-level", options.log_level, "trace, debug, info, warn, error or off" )
    ->check( CLI::IsMember( { "trace", "debug", "info", "warn", "error", "off" } ).description( "" ) )
    ->type_name( "LEVEL" )
    ->capture_default_str();
}

// Who may come, from where, and what one client may have.
void add_client_options( CLI::App& app, SproxyOptions& options )
{
  add_path( app,
            "--authorized-clients",
            options.authorized_clients,
            "Admit only clients with these keys, one a line; read again when it changes (default: anyone)" );
  app
    .add_option(
      "--roam", options.roam, "Where a tunnel may go on from: any address, its subnet, or never another one" )
    ->check( CLI::IsMember( { "any", "subnet", "never" } ).description( "" ) )
    ->type_name( "HOW" )
    ->capture_default_str()
    ->group( "Security" );
  app.add_option( "--max-age", options.age_max_ms, "End a tunnel this long after it was made (default: never)" )
    ->transform( between( 1e3, 365 * 8.64e7, "1s and 365d", duration() ) )
    ->type_name( "DURATION" )
    ->group( "Limits" );
  app.add_option( "--client-tunnels", options.client_tunnels, "Most tunnels of one client (one key)" )
    ->check( between( 1, 1000000, "1 and 1000000" ) )
    ->type_name( "N" )
    ->capture_default_str()
    ->group( "Limits" );
  app
    .add_option( "--client-sessions",
                 options.client_sessions,
                 "Most sessions of one client (default: half of --max-sessions)" )
    ->check( between( 1, 1000000, "1 and 1000000" ) )
    ->type_name( "N" )
    ->group( "Limits" );
  app
    .add_option(
      "--client-memory", options.client_memory, "Most bytes retained for one client (default: half of --memory)" )
    ->transform( between( 524288, 1099511627776, "512KiB and 1TiB", size() ) )
    ->type_name( "SIZE" )
    ->group( "Limits" );
}

} // namespace

std::optional<int> parse_cproxy( int argc, const char* const* argv, CproxyOptions& options )
{
  options.bind = "127.0.0.1";
  CLI::App app { "cproxy: keeps the TCP sessions of this machine's programs alive while its address changes.\n"
                 "Programs connect to LPORT here; sproxy on SIP connects them to their target.",
                 "cproxy" };
  app.add_option( "LPORT", options.port, "Port for the programs" )
    ->required()
    ->check( between( 0, 65535, "0 and 65535" ) )
    ->type_name( "PORT" );
  app.add_option( "SIP", options.host, "Where sproxy runs: a name, an IPv4 or an IPv6 address" )
    ->required()
    ->check( CLI::Validator { is_not_empty, "" } )
    ->type_name( "HOST" );
  app.add_option( "SPORT", options.far_port, "sproxy's port" )
    ->required()
    ->check( between( 1, 65535, "1 and 65535" ) )
    ->type_name( "PORT" );
  add_proxy_options( app, options );
  add_security_options(
    app, options.security, "Print the fingerprint of our key, for sproxy's --authorized-clients, and exit" );
  app
    .add_option( "--fingerprint",
                 options.fingerprints,
                 "sproxy's key, as sproxy --print-key shows it; may be given several times (default: the key "
                 "that it had when we first met)" )
    ->allow_extra_args( false )
    ->check( CLI::Validator { is_fingerprint, "" } )
    ->type_name( "SHA256:KEY" )
    ->group( "Security" );
  app.footer( "Example: cproxy 2323 server.example.org 5000, then telnet localhost 2323.\n"
              "After a package was replaced: cproxy upgrade; every session goes on.\n"
              "Exit status: 0 stopped by SIGINT or SIGTERM, 1 trouble (said in one line), 2 wrong options." );
  if ( const auto status = parse( app, argc, argv ) ) {
    return *status;
  }
  if ( not options.fingerprints.empty() and not options.security.ca.empty() ) {
    return wrong( "cproxy", "--fingerprint and --ca exclude each other: a CA may sign many keys, one is pinned" );
  }
  return wrong(
    "cproxy", contradiction( options.security, options.raw, options.fingerprints.empty() ? "" : "--fingerprint" ) );
}

std::optional<int> parse_sproxy( int argc, const char* const* argv, SproxyOptions& options )
{
  options.bind = "*";
  std::string target = "127.0.0.1:23";
  CLI::App app {
    "sproxy: the far end of cproxy. Connects the sessions that cproxies bring to the target, and keeps them\n"
    "while their machines move or are away.",
    "sproxy"
  };
  app.add_option( "SPORT", options.port, "Port for the cproxies" )
    ->required()
    ->check( between( 0, 65535, "0 and 65535" ) )
    ->type_name( "PORT" );
  app.add_option( "--target", target, "Connect sessions to this" )->type_name( "HOST:PORT" )->capture_default_str();
  app.add_flag( "--single", options.single, "One session at a time: a new one closes the one before" );
  app
    .add_option(
      "--threads", options.threads, "Serve clients with so many threads, each on a processor of its own" )
    ->check( between( 1, 64, "1 and 64" ) )
    ->type_name( "N" )
    ->capture_default_str();
  add_proxy_options( app, options );
  add_security_options(
    app, options.security, "Print the fingerprint of our key, for cproxy's --fingerprint, and exit" );
  add_client_options( app, options );
  app.footer( "Example: sproxy 5000 --target 127.0.0.1:22\n"
              "Exit status: 0 stopped by SIGINT or SIGTERM, 1 trouble (said in one line), 2 wrong options." );
  if ( const auto status = parse( app, argc, argv ) ) {
    return *status;
  }
  const auto address = parse_host_port( target );
  if ( not address ) {
    return wrong( "sproxy", "--target: '" + target + "' is not HOST:PORT, such as 127.0.0.1:23 or [::1]:23" );
  }
  options.target = *address;
  if ( options.threads > 1 and ( options.single or options.raw ) ) {
    return wrong( "sproxy",
                  fmt::format( "--threads and {} exclude each other", options.single ? "--single" : "--raw" ) );
  }
  return wrong( "sproxy",
                contradiction( options.security,
                               options.raw,
                               options.authorized_clients.empty() ? "" : "--authorized-clients" ) );
}

std::optional<int> parse_upgrade( const char* name, int argc, const char* const* argv, std::vector<pid_t>& keepers )
{
  CLI::App app {
    fmt::format(
      "{0} upgrade: lets {0}s that are running go on with the program as it is installed now.\n"
      "Every session goes on. A program that cannot go on with what is there refuses before anything is given up.",
      name ),
    fmt::format( "{} upgrade", name )
  };
  app.add_option(
    "PID", keepers, fmt::format( "Of a {}, as ps shows it ({}-keeper); default: all that are ours", name, name ) );
  return parse( app, argc, argv );
}

} // namespace holdfast::program
