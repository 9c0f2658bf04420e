#!/usr/bin/python3
"""
   client                              [router]            server
   app -> cproxy       eth0 ═══════════════════════ eth0   sproxy -> target

Goal of this test: no clock and no pause of our own machine is taken for silence of the other side.

    wall      the wall clock of both proxies jumps by hours, back and forth, twice a second: an idle link is left alone
    late      cproxy is stopped again and again, for longer than any limit of silence: when it wakes it reads first, and
              finds the heartbeats that arrived meanwhile
    sleep     both stand still for longer than every patience they have (a suspended machine: their clock is the one that
              counts on during suspend), and the sessions go on

    29-clocks.py wall | late | sleep
"""

import re
import signal
import subprocess
import sys
import time

import harness
import wire
from flows import Listener, ask, dial
from peer import Peer

part = sys.argv[1] if len(sys.argv) > 1 else "wall"

# The wall clock as a drunken administrator would set it; other clocks are left as they are.
JUMPY = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>
static int real( clockid_t id, struct timespec* at )
{
  static int ( *next )( clockid_t, struct timespec* );
  if ( !next )
    next = (int ( * )( clockid_t, struct timespec* ))dlsym( RTLD_NEXT, "clock_gettime" );
  return next( id, at );
}
static long jump( void )
{
  struct timespec at;
  real( CLOCK_MONOTONIC, &at );
  return ( at.tv_sec * 2 + at.tv_nsec / 500000000 ) % 2 ? 5 * 3600 : -3 * 3600;
}
int clock_gettime( clockid_t id, struct timespec* at )
{
  int result = real( id, at );
  if ( id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE )
    at->tv_sec += jump();
  return result;
}
int gettimeofday( struct timeval* at, void* zone )
{
  struct timespec now;
  (void)zone;
  clock_gettime( CLOCK_REALTIME, &now );
  at->tv_sec = now.tv_sec;
  at->tv_usec = now.tv_nsec / 1000;
  return 0;
}
time_t time( time_t* at )
{
  struct timespec now;
  clock_gettime( CLOCK_REALTIME, &now );
  if ( at )
    *at = now.tv_sec;
  return now.tv_sec;
}
"""


def pair(world, net, target):
    app = dial(world, net.client, "127.0.0.1", 5000, "app")
    far = target.next()
    words = 0

    def talk(timeout=15):
        nonlocal words
        words += 1
        ask(world, app, far, b"word %d\n" % words, timeout)

    talk()
    return talk


def wall(world, net, target):
    jumpy = world.lied_to(JUMPY)
    sproxy = world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000, before=jumpy)
    cproxy = world.cproxy(net.client, "--misses", "10", 5000, net.server_address, 6000, before=jumpy)
    talk = pair(world, net, target)
    world.until(lambda: cproxy.lines("connected"), 15, "the log")
    cproxy.mark(), sproxy.mark()
    for _ in range(5):
        world.during_quietly(1)
        talk()
    world.same((cproxy.since(), sproxy.since()), ([], []), "neither proxy says anything while the wall clock jumps by eight hours")
    hours = set()
    for number in range(20):  # lines at different times, to see that the clock really jumped; it may be so each time just before we look
        net.move(net.next_address())
        talk()
        hours = set(re.findall(r"^\S+ (\d\d):", cproxy.log(), re.M))
        if len(hours) >= 2:
            break
        world.during_quietly(0.25 + 0.05 * number)
    world.check(len(hours) >= 2, f"their wall clock did jump: their logs are from {sorted(hours)} o'clock")


def late(world, net, target):
    world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000)
    cproxy = world.cproxy(net.client, "--misses", "10", 5000, net.server_address, 6000)
    talk = pair(world, net, target)
    cproxy.mark()
    for length in (1.2, 3, 1.05, 2, 1.5, 1.1):
        cproxy.signal(signal.SIGSTOP)
        world.during(length, "cproxy stands still")
        cproxy.signal(signal.SIGCONT)
        world.during_quietly(0.5)
        talk()
    world.same(cproxy.since(), [], "six times late, and cproxy neither suspected its link nor dialled another one")


def sleep(world, net, target):
    # Patience follows --keep: a link is hopeless after 4 s, and what is detached is over after 4 s.
    sproxy = world.sproxy(net.server, "--keep", "4s", "--target", "127.0.0.1:7000", 6000)
    cproxy = world.cproxy(net.client, "--keep", "4s", 5000, net.server_address, 6000)
    talk = pair(world, net, target)
    for who in ([cproxy, sproxy], [sproxy, cproxy]):
        for proxy in who:
            proxy.signal(signal.SIGSTOP)
        world.during(9, f"both sleep, longer than all their patience; {who[0].name} wakes first")
        for proxy in who:
            proxy.signal(signal.SIGCONT)
            world.during_quietly(0.1)
        woke = time.monotonic()
        talk()
        world.check(time.monotonic() - woke < 8, f"awake again, the session goes on after {1000 * (time.monotonic() - woke):.0f} ms")

    # Their clock is CLOCK_BOOTTIME, which did not stand still: a heartbeat's stamp tells.
    if subprocess.run(["unshare", "--time", "--boottime", "864000", "true"], capture_output=True).returncode != 0:
        world.say("no time namespaces here: which clock it is was not looked at")
        return
    net.server.start("sproxy-ten-days", "unshare", "--time", "--boottime", "864000", harness.holdfast("sproxy"), "--target",
                     "127.0.0.1:7000", 6001)
    world.until(lambda: net.server.listens(6001), 10, "another sproxy to listen")
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    link = Peer(world, net.client, net.server_address, 6001).new_tunnel()
    stamp = link.expect(wire.HEARTBEAT)[2] / 1e6
    world.check(abs(stamp - now - 864000) < 60, f"a machine that slept for ten days says so in its stamps ({stamp - now:.0f} s ahead)")


def scenario(world):
    net = harness.Routed(world)
    target = Listener(world, net.server, 7000)
    {"wall": wall, "late": late, "sleep": sleep}[part](world, net, target)


harness.main(scenario)
