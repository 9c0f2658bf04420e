#!/usr/bin/python3
"""
   client                              [router]            server
   app -> cproxy       eth0 ═══════════════════════ eth0   sproxy -> target
          far.example  2001:db8:1::10      │        2001:db8:9::2
                       10.1.0.10           └ a portal that answers instead

Goal of this test: the places where a moving machine comes by.

    portal    a captive portal takes every connection for itself and answers with web pages, with TLS, with silence, or
              hangs up: nothing of that ends the session, and when the portal lets us through it goes on
    families  from a network with IPv6 only to one with IPv4 only and back; and where IPv6 is a black hole

    33-portal-and-families.py portal | families
"""

import sys
import time

import harness
import wire
from flows import Listener, Source, dial

part = sys.argv[1] if len(sys.argv) > 1 else "portal"


def portal(world, net, target):
    world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000)
    cproxy = world.cproxy(net.client, 5000, net.server_address, 6000)
    app = dial(world, net.client, "127.0.0.1", 5000, "app").expect(Source(2))
    far = target.next().expect(Source(1))
    upto = 0

    def flow():
        nonlocal upto
        upto += 100_000
        began = time.monotonic()
        app.send(Source(1), upto)
        far.send(Source(2), upto)
        world.until(lambda: app.got == far.got == upto, 20, lambda: f"{upto} bytes both ways ({app!r}, {far!r})\n{cproxy.log()[-800:]}")
        return time.monotonic() - began

    flow()
    page = b"HTTP/1.1 302 Found\r\nLocation: http://portal/login\r\nContent-Length: 0\r\n\r\n"
    alert = bytes.fromhex("15030300020228")
    manners = {
        "a web page at once": lambda end: end.write(page),
        "a web page when we have spoken": None,
        "a TLS alert": lambda end: end.write(alert),
        "silence": lambda end: None,
        "a reset": lambda end: end.reset(),
        "an orderly close": lambda end: end.close(),
        "megabytes of rubbish": lambda end: end.send(Source(77), 5_000_000),
        "something like Holdfast, but not quite": lambda end: end.write(wire.frame(wire.WELCOME, payload=wire.welcome(magic=b"LIAR"))),
        "another Holdfast, which made another tunnel": lambda end: end.write(wire.frame(wire.WELCOME, payload=wire.welcome())),
        "another Holdfast, with a false proof": lambda end: end.write(wire.frame(wire.WELCOME, payload=wire.welcome(wire.RESUMED))),
        "another Holdfast, which asks to come later": lambda end: end.write(wire.frame(wire.WELCOME, payload=wire.welcome(wire.LATER))),
    }
    for manner, answer in manners.items():
        taken = []

        def accepted(end):
            taken.append(end)
            if answer is not None:
                answer(end)

        false = Listener(world, net.router, 6000, "0.0.0.0", on_accept=accepted)
        net.router.nft("table ip portal { chain p { type nat hook prerouting priority -100; iif c0 tcp dport 6000 redirect to :6000\n}\n}\n")
        net.move(net.next_address())
        cproxy.mark()

        def enough():
            if manner == "a web page when we have spoken":
                for end in taken:
                    if end.text and not end.sent:
                        end.write(page)
            return len(taken) >= 4

        world.until(enough, 15, lambda: f"cproxy to try four times ({len(taken)})")
        world.check_quietly(not app.over and not far.over, f"{manner}: the session is still there")
        net.router.run("nft", "delete", "table", "ip", "portal")
        false.close()
        for end in taken:
            if not end.over:
                end.close()
        took = flow()
        world.check(took < 15, f"{manner}, {len(taken)} times: the session went on {took:.1f} s after; {len(cproxy.since())} lines in the log")
    world.same((app.sha256(), far.sha256()), (Source(2).sha256(upto), Source(1).sha256(upto)), "every byte arrived, both ways")


def families(world, net, target):
    net.router.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
    net.router.ip("addr add 2001:db8:1::1/64 dev c0 nodad")
    net.router.ip("addr add 2001:db8:9::1/64 dev s0 nodad")
    net.server.ip("addr add 2001:db8:9::2/64 dev eth0 nodad")
    net.server.ip("route add default via 2001:db8:9::1")
    net.client.knows("far.example", "2001:db8:9::2", net.server_address)

    def only(family, dead=False):
        """The client is in a network of this family alone; or in one where the other is announced and swallows all."""
        net.client.run("sh", "-c", "ip addr flush dev eth0 scope global; ip -6 route del default; ip route del default; true")
        if family == 6 or dead:
            net.client.ip("addr add 2001:db8:1::10/64 dev eth0 nodad")
            net.client.ip("route add default via 2001:db8:1::1")
        if family == 4:
            net.client.ip("addr add 10.1.0.10/24 dev eth0")
            net.client.ip("route add default via 10.1.0.1")
        if dead:
            net.router.nft("table ip6 dead { chain f { type filter hook forward priority 0; drop\n}\n}\n")
        world.say(f"a network with IPv{family} only" + (", where IPv6 is a black hole" if dead else ""))

    only(6)
    world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000)
    world.cproxy(net.client, 5000, "far.example", 6000)
    app = dial(world, net.client, "127.0.0.1", 5000, "app").expect(Source(2))
    far = target.next().expect(Source(1))
    upto = 0

    def flow(timeout):
        nonlocal upto
        upto += 100_000
        began = time.monotonic()
        app.send(Source(1), upto)
        far.send(Source(2), upto)
        world.until(lambda: app.got == far.got == upto, timeout, lambda: f"{upto} bytes both ways ({app!r}, {far!r})")
        world.check(time.monotonic() - began < timeout, f"bytes both ways after {time.monotonic() - began:.1f} s")

    def the_link_is(way, when):
        """The one before is closed soon."""
        world.until(lambda: [6 if "[2001" in link else 4 for link in net.client.links()] == [way], 10,
                    lambda: f"one link, of IPv{way}: {net.client.links()}")
        world.say(f"true: {when} the link is IPv{way}")

    flow(20)
    the_link_is(6, "at first")
    for way in (4, 6, 4, 6):
        only(way)
        flow(20)
        the_link_is(way, "now")
    only(4, dead=True)
    flow(20)
    the_link_is(4, "where IPv6 is a black hole")


def scenario(world):
    net = harness.Routed(world)
    target = Listener(world, net.server, 7000)
    {"portal": portal, "families": families}[part](world, net, target)


harness.main(scenario)
