#!/usr/bin/python3
"""
   client                              [router]            server
   app  -> cproxy      eth0 ═══════════════════════ eth0   sproxy -> target
   app2 -> cproxy-two

Goal of this test: what happens to sessions whose other half is really gone. A cproxy that was killed and started
again ends its own earlier sessions at sproxy, and no one else's; `sproxy --single` ends the session before for any
new one; `--keep 5s` ends a tunnel that nobody came back for; after a restart of sproxy the apps are told, and new
sessions work. Each time the target, or the app, sees the end, and one log line says why.

    18-restart.py cproxy | single | keep | sproxy
"""

import signal
import sys
import time

import harness
from flows import Listener, dial, greet, pair

part = sys.argv[1] if len(sys.argv) > 1 else "cproxy"


def restarted_cproxy(world, net, target):
    world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000)
    cproxy = world.cproxy(net.client, 5000, net.server_address, 6000)
    world.cproxy(net.client, 5001, net.server_address, 6000, name="cproxy-two")
    _, old = pair(world, net, target)
    _, older = pair(world, net, target)
    app2, far2 = pair(world, net, target, 5001)

    cproxy.kill()
    world.during(1, "cproxy is dead and nobody ended its sessions")
    world.check(not old.over, "sproxy keeps its session: it could be an outage")
    world.cproxy(net.client, 5000, net.server_address, 6000)
    app, far = pair(world, net, target)
    world.until(lambda: old.over and older.over, 10, "the targets of the earlier sessions to see their end")
    world.say("true: the restarted cproxy ended its own earlier sessions")
    greet(world, app, far, b"still here")
    greet(world, app2, far2, b"so am I")
    world.say("true: its new session works, and the session of the other cproxy was left alone")


def single(world, net, target):
    sproxy = world.sproxy(net.server, "--single", "--target", "127.0.0.1:7000", 6000)
    world.cproxy(net.client, 5000, net.server_address, 6000)
    world.cproxy(net.client, 5001, net.server_address, 6000, name="cproxy-two")
    before = pair(world, net, target)
    for port in (5000, 5001, 5000):
        sproxy.mark()
        now = pair(world, net, target, port)
        world.until(lambda: before[0].over and before[1].over, 10, lambda: f"the session before to end ({before})")
        greet(world, *now, b"mine alone")
        world.say(f"true: a new session by port {port} ended the one before")
        before = now
    net.move(net.next_address())
    greet(world, *before, b"moved")
    world.say("true: a move is not a new session")


def keep(world, net, target):
    sproxy = world.sproxy(net.server, "--keep", "5s", "--target", "127.0.0.1:7000", 6000)
    cproxy = world.cproxy(net.client, 5000, net.server_address, 6000)
    app, far = pair(world, net, target)
    net.go_away()
    world.during(1, "without any address, less than --keep")
    net.come_back(net.next_address())
    greet(world, app, far, b"in time")
    world.say("true: back within --keep, the session goes on")

    sproxy.mark(), cproxy.mark()
    gone = time.monotonic()
    net.go_away()
    world.until(lambda: far.over, 30, "the target to see the end")
    lasted = time.monotonic() - gone  # of silence as long as --keep, and then --keep
    world.check(4.9 < lasted < 25, f"the target saw the end {lasted:.1f} s after the link was lost")
    net.come_back(net.next_address())
    world.until(lambda: app.over, 15, "the app to be told")
    world.check(app.was_reset, "the app is reset: it must not take this for an orderly end")
    for proxy in (sproxy, cproxy):
        world.check(proxy.since(), f"{proxy.name} says why:\n    " + "\n    ".join(proxy.since()[-5:]))
    pair(world, net, target)
    world.say("true: a new session works")


def restarted_sproxy(world, net, target):
    sproxy = world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000)
    cproxy = world.cproxy(net.client, 5000, net.server_address, 6000)
    for how in (signal.SIGKILL, signal.SIGTERM):
        pairs = [pair(world, net, target) for _ in range(3)]
        cproxy.mark()
        sproxy.expected_end = True
        sproxy.signal(how)
        sproxy.wait(15)
        world.until(lambda: all(far.over for _, far in pairs), 10, "the targets to see the end")
        sproxy = world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000)
        world.until(lambda: all(app.over for app, _ in pairs), 20, "the apps to be told")
        world.check(all(app.was_reset for app, _ in pairs) or how == signal.SIGTERM, "the apps were reset")
        said = cproxy.since()
        world.check(0 < len(said) < 15, f"cproxy says why, in few words ({how.name}):\n    " + "\n    ".join(said))
        pair(world, net, target)
        world.say("true: a new session works")


def scenario(world):
    net = harness.Routed(world)
    target = Listener(world, net.server, 7000)
    {"cproxy": restarted_cproxy, "single": single, "keep": keep, "sproxy": restarted_sproxy}[part](world, net, target)


harness.main(scenario)
