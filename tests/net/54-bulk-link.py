#!/usr/bin/python3
"""
   client                              [router]            server
   ssh, scp -> cproxy  eth0 ═══ the link ══════════ eth0   sproxy -> sshd -> sh, ping localhost
                            ─── the bulk link ─────

Goal of this test: sessions that carry much have a second link while others are there, and nobody ever needs it. It comes when an
ssh with a running ping is beside an scp, and what is typed stays on the first. It is cut, swallowed, left behind by moves, and
lost with the workers of both proxies: not a byte is lost, the transfer goes on at once on the first link, and what is typed
has its answer all the time. It comes again, and goes when it is not needed any more.

    beside     it comes, is lost in every way, comes again, and goes
    crash      the worker of a proxy is killed while it is in use
    ends       half-closed and reset sessions on it; --no-bulk-link on either side
    join       who may have one: a client of the scenario's own asks sproxy for it, and others for theirs
"""

import os
import re
import sys
import time

import harness
import tls
import wire
from flows import Listener, Source, ask, dial, pair
from peer import Peer
from ssh import PORT, Transfer, ssh, start_sshd

part = sys.argv[1] if len(sys.argv) > 1 else "beside"
RATE = 16_000      # kbit/s of each scp, so that it lasts
AT_ONCE = 2        # seconds in which what is typed has its answer: a link that is silent is given up after three
PAUSE = 10         # seconds before another bulk link when one was lost; twice as many after the second one


class Links:
    """The two connections, named by our ends of them, as cproxy tells which is which."""

    def __init__(self, world, net, cproxy):
        self.world, self.net, self.cproxy = world, net, cproxy

    def _last(self, words):
        return (re.findall(words + r" from (\S+) to", self.cproxy.log()) or [None])[-1]

    @property
    def first(self):
        return self._last(r"(?:connected|moved): link")

    @property
    def bulk(self):
        return self._last(r"second link, for bulk,")

    def are(self, *wanted):
        """These and no other ones are there, for both proxies."""
        far = {re.sub(r"\[::ffff:(.*)\]", r"\1", link) for link in self.net.server.links(far_ends=True)}
        return set(self.net.client.links()) == far == set(wanted)

    def both(self, what, timeout=20):
        self.world.until(lambda: self.bulk and self.first != self.bulk and self.are(self.first, self.bulk), timeout,
                         lambda: f"a second link {what}, not {self.net.client.links()} and {self.net.server.links(far_ends=True)}")
        self.world.say(f"true: there is a second link {what}")
        return self.bulk

    def is_lost(self, bulk):
        return bulk not in self.net.client.links()

    def carried(self):
        """Bytes that each has carried, in both directions."""
        shown = self.net.client.run("ss", "-OHtin", "state", "established", "dport = :6000").stdout
        return {line.split()[2]: sum(int(count) for count in re.findall(r" bytes_(?:sent|received):(\d+)", line))
                for line in shown.splitlines()}

    def cut(self, bulk):
        port = bulk.rsplit(":", 1)[1]
        return f"tcp sport {{ {port}, 6000 }} tcp dport {{ {port}, 6000 }}"


def type_until(world, held, condition, timeout, what):
    """Types until the condition holds. Each word must have its answer at once."""
    began, worst = time.monotonic(), 0.0
    while not condition():
        held.type_something()
        typed = time.monotonic()
        held.until_typed_arrived(15)
        worst = max(worst, time.monotonic() - typed)
        world.check_quietly(worst < AT_ONCE, f"what is typed has its answer at once while {what}, not after {worst:.2f} s")
        world.check_quietly(time.monotonic() - began < timeout, f"{what} for less than {timeout} s")
        world.during_quietly(0.1)
    took = time.monotonic() - began
    world.say(f"true: {what} for {took:.1f} s, what was typed had its answer after {worst:.2f} s at most")
    return took


def type_for(world, held, seconds, what):
    end = time.monotonic() + seconds
    type_until(world, held, lambda: time.monotonic() >= end, seconds + 15, what)


def bulk_is_on(world, links, held, address, what):
    """Of what is carried meanwhile the most is on this link."""
    for _ in range(5):  # it may be changing links just now, and that waits until all that was said is there
        before = links.carried()
        type_for(world, held, 3, what)
        carried = {link: count - before.get(link, 0) for link, count in links.carried().items()}
        there = carried.get(address, 0)
        others = sum(carried.values()) - there
        if there > 1_000_000 and others < there / 10:
            break
    world.check(there > 1_000_000 and others < there / 10, f"it is on one link: {there} bytes, {others} on the other")


def start(world, size):
    net = harness.Routed(world)
    options = start_sshd(world, net.server)
    sproxy = world.sproxy(net.server, "--log-level", "debug", "--target", f"127.0.0.1:{PORT}", 6000)
    cproxy = world.cproxy(net.client, "--log-level", "debug", 5000, net.server_address, 6000)
    return net, sproxy, cproxy, options, Links(world, net, cproxy), Transfer(world, net, options, size, RATE)


