#pragma once

#include <string>
#include <string_view>
#include <vector>

// Least privilege: what is left of this process when strangers begin to talk to it. An error in our code should not
// become a door into the machine, so we give away what the proxies do not need, and cannot get it back.
//
// Order of a start: bind, read keys, open what stays open; become(); confine(); only then serve. All of it acts on
// this process and its children, and cannot be undone. Call it while the process has one thread.
namespace holdfast {

// Becomes `user` (a name of the system's user database): its groups, its group, itself, with no way back, and
// without capabilities, so that not even a program that it starts could have some (capabilities(7), setresuid(2)).
// Afterwards what this process opens must be allowed to `user`: the state directory is best its own.
// Throws StartupError: no such user, `user` is root, or we are not root and cannot become somebody else.
void become( std::string_view user );

// What a program still needs after it started. Paths may be files or folders; a folder stands for all that is
// below. A rule holds the file that is there now and not its name: where files are replaced (renamed over), as
// editors do, name the folder. All programs have what names and times need, see confine.
struct Confinement
{
  std::string program;                  // "sproxy": begins the line about a refused system call
  std::vector<std::string> readable {}; // may be read; what does not exist is left out
  std::vector<std::string> writable {}; // may be read, written, made, renamed and removed; must exist
  bool threads = false;                 // it will start some, each confined like the one that starts it
};

// One layer of protection, and a word about it: its version, or why it is not there.
struct Layer
{
  bool in_force = false;
  std::string detail {};
};

// What is in force. Kernels and containers differ, so less than everything is no error.
struct Protection
{
  Layer privileges {};   // no_new_privs(2const), and no capabilities
  Layer files {};        // landlock(7): nothing but the paths in Confinement
  Layer system_calls {}; // seccomp(2): nothing but what the proxies use
};

// Gives up, in this order:
//   privileges     no program that is started gets more rights than we have; all capabilities are gone, even root's
//   files          everything but `readable`, `writable`, and: /etc and what resolv.conf points to (it is replaced
//   on
//                  every move, so the folders), time zones, /dev/null, /dev/urandom. Files open now stay usable. No
//                  core file can be written, except by a handler such as systemd-coredump.
//   system calls   everything but a list. A refused one fails with EPERM, and the first of each kind writes a line
//                  to standard error: "sproxy: the sandbox refused system call 59 (execve); if this is ...".
// Builds with a sanitizer or gcov keep files and system calls, which their run time needs.
// Throws StartupError if a path in `writable` does not exist or cannot be opened.
[[nodiscard]] Protection confine( const Confinement& needs );

// "privileges: none (no_new_privs); files: landlock ABI 7; system calls: not in this kernel", for the log.
[[nodiscard]] std::string to_string( const Protection& protection );

} // namespace holdfast
