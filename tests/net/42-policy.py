#!/usr/bin/python3
"""
   client                              [router]            server
   app -> cproxy       eth0 ═══════════════════════ eth0   sproxy -> target

Goal of this test: what the operator of sproxy may decide about moves and shares. `--roam` holds a tunnel to the address or
to the network where it was made: elsewhere its sessions wait, and go on when the client is back. `--max-age` ends a tunnel
however busy it is, and both programs are told. One client (one key) cannot have more tunnels, sessions or memory than its share,
and another client does not notice. Each move is in the log with both addresses.

    42-policy.py roam | age | limits
"""

import sys
import time

import harness
from flows import Listener, Source, dial, greet, pair

PART = sys.argv[1] if len(sys.argv) > 1 else "roam"


def roam(world, net, target):
    for number, (policy, good, bad) in enumerate((("subnet", "10.1.0.77", "10.2.0.78"), ("never", None, "10.1.0.79"))):
        sproxy = world.sproxy(net.server, "--roam", policy, "--target", "127.0.0.1:7000", 6000 + number, name=f"sproxy-{policy}")
        cproxy = world.cproxy(net.client, 5000 + number, net.server_address, 6000 + number, name=f"cproxy-{policy}")
        home = net.address
        app, far = pair(world, net, target, 5000 + number)
        if good:
            net.move(good)
            greet(world, app, far, b"near home")
            moves = sproxy.lines(rf"resumed, link from {good}:\d+ \(was {home}:\d+\)")
            world.check(len(moves) == 1, f"--roam {policy}: a move within the network; the log has both addresses")
        net.move(bad)
        app.write(b"from afar")
        world.until(lambda: sproxy.lines(r"may not be used from there \(--roam\)") and cproxy.lines("its --roam"), 30,
                    "both to say that this is not allowed")
        world.during(2, "the session waits")
        world.crash(sproxy)
        world.during(1, "nor with another worker")
        world.check(not far.text.endswith(b"afar") and not app.over and not far.over, f"--roam {policy}: nothing goes on from {bad}")
        net.move(home)
        world.until(lambda: far.text.endswith(b"from afar"), 40, "the session to go on at home")
        world.say("true: back home it goes on")


def age(world, net, target):
    sproxy = world.sproxy(net.server, "--max-age", "15s", "--target", "127.0.0.1:7000", 6000)
    began = time.monotonic()
    world.cproxy(net.client, 5000, net.server_address, 6000)
    app, far = pair(world, net, target)
    net.move(net.next_address())
    greet(world, app, far, b"moved: not younger by that")
    world.during(7, "it grows older")
    sproxy.kill_worker()
    greet(world, app, far, b"nor by a crash")
    world.until(lambda: app.over and far.over, 20, "the tunnel to be ended")
    # Made younger by the crash it would live for 22 s.
    world.check(14.9 <= time.monotonic() - began < 21, "not before its time, and not after it")
    world.check(app.was_reset and far.was_reset, "both programs see a reset")
    world.until(lambda: sproxy.lines("--max-age"), 10, "the log to say why")
    pair(world, net, target)
    world.say("true: a new tunnel is made at once")


def limits(world, net, target):
    sproxy = world.sproxy(net.server, "--client-tunnels", 2, "--client-sessions", 5, "--memory", "8MiB", "--client-memory", "2MiB",
                          "--target", "127.0.0.1:7000", 6000)
    greedy = world.state("greedy")

    def cproxy(number):
        return world.cproxy(net.client, 5000 + number, net.server_address, 6000, name=f"greedy-{number}", state=greedy)

    proxies = []
    for number in range(3):  # the first two have their tunnels when the third one asks
        for earlier in proxies:
            world.until(lambda: earlier.lines("connected"), 20, f"{earlier.name} to have its tunnel")  # noqa: B023
        proxies.append(cproxy(number))
    world.cproxy(net.client, 5010, net.server_address, 6000, name="modest")
    sessions = [pair(world, net, target, 5000), pair(world, net, target, 5001)]
    world.until(lambda: proxies[2].lines("its --client-tunnels"), 20, "the third tunnel of one key to be refused")
    world.until(lambda: sproxy.lines("as many tunnels as it may have"), 10, "sproxy to say so, too")
    sessions += [pair(world, net, target, 5000) for _ in range(3)]
    over = dial(world, net.client, "127.0.0.1", 5001, "one too many")
    world.until(lambda: over.was_reset, 20, "the sixth session of one key, over both tunnels, to be reset")
    world.until(lambda: sproxy.lines("--client-sessions"), 10, "a line that says why")
    modest = pair(world, net, target, 5010)
    world.say("true: another client has its own share")

    # Its targets send, and its apps do not read.
    for app, far in sessions:
        app.pause()
        far.send(Source(1), 4 << 20)
    world.until(lambda: world_is_still(world, [far for _, far in sessions]), 30, "the greedy client's memory to be full")
    began = time.monotonic()
    modest[1].send(Source(2), 4 << 20)
    modest[0].expect(Source(2))
    world.until(lambda: modest[0].got == 4 << 20, 60, lambda: f"4 MiB for the modest client ({modest[0]!r})")
    world.say(f"true: beside a client that holds all it may, another one gets 4 MiB in {time.monotonic() - began:.1f} s")
    for app, _ in sessions:
        app.resume()
    for _, far in sessions:
        world.until(far.sent_all, 60, lambda: f"the greedy client's bytes to go out at last ({far!r})")
    for app, _ in sessions:
        world.until(lambda: app.got >= 4 << 20, 60, lambda: f"and to arrive ({app!r})")  # noqa: B023
    world.say("true: read again, its sessions go on to their end")


def world_is_still(world, ends):
    """Nobody could send anything for a second."""
    sent = [end.sent for end in ends]
    until = time.monotonic() + 1
    while time.monotonic() < until:
        world.turn(0.1)
    return sent == [end.sent for end in ends]


def scenario(world):
    net = harness.Routed(world)
    target = Listener(world, net.server, 7000)
    {"roam": roam, "age": age, "limits": limits}[PART](world, net, target)


harness.main(scenario)
