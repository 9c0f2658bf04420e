#pragma once

#include "keeper/register.hh"
#include "net/fd.hh"
#include "options/proxy_options.hh"
#include "program.hh"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

// `cproxy upgrade [PID...]`: asks keepers that are running to go on with the program as it is installed now, and
// waits until they do (SIGUSR2 to each, then its register tells).
namespace holdfast::program {

// The page of a keeper, as somebody else may read it.
using ForeignRegister = std::shared_ptr<const Register>;

// Null: that process is no keeper of ours, or not for us to look at.
inline ForeignRegister register_of( pid_t keeper )
{
  std::error_code none; // a process that has gone has no descriptors
  for ( std::filesystem::directory_iterator at { fmt::format( "/proc/{}/fd", keeper ), none }, end;
        not none and at != end;
        at.increment( none ) ) {
    std::error_code gone;
    const auto target = std::filesystem::read_symlink( at->path(), gone );
    if ( gone or not target.string().starts_with( "/memfd:holdfast-register" ) ) {
      continue;
    }
    const Fd fd { ::open( at->path().c_str(), O_RDONLY | O_CLOEXEC ) };
    struct stat about
    {};
    if ( not fd or ::fstat( fd.get(), &about ) != 0 or about.st_size != off_t { sizeof( Register ) } ) {
      continue;
    }
    void* const page = ::mmap( nullptr, sizeof( Register ), PROT_READ, MAP_SHARED, fd.get(), 0 );
    if ( page == MAP_FAILED ) {
      continue;
    }
    ForeignRegister found { static_cast<const Register*>( page ), []( const Register* mapped ) {
                             ::munmap( const_cast<Register*>( mapped ), sizeof( Register ) );
                           } };
    if ( found->is_ours() and found->keeper == keeper ) {
      return found;
    }
  }
  return nullptr;
}

inline std::string content( const std::filesystem::path& file )
{
  std::ifstream stream { file };
  return { std::istreambuf_iterator<char> { stream }, {} };
}

// Those of this name that run here, but for our own.
inline std::vector<pid_t> keepers( std::string_view name )
{
  std::vector<pid_t> found;
  std::error_code none;
  for ( const auto& entry : std::filesystem::directory_iterator { "/proc", none } ) {
    const std::string number = entry.path().filename();
    if ( number.find_first_not_of( "0123456789" ) != std::string::npos ) {
      continue;
    }
    const auto pid = static_cast<pid_t>( std::stoi( number ) );
    if ( pid != ::getppid() and content( entry.path() / "comm" ) == fmt::format( "{}-keeper\n", name ) ) {
      found.push_back( pid );
    }
  }
  return found;
}

// Asks one, and says what came of it. Whether that is an upgrade.
inline bool upgrade_one( const char* name, pid_t keeper )
{
  using namespace std::chrono_literals;
  constexpr auto patience = 20s; // the keeper gives the new program ten to say whether it can go on

  const ForeignRegister shared = register_of( keeper );
  if ( shared == nullptr ) {
    say( name, "{}: this is no {} of ours, or it belongs to another user", keeper, name );
    return false;
  }
  // A volatile view: the other side writes while we look.
  const volatile Register& now = *shared;
  const std::uint32_t generation = now.generation;
  const std::uint32_t refused = now.refused;
  if ( ::kill( keeper, SIGUSR2 ) != 0 ) {
    say( name, "{}: cannot ask it: {}", keeper, error_text( errno ) );
    return false;
  }
  const auto asked = std::chrono::steady_clock::now();
  while ( std::chrono::steady_clock::now() - asked < patience ) {
    if ( now.up > generation ) {
      const auto took = std::chrono::steady_clock::now() - asked;
      fmt::print( "{}: {} was upgraded in {} ms\n",
                  name,
                  keeper,
                  std::chrono::duration_cast<std::chrono::milliseconds>( took ).count() );
      return true;
    }
    if ( now.refused != refused ) {
      say( name,
           "{}: it goes on as it is: the program that is installed now cannot go on with its sessions (its log "
           "says more)",
           keeper );
      return false;
    }
    if ( ::kill( keeper, 0 ) != 0 ) {
      say( name, "{}: it has ended", keeper );
      return false;
    }
    std::this_thread::sleep_for( 2ms );
  }
  say( name, "{}: no answer in {} s; its log may say more", keeper, patience.count() );
  return false;
}

// The command; `argv` begins with its own word. Its exit status.
inline int upgrade( const char* name, int argc, char** argv )
{
  std::vector<pid_t> chosen;
  if ( const auto status = parse_upgrade( name, argc, argv, chosen ) ) {
    return *status;
  }
  if ( chosen.empty() ) {
    std::erase_if( chosen = keepers( name ), []( pid_t keeper ) { return register_of( keeper ) == nullptr; } );
  }
  if ( chosen.empty() ) {
    say( name, "no {} of ours is running", name );
    return status_trouble;
  }
  bool all = true;
  for ( const pid_t keeper : chosen ) {
    all = upgrade_one( name, keeper ) and all;
  }
  return all ? 0 : status_trouble;
}

} // namespace holdfast::program
