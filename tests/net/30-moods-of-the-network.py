#!/usr/bin/python3
"""
   client                              [router]            server
   app -> cproxy       eth0 ═══════════════════════ eth0   sproxy -> target

Goal of this test: the first seconds after a wake-up, and every other way in which a network says no: no interface, no
route, forbidden, unreachable for one reason or the other, refused, a name that cannot be resolved. All of them mean "try
again". In each the session waits, and goes on as soon as the mood has passed; the log has a few lines about it, not a
thousand.
"""

import time

import harness
from flows import Listener, dial

SERVER = harness.Routed.server_address


def reject(how):
    """The router answers everything to sproxy with this ICMP message (or a reset), and drops what is under way."""
    return lambda net: net.router.nft(f"table ip mood {{ chain f {{ type filter hook forward priority 0;"
                                      f" ip daddr {SERVER} tcp dport 6000 reject with {how}\n}}\n}}\n")


def accept_again(net):
    net.router.run("nft", "delete", "table", "ip", "mood")


def route(kind):
    return lambda net: net.client.ip(f"route add {kind} {SERVER}/32")


def no_route_of(kind):
    return lambda net: net.client.ip(f"route del {kind} {SERVER}/32")


def link_down(net):
    net.client.ip("link set eth0 down")


def link_up(net):
    net.client.ip("link set eth0 up")
    net.client.ip("route add default via " + net.address.rsplit(".", 1)[0] + ".1")


def no_name(net):
    """The resolver is gone together with the network, and comes back later than it."""
    net.go_away()
    net.client.knows("far.example")


def name_again(net):
    net.come_back(net.next_address())
    net.world.during_quietly(0.5)
    net.client.knows("far.example", SERVER)


def forbidden(net):
    net.client.nft("table ip mood { chain o { type filter hook output priority 0; tcp dport 6000 reject with icmp type admin-prohibited\n}\n}\n")


def allowed(net):
    net.client.run("nft", "delete", "table", "ip", "mood")


MOODS = {
    "the interface is down": (link_down, link_up),
    "no address, no route": (lambda net: net.go_away(), lambda net: net.come_back(net.next_address())),
    "no address, and no name either": (no_name, name_again),
    "the route says unreachable": (route("unreachable"), no_route_of("unreachable")),
    "the route says prohibited": (route("prohibit"), no_route_of("prohibit")),
    "the route is a black hole": (route("blackhole"), no_route_of("blackhole")),
    "the route throws": (route("throw"), no_route_of("throw")),
    "a local firewall forbids": (forbidden, allowed),
    "host unreachable": (reject("icmp type host-unreachable"), accept_again),
    "network unreachable": (reject("icmp type net-unreachable"), accept_again),
    "port unreachable": (reject("icmp type port-unreachable"), accept_again),
    "host prohibited": (reject("icmp type host-prohibited"), accept_again),
    "network prohibited": (reject("icmp type net-prohibited"), accept_again),
    "administratively prohibited": (reject("icmp type admin-prohibited"), accept_again),
    "a reset for everything": (reject("tcp reset"), accept_again),
    "silence": (lambda net: net.hole(), lambda net: net.open()),
}


def scenario(world):
    net = harness.Routed(world)
    net.client.knows("far.example", SERVER)
    target = Listener(world, net.server, 7000)
    world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000)
    cproxy = world.cproxy(net.client, 5000, "far.example", 6000)
    app = dial(world, net.client, "127.0.0.1", 5000, "app")
    far = target.next()
    app.write(b"begin")
    world.until(lambda: bytes(far.text) == b"begin", 10, "the session to work")

    for name, (begin, end) in MOODS.items():
        cproxy.mark()
        begin(net)
        word, answer = b"said while " + name.encode() + b"; ", b"answered while " + name.encode() + b"; "
        app.write(word)
        far.write(answer)
        world.during_quietly(1.5)
        world.check_quietly(not app.over and not far.over, f"{name}: the session is still there")
        world.check_quietly(not far.text.endswith(word), f"{name}: nothing gets through")
        end(net)
        began = time.monotonic()
        world.until(lambda: far.text.endswith(word) and app.text.endswith(answer), 15, lambda: f"what was said while {name}\n{cproxy.log()[-600:]}")
        said = cproxy.since()
        world.check(len(said) < 12, f"{name}: all arrived {1000 * (time.monotonic() - began):4.0f} ms after it; {len(said)} lines")
        world.check_quietly(time.monotonic() - began < 12, f"{name}: it went on within 12 s")
    world.check(far.text.count(b"said while") == app.text.count(b"answered while") == len(MOODS), "each word arrived once")


harness.main(scenario)
