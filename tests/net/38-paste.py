#!/usr/bin/python3
"""
   client                              [router]            server
   app -> cproxy       eth0 ═══════════════════════ eth0   sproxy -> echo

Goal of this test: a large paste into a program that echoes. The program is as simple as they come: it reads a little,
writes the same back and reads no more until that has been taken. Twenty megabytes go through it and come back, with small
buffers on the way and moves in the middle; and a session beside it is answered all the time.
"""

import time

import harness
from flows import Listener, Source, dial

SIZE = 20_000_000


class Echo:
    """The simple program on one connection."""

    def __init__(self, end):
        self.end = end
        end._readable = self.read

    def read(self):
        if not self.end._raw:
            try:
                data = self.end.sock.recv(4096)
            except OSError as error:
                return self.end._fail(error)
            if not data:
                self.end.ends += 1
                self.end.end()
                return self.end._watch()
            self.end.write(data)
        if self.end._raw:  # not taken yet: read no more until it is
            self.end.pause()
            self.end.world.echoes.append(self)

    def go_on(self):
        if not self.end._raw:
            self.end.resume()
        return not self.end._raw


def scenario(world):
    net = harness.Routed(world)
    world.echoes = []
    for space in (net.client, net.server):
        for which in ("tcp_rmem", "tcp_wmem"):
            space.run("sysctl", "-qw", f"net.ipv4.{which}=4096 16384 32768")
    target = Listener(world, net.server, 7000, on_accept=Echo)
    world.sproxy(net.server, "--window", "64KiB", "--target", "127.0.0.1:7000", 6000)
    world.cproxy(net.client, "--window", "64KiB", 5000, net.server_address, 6000)
    paste = Source(1)
    app = dial(world, net.client, "127.0.0.1", 5000, "app").expect(paste)
    beside = dial(world, net.client, "127.0.0.1", 5000, "beside")
    world.until(lambda: len(target.ends) == 2, 10, "both sessions")
    app.send(paste, SIZE, then_end=True)
    slowest, words, moved, began = 0.0, 0, 0, time.monotonic()
    while app.got < SIZE:
        words += 1
        word = b"word %d\n" % words
        asked = time.monotonic()
        beside.write(word)
        while not beside.text.endswith(word):
            world.turn(0.005)
            world.echoes = [echo for echo in world.echoes if not echo.go_on()]
            if time.monotonic() - asked > 15:
                raise harness.Failure(f"no answer to {word}; {app!r}")
        slowest = max(slowest, time.monotonic() - asked)
        if app.got > SIZE * (moved + 1) / 5:
            moved += 1
            net.move(net.next_address())
        if time.monotonic() - began > 90:
            raise harness.Failure(f"the paste is stuck: {app!r}")
    world.until(lambda: app.ends, 10, "the echo's end")
    world.same((app.got, app.sha256()), (SIZE, paste.sha256(SIZE)), f"20 MB came back in {time.monotonic() - began:.1f} s, {moved} moves in between")
    world.check(slowest < 12, f"{words} words beside it were answered, the slowest in {1000 * slowest:.0f} ms")


harness.main(scenario)
