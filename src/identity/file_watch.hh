#pragma once

#include "net/fd.hh"
#include "net/loop.hh"

#include <cstdint>
#include <functional>
#include <string>

namespace holdfast {

// Tells when a file was changed: written and closed, replaced by another one (as editors do), given other rights,
// taken away or back again (inotify(7)). The folder is watched, and not the file, which may be another one by then;
// if the path is a symbolic link, the folder that it leads to as well.
//
// What it cannot see: changes made on another machine (NFS), and any after the folder itself was moved away.
class FileWatch : public Watcher
{
public:
  // Called from Loop::wait(), once for many changes. It may also be called when nothing has changed. It must not
  // destroy the watch.
  using Changed = std::function<void()>;

  // Throws StartupError when the folder is not there or cannot be watched (then errno's text says why; ENOSPC means
  // the sysctl fs.inotify.max_user_watches).
  FileWatch( Loop& loop, std::string path, Changed changed );
  FileWatch( const FileWatch& ) = delete;
  FileWatch& operator=( const FileWatch& ) = delete;
  ~FileWatch() override;

  [[nodiscard]] std::uint32_t interest() const override;
  void ready( std::uint32_t events ) override;

private:
  // Whether an event of the buffer concerns the file.
  [[nodiscard]] bool concerns( const char* at, const char* end ) const;
  void watch_target();

  Loop& loop_;
  std::string path_;
  std::string name_; // the last component of path_
  Changed changed_;
  Fd inotify_;
  int folder_ = -1; // the watch of the folder that path_ names
  int target_ = -1; // and that of the one that a symbolic link leads to, if it is another one
};

} // namespace holdfast
