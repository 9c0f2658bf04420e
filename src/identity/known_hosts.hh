#pragma once

#include "core/initiation.hh"
#include "identity/state_directory.hh"

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast {

// Which key an sproxy had when it was first seen: the file `known_hosts` of the state directory. A line is
//
//   [server.example.org]:5000 SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU any comment
//
// Blank lines, and lines that begin with #, are for people. Names are compared without regard to case and to a dot
// at their end, addresses by what they mean. Several lines may stand for one host: each of their keys is right,
// which is how a host changes its key.

// What the text of the file says about one host.
struct KnownHost
{
  struct Entry
  {
    Digest digest {};
    std::size_t line = 0; // from 1 on
  };
  std::vector<Entry> entries {}; // in the order of the file
  // Lines that cannot be read, or why the whole file cannot: "FILE:7: ...", each one line. At most problems_max.
  std::vector<std::string> problems {};
  static constexpr std::size_t problems_max = 10;

  // Whether the host may have this key.
  [[nodiscard]] bool has( const Digest& digest ) const;
  // Nothing is known about the host: its key may be taken on trust. A line that cannot be read might have been
  // about this host, so with a problem nobody is new.
  [[nodiscard]] bool is_new() const { return entries.empty() and problems.empty(); }
};

// `path` is only used in what is said. `host` as a person writes it, an IPv6 address with [] or without.
[[nodiscard]] KnownHost find_host( std::string_view text,
                                   std::string_view host,
                                   std::uint16_t port,
                                   const std::string& path );

// The line for a host, with its newline; nothing when the name cannot stand there (spaces, brackets, control
// characters).
[[nodiscard]] std::optional<std::string> known_host_line( std::string_view host,
                                                          std::uint16_t port,
                                                          const Digest& digest );

class KnownHosts
{
public:
  explicit KnownHosts( const StateDirectory& directory );

  [[nodiscard]] const std::string& path() const { return path_; }

  // Reads the file, each time anew: a person may have edited it. No such file: nobody is known.
  [[nodiscard]] KnownHost lookup( std::string_view host, std::uint16_t port ) const;

  // Appends one line, in one piece and on the disk (fsync), and makes the file (0600) if need be. Empty, or why it
  // could not, in one line: then the host is a new one again next time.
  [[nodiscard]] std::string add( std::string_view host, std::uint16_t port, const Digest& digest ) const;

private:
  std::string path_;
  uid_t owner_;
};

} // namespace holdfast
