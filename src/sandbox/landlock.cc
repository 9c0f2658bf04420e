#include "sandbox/layers.hh"

#include "net/error.hh"
#include "net/fd.hh"

#include <fmt/format.h>

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <system_error>

namespace holdfast {

namespace {

using Rights = std::uint64_t;

// Younger than the headers of Debian 12 (landlock(7)).
constexpr Rights refer = 1U << 13U;         // ABI 2: rename or link into another folder
constexpr Rights truncate_file = 1U << 14U; // ABI 3
constexpr Rights ioctl_device = 1U << 15U;  // ABI 5

constexpr Rights read_rights = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
constexpr Rights write_rights = read_rights | LANDLOCK_ACCESS_FS_WRITE_FILE | truncate_file
                                | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR
                                | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | refer;
// What can be granted for something that is no folder; more is an error (landlock_add_rule(2)).
constexpr Rights file_rights
  = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | truncate_file;

// What everything is refused of that this kernel can refuse. A right that it does not know stays as it was.
Rights handled_by( long abi )
{
  Rights rights = ( LANDLOCK_ACCESS_FS_MAKE_SYM << 1U ) - 1; // the thirteen of ABI 1
  rights |= abi >= 2 ? refer : 0;
  rights |= abi >= 3 ? truncate_file : 0;
  rights |= abi >= 5 ? ioctl_device : 0;
  return rights;
}

// For every program: name resolution and time zones. c-ares reads resolv.conf, hosts and nsswitch.conf again at
// each lookup, and those are replaced when the machine moves: a rule for the file would hold the old one.
constexpr std::array system_paths {
  "/etc",
  "/usr/share/zoneinfo",
  "/dev/urandom",
  "/dev/null",
  // where resolv.conf points now (the rule follows the link), and where it may point after the next move
  "/etc/resolv.conf",
  "/run/systemd/resolve",
  "/run/NetworkManager",
  "/run/resolvconf",
  "/run/connman"
};

class Ruleset
{
public:
  explicit Ruleset( long abi ) : handled_( handled_by( abi ) )
  {
    const landlock_ruleset_attr attributes { .handled_access_fs = handled_ };
    fd_ = Fd { static_cast<int>(
      ::syscall( SYS_landlock_create_ruleset, &attributes, sizeof attributes.handled_access_fs, 0 ) ) };
    if ( not fd_ ) {
      fail( "landlock_create_ruleset" );
    }
  }

  // False, with errno set: it cannot be opened.
  [[nodiscard]] bool allow( const std::string& path, Rights rights )
  {
    const Fd file { ::open( path.c_str(), O_PATH | O_CLOEXEC ) };
    struct stat about
    {};
    if ( not file or ::fstat( file.get(), &about ) != 0 ) {
      return false;
    }
    const Rights possible = S_ISDIR( about.st_mode ) ? rights : rights & file_rights;
    landlock_path_beneath_attr rule {};
    rule.allowed_access = possible & handled_;
    rule.parent_fd = file.get();
    if ( ::syscall( SYS_landlock_add_rule, fd_.get(), LANDLOCK_RULE_PATH_BENEATH, &rule, 0 ) != 0 ) {
      fail( fmt::format( "landlock_add_rule for {}", path ) );
    }
    return true;
  }

  [[nodiscard]] bool enforce() const { return ::syscall( SYS_landlock_restrict_self, fd_.get(), 0 ) == 0; }

private:
  Rights handled_;
  Fd fd_ {};
};

} // namespace

Layer confine_files( const std::vector<std::string>& readable, const std::vector<std::string>& writable )
{
  if ( is_measured_build ) {
    return { false, not_in_this_build };
  }
  const long abi = ::syscall( SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION );
  if ( abi < 1 ) { // ENOSYS: too old; EOPNOTSUPP: switched off; EPERM: a container forbids it
    return { false, not_in_this_kernel };
  }
  Ruleset rules { abi };
  for ( const char* path : system_paths ) {
    static_cast<void>( rules.allow( path, read_rights ) ); // what is not here cannot be read anyway
  }
  static_cast<void>( rules.allow( "/dev/null", LANDLOCK_ACCESS_FS_WRITE_FILE ) );
  for ( const auto& path : readable ) {
    static_cast<void>( rules.allow( path, read_rights ) );
  }
  for ( const auto& path : writable ) {
    if ( not rules.allow( path, write_rights ) ) {
      fail( fmt::format( "cannot open {}", path ) );
    }
  }
  if ( not rules.enforce() ) {
    return { false, error_text( errno ) };
  }
  return { true, fmt::format( "landlock ABI {}", abi ) };
}

} // namespace holdfast
