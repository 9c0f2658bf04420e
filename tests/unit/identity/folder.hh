#pragma once

#include "identity/fingerprint.hh"
#include "net/error.hh"

#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::test {

// A folder that nobody else has, gone with this object.
class Folder
{
public:
  Folder()
  {
    std::string name = "/tmp/holdfast-test-XXXXXX"; // mode 0700
    EXPECT_NE( ::mkdtemp( name.data() ), nullptr );
    path_ = name;
  }
  Folder( const Folder& ) = delete;
  Folder& operator=( const Folder& ) = delete;
  ~Folder() { std::filesystem::remove_all( path_ ); }

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string operator/( std::string_view name ) const { return path_ + "/" + std::string { name }; }
  std::string write( std::string_view name, std::string_view content, mode_t mode = 0600 ) const
  {
    const std::string path = *this / name;
    std::ofstream { path, std::ios::binary } << content;
    EXPECT_EQ( ::chmod( path.c_str(), mode ), 0 );
    return path;
  }
  [[nodiscard]] std::string read( std::string_view name ) const
  {
    std::ifstream file { *this / name, std::ios::binary };
    return { std::istreambuf_iterator<char> { file }, {} };
  }
  [[nodiscard]] mode_t mode( std::string_view name ) const
  {
    struct stat status = {};
    EXPECT_EQ( ::stat( ( *this / name ).c_str(), &status ), 0 );
    return status.st_mode & 07777U;
  }
  // The names in it, sorted.
  [[nodiscard]] std::vector<std::string> names() const
  {
    std::vector<std::string> all;
    for ( const auto& entry : std::filesystem::directory_iterator { path_ } ) {
      all.push_back( entry.path().filename() );
    }
    std::ranges::sort( all );
    return all;
  }

private:
  std::string path_;
};

inline constexpr uid_t nobody = 65534;

inline bool are_root()
{
  return ::geteuid() == 0;
}

// What a program that cannot start says; empty if it can.
template<class Start>
std::string refusal( Start start )
{
  try {
    start();
  } catch ( const StartupError& trouble ) {
    return trouble.what();
  }
  return {};
}

// Two digests, as fingerprints.
inline constexpr std::string_view one = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU";   // of nothing
inline constexpr std::string_view other = "SHA256:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0"; // of "abc"
inline const Digest key_one = parse_fingerprint( one ).value();
inline const Digest key_other = parse_fingerprint( other ).value();

} // namespace holdfast::test
