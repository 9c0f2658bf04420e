#!/usr/bin/python3
"""
   client                              [router]            server
   200 apps -> cproxy  eth0 ═════ one link ════════ eth0   sproxy -> 200 targets

Goal of this test: two hundred sessions, each with its own bytes both ways, live through one move in the middle of
their transfers. Afterwards, too, they share one link: the move cost one handshake.
"""

import struct

import harness
from flows import Listener, Source, dial

SESSIONS, SIZE = 200, 300_000


def scenario(world):
    net = harness.Routed(world)
    target = Listener(world, net.server, 7000)
    world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000)
    world.cproxy(net.client, 5000, net.server_address, 6000)

    # Each app first says its number, so that we know which target is its own.
    apps = []
    for number in range(SESSIONS):
        app = dial(world, net.client, "127.0.0.1", 5000, f"app{number}")
        app.write(struct.pack("!I", number))
        apps.append(app)
    world.until(lambda: len(target.ends) == SESSIONS and all(len(end.text) == 4 for end in target.ends), 30,
                "200 sessions to be open")
    fars = {struct.unpack("!I", end.text)[0]: end for end in target.ends}
    world.same(sorted(fars), list(range(SESSIONS)), "200 sessions are open, each with a target of its own")
    net.client.one_link()
    world.say("true: they share one link")

    for number, app in enumerate(apps):
        far = fars[number]
        app.got = app.sent = far.got = far.sent = 0
        app.expect(Source(1000 + number))
        far.expect(Source(2000 + number))
        app.send(Source(2000 + number), SIZE // 2)
        far.send(Source(1000 + number), SIZE // 2)
    ends = apps + list(fars.values())
    world.until(lambda: all(end.got > 1000 for end in ends), 30, "all to be in the middle of their transfer")
    net.move("10.2.0.77")
    for end in ends:
        end.send(end._source, SIZE, then_end=True)
    world.until(lambda: all(end.got == SIZE and end.ends == 1 for end in ends), 60,
                "every stream to arrive and to end")
    world.say(f"true: {2 * SESSIONS} streams of {SIZE} bytes arrived byte for byte, each with its end")
    world.until(lambda: len(net.client.links()) == 1 and net.client.links()[0].startswith("10.2.0.77:"), 20,
                "one link to be left, when the second one for bulk is not needed any more")
    world.say("true: one link from the new address has carried them all, with one for bulk beside it")


harness.main(scenario)