def beside(world):
    net, _, _, options, links, transfer = start(world, 160_000_000)
    transfer.start("up")
    world.during(3, "an scp alone")
    world.until(lambda: links.carried().get(links.first, 0) > 3_000_000, 20, "megabytes of an scp alone")
    world.check(links.are(links.first), "bulk alone has one link")
    held = ssh(world, net.client, options, "127.0.0.1", 5000, "ssh-holdfast").shell().ping()
    transfer.start("down")
    bulk = links.both("beside an ssh")
    bulk_is_on(world, links, held, bulk, "there are two links")

    net.reset_everything(links.cut(bulk))
    type_until(world, held, lambda: links.is_lost(bulk), 10, "the second link is cut")
    lost = time.monotonic()
    net.stop_resetting()
    bulk_is_on(world, links, held, links.first, "it is gone")
    type_until(world, held, lambda: links.bulk != bulk, 2 * PAUSE, "it does not come again")
    world.check(time.monotonic() - lost > PAUSE - 3, "for a while nobody tries again")
    comes_and_goes_with_moves(world, net, links, held)

    bulk = links.both("before it is swallowed")
    net.hole(links.cut(bulk))
    type_until(world, held, lambda: links.is_lost(bulk), 10, "the second link is swallowed silently")
    net.open()
    bulk_is_on(world, links, held, links.first, "it is gone")
    type_until(world, held, lambda: links.bulk != bulk, 2 * PAUSE, "it does not come again")
    links.both("again")
    transfer.finish()
    goes_when_it_is_idle(world, links, held, transfer)
    transfer.compare()  # it takes as long as an idle link lives, where the machine is busy
    held.faultless()
    held.leave()


def comes_and_goes_with_moves(world, net, links, held):
    for away in (0, 0, 0.5):
        links.both("before a move")
        if away:
            net.go_away()
            world.during(away, "without any address")
            net.come_back(net.next_address())
        else:
            net.move(net.next_address())
        held.type_something()
        held.until_typed_arrived()
    links.both("after the moves")


def goes_when_it_is_idle(world, links, held, transfer):
    """Whichever side is the first to find that it is, that is no loss: the next transfer has a second link at once."""
    for way in "up", "down":
        bulk = links.both("when a transfer has just ended")
        type_for(world, held, 2, "nothing is carried")
        world.check(links.are(links.first, bulk), "the second link stays for a moment")
        type_until(world, held, lambda: links.are(links.first), 30, "nobody uses it")
        transfer.start(way)
        links.both(f"at once when a transfer {way} begins", 1.5 * PAUSE)  # were its end a loss, it would be the second one
        transfer.stop()


def crash(world):
    net, sproxy, cproxy, options, links, transfer = start(world, 60_000_000)
    held = ssh(world, net.client, options, "127.0.0.1", 5000, "ssh-holdfast").shell().ping()
    transfer.start("up")
    transfer.start("down")
    for proxies in (sproxy,), (cproxy,), (sproxy, cproxy):
        links.both("before a crash")
        world.during(1, "the transfer is on it")
        world.crash(*proxies, meanwhile=held.type_something)
        held.until_typed_arrived()
        held.until_pings(3)
        world.say(f"true: the session goes on after the death of {' and '.join(proxy.name for proxy in proxies)}")
    links.both("after the crashes")
    transfer.finish()
    transfer.compare()
    held.faultless()
    held.leave()


def ends(world):
    net = harness.Routed(world)
    for port in ("c0", "s0"):
        net.router.run("tc", "qdisc", "replace", "dev", port, "root", "tbf", "rate", "40mbit", "burst", "64kb", "latency", "50ms")
    target = Listener(world, net.server, 7000)
    world.sproxy(net.server, "--log-level", "debug", "--target", "127.0.0.1:7000", 6000)
    links = Links(world, net, world.cproxy(net.client, "--log-level", "debug", 5000, net.server_address, 6000))
    talker = pair(world, net, target)
    up, down = Source(1), Source(2)

    def bulk_session(size_up, size_down, then_end):
        app = dial(world, net.client, "127.0.0.1", 5000, "bulk").expect(down)
        far = target.next().expect(up)
        app.send(up, size_up, then_end)
        far.send(down, size_down, then_end)
        links.both("for the bulk session")
        return app, far

    for sizes in (16_000_000, 64_000_000), (64_000_000, 16_000_000):  # 3 s of this line and 13, in which the second link must come
        app, far = bulk_session(*sizes, then_end=True)
        one, other, size = (far, app, sizes[0]) if sizes[0] < sizes[1] else (app, far, sizes[1])
        world.until(lambda one=one: one.ends, 60, lambda app=app, far=far: f"the end of the shorter stream ({app!r}, {far!r})")
        world.check(one.got == size and not other.ends and other.got < max(sizes), "one stream has ended with its last byte, the other goes on")
        world.until(lambda other=other: other.ends, 60, lambda app=app, far=far: f"the end of the longer stream ({app!r}, {far!r})")
        world.same((far.got, app.got), sizes, "and ends with its last byte")
        world.check(ask(world, *talker, b"still here") < AT_ONCE, "the other session answers")
        app.close()
        far.close()
    for who in 0, 1:
        session = bulk_session(1 << 40, 1 << 40, then_end=False)
        world.during(1, "both streams are on the second link")
        first, bulk = links.first, links.bulk
        session[who].reset()
        world.until(lambda session=session, who=who: session[1 - who].was_reset, 20, lambda session=session: f"the reset to arrive ({session})")
        world.check(ask(world, *talker, b"and still") < AT_ONCE and links.are(first, bulk), "the other session answers, and the links are the same")
    never_one(world, net, target)


