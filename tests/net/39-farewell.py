#!/usr/bin/python3
"""
   client                              [router]            server
   app -> cproxy       eth0 ═══════════════════════ eth0   sproxy -> target
      megabytes >                                             < megabytes

Goal of this test: last words arrive, however much is under way. A proxy that is stopped in the middle of a transfer closes
a connection with unread bytes in it, and the kernel then sends a reset that may overtake what was written last. The other
side must be told all the same, and at once, or it would keep the session for a day. And the end of a session must not
overtake its last bytes, when a program closes with bytes from the other side unread.

    39-farewell.py
"""

import signal
import time

import harness
from flows import Listener, Source, dial

SIZE = 500_000_000


def scenario(world):
    net = harness.Routed(world)
    target = Listener(world, net.server, 7000)
    sproxy = world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000)

    for number in range(12):
        if number == 8:
            for port in ("c0", "s0"):
                net.router.run("tc", "qdisc", "add", "dev", port, "root", "tbf", "rate", "8mbit", "burst", "16kb", "latency", "400ms")
            world.say("the line is slow now, and its queues are long")
        who = "cproxy" if number % 2 == 0 else "sproxy"
        cproxy = world.cproxy(net.client, 5000, net.server_address, 6000, name=f"cproxy{number}", state=world.folder / f"state{number}")
        app = dial(world, net.client, "127.0.0.1", 5000, "app").expect(Source(2))
        far = target.next().expect(Source(1))
        if number % 4 < 2:  # both ways, or only towards the one that is stopped, which then has unread bytes
            app.send(Source(1), SIZE)
            far.send(Source(2), SIZE)
        elif who == "cproxy":
            far.send(Source(2), SIZE)
        else:
            app.send(Source(1), SIZE)
        world.until(lambda: app.got + far.got > 2_000_000, 30, "megabytes to flow")
        stopped, other = (cproxy, far) if who == "cproxy" else (sproxy, app)
        stopped.expected_end = True
        stopped.signal(signal.SIGTERM)
        began = time.monotonic()
        world.until(lambda: other.over, 15, lambda: f"the other side to be told that {who} was stopped")
        took = time.monotonic() - began
        world.check(took < 10, f"{who} is stopped in the middle of a transfer: the other side is told after {1000 * took:.0f} ms")
        app.close(), far.close()
        world.same(stopped.wait(10), 0, f"{who} ends orderly")
        if who == "sproxy":
            sproxy = world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000)
            cproxy.kill()

    for port in ("c0", "s0"):
        net.router.run("tc", "qdisc", "del", "dev", port, "root")
    world.cproxy(net.client, 5000, net.server_address, 6000)
    for number in range(20):
        app = dial(world, net.client, "127.0.0.1", 5000, "app")
        far = target.next().expect(Source(1))
        far.send(Source(2), 300_000)
        app.pause()
        app.send(Source(1), 300_000 + number, then_end=True)
        world.until(lambda: far.ends == 1, 15, lambda: f"all bytes and the end of an app that reads nothing ({far!r})")
        world.check_quietly(far.got == 300_000 + number, f"{far.got} bytes arrived before the end, of {300_000 + number}")
        app.close(), far.close()
    world.say("true: 20 times an app ended its stream with megabytes for it unread, and its last byte came before the end")


harness.main(scenario)
