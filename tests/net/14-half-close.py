#!/usr/bin/python3
"""
   client                              [router]            server
   app -> cproxy       eth0 ═══════════════════════ eth0   sproxy -> target

Goal of this test: the ends of the two streams are carried one by one. Whoever ends its stream first, before, in or
after an outage, the other stream goes on; each end arrives once, after the last byte before it.
"""

import harness
from flows import Listener, Source, dial

SIZE = 3_000_000


def scenario(world):
    net = harness.Routed(world)
    target = Listener(world, net.server, 7000)
    world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000)
    world.cproxy(net.client, 5000, net.server_address, 6000)

    def pair():
        app = dial(world, net.client, "127.0.0.1", 5000, "app")
        far = target.next()
        app.expect(Source(1)), far.expect(Source(2))
        return app, far

    def outage(during=lambda: None):
        net.go_away()
        during()
        world.during(0.5, "without any address")
        net.come_back(net.next_address())

    def transfer(one, other, source):
        """One end sends everything and ends; the other has everything and the end."""
        one.send(source, SIZE, then_end=True)
        world.until(lambda: other.ends == 1 and other.got == SIZE, 30, lambda: f"a stream and its end ({one!r}, {other!r})")

    for who in ("app", "target"):
        def ends():
            app, far = pair()
            return (app, far, Source(2), Source(1)) if who == "app" else (far, app, Source(1), Source(2))

        first, second, its, others = ends()
        transfer(first, second, its)
        outage()
        world.check(not first.over, f"the {who} ended its stream; an outage later its other stream is still open")
        transfer(second, first, others)
        world.say(f"true: the {who} ends first, then an outage: the other stream flows, and each end came once")

        first, second, its, others = ends()
        outage(lambda: first.send(its, SIZE, then_end=True))
        world.until(lambda: second.ends == 1 and second.got == SIZE, 30, lambda: f"the stream sent into the outage ({second!r})")
        world.check(not first.over, f"the {who} ended its stream in an outage; its other stream is still open")
        transfer(second, first, others)
        world.say(f"true: the {who} ends in the outage: all its bytes and the end came, the other stream flows")

        first, second, its, others = ends()
        first.send(its, SIZE, then_end=True)
        outage(lambda: second.send(others, SIZE, then_end=True))
        world.until(lambda: first.ends == 1 and second.ends == 1, 30, lambda: f"both ends ({first!r}, {second!r})")
        world.same((first.got, second.got), (SIZE, SIZE), f"the {who} ends first, the other in the outage: both whole")

    world.until(lambda: not net.client.connections(5000) and not net.server.connections(7000), 10,
                "the sockets of ended sessions to be gone")
    world.say("true: ended sessions left no socket at the proxies")


harness.main(scenario)
