#pragma once

#include <sys/types.h>

#include <string>

namespace holdfast {

// Where a program keeps what must outlive it: `given` if not empty, else $XDG_STATE_HOME/holdfast, else
// $HOME/.local/state/holdfast (XDG Base Directory Specification) if that home is ours, else /var/lib/holdfast.
[[nodiscard]] std::string state_directory( const std::string& given, bool home_is_ours = true );

// The directory with our keys and the hosts we know. Made if it is not there, readable by its owner only (0700). It
// must belong to `owner` or to root, and nobody else may write to it. It may be a symbolic link to such a
// directory: systemd makes /var/lib/holdfast one for services with DynamicUser=.
class StateDirectory
{
public:
  // `owner`: who uses the files while the program runs; another one than we are only with --user, by root. What is
  // made is given to him. Throws StartupError: one line with what is wrong, where, and what to do.
  explicit StateDirectory( std::string path, uid_t owner );
  explicit StateDirectory( std::string path ); // for ourselves

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string file( const char* name ) const { return path_ + "/" + name; }
  [[nodiscard]] uid_t owner() const { return owner_; }

private:
  std::string path_;
  uid_t owner_;
};

} // namespace holdfast
