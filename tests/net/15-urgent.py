#!/usr/bin/python3
"""
   client                              [router]            server
   app -> cproxy       eth0 ═══════════════════════ eth0   sproxy -> target

Goal of this test: a byte sent with the urgent mark (telnet marks its interrupts so) is not lost from the stream,
and stands at its place. The mark itself need not be carried.
"""

import harness
from flows import Listener, dial, urgent


def scenario(world):
    net = harness.Routed(world)
    target = Listener(world, net.server, 7000)
    world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000)
    world.cproxy(net.client, 5000, net.server_address, 6000)
    app = dial(world, net.client, "127.0.0.1", 5000, "app")
    far = target.next()

    for number in range(20):
        for one, other, name in ((app, far, "target"), (far, app, "app")):
            before = len(other.text)
            one.write(b"before ")
            urgent(one, b"it!")
            one.write(b" after\n")
            if number == 10 and one is app:
                net.move("10.2.0.10")
            world.until(lambda: len(other.text) >= before + 17, 15, lambda: f"all bytes at the {name}: {bytes(other.text[before:])}")
            world.check(bytes(other.text[before:]) == b"before it! after\n", f"round {number}: the {name} got everything in order") \
                if number in (0, 19) else None
            if bytes(other.text[before:]) != b"before it! after\n":
                raise harness.Failure(f"the {name} got {bytes(other.text[before:])}")


harness.main(scenario)
