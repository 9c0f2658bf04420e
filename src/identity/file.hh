#pragma once

#include "net/fd.hh"

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace holdfast {

// Files on which it depends who we are and whom we trust. Whoever else could read a secret one, or write to one of
// any kind, would be us, or could let himself in; so such a file is refused, as ssh does, with what to do about it.

// Who may do what with a file, besides its owner. It always has to be a regular file and to belong to `owner` or to
// root.
struct FileRule
{
  enum class Kind
  {
    secret,    // nobody else may read it or write to it
    given_key, // the same; but root may have given it to a group to read, as /etc/ssl/private and systemd do
    list,      // nobody else may write to it
  };
  Kind kind = Kind::secret;
  uid_t owner = 0;           // besides root
  bool follow_links = false; // a file that a person named may be a symbolic link, one of ours is none
  std::size_t size_max = 65536;
};

// What came of reading a file: its text, or a problem (one line: what, where, what to do), or neither: there is no
// such file.
struct FileReading
{
  std::optional<std::string> text {};
  std::string problem {};
};
[[nodiscard]] FileReading read_file( const std::string& path, const FileRule& rule );

// What is wrong with an open file; empty when nothing is.
[[nodiscard]] std::string objection( int fd, const std::string& path, const FileRule& rule );

// Makes a file of mode 0600 that belongs to `owner`, whole or not at all: written under another name, on the disk
// (fsync) and then linked into place. So of two programs that start at once, both use the same one. Whether it is
// ours that lies there now; false: there was one already, which is untouched. Throws StartupError.
[[nodiscard]] bool make_file( const std::string& path, std::string_view content, uid_t owner );

// Writes all of it. 0, or an errno.
[[nodiscard]] int write_all( int fd, std::string_view content );

// Overwrites the memory of a secret before it is given back.
void wipe( std::string& secret );

} // namespace holdfast
