#!/usr/bin/python3
"""
   client                                      [router]            server
   app4 -> cproxy4   eth0 10.1.0.10 ══════════ c0        s0 ══════ eth0   sproxy -> target
   app6 -> cproxy6        2001:db8:1::10
                     eth2 ══════════ eth0 [neighbour], a router that changes its mind all the time

Goal of this test: IPv6 makes hundreds of events a second, as it may where networks are managed badly, and none is a reason
to do anything. On eth0, in the very network of the link, addresses with temporary ones beside them come and go, each with
its search for duplicates, and the lifetime of the link's own address changes; again and again it is deprecated, so that
the kernel would choose another one. On eth2, which no link uses, advertisements announce a default route, other routes and
prefixes, and take them back.

Silence would tell nothing here for a minute (--misses 600), so a link that moved would have moved because of the news. Two
sessions, one over each family, carry known bytes meanwhile.
"""

import itertools
import re
import socket
import struct
import subprocess
import time

import harness
from flows import Listener, Source, dial

OURS = "2001:db8:1::10/64 dev eth0"
STEP = 4_000  # bytes each way and session, every 20 ms
SPELL = 200  # steps: four seconds, in which a search for duplicates, two at most, has ended


def advertisement(number):
    """RFC 4861, 4.2: every second one takes back what the one before announced; the prefixes stay, with other lifetimes."""
    lives = 1800 if number % 2 else 0
    low = 0x18  # of little preference: our own default route is better (RFC 4191)
    prefixes = b"".join(struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 9000 + number % 100, 4000 + number % 100, 0)
                        + socket.inet_pton(socket.AF_INET6, f"2001:db8:{0x70 + n:x}::") for n in range(4))
    routes = b"".join(struct.pack("!BBBBI", 24, 2, 48, low, lives)
                      + socket.inet_pton(socket.AF_INET6, f"2001:db8:{0x80 + n:x}::")[:8] for n in range(4))
    return struct.pack("!BBHBBHII", 134, 0, 0, 64, low, lives, 0, 0) + prefixes + routes


class Network(harness.Routed):
    def __init__(self, world):
        super().__init__(world)
        self.router.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
        for space, address in ((self.router, "2001:db8:1::1/64 dev c0"), (self.router, "2001:db8:9::1/64 dev s0"),
                               (self.server, "2001:db8:9::2/64 dev eth0"), (self.client, OURS)):
            space.ip(f"addr add {address} nodad")
        self.client.ip("-6 route add default via 2001:db8:1::1")
        self.server.ip("-6 route add default via 2001:db8:9::1")
        self.neighbour = world.namespace("neighbour")
        harness.wire(self.client, "eth2", self.neighbour, "eth0")
        self.client.run("sysctl", "-qw", "net.ipv6.conf.eth0.use_tempaddr=2", "net.ipv6.conf.eth2.use_tempaddr=2",
                        "net.ipv6.conf.eth2.accept_ra_rt_info_max_plen=64")
        world.until(lambda: "fe80" in self.neighbour.ip("-6 addr show dev eth0 -tentative").stdout, 10, "an address of the neighbour")

    def dialled(self):
        """Connections that were begun on the client until now."""
        head, values = [line.split() for line in self.client.run("cat", "/proc/net/snmp").stdout.splitlines() if line.startswith("Tcp:")]
        return int(values[head.index("ActiveOpens")])

    def advertise(self):
        """Returns a function that sends an advertisement."""
        sock = self.neighbour.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        with self.neighbour.inside():
            all_nodes = ("ff02::1", 0, 0, socket.if_nametoindex("eth0"))
        return lambda number: sock.sendto(advertisement(number), all_nodes)

    def change_addresses(self):
        """Returns a function that changes something about the addresses of eth0."""
        batch = self.client.start("addresses", "ip", "-force", "-batch", "-", stdin=subprocess.PIPE, quiet=True)

        def change(number):
            step = number % SPELL
            # Eight that are gone before their search for duplicates is over; one that lives to be preferred to the link's.
            lines = [f"addr del 2001:db8:1::a{number % 8}/64 dev eth0"] * (number >= 8) + [f"addr add 2001:db8:1::a{number % 8}/64 dev eth0 mngtmpaddr"]
            lines += ["addr add 2001:db8:1::b/64 dev eth0 mngtmpaddr"] * (step == 0) + ["addr del 2001:db8:1::b/64 dev eth0"] * (step == SPELL - 1)
            deprecated = step >= 120 and number % 20 < 10  # there is another one then, as there should be
            lines += [f"addr change {OURS} valid_lft 9000 preferred_lft {0 if deprecated else 8000 + number % 100}"]
            batch.process.stdin.write("".join(f"{line}\n" for line in lines).encode())
            batch.process.stdin.flush()

        return change


