#!/usr/bin/python3
"""
   client                              [router]            server
   app -> cproxy       eth0 ═══════════════════════ eth0   sproxy -> target
   sends, reads not                                                sends, reads not

Goal of this test: both windows of a session are full, everything unacknowledged on both sides, and now the link is
replaced: both have megabytes to say again at the same moment. Whoever first wrote everything and then read would hang
here for ever. And when the link is replaced again and again in the middle of that, it still ends well.
"""

import harness
from flows import Listener, Source, dial

SIZE = 60_000_000


def scenario(world):
    net = harness.Routed(world)
    target = Listener(world, net.server, 7000)
    world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000)
    world.cproxy(net.client, 5000, net.server_address, 6000)
    up, down = Source(1), Source(2)
    app = dial(world, net.client, "127.0.0.1", 5000, "app").expect(down)
    far = target.next().expect(up)
    world.until(lambda: app.connected, 10, "the session")

    def fill():
        """Nobody reads until nothing moves any more."""
        app.pause(), far.pause()
        before = -1
        while before != app.sent + far.sent:
            before = app.sent + far.sent
            world.during(0.5, "nobody reads, the windows fill")
        world.say(f"the app could send {app.sent - far.got} bytes more than arrived, the target {far.sent - app.got}")

    app.send(up, SIZE)
    far.send(down, SIZE)
    fill()
    net.move(net.next_address())
    app.resume(), far.resume()
    world.until(lambda: app.got > SIZE // 2 and far.got > SIZE // 2, 30, lambda: f"half of it to arrive ({app!r}, {far!r})")
    world.say("true: both sides said again what was missing, while reading")

    fill()
    for pause in (0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.05, 0.4):
        net.move(net.next_address())
        app.resume(), far.resume()
        world.during(pause, "and the next move")
    app.send(up, SIZE, then_end=True)
    far.send(down, SIZE, then_end=True)
    world.until(lambda: app.ends and far.ends, 60, lambda: f"both streams to end ({app!r}, {far!r})")
    world.same((app.sha256(), far.sha256()), (down.sha256(SIZE), up.sha256(SIZE)), "every byte arrived, both ways")


harness.main(scenario)
