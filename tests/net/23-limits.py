#!/usr/bin/python3
"""
   client                              [router]            server
   apps -> cproxy      eth0 ═══════════════════════ eth0   sproxy -> targets
   --max-sessions 5, --memory 4MiB                         --memory 4MiB

Goal of this test: limits are kept without loss. One app too many is reset and one line says so; room comes back when
a session ends. With a small budget of memory and many sessions whose programs do not read, the senders are held back,
memory stays small, and when the programs read again every byte is there, an outage in between or not.

    23-limits.py sessions | memory
"""

import sys

import harness
from flows import Listener, Source, dial

part = sys.argv[1] if len(sys.argv) > 1 else "sessions"


def sessions(world, net, target):
    world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000)
    cproxy = world.cproxy(net.client, "--max-sessions", "5", 5000, net.server_address, 6000)

    def pair():
        app = dial(world, net.client, "127.0.0.1", 5000, "app")
        far = target.next()
        app.write(b"hello")
        world.until(lambda: bytes(far.text) == b"hello", 10, lambda: f"a session to work ({app!r}, {far!r})")
        return app, far

    pairs = [pair() for _ in range(5)]
    for _ in range(3):
        cproxy.mark()
        extra = dial(world, net.client, "127.0.0.1", 5000, "one too many")
        world.until(lambda: extra.over, 10, "the sixth app to be told")
        world.check(extra.was_reset, "the sixth app is reset")
        lines = lambda: [line for line in cproxy.since() if "refused" in line]  # noqa: E731
        world.until(lines, 15, "a log line about it")
        world.same(len(lines()), 1, f"one line says why: {lines()[0]}")
    app, far = pairs.pop()
    app.close()
    world.until(lambda: far.over, 10, "the end of a session")
    far.close()
    world.until(lambda: not dial_fails(world, net, target, pairs), 15, "room for a new session")
    for app, far in pairs:
        app.write(b" again")
        world.until(lambda: bytes(far.text) == b"hello again", 10, "the others to go on")
    world.say("true: the others never noticed, and there is room again")


def dial_fails(world, net, target, pairs):
    app = dial(world, net.client, "127.0.0.1", 5000, "app")
    app.write(b"hello")
    before = len(target.ends)
    world.until(lambda: app.over or (len(target.ends) > before and bytes(target.ends[-1].text) == b"hello"), 10, "an answer")
    if not app.over:
        pairs.append((app, target.ends[-1]))
    return app.over


def memory(world, net, target):
    for space in (net.client, net.server):
        for which in ("tcp_rmem", "tcp_wmem"):  # small kernel buffers, so that it is the proxies that must hold back
            space.run("sysctl", "-qw", f"net.ipv4.{which}=4096 16384 65536")
    sproxy = world.sproxy(net.server, "--memory", "4MiB", "--target", "127.0.0.1:7000", 6000)
    cproxy = world.cproxy(net.client, "--memory", "4MiB", 5000, net.server_address, 6000)
    count, size = 40, 1_000_000
    light = cproxy.memory_kib(), sproxy.memory_kib()
    apps, fars = [], []
    for number in range(count):
        apps.append(dial(world, net.client, "127.0.0.1", 5000, f"app{number}").expect(Source(2)))
        fars.append(target.next().expect(Source(1)))
        apps[-1].pause(), fars[-1].pause()
        apps[-1].send(Source(1), size, then_end=True)
        fars[-1].send(Source(2), size, then_end=True)
    before = -1
    while before != sum(end.sent for end in apps + fars):
        before = sum(end.sent for end in apps + fars)
        world.during(0.5, "nobody reads")
    world.check(before < count * size, "the senders are held back")
    heavy = cproxy.memory_kib() - light[0], sproxy.memory_kib() - light[1]
    world.say(f"{before} of {2 * count * size} bytes are on their way; cproxy {heavy[0]} KiB more, sproxy {heavy[1]} KiB more")
    if "libasan" not in open(f"/proc/{cproxy.worker}/maps").read():
        world.check(max(heavy) < 16384, "both stay within their budget and a little for themselves")
    net.move(net.next_address())
    world.during(0.5, "still nobody reads")
    for end in apps + fars:
        end.resume()
    world.until(lambda: all(end.ends for end in apps + fars), 60,
                lambda: f"all to end ({[end for end in apps + fars if not end.ends][:3]})")
    right = Source(2).sha256(size), Source(1).sha256(size)
    world.check(all((app.sha256(), far.sha256()) == right for app, far in zip(apps, fars)), f"{2 * count} streams arrived whole")


def scenario(world):
    net = harness.Routed(world)
    target = Listener(world, net.server, 7000)
    {"sessions": sessions, "memory": memory}[part](world, net, target)


harness.main(scenario)
