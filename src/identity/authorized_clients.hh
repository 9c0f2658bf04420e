#pragma once

#include "core/initiation.hh"

#include <sys/types.h>

#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace holdfast {

// Which clients an sproxy admits: a file with one key a line,
//
//   SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU laptop of Ann
//
// as `cproxy --print-key` prints it, with any comment behind. Blank lines, and lines that begin with #, are for
// people. CR before LF is ignored.

// The keys in the text of such a file, sorted and without doubles; or, as a string, what is wrong with the first
// damaged line: "FILE:7: ...". `path` is only used there.
[[nodiscard]] std::variant<std::vector<Digest>, std::string> parse_authorized_clients( std::string_view text,
                                                                                       const std::string& path );

class AuthorizedClients
{
public:
  // Reads the file. It, and every folder above it, must belong to `owner` or root and must not be writable by
  // others (a folder with the sticky bit, such as /tmp, may be). `owner` is whom we shall be when the file is read
  // again; it may be a symbolic link. Throws StartupError: one line that names the file, and the line of the first
  // damaged one.
  AuthorizedClients( std::string path, uid_t owner );

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::size_t size() const { return keys_.size(); } // 0: nobody is admitted
  [[nodiscard]] bool admits( const Digest& client ) const;

  struct Change
  {
    std::vector<Digest> added {};
    std::vector<Digest> removed {};
    std::string problem {}; // if not empty, one line; the list from before stays in force, and nothing was changed
  };
  // Reads the file again.
  [[nodiscard]] Change reload();

private:
  [[nodiscard]] std::variant<std::vector<Digest>, std::string> read() const;

  std::string path_;
  uid_t owner_;
  std::vector<Digest> keys_ {}; // sorted
};

} // namespace holdfast
