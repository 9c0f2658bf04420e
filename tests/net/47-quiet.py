#!/usr/bin/python3
"""
   client                              [router]            server
   app -> cproxy       eth0 ═══════════════════════ eth0   sproxy -> target
                                  counts

Goal of this test: a link on which nobody says anything costs as little as docs/operations.md says, and neither proxy
wakes more often than it has to: heartbeats become rarer after a minute. (Here they begin with 10 ms and end with
640 ms, which takes 11 s more.) Then the path dies without a sign, which at this pace need not be noticed at once; but
when somebody types, the first byte is missed as soon as if he had been typing all the time.
"""

import re
import time
from pathlib import Path

import harness
from flows import Listener, dial

BEAT = 106  # bytes of a heartbeat: 32 of ours, 22 of TLS, 32 of TCP with timestamps, 20 of IPv4
ACKNOWLEDGEMENT = 52
SECONDS = 20


def wakes(program):
    return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", Path(f"/proc/{program.worker}/status").read_text(), re.M)[1])


def scenario(world):
    net = harness.Routed(world)
    target = Listener(world, net.server, 7000)
    pace = "--heartbeat", "10ms", "--heartbeat-idle", "1s", "--misses", "30"  # so that a busy machine is not taken for a dead link
    sproxy = world.sproxy(net.server, *pace, "--target", "127.0.0.1:7000", 6000)
    cproxy = world.cproxy(net.client, *pace, 5000, net.server_address, 6000)
    app = dial(world, net.client, "127.0.0.1", 5000, "app")
    far = target.next()

    def talk(word):
        app.write(word)
        world.until(lambda: far.text.endswith(word), 15, "a word to arrive")

    def wire():
        """Packets and bytes of the link so far, and how often the proxies woke up."""
        shown = net.router.run("nft", "list", "table", "inet", "count").stdout
        return [int(word) for word in re.search(r"packets (\d+) bytes (\d+)", shown).groups()] + [wakes(cproxy), wakes(sproxy)]

    def count(seconds, why):
        before, began = wire(), time.monotonic()
        world.during(seconds, why)
        after, lasted = wire(), time.monotonic() - began
        rates = [(late - early) / lasted for early, late in zip(before, after)]
        world.say("a second: %.1f packets, %.0f bytes; cproxy woke up %.1f times, sproxy %.1f times" % tuple(rates))
        return rates

    net.router.nft("table inet count { chain f { type filter hook forward priority -1; tcp dport 6000 jump one; tcp sport 6000 jump one\n}\n"
                   "chain one { counter\n}\n}\n")
    talk(b"hello")
    cproxy.mark(), sproxy.mark()
    busy = count(5, "the first minute")
    world.check(busy[0] > 50, "heartbeats are fast for a minute")
    world.during(72, "nobody says anything")
    packets, size, cproxy_wakes, sproxy_wakes = count(SECONDS, "it is quiet")
    least, most = 2 * BEAT / 0.64, 2 * (BEAT + ACKNOWLEDGEMENT) / 0.64  # acknowledgements may ride on heartbeats
    world.check(0.9 * least < size < 1.1 * most, f"{size:.0f} bytes a second; operations.md calculates {least:.0f} to {most:.0f}")
    world.check(max(cproxy_wakes, sproxy_wakes) < 2.5 * 2 / 0.64, "each wakes up to beat and to hear, and hardly for anything else")
    world.same((cproxy.since(), sproxy.since()), ([], []), "nobody suspected anything")

    net.hole()
    world.during(3, "the path is dead")
    world.same(cproxy.since(), [], "which is not noticed yet: 30 beats of 640 ms may be missed")
    began = time.monotonic()
    app.write(b"is anybody there?")
    world.until(lambda: any("dialling beside it" in line for line in cproxy.since()), 15, "cproxy to miss the answer")
    noticed = time.monotonic() - began
    world.check(0.3 <= noticed < 10, f"the first byte is missed after {1000 * noticed:.0f} ms")
    net.open()
    world.until(lambda: far.text.endswith(b"is anybody there?"), 15, "it to arrive")


harness.main(scenario)