class Stream:
    """A session that carries a little both ways, all the time."""

    def __init__(self, world, net, target, port):
        self.world, self.upto = world, 0
        self.app = dial(world, net.client, "127.0.0.1", port, f"app{port}").expect(Source(2))
        self.far = target.next().expect(Source(1))

    def step(self, then_end=False):
        self.upto += STEP
        self.app.send(Source(1), self.upto, then_end)
        self.far.send(Source(2), self.upto, then_end)

    def finish(self):
        self.step(then_end=True)
        self.world.until(lambda: self.app.ends and self.far.ends, 30, lambda: f"both streams to end ({self.app!r}, {self.far!r})")
        self.world.same((self.far.sha256(), self.app.sha256()), (Source(1).sha256(self.upto), Source(2).sha256(self.upto)),
                        f"{self.upto} bytes arrived, each way")


def shares(world, proxies, streams, seconds, each_time=lambda number: None, steps=0):
    """Lets the streams flow for so long, and so many steps; which share of a processor each proxy used."""
    spent, began = [proxy.cpu_seconds() for proxy in proxies], time.monotonic()
    for number in itertools.takewhile(lambda done: done < steps or time.monotonic() < began + seconds, itertools.count()):
        each_time(number)
        for stream in streams:
            stream.step()
        world.during_quietly(0.02)
    lasted = time.monotonic() - began
    return [(proxy.cpu_seconds() - before) / lasted for proxy, before in zip(proxies, spent)]


def scenario(world):
    net = Network(world)
    target = Listener(world, net.server, 7000)
    sproxy = world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000)
    proxies = [world.cproxy(net.client, "--misses", "600", 5004, "10.9.0.2", 6000, name="cproxy4"),
               world.cproxy(net.client, "--misses", "600", 5006, "2001:db8:9::2", 6000, name="cproxy6")]
    streams = [Stream(world, net, target, port) for port in (5004, 5006)]
    at_rest = shares(world, proxies, streams, 2)
    links = sorted(net.client.links())
    world.check(len(links) == 2 and "2001:db8:1::10" in links[1], f"two links, one over each family: {links}")

    for program in (*proxies, sproxy):
        program.mark()
    counter = net.client.start("count", "sh", "-c", "exec ip -6 -oneline monitor address route prefix", quiet=True)
    advertise, change, chosen = net.advertise(), net.change_addresses(), set()

    def something_happens(number):
        advertise(number)
        change(number)
        if number % 25 == 0 or number % 20 == 9:  # when the link's address has been deprecated for a while: `ip` may be behind
            chosen.add(re.search(r"src (\S+)", net.client.ip("-6 route get 2001:db8:9::2").stdout)[1])

    dialled, began = net.dialled(), time.monotonic()
    used = shares(world, proxies, streams, 12, something_happens, SPELL)
    lasted, events = time.monotonic() - began, counter.log().splitlines()
    counter.kill()

    told = {word: sum(word in line for line in events) for word in ("temporary", "tentative", "deprecated", "proto ra", "prefix")}
    world.check(len(events) > 10 * SPELL, f"{len(events) / lasted:.0f} events a second")
    world.check(all(count > 10 for count in told.values()), f"of every kind: {told}")
    world.check(len(chosen) >= 2 and all(source.startswith("2001:db8:1:") for source in chosen),
                f"a new connection would have come from another address of that network now and then: {sorted(chosen)}")
    world.same(net.dialled(), dialled, "nothing was dialled")
    world.same(sorted(net.client.links()), links, "the links are the same connections")
    world.same([program.since() for program in (*proxies, sproxy)], [[], [], []], "and not a word about it")
    for proxy, share, before in zip(proxies, used, at_rest):
        world.check(share < before + 0.2, f"{proxy.name} used {100 * share:.1f} % of a processor, {100 * before:.1f} % without the events")
    for stream in streams:
        stream.finish()


harness.main(scenario)
