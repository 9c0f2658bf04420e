#!/usr/bin/python3
"""
   client                              [router]            server
   app    -> cproxy    eth0 ═══════════════════════ eth0   sproxy -> target
   others ->                                                      -> the target's SYNs are swallowed

Goal of this test: whatever somebody waits for, nobody else waits with him. While sproxy dials a target that does not
answer, for many sessions at once, a session beside them goes on, others come and go, and links move. While cproxy's own
dials vanish in a black hole, the old link goes on being used as soon as it speaks again.
"""

import time

import harness
from flows import Listener, ask, dial


SOON = 5  # seconds; sproxy waits for ten for a target, and other tests may run beside this one


def scenario(world):
    net = harness.Routed(world)
    target = Listener(world, net.server, 7000)
    world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000)
    cproxy = world.cproxy(net.client, 5000, net.server_address, 6000)
    talker = dial(world, net.client, "127.0.0.1", 5000, "talker")
    answerer = target.next()

    def slowest_of(questions):
        slowest = 0.0
        for number in range(questions):
            slowest = max(slowest, ask(world, talker, answerer, b"question %d\n" % number))
            world.during_quietly(0.02)
        return slowest

    # -- sproxy's dials
    net.server.nft("table inet silence { chain o { type filter hook output priority 0;"
                   " tcp dport 7000 tcp flags & (syn | ack) == syn drop\n}\n}\n")
    began = time.monotonic()
    stuck = [dial(world, net.client, "127.0.0.1", 5000, f"stuck {number}") for number in range(50)]
    for app in stuck:
        app.write(b"hello?")
    world.say("50 sessions whose target does not answer")
    # Few: what is swallowed comes again after 7 s for the last time before sproxy gives up, and the silence is to be over by then.
    slowest = slowest_of(8)
    world.check(slowest < SOON, f"the session beside them goes on, its slowest answer came after {1000 * slowest:.0f} ms")
    for app in stuck[40:]:
        app.reset()
    net.move(net.next_address())
    world.check(slowest_of(8) < SOON, "a move in the meantime")
    world.check(not any(app.over for app in stuck[:40]), "and they still wait")
    net.server.run("nft", "delete", "table", "inet", "silence")
    dialled = time.monotonic()
    quick = dial(world, net.client, "127.0.0.1", 5000, "quick")
    quick.write(b"quick")
    world.until(lambda: any(bytes(end.text) == b"quick" for end in target.ends), 15, "a session that comes later")
    world.check(time.monotonic() - dialled < SOON, f"a session that comes later overtakes them ({1000 * (time.monotonic() - dialled):.0f} ms)")
    world.until(lambda: sum(bytes(end.text) == b"hello?" for end in target.ends) == 40 or any(app.over for app in stuck[:40]), 20,
                "the forty to get through")
    world.check(not any(app.over for app in stuck[:40]), f"the target answers again, and so the forty had only waited"
                                                          f" ({time.monotonic() - began:.1f} s)")
    for app in stuck[:40]:
        app.close()

    # -- cproxy's dials: for 3 s everything is swallowed, then only what begins a connection.
    cproxy.mark()
    net.hole()
    world.until(lambda: any("dialling beside it" in line for line in cproxy.since()), 10, "cproxy to dial beside its link")
    world.during(2, "dials vanish")
    net.router.nft("table inet hole { chain f { tcp flags & (syn | ack) != syn accept\n}\n}\n")
    net.router.run("nft", "flush chain inet hole f; add rule inet hole f tcp flags & (syn | ack) == syn drop")
    opened = time.monotonic()
    slowest_of(1)
    took = time.monotonic() - opened
    world.check(took < 8, f"the old link speaks again, and it is used ({took:.1f} s later)")
    world.until(lambda: any("heard from" in line for line in cproxy.since()), 15, "cproxy to say that it heard again")
    world.check(not any("moved" in line for line in cproxy.since()), "nothing moved: no other link could be made")
    world.check(slowest_of(20) < SOON, "and it goes on as if nothing had been")


harness.main(scenario)
