#!/usr/bin/python3
"""
   client                              [router]            server
   10,000 apps, in turn          -> cproxy ════════ eth0   sproxy -> target
   10,000 strangers ───────────────────────────────────▶

Goal of this test: what comes and goes leaves nothing. After 10,000 sessions that ended in every way, and as many
handshakes that came to nothing, both proxies have the descriptors and the memory that they had before.

    34-baseline.py [HOW MANY OF EACH]
"""

import sys
import time

import harness
import tls
import wire
from flows import Listener, dial

COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
AT_ONCE = 100


class Life:
    """One session: the app says something, the target answers with the same, and then it ends in one of four ways."""

    def __init__(self, world, net, number):
        self.number, self.told = number, False
        self.app = dial(world, net.client, "127.0.0.1", 5000, f"app{number}")
        self.app.write(b"%06d" % number)

    def over(self):
        if not self.app.over and not self.told and len(self.app.text) == 6:
            self.told = True
            way = self.number % 3
            if way == 0:
                self.app.end()
            elif way == 1:
                self.app.reset()
            else:
                self.app.write(b"!")  # the target resets it
        if self.app.over:
            self.app.close()
        return self.app.over


def scenario(world):
    net = harness.Routed(world)

    def answer(end):
        """A target's end: repeats the number, ends when its app does."""
        def look():
            if end.over:
                end.close()
                return True
            if end.text and not end.sent and not end._raw:
                end.write(bytes(end.text[:6]))
            if len(end.text) > 6:
                end.reset()
                return True
            return False

        living.append(look)

    living = []
    target = Listener(world, net.server, 7000, on_accept=answer)
    sproxy = world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000)
    cproxy = world.cproxy(net.client, 5000, net.server_address, 6000)
    beside = dial(world, net.client, "127.0.0.1", 5000, "beside")
    beside.write(b"beside")
    world.until(lambda: living, 10, "the session beside")
    living.clear()

    def sessions(count):
        lives, begun, done = [], 0, 0
        while done < count:
            while begun < count and len(lives) < AT_ONCE:
                lives.append(Life(world, net, begun))
                begun += 1
            world.turn(0.01)
            living[:] = [look for look in living if not look()]
            ended = [life for life in lives if life.over()]
            lives = [life for life in lives if life not in ended]
            done += len(ended)
        world.until(lambda: not [look for look in living if not look()], 20, "the last targets to end")
        living.clear()
        target.ends.clear()

    beginning = wire.greeting(wire.hello()) if world.insecure else tls.client_hello()
    kinds = [(dial, lambda: b"GET / HTTP/1.1\r\n\r\n"), (dial, lambda: beginning[:77]), (dial, lambda: b""),
             (tls.dial_link, lambda: wire.greeting(wire.hello(magic=b"NOPE"))),
             (tls.dial_link, lambda: wire.greeting(wire.hello(purpose=2, proof=bytes(32))))]

    def handshakes(count):
        strangers, begun, done = [], 0, 0
        while done < count:
            while begun < count and len(strangers) < AT_ONCE:
                begin, words = kinds[begun % len(kinds)]
                end = begin(world, net.client, net.server_address, 6000, "stranger")
                end.write(words())
                end.born = time.monotonic()
                strangers.append(end)
                begun += 1
            world.turn(0.01)
            now = time.monotonic()
            finished = [end for end in strangers if end.over or (end.connected and end.sent_all() and now - end.born > 0.03)]
            for end in finished:
                end.reset() if not end.over and begun % 2 else end.close()
            strangers = [end for end in strangers if end not in finished]
            done += len(finished)

    def rest():
        """What both hold when nothing is under way."""
        world.until(lambda: len(net.server.connections(7000)) <= 2 and len(net.client.connections(5000)) <= 2, 20, "the sockets to go")
        world.during(6, "the last strangers lose their five seconds")
        return [(proxy.descriptors(), proxy.memory_kib()) for proxy in (cproxy, sproxy)]

    sessions(300), handshakes(300)
    before = rest()
    began = time.monotonic()
    sessions(COUNT)
    world.say(f"{COUNT} sessions in {time.monotonic() - began:.1f} s")
    began = time.monotonic()
    handshakes(COUNT)
    world.say(f"{COUNT} handshakes that came to nothing in {time.monotonic() - began:.1f} s")
    after = rest()
    for proxy, (descriptors, memory), (descriptors_after, memory_after) in zip((cproxy, sproxy), before, after):
        # A link that was suspected beside so much else may be replaced just now.
        world.until(lambda: proxy.descriptors() <= descriptors, 20, lambda: f"{proxy.name} to have {descriptors} descriptors, not {descriptors_after}")  # noqa: B023
        world.say(f"true: {proxy.name} has the descriptors that it had ({descriptors})")
        if "libasan" not in open(f"/proc/{proxy.worker}/maps").read():
            world.check(memory_after - memory < 2048, f"{proxy.name} has {memory_after - memory} KiB more than before")
    world.check(not beside.over, "the session beside is still there")


harness.main(scenario)
