#!/usr/bin/python3
"""Goal of this test: cproxy and sproxy are a keeper and its worker, and a user need not know. One signal ends both, in order
and with the right status; Ctrl-C, Ctrl-Z and fg do what they always do; nothing lives on when the keeper is killed. When the
worker is killed, another one serves the same port at once, even if the package was replaced meanwhile."""

import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

from harness import BIN, PATIENCE, Program, eventually, free_port, tell

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "net"))

from workers import is_there, parent_of, worker_of  # noqa: E402

PROXIES = {"cproxy": ("127.0.0.1", "1"), "sproxy": ()}


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), PATIENCE).close()
        return True
    except ConnectionRefusedError:
        return False


def comes_up(program, name):
    """From then on the keeper survives its worker's death. That it listens it has said a moment before."""
    program.says("listening on")
    program.says({"cproxy": "cannot reach sproxy yet", "sproxy": "links are in the clear"}[name])


@contextmanager
def proxy(name="sproxy", prefix=()):
    """A proxy that listens, with its port."""
    with tempfile.TemporaryDirectory() as state:
        port = free_port()
        with Program(name, "--insecure", "--state-dir", state, "--bind", "127.0.0.1", port, *PROXIES[name], prefix=prefix) as program:
            comes_up(program, name)
            program.port = port
            yield program


def worker(program):
    pid = eventually("a worker", lambda: next((pid for pid in [worker_of(program.process.pid)] if pid != program.process.pid), None))
    eventually("the worker has its name", lambda: not field(pid, "comm").endswith(b"-keeper"))
    return pid


def field(pid, name):
    return Path(f"/proc/{pid}/{name}").read_bytes().strip()


def the_keeper_is_called_so_and_the_worker_like_the_program():
    for name in PROXIES:
        with proxy(name) as program:
            keeper, ours = program.process.pid, worker(program)
            assert (field(keeper, "comm"), field(ours, "comm")) == (f"{name}-keeper".encode(), name.encode())
            assert field(keeper, "cmdline") == field(ours, "cmdline"), "ps shows what the user typed"


def one_signal_ends_both_in_order():
    for name in PROXIES:
        for number in (signal.SIGTERM, signal.SIGINT):
            with proxy(name) as program:
                ours = worker(program)
                program.process.send_signal(number)
                program.ends(0)
                assert not is_there(ours)


def a_signal_to_both_is_one_request():
    """systemd's way by default, and pkill's. Twice would be: do not wait for the farewell."""
    with proxy() as program:
        os.kill(worker(program), signal.SIGTERM)
        program.process.send_signal(signal.SIGTERM)
        program.ends(0)


def statuses_are_passed_on():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for arguments, status in ((["--version"], 0), (["--nonsense"], 2),
                                  (["--insecure", "--bind", "127.0.0.1", taken.getsockname()[1]], 1)):
            with Program("sproxy", *arguments) as program:
                program.ends(status)


def a_killed_worker_is_replaced():
    for name in PROXIES:
        with proxy(name) as program:
            first = worker(program)
            os.kill(first, signal.SIGKILL)
            assert program.says("starting the next one").endswith(
                f"{name} warning: worker {first} was killed by signal 9 (Killed): starting the next one")
            eventually("the next worker listens", lambda: program.errors().count("listening on") == 2 and answers(program.port))
            assert worker(program) != first
            program.process.send_signal(signal.SIGTERM)
            program.ends(0)


def a_killed_keeper_takes_the_worker_along():
    with proxy() as program:
        ours = worker(program)
        program.process.kill()
        eventually("the worker is gone", lambda: not is_there(ours))
        program.ends(-signal.SIGKILL)
        assert not answers(program.port)


@contextmanager
def installed():
    """A folder with programs of its own, and a port for one of them."""
    with tempfile.TemporaryDirectory() as folder:
        for file in ("sproxy", "libholdfast-sproxy.so"):
            shutil.copy(Path(BIN, file), folder)
        yield Path(folder), free_port()


def put(path, content):
    """Replaces a file as a package does: by another one of that name."""
    path.with_name("next").write_bytes(content)
    path.with_name("next").chmod(0o755)
    path.with_name("next").replace(path)


