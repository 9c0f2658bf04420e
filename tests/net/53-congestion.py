#!/usr/bin/python3
"""
   client                              [router]            server
   app -> cproxy       eth0 ═══════════════════════ eth0   sproxy -> target
          --congestion reno                                --congestion reno

Goal of this test: the congestion control that was asked for is that of links, of no other connection, and of every link: those
that cproxy dials and those that sproxy accepts, after a move, after a crash, and where the route of the link names another one.
Without the option nothing is touched. An algorithm that the kernel does not have, or not for everybody, ends a proxy before it
has done anything, root's too.
"""

from pathlib import Path

import harness
from flows import Listener, greet, pair

WANTED = "reno"  # every Linux has it, for everybody


def listed(which):
    return Path(f"/proc/sys/net/ipv4/tcp_{which}_congestion_control").read_text().split()


def congestion(space, *ports):
    """The algorithms of the established connections with one of these ports."""
    wanted = " or ".join(f"sport = :{port} or dport = :{port}" for port in ports)
    shown = space.run("ss", "-Htin", "state", "established", f"( {wanted} )").stdout
    return {name for line in shown.splitlines() for name in line.split()[:1] if name in listed("available")}


def expect_of_links(world, net, name, when, port=6000):
    world.until(lambda: net.client.links(port) and net.server.links(port), 15, "a link")
    world.until(lambda: congestion(net.client, port) == congestion(net.server, port) == {name}, 15,
                lambda: f"links with {name} {when}: {congestion(net.client, port)}, {congestion(net.server, port)}")
    world.say(f"true: both ends of the link use {name} {when}")


def ends_at_once(world, net, name):
    for program, words in (("cproxy", (5009, net.server_address, 6009)), ("sproxy", (6009,))):
        state = world.folder / f"untouched-{program}"
        done = net.client.run(harness.holdfast(program), "--state-dir", state, "--congestion", name, *map(str, words), check=False)
        lines = done.stderr.splitlines()
        world.check(done.returncode == 1 and len(lines) == 1 and lines[0].startswith(f"{program}: --congestion: ") and name in lines[0],
                    f"{program} --congestion {name} ends with status {done.returncode}: {done.stderr.strip()}")
        world.check_quietly(not state.exists(), "nothing was made before")


def scenario(world):
    other = next((name for name in listed("allowed") if name != WANTED), None)
    if other is None:
        raise harness.Skip("this kernel has one congestion control only")
    net = harness.Routed(world)
    for space in (net.client, net.server):
        space.run("sysctl", "-qw", f"net.ipv4.tcp_congestion_control={other}")
    target = Listener(world, net.server, 7000)
    sproxy = world.sproxy(net.server, "--congestion", WANTED, "--target", "127.0.0.1:7000", 6000)
    cproxy = world.cproxy(net.client, "--congestion", WANTED, 5000, net.server_address, 6000)
    app, far = pair(world, net, target)
    expect_of_links(world, net, WANTED, "from the start")
    world.same(congestion(net.client, 5000) | congestion(net.server, 7000), {other}, "app and target use what the system has")

    net.move(net.next_address())
    greet(world, app, far, b"moved")
    expect_of_links(world, net, WANTED, "after a move")

    gateway = net.address.rsplit(".", 1)[0] + ".1"
    for space, via in ((net.client, gateway), (net.server, "10.9.0.1")):
        space.ip(f"route replace default via {via} congctl {other}")
    world.crash(cproxy, sproxy)
    greet(world, app, far, b"crashed")
    expect_of_links(world, net, WANTED, f"after crashes, by routes that name {other}")

    world.sproxy(net.server, "--target", "127.0.0.1:7000", 6001, name="sproxy-plain")
    world.cproxy(net.client, 5001, net.server_address, 6001, name="cproxy-plain")
    pair(world, net, target, 5001)
    expect_of_links(world, net, other, "without the option", 6001)

    ends_at_once(world, net, "no-such")
    for_root_alone = [name for name in listed("available") if name not in listed("allowed")]
    for name in for_root_alone[:1]:
        ends_at_once(world, net, name)


harness.main(scenario)
