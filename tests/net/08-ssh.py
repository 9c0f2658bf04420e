#!/usr/bin/python3
"""
   client                              [router]            server
   ssh, scp -> cproxy  eth0 ═══════════════════════ eth0   sproxy -> sshd -> sh, ping localhost
   ssh (control)       10.1.0.10                           10.9.0.2
                       then others

Goal of this test: OpenSSH, which notices every wrong byte. An interactive ssh with a running ping lives through moves
between two networks, and `scp` of 100 MB, up and down, arrives with the same checksum. A direct ssh, the control,
shows nothing more after the first move.
"""

import os

import harness
from ssh import PORT, checksum, ssh, start_sshd
from telnet import Dead


def scenario(world):
    net = harness.Routed(world)
    options = start_sshd(world, net.server)
    world.sproxy(net.server, "--target", f"127.0.0.1:{PORT}", 6000)
    world.cproxy(net.client, 5000, net.server_address, 6000)

    held = ssh(world, net.client, options, "127.0.0.1", 5000, "ssh-holdfast").shell().ping()
    direct = ssh(world, net.client, options, net.server_address, PORT, "ssh-direct").shell().ping()

    def move(away=0.0):
        if not away:
            return net.move(net.next_address())
        net.go_away()
        world.during(away, "without any address")
        net.come_back(net.next_address())

    move()
    control = Dead(world, direct)
    for away in (0, 0.5, 1):
        held.type_something()
        move(away)
        held.until_typed_arrived()
    held.until_pings(5)
    control.check()

    original, there, back = (world.folder / name for name in ("original", "there", "back"))
    original.write_bytes(os.urandom(100_000_000))
    for what, source, goal in (("up", original, f"root@127.0.0.1:{there}"), ("down", f"root@127.0.0.1:{there}", back)):
        # -l: 160 Mbit/s, so that the transfer lasts long enough for several moves.
        scp = net.client.start(f"scp-{what}", harness.find("scp"), *options, "-q", "-l", "160000", "-P", "5000", source, goal)
        moves = 0
        while scp.running() and moves < 100:
            move(0.3 if moves % 3 == 2 else 0)
            moves += 1
            world.during(0.7, "the transfer goes on")
        world.same(scp.wait(60), 0, f"scp {what} ended well")
        world.check(moves >= 3, f"{moves} moves came while it was running")
    world.same((checksum(there), checksum(back)), (checksum(original),) * 2, "100 MB up and down again: the same checksum")

    held.faultless()
    held.leave()


harness.main(scenario)
