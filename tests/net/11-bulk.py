#!/usr/bin/python3
"""
   client                              [router]            server
   app -> cproxy       eth0 ═══════════════════════ eth0   sproxy -> target
     200 MB >                                                < 200 MB

Goal of this test: 200 MB each way at once through ten moves, back and forth between two networks. Every byte that
arrives is compared with the byte that belongs at its position, and in the end the hashes are equal at both ends.
"""

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

    def arrived(share):
        return app.got >= SIZE * share and far.got >= SIZE * share

    for number in range(1, 11):
        # The tenth comes with 40 MB still to go each way: 10 MB arrive between two looks.
        world.until(lambda: arrived(number * 0.08), 60, lambda: f"{number * 8} % to arrive both ways ({app!r}, {far!r})")
        if number % 3 == 0:
            net.go_away()
            world.during(0.3, "without any address")
            net.come_back(net.next_address())
        else:
            net.move(net.next_address())

    world.check(not arrived(1), "the tenth move came before the end of the transfer")
    world.until(lambda: app.ends and far.ends, 60, lambda: f"the end of both streams ({app!r}, {far!r})")
    world.same((far.got, app.got), (SIZE, SIZE), "200 MB arrived at each end")
    world.same(far.sha256(), up.sha256(SIZE), "the target has what the app sent")
    world.same(app.sha256(), down.sha256(SIZE), "the app has what the target sent")
    world.say(f"memory: cproxy {cproxy.memory_kib()} KiB, sproxy {sproxy.memory_kib()} KiB")


harness.main(scenario)
