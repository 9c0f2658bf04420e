#!/usr/bin/python3
"""
   client                              [router]            server
   app -> cproxy       eth0 ═══════════════════════ eth0   sproxy -> target

Goal of this test: a proxy that stands still for 3 s (SIGSTOP: a suspended machine, a debugger, swapping) in the middle
of traffic loses nothing, be it cproxy, sproxy or both; its own late clock is no proof that the other is dead.
"""

import signal

import harness
from flows import Listener, Source, dial

SIZE = 200_000_000


def scenario(world):
    net = harness.Routed(world)
    target = Listener(world, net.server, 7000)
    sproxy = world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000)
    cproxy = world.cproxy(net.client, 5000, net.server_address, 6000)
    up, down = Source(1), Source(2)
    app = dial(world, net.client, "127.0.0.1", 5000, "app").expect(down)
    far = target.next().expect(up)
    app.send(up, SIZE, then_end=True)
    far.send(down, SIZE, then_end=True)

    for share, stopped in ((0.1, [cproxy]), (0.35, [sproxy]), (0.6, [cproxy, sproxy])):
        # Of the faster way, whichever that is: it must not be over while the other one is halfway.
        world.until(lambda: max(app.got, far.got) > share * SIZE, 60, lambda: f"{share:.0%} one way ({app!r}, {far!r})")
        for proxy in stopped:
            proxy.signal(signal.SIGSTOP)
        world.during(3, " and ".join(proxy.name for proxy in stopped) + " stands still")
        world.check(app.got < SIZE and far.got < SIZE, "this happened in the middle of the transfer")
        for proxy in stopped:
            proxy.signal(signal.SIGCONT)

    world.until(lambda: app.ends and far.ends, 60, lambda: f"the end of both streams ({app!r}, {far!r})")
    world.same((far.sha256(), app.sha256()), (up.sha256(SIZE), down.sha256(SIZE)), "every byte arrived, both ways")


harness.main(scenario)
