#include "sandbox/layers.hh"

#include "net/error.hh"

#include <fmt/format.h>

#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <vector>

namespace holdfast {

namespace {

struct User
{
  std::string name;
  uid_t id = 0;
  gid_t group = 0;
};

User find_user( std::string_view name )
{
  constexpr std::size_t entry_size_max = 1U
                                         << 20U; // a directory service may have long entries, but no endless ones
  const std::string wanted { name };
  std::vector<char> texts( 1024 );
  passwd entry {};
  passwd* found = nullptr;
  int error = ::getpwnam_r( wanted.c_str(), &entry, texts.data(), texts.size(), &found );
  while ( error == ERANGE and texts.size() < entry_size_max ) {
    texts.resize( texts.size() * 2 );
    error = ::getpwnam_r( wanted.c_str(), &entry, texts.data(), texts.size(), &found );
  }
  // "Not found" is 0 or one of several errors, depending on where the system keeps its users (getpwnam_r(3)).
  if ( found == nullptr ) {
    throw StartupError( fmt::format( "cannot become user '{}': there is no such user", wanted ) );
  }
  return { wanted, entry.pw_uid, entry.pw_gid };
}

// Not one step back: all three ids are the user's, and what root could do fails.
bool is_for_good( const User& user )
{
  uid_t real = 0;
  uid_t effective = 0;
  uid_t saved = 0;
  gid_t real_group = 0;
  gid_t effective_group = 0;
  gid_t saved_group = 0;
  if ( ::getresuid( &real, &effective, &saved ) != 0
       or ::getresgid( &real_group, &effective_group, &saved_group ) != 0 ) {
    return false;
  }
  const bool all_ids = real == user.id and effective == user.id and saved == user.id;
  const bool all_groups = real_group == user.group and effective_group == user.group and saved_group == user.group;
  return all_ids and all_groups and ::setuid( 0 ) != 0 and ( user.group == 0 or ::setgid( 0 ) != 0 );
}

// The bounding set limits what a program with file capabilities gets; emptying it takes CAP_SETPCAP, which a
// container may have kept from root. Then it stays: without capabilities, and with no_new_privs, it gives nothing.
void empty_bounding_set()
{
  for ( unsigned long capability = 0; ::prctl( PR_CAPBSET_READ, capability, 0, 0, 0 ) >= 0; ++capability ) {
    ::prctl( PR_CAPBSET_DROP, capability, 0, 0, 0 );
  }
}

// Permitted, effective and inheritable become empty, and with them ambient. Giving up is always allowed.
bool drop_capabilities()
{
  ::prctl( PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0 ); // before Linux 4.3 there was none
  __user_cap_header_struct header { .version = _LINUX_CAPABILITY_VERSION_3, .pid = 0 };
  const std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> none {};
  return ::syscall( SYS_capset, &header, none.data() ) == 0; // glibc leaves it to libcap, which would add only this
}

} // namespace

void become( std::string_view user )
{
  const User found = find_user( user );
  if ( found.id == 0 ) {
    throw StartupError(
      fmt::format( "cannot become user '{}': that is root, choose a user with fewer rights", found.name ) );
  }
  if ( ::geteuid() != 0 ) {
    throw StartupError(
      fmt::format( "cannot become user '{}': only root can, and we are user number {}", found.name, ::geteuid() ) );
  }
  const std::string what = fmt::format( "cannot become user '{}'", found.name );
  empty_bounding_set(); // while we may
  // Groups before the user, who may no longer change them.
  if ( ::initgroups( found.name.c_str(), found.group ) != 0
       or ::setresgid( found.group, found.group, found.group ) != 0
       or ::setresuid( found.id, found.id, found.id ) != 0 ) {
    fail( what );
  }
  if ( not drop_capabilities() ) {
    fail( what + ": cannot drop capabilities" );
  }
  if ( not is_for_good( found ) ) {
    throw StartupError( what + ": the system would let us become root again" );
  }
}

Layer drop_privileges()
{
  const bool no_new = ::prctl( PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0 ) == 0; // Linux 3.5
  empty_bounding_set();
  const bool dropped = drop_capabilities();
  if ( no_new and dropped ) {
    return { true, "no capabilities, and no new ones" };
  }
  return { dropped or no_new, no_new ? "no new capabilities" : dropped ? "no capabilities" : not_in_this_kernel };
}

} // namespace holdfast
