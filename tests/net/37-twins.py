#!/usr/bin/python3
"""
   client                              [router]            server
   app  -> cproxy      eth0 ═══════════════════════ eth0   sproxy -> target
   app2 -> cproxy-two  (a copy of the whole machine, its key included)

Goal of this test: two cproxies that are the same client, because a machine was copied. The one that was started later has
the tunnel; the other one is told why it gets none, asks again without making a storm of it, and a third client beside them
notices nothing. As soon as the later one is gone, the other's sessions live.
"""

import time

import harness
from flows import Listener, dial


def scenario(world):
    net = harness.Routed(world)
    copy = world.namespace("copy")
    harness.wire(copy, "eth0", net.router, "c1")
    net.router.ip("addr add 10.3.0.1/24 dev c1")
    copy.ip("addr add 10.3.0.10/24 dev eth0")
    copy.ip("route add default via 10.3.0.1")
    target = Listener(world, net.server, 7000)
    sproxy = world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000)
    world.cproxy(net.client, 5001, net.server_address, 6000, name="cproxy-other")
    other = dial(world, net.client, "127.0.0.1", 5001, "other")
    other_far = target.next()

    state = world.folder / "twins"
    one = world.cproxy(net.client, 5000, net.server_address, 6000, name="cproxy-one", state=state)
    two = world.cproxy(copy, 5000, net.server_address, 6000, name="cproxy-two", state=state)
    began, spent = time.monotonic(), [proxy.cpu_seconds() for proxy in (one, two, sproxy)]
    apps = []
    while time.monotonic() < began + 15:
        for space in (net.client, copy):  # programs that try again and again
            app = dial(world, space, "127.0.0.1", 5000, "app")
            app.write(b"hello")
            apps.append(app)
        other.write(b"x")
        world.during_quietly(0.25)
    lasted = time.monotonic() - began
    spent = [proxy.cpu_seconds() - before for proxy, before in zip((one, two, sproxy), spent)]
    world.until(lambda: len(other_far.text) == other.sent, 15, "the other client's bytes")
    world.check(not other.over, "the other client goes on beside them")
    tunnels = len(sproxy.lines("new, link from"))  # once it was four a second
    world.check(max(spent) < 0.3 * lasted, f"{tunnels} tunnels were made in {lasted:.0f} s; processor time {[round(s, 2) for s in spent]}")
    world.check(tunnels < lasted, "that is no storm")
    world.check(len(one.log().splitlines()) + len(two.log().splitlines()) < 40 + len(apps) * 2, "nor is it one in the logs")
    world.until(lambda: sproxy.lines("its client started anew") and one.lines("copy of our state directory"), 15,
                "sproxy and the one that gets no tunnel to say what they think is going on")

    two.kill()
    for app in apps:
        app.close()
    app = None

    def works():
        nonlocal app
        if app is None or app.over:
            app = dial(world, net.client, "127.0.0.1", 5000, "app")
            app.write(b"alone again")
        return any(bytes(end.text) == b"alone again" for end in target.ends)

    world.until(works, 90, "a session of the one that is left, which asks every minute at the least by now")
    world.during(3, "to see that it stays")
    world.check(not app.over, "alone again, its sessions live")


harness.main(scenario)
