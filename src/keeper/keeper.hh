#pragma once

#include "keeper/backoff.hh"
#include "keeper/register.hh"

#include <sys/types.h>

#include <csignal>

namespace holdfast {

// The variable of the environment by which a keeper tells its successor which descriptor the register is.
inline constexpr const char* register_variable = "HOLDFAST_REGISTER";

// The option with which a program is asked, before an upgrade, whether it can go on with what that register tells
// of.
inline constexpr const char* check_option = "--check-state";

// The register of the keeper before, if that variable is set; it is taken out of the environment. Null: it is not
// set, or (with errno set to EINVAL) what it names is no register of our version.
Register* inherited_register( int& descriptor );

// What the worker does, in its own process, which ends with the status returned.
using Work = int ( * )( Register& shared, void* context );

// Keeps a program alive. The work is done by a worker, a process that shares the keeper's table of descriptors
// (CLONE_FILES) and nothing else but the register: when it is killed, its sockets stay open under the same numbers,
// and the next worker goes on with them. The keeper reads no input and allocates nothing; it waits for signals.
//
//   the worker ended by itself        so does the keeper, with the same status; unless it could not take over what
//                                     another one left: then the next one tries
//   it was asked to end               by SIGTERM, SIGINT, SIGHUP or SIGQUIT: the keeper dies of what it died of
//   it was killed, or it crashed      the next one is started, with the pauses of Backoff; unless none was ever
//                                     ready: a crash at the start is a crash, and the keeper dies of the same
//                                     signal
//   the keeper dies                   the worker is killed with it (PR_SET_PDEATHSIG)
//
// When there is no memory left, the kernel ends whoever is largest. The keeper is tiny, but while there is no
// worker it may be the only one, and its death costs all sessions. So it asks to be spared, if it may
// (CAP_SYS_RESOURCE); its workers are what they would have been without it.
//
// On SIGUSR2 the keeper upgrades: it asks the program of its name whether it can go on with what is here
// (check_state), then kills the worker, and becomes that program, which finds all descriptors and the register in
// their places.
//
// Other signals sent to the keeper are passed on. Those of the terminal (Ctrl-C) have reached the worker already.
class Keeper
{
public:
  // The worker is called `name` in ps(1), the keeper `name`-keeper. One thread, and no children yet.
  Keeper( const char* name, Work work, void* context );
  Keeper( const Keeper& ) = delete;
  Keeper& operator=( const Keeper& ) = delete;
  ~Keeper() = default;

  // A descriptor of the caller's that workers leave alone; up to three.
  void own( int descriptor );

  // What an upgrade starts, and its arguments. Without this there is none.
  void upgrade_to( const char* program, char** arguments );

  // Runs workers until one ends by itself; its status. Dies of a signal where that is to be passed on.
  [[nodiscard]] int run();

private:
  using Time = std::chrono::nanoseconds; // CLOCK_BOOTTIME

  [[nodiscard]] static Time now();
  [[nodiscard]] bool make_register();
  void take_signals();
  [[nodiscard]] bool start();
  [[noreturn]] void be_worker( pid_t keeper );
  [[nodiscard]] int oom_score_of_workers() const;
  [[nodiscard]] int next_signal( siginfo_t& about ) const;
  void pass_on( int signal, const siginfo_t& about );
  void stand_still();
  [[nodiscard]] bool reap( int& status );
  [[nodiscard]] bool failed_to_take_over( int status ) const;
  void died( int status );
  void bury( int status );
  void say_died( int status, Backoff::Duration wait ) const;
  [[noreturn]] static void die_of( int signal );
  // upgrade.cc
  void begin_upgrade();
  [[noreturn]] void be_checker();
  void checked( int status );
  void upgrade();

  const char* name_;
  Work work_;
  void* context_;
  std::array<std::int32_t, 4> own_ { -1, -1, -1, -1 }; // the first one is the register's
  Register* register_ = nullptr;
  int inherited_oom_score_ = 0; // that we were started with
  sigset_t inherited_ {};       // the signal mask that we were started with, and workers are
  pid_t worker_ = 0;            // 0: none
  Time born_ {};                // when it was started
  Time due_ {};                 // when the next one is, if there is none
  Backoff backoff_ {};
  bool stopping_ = false; // it was asked to end
  const char* program_ = nullptr;
  char** arguments_ = nullptr;
  pid_t checker_ = 0;       // the program that is asked before an upgrade; 0: none
  bool is_checked_ = false; // it has answered: its wait status is the verdict
  int verdict_ = 0;
};

} // namespace holdfast