def a_worker_after_an_exchange_of_the_package_is_the_one_of_before():
    with installed() as (folder, port), Program(folder / "sproxy", "--insecure", "--bind", "127.0.0.1", port) as program:
        comes_up(program, "sproxy")
        put(folder / "libholdfast-sproxy.so", b"not a library")
        os.kill(worker(program), signal.SIGKILL)
        eventually("the next worker listens", lambda: program.errors().count("listening on") == 2)
        program.process.send_signal(signal.SIGTERM)
        program.ends(0)


# A worker that was taken over by somebody. It may do what it likes with the descriptors that it shares with its keeper: here it
# puts a library of its own under the number of the one that the next worker loads, with the keeper's rights.
HIJACKED = """
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <unistd.h>
int holdfast_worker( int count, char** words, char* shared )
{
  const int32_t* own_descriptors = (int32_t*)( shared + 48 ); // src/keeper/register.hh; the second is the library
  dup2( open( words[1], O_RDONLY ), own_descriptors[1] );
  unlink( words[2] );
  *(uint32_t*)( shared + 124 ) = *(uint32_t*)( shared + 16 ); // it came up,
  *(uint32_t*)( shared + 120 ) = 1;                           // and its death is survived
  return raise( SIGKILL );
}
"""
PRIZE = """
#include <unistd.h>
__attribute__(( constructor )) static void enter() { write( 2, "I have its rights\\n", 18 ); }
"""


def a_library_that_a_worker_has_put_there_is_not_loaded():
    with installed() as (folder, _):
        for name, source in (("libholdfast-sproxy", HIJACKED), ("prize", PRIZE)):
            (folder / f"{name}.c").write_text(source)
            subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / f"{name}.so", folder / f"{name}.c"], check=True)
        with Program(folder / "sproxy", folder / "prize.so", folder / "libholdfast-sproxy.so") as program:
            program.says("was killed by signal 9")
            program.says("cannot load libholdfast-sproxy.so: it was removed")
            assert "I have its rights" not in program.errors(), program.errors()


def an_upgrade_is_another_program_under_the_same_number():
    with installed() as (folder, port), Program(folder / "sproxy", "--insecure", "--bind", "127.0.0.1", port) as program:
        comes_up(program, "sproxy")
        for count in (2, 3):
            first, old = worker(program), os.stat(f"/proc/{program.process.pid}/exe").st_ino
            for file in ("sproxy", "libholdfast-sproxy.so"):
                put(folder / file, Path(BIN, file).read_bytes())
            program.process.send_signal(signal.SIGUSR2)
            eventually("the next worker listens", lambda: program.errors().count("listening on") == count and answers(port))
            assert worker(program) != first and not is_there(first)
            assert os.stat(f"/proc/{program.process.pid}/exe").st_ino != old, "it is still the program of before"
            assert "was killed" not in program.errors(), program.errors()
        program.process.send_signal(signal.SIGTERM)
        program.ends(0)


def an_upgrade_that_cannot_work_changes_nothing():
    with installed() as (folder, port), Program(folder / "sproxy", "--insecure", "--bind", "127.0.0.1", port) as program:
        comes_up(program, "sproxy")
        first = worker(program)
        for number, (file, content) in enumerate((("sproxy", b"#!/bin/sh\nexit 1\n"), ("sproxy", b"no program at all"),
                                                  ("sproxy", Path(BIN, "sproxy").read_bytes()))):
            if number == 2:
                put(folder / "libholdfast-sproxy.so", b"no library")
            put(folder / file, content)
            program.process.send_signal(signal.SIGUSR2)
            eventually("it says no", lambda: program.errors().count("no upgrade: ") == number + 1)
        assert worker(program) == first and answers(port)
        # One that says yes and then cannot be started: the worker was given up for it, and the next one is there.
        put(folder / "sproxy", b"#!/bin/sh\nrm -f \"$0\"\n")
        program.process.send_signal(signal.SIGUSR2)
        eventually("the next worker listens", lambda: program.errors().count("listening on") == 2 and answers(port))
        program.process.send_signal(signal.SIGTERM)
        program.ends(0)