def never_one(world, net, target):
    for port, no_to_cproxy, no_to_sproxy in (5001, ["--no-bulk-link"], []), (5002, [], ["--no-bulk-link"]):
        world.sproxy(net.server, *no_to_sproxy, "--target", "127.0.0.1:7000", port + 1000, name=f"sproxy-{port}")
        world.cproxy(net.client, *no_to_cproxy, port, net.server_address, port + 1000, name=f"cproxy-{port}")
        talker, (app, far) = pair(world, net, target, port), pair(world, net, target, port)
        app.send(Source(1), 1 << 40)
        far.send(Source(2), 1 << 40)
        end = time.monotonic() + 5
        while time.monotonic() < end:
            world.check_quietly(len(net.client.connections(port + 1000)) == 1, "there is one link, where either side said --no-bulk-link")
            world.during_quietly(0.1)
        world.until(lambda far=far: far.got > 10_000_000, 60, lambda far=far: f"megabytes on one link ({far!r})")
        world.check(ask(world, *talker, b"here") < 10 and len(net.client.connections(port + 1000)) == 1, f"with {no_to_cproxy or no_to_sproxy} there was never a second link")
        app.reset()
        world.until(lambda far=far: far.was_reset, 20, "the reset to arrive")


def join(world):
    net = harness.Routed(world)
    target = Listener(world, net.server, 7000)
    world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000)
    peer, source = Peer(world, net.client, net.server_address, 6000), Source(1)
    link = peer.new_tunnel().say(wire.OPEN, 1).say(wire.DATA, 1, 0, payload=source.read(0, 1000))
    far = target.next().expect(source)

    def answer(hello, identity=None):
        """What sproxy says to somebody with this hello, and then closes the connection."""
        stranger = Peer(world, net.client, net.server_address, 6000, identity or peer.identity).connect()
        told = stranger.greet(hello(stranger)).answer()
        world.until(lambda: stranger.end.over, 10, "sproxy to close the connection")
        world.check_quietly(len(stranger.frames()) == 1, "nothing follows the answer")
        return told

    def arrives(link, size):
        link.say(wire.DATA, 1, far.got, payload=source.read(far.got, size))
        wanted = far.got + size
        world.until(lambda: far.got == wanted, 10, lambda: f"{wanted} bytes at the target ({far!r})")

    world.until(lambda: far.got == 1000, 10, "the first bytes")
    nobody = Peer(world, net.client, net.server_address, 6000)
    nobody.tunnel, nobody.secret = os.urandom(16), os.urandom(32)
    world.sproxy(net.server, "--no-bulk-link", "--target", "127.0.0.1:7000", 6001, name="sproxy-without")
    insists = Peer(world, net.client, net.server_address, 6001)
    insists.new_tunnel()
    asking = insists.connect()
    world.same(asking.greet(insists.claim_for_bulk(asking)).answer(), wire.REFUSED, "where there are none: refused")
    world.same(answer(nobody.claim_for_bulk, nobody.identity), wire.GONE, "a stranger without a tunnel: gone")
    world.same(answer(lambda link: peer.claim_for_bulk(link, secret=os.urandom(32))), wire.GONE, "without its secret: gone")
    if not world.insecure:
        world.same(answer(peer.claim_for_bulk, tls.Identity()), wire.GONE, "with everything but its key: gone")
    for attempt in peer.attempt - 1, peer.attempt + 1:
        world.same(answer(lambda link, attempt=attempt: peer.claim_for_bulk(link, attempt)), wire.OVERTAKEN, "for another link than that of now: overtaken")
    arrives(link, 1000)

    bulk, another = [joined(peer) for _ in range(2)]
    world.until(lambda: bulk.end.over, 10, "the bulk link to give way to another one")
    arrives(another, 10_000)
    another.say(wire.ACK, 1, far.got, 0)
    world.until(lambda: another.end.over, 10, "a frame that has no business there to end the bulk link")
    arrives(link, 1000)
    bulk = joined(peer)
    arrives(bulk, 1000)
    link = peer.resume()
    world.until(lambda: bulk.end.over, 10, "the bulk link to go with the link that it was for")
    link.expect(wire.RESUME)
    link.say(wire.RESUME, 1, 0, 0, bytes(8))
    arrives(link, 1000)
    world.check(not far.over, "the session has never noticed")


def joined(peer):
    link = peer.connect()
    if link.greet(peer.claim_for_bulk(link)).answer() != wire.JOINED:
        raise harness.Failure(f"sproxy did not take the bulk link: {link.frames()}")
    return link


def scenario(world):
    {"beside": beside, "crash": crash, "ends": ends, "join": join}[part](world)


harness.main(scenario)
