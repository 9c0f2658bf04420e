#!/usr/bin/python3
"""
   client                              [router]            server
   app -> cproxy       eth0 ═══════════════════════ eth0   sproxy -> target
   1,500 strangers ────────────────────────────────────▶

Goal of this test: half-open handshakes are parked at sproxy, more than it keeps (1024), and each that it drops comes back
at once. They have the same address as the client, so no limit may count by address. The client is let in all the same
when it moves, the session goes on, and when the strangers have gone sproxy holds nothing of them.
"""

import time

import harness
import tls
import wire
from flows import Listener, Source, dial

STRANGERS = 1500


def scenario(world):
    net = harness.Routed(world)
    target = Listener(world, net.server, 7000)
    sproxy = world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000)
    world.cproxy(net.client, 5000, net.server_address, 6000)
    app = dial(world, net.client, "127.0.0.1", 5000, "app").expect(Source(2))
    far = target.next().expect(Source(1))
    upto = 0

    def flow(timeout=15):
        nonlocal upto
        upto += 50_000
        began = time.monotonic()
        app.send(Source(1), upto)
        far.send(Source(2), upto)
        while not app.got == far.got == upto:
            park()
            if time.monotonic() - began > timeout:
                raise harness.Failure(f"the session stands still: {app!r} {far!r}")
        return time.monotonic() - began

    parked, dropped = [], 0
    half = (wire.greeting(wire.hello()) if world.insecure else tls.client_hello())[:100]

    def park():
        """As many strangers as there shall be; whoever was dropped comes back."""
        nonlocal parked, dropped
        world.turn(0.01)
        gone = [end for end in parked if end.over]
        for end in gone:
            end.close()
        dropped += len(gone)
        parked = [end for end in parked if not end.over]
        for number in range(min(STRANGERS - len(parked), 50)):
            end = dial(world, net.client, net.server_address, 6000, "stranger")
            if number % 2:
                end.write(half)
            parked.append(end)

    flow()
    light = sproxy.descriptors(), sproxy.memory_kib()
    sproxy.mark()
    began = time.monotonic()
    while dropped < 2000:
        park()
        world.check_quietly(time.monotonic() - began < 100, f"strangers park ({len(parked)}, {dropped} dropped)")
    world.check(sproxy.descriptors() < light[0] + 1024 + 30, f"sproxy keeps {sproxy.descriptors()} descriptors, however many come")
    world.check(flow() < 10, "the session in use does not notice")
    times = []
    for _ in range(4):
        link = [line.split()[3] for line in net.client.run("ss", "-Htnp", "dport = :6000").stdout.splitlines() if '"cproxy"' in line]
        port = link[0].rsplit(":", 1)[1]
        net.router.nft(f"table ip cut {{ chain f {{ type filter hook forward priority 0; tcp sport {port} drop; tcp dport {port} drop\n}}\n}}\n")
        took = flow(60)
        times.append(took)
        world.check(took < 40, f"the link dies, {len(parked)} strangers are at the door, {dropped} were dropped: the next link is let in,"
                              f" the session goes on after {took:.1f} s")
        net.router.run("nft", "delete", "table", "ip", "cut")
    # Chance lets the owner in among a crowd at his own address, after a second or two; it never takes for ever.
    world.check(sum(times) < 100, f"four times in {sum(times):.1f} s all in all")
    for end in parked:
        end.reset()
    parked.clear()
    world.until(lambda: sproxy.descriptors() <= light[0] + 1, 20, lambda: f"sproxy to let them all go ({sproxy.descriptors()} descriptors)")
    lasted = time.monotonic() - began
    world.check(len(sproxy.since()) < 30 * lasted + 30, f"{len(sproxy.since())} lines in the log about {dropped + STRANGERS} strangers in {lasted:.0f} s")
    if "libasan" not in open(f"/proc/{sproxy.worker}/maps").read():
        # What the heap took for 1024 beginnings of a TLS handshake it keeps for the next ones.
        heap = 8192 if world.insecure else 8192 + 1024 * 32
        world.check(sproxy.memory_kib() - light[1] < heap, f"sproxy has {sproxy.memory_kib() - light[1]} KiB more than before")
    flow()


harness.main(scenario)