def a_want_of_memory_costs_the_worker_and_not_the_keeper():
    """While there is no worker, the keeper may be the only one whom the kernel could end."""
    def adjustments(program):
        return tuple(int(field(pid, "oom_score_adj")) for pid in (program.process.pid, worker(program)))

    may = subprocess.run(["choom", "-n", "-1000", "--", "true"], capture_output=True).returncode == 0
    asked = -1000 if may else 0
    for name in PROXIES:
        if may:
            with proxy(name, prefix=("choom", "-n", "-1000", "--")) as program:
                assert adjustments(program) == (-1000, 0), "a worker is not spared"
        with proxy(name, prefix=("choom", "-n", "300", "--")) as program:
            assert adjustments(program) == (asked, 300)
            os.kill(worker(program), signal.SIGKILL)
            eventually("the next worker listens", lambda: program.errors().count("listening on") == 2)
            assert adjustments(program) == (asked, 300)
            program.process.send_signal(signal.SIGUSR2)
            eventually("the next program listens", lambda: program.errors().count("listening on") == 3)
            assert adjustments(program) == (asked, 300)
            program.process.send_signal(signal.SIGTERM)
            program.ends(0)


class Shell:
    """An interactive bash on a terminal of its own."""

    def __init__(self):
        self.pid, self.screen = pty.fork()
        if self.pid == 0:
            os.environ.update(PS1="$ ", LC_ALL="C")
            os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
        self.text = ""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            while some := os.read(self.screen, 4096):
                self.text += some.decode(errors="replace")
        except OSError:
            pass  # the shell has gone

    def type(self, keys):
        os.write(self.screen, keys.encode())

    def shows(self, text):
        eventually(f"{text!r} on the screen, which shows {self.text!r}", lambda: text in self.text)

    def end(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.screen)


def keys_of_the_terminal_do_what_they_always_do():
    port, shell = free_port(), Shell()
    try:
        shell.type(f"{BIN}/sproxy --insecure --bind 127.0.0.1 {port}\n")
        shell.shows("listening on")
        keeper = next(pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if parent_of(pid) == shell.pid)
        ours = worker_of(keeper)
        state = lambda pid: field(pid, "stat").rsplit(b")", 1)[1].split()[0]  # noqa: E731
        shell.type("\x1a")
        shell.shows("Stopped")
        eventually("both have stopped", lambda: (state(keeper), state(ours)) == (b"T", b"T"))
        shell.type("fg\n")
        eventually("both go on", lambda: b"T" not in (state(keeper), state(ours)))
        assert answers(port)
        shell.type("\x03")
        eventually("both have ended", lambda: not is_there(keeper) and not is_there(ours))
        shell.type("echo its status was $?.\n")
        shell.shows("its status was 0.")
    finally:
        shell.end()


def process_1_of_a_container_ends_as_any_other():
    prefix = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    if subprocess.run([*prefix, "true"], capture_output=True).returncode != 0:
        print("    not here: namespaces are not permitted")
        return
    with proxy(prefix=prefix) as program:
        ours = worker(program)
        keeper = int(field(ours, "stat").rsplit(b")", 1)[1].split()[1])
        assert b"NSpid:\t%d\t1\n" % keeper in field(keeper, "status") + b"\n"
        os.kill(ours, signal.SIGKILL)
        eventually("the next worker listens", lambda: program.errors().count("listening on") == 2)
        os.kill(keeper, signal.SIGTERM)
        program.ends(0)


tell(
    the_keeper_is_called_so_and_the_worker_like_the_program,
    one_signal_ends_both_in_order,
    a_signal_to_both_is_one_request,
    statuses_are_passed_on,
    a_killed_worker_is_replaced,
    a_killed_keeper_takes_the_worker_along,
    a_worker_after_an_exchange_of_the_package_is_the_one_of_before,
    a_library_that_a_worker_has_put_there_is_not_loaded,
    an_upgrade_is_another_program_under_the_same_number,
    an_upgrade_that_cannot_work_changes_nothing,
    a_want_of_memory_costs_the_worker_and_not_the_keeper,
    keys_of_the_terminal_do_what_they_always_do,
    process_1_of_a_container_ends_as_any_other,
)
