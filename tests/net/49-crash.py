#!/usr/bin/python3
"""
   client                              [router]            server
   telnet -> cproxy    eth0 ═══════════════════════ eth0   sproxy -> telnetd -> sh, ping localhost
             keeper                                        keeper
               worker (killed)                               worker (killed)

Goal of this test: the death of a proxy's worker is just another move. A telnet session with a running ping goes on although
the worker of cproxy, that of sproxy, and both at once are killed, also while the network is away, and while a move is under way; an app that
connects while there is no worker just waits. The same on purpose: `upgrade` exchanges the program below a session, forth and back,
and one that cannot read what is there refuses before anything is given up. A crash that comes again and again with the same
session costs that session, and no other.

    49-crash.py killed | upgrade | blame
"""

import os
import shutil
import signal
import sys
from pathlib import Path

import harness
from flows import Listener, greet, pair
from telnet import both, start_telnetd, telnet, TELNETD_PORT

part = sys.argv[1] if len(sys.argv) > 1 else "killed"


def killed(world):
    net = harness.Routed(world)
    held, direct = both(world, net)
    direct.terminal.kill()
    cproxy, sproxy = (next(p for p in world.programs if p.name == name) for name in ("cproxy", "sproxy"))

    def crash(story, *proxies):
        world.crash(*proxies, meanwhile=held.type_something)
        held.until_typed_arrived()
        held.until_pings(3)
        world.say(f"true: the session goes on after {story}")

    for _ in range(3):
        crash("the death of cproxy's worker", cproxy)
        crash("the death of sproxy's worker", sproxy)
        crash("the death of both at once", cproxy, sproxy)

    net.go_away()
    world.during(0.5, "without any address")
    crash_without_network(world, held, cproxy, sproxy)
    net.come_back(net.next_address())
    held.until_typed_arrived()
    held.until_pings(3)
    world.say("true: the session goes on after both have died while the network was away")

    for _ in range(3):
        net.move(net.next_address())
        crash("a death in the middle of a move", cproxy, sproxy)

    cproxy.signal(signal.SIGSTOP)  # keeper and worker: nobody starts another one
    cproxy.kill_worker()
    late = telnet(world, net.client, "127.0.0.1", 5000, "telnet-late")
    world.during(1, "an app has connected, and there is nobody to accept")
    cproxy.signal(signal.SIGCONT)
    late.shell()
    world.say("true: an app that connected while there was no worker was only kept waiting")
    late.terminal.type("exit\r")
    late.terminal.wait(15)
    held.faultless()
    held.leave()


def crash_without_network(world, held, cproxy, sproxy):
    for proxy in (cproxy, sproxy):
        proxy.mark()
        proxy.kill_worker()
    world.recovered(cproxy, sproxy)
    held.type_something()


