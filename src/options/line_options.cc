#include "options/line_options.hh"

#include "options/command_line.hh"

namespace holdfast::program {

std::optional<int> parse_client( int argc, const char* const* argv, std::string& host, std::uint16_t& port )
{
  CLI::App app { "Sends every line of standard input to a server, as one message each.", "client" };
  app.add_option( "SIP", host, "The server: a name, an IPv4 or an IPv6 address" )
    ->required()
    ->check( CLI::Validator { is_not_empty, "" } );
  app.add_option( "SPORT", port, "Its port" )->required()->check( CLI::Range( 1, 65535 ) );
  app.footer(
    "A line may have 1024 bytes without its newline; a longer one is reported and not sent.\n\n"
    "Exit status: 0 all lines were sent and the server has them, 1 trouble with the connection or the input,\n"
    "2 wrong options, 3 all lines were sent but for some that were too long, 130 and 143 ended by a signal." );
  return parse( app, argc, argv );
}

std::optional<int> parse_server( int argc, const char* const* argv, std::uint16_t& port )
{
  CLI::App app { "Prints the messages of all its clients, each as two lines: its length and its payload.",
                 "server" };
  app.add_option( "SPORT", port, "The port to listen on, IPv4 and IPv6; 0 lets the system choose" )
    ->required()
    ->check( CLI::Range( 0, 65535 ) );
  app.footer( "Says on standard error which port it listens on, and what happens to clients.\n\n"
              "Exit status: 0 ended by SIGINT or SIGTERM, 1 cannot listen or cannot write, 2 wrong options." );
  return parse( app, argc, argv );
}

} // namespace holdfast::program