def upgrade(world):
    """A program of its own in a folder, with a copy put in its place, with the next version, from which we go back, and with one
    that does not know how its memory is laid out."""
    net = harness.Routed(world)
    start_telnetd(world, net.server)
    folders = {name: world.folder / name for name in ("cproxy.bin", "sproxy.bin")}
    ours = Path(harness.holdfast("cproxy")).resolve().parent
    for name, folder in folders.items():
        folder.mkdir()
        install(ours, folder, name.removesuffix(".bin"))
    sproxy = world.sproxy(net.server, "--target", f"127.0.0.1:{TELNETD_PORT}", 6000, folder=folders["sproxy.bin"])
    cproxy = world.cproxy(net.client, 5000, net.server_address, 6000, folder=folders["cproxy.bin"])
    held = telnet(world, net.client, "127.0.0.1", 5000, "telnet-holdfast").shell().ping()

    def ask(proxy):
        return harness.run(folders[f"{proxy.name}.bin"] / proxy.name, "upgrade", proxy.pid, check=False)

    for proxy in (cproxy, sproxy):
        folder = folders[f"{proxy.name}.bin"]
        library = f"libholdfast-{proxy.name}.so"
        for number in (1, 2):
            install(ours, folder, proxy.name)
            installed = (folder / library).stat().st_ino
            held.type_something()
            answer = ask(proxy)
            world.check(answer.returncode == 0 and "was upgraded in" in answer.stdout, f"upgrade {number} of {proxy.name}: {answer.stdout.strip()}")
            world.same(library_of(proxy.worker, library), installed, "the worker runs the file that is installed now")
            held.until_typed_arrived()
            held.until_pings(3)
        others = ours.parent / "tests" / "next"
        for version, origin in (("next", others / "next"), ("earlier", ours)):
            install(origin, folder, proxy.name)
            installed = (folder / library).stat().st_ino
            held.type_something()
            answer = ask(proxy)
            world.check(answer.returncode == 0, f"the {version} version goes on: {answer.stdout.strip()}{answer.stderr.strip()}")
            world.same(library_of(proxy.worker, library), installed, "the worker runs that one")
            held.until_typed_arrived()
            held.until_pings(3)
        install(others / "stranger", folder, proxy.name)
        worker = proxy.worker
        answer = ask(proxy)
        world.check(answer.returncode == 1 and "goes on as it is" in answer.stderr, f"a strange version refuses: {answer.stderr.strip()}")
        world.check("layout" in proxy.log(), "the log says why")
        world.same(proxy.worker, worker, "its worker was left alone")
        held.type_something()
        held.until_typed_arrived()
        held.until_pings(3)
    held.faultless()
    held.leave()


def install(origin, folder, name):
    """As a package does it: other files under the same names."""
    for file in (name, f"libholdfast-{name}.so"):
        shutil.copy2(origin / file, folder / f"{file}.new")
        (folder / f"{file}.new").rename(folder / file)


def library_of(pid, library):
    """The inode of the library that a process has loaded."""
    return next(int(line.split()[4]) for line in open(f"/proc/{pid}/maps") if library in line)


# Writing these words kills the writer, as a mistake in our code might that only some bytes bring out.
POISON = b"poison-pill"
LIE = f"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
ssize_t sendmsg( int fd, const struct msghdr* message, int flags )
{{
  for ( size_t i = 0; i < message->msg_iovlen; ++i ) {{
    if ( memmem( message->msg_iov[i].iov_base, message->msg_iov[i].iov_len, "{POISON.decode()}", {len(POISON)} ) ) {{
      raise( SIGSEGV );
    }}
  }}
  return ( (ssize_t ( * )( int, const struct msghdr*, int ))dlsym( RTLD_NEXT, "sendmsg" ) )( fd, message, flags );
}}
"""


def blame(world):
    net = harness.Routed(world)
    target = Listener(world, net.server, 7000)
    lied_to = world.lied_to(LIE)
    lied_to[-1] += ":handle_segv=0"  # ASan would make an exit of it, and a worker that ends by itself is not replaced
    sproxy = world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000, before=lied_to)
    world.cproxy(net.client, 5000, net.server_address, 6000)
    good = pair(world, net, target)
    for _ in range(4):
        world.during_quietly(0.2)  # the last acknowledgement is there, so nobody is served
        sproxy.mark()
        os.kill(sproxy.worker, signal.SIGSEGV)
        world.recovered(sproxy)
        greet(world, *good, b"still here")
    world.say("true: crashes while nobody is served cost no session")

    bad, far = pair(world, net, target)
    sproxy.mark()
    bad.write(POISON)
    world.until(lambda: bad.over and far.over, 30, "the session that kills workers to be ended")
    crashes = sum("was killed by signal 11" in line for line in sproxy.since())
    world.same(crashes, 2, "it killed two workers, and the third one closed it")
    greet(world, *good, b"and still")
    world.say("true: the other session goes on")


def scenario(world):
    {"killed": killed, "upgrade": upgrade, "blame": blame}[part](world)


harness.main(scenario)
