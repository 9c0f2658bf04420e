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

import hashlib
import os
from pathlib import Path

import harness
from telnet import Dead, Session, far_shell

PORT = 22


def start_sshd(world, space):
    """sshd with a configuration, a host key and one authorised key of its own."""
    folder = world.folder / "ssh"
    folder.mkdir(mode=0o700)
    for key in ("host", "user"):
        harness.run(harness.find("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", folder / key)
    (folder / "config").write_text(f"""
        Port {PORT}
        ListenAddress 0.0.0.0
        HostKey {folder}/host
        AuthorizedKeysFile {folder}/user.pub
        PidFile none
        UsePAM no
        StrictModes no
        PermitRootLogin prohibit-password
        PasswordAuthentication no
        Subsystem sftp internal-sftp
        """)
    if os.path.isdir("/run/sshd") is False:
        os.mkdir("/run/sshd", 0o755)  # sshd insists on this empty folder; systemd would have made it
    sshd = space.start("sshd", harness.find("sshd", "/usr/sbin"), "-D", "-e", "-f", folder / "config")
    world.until(lambda: space.listens(PORT) or not sshd.running(), 20, "sshd to listen")
    return ["-F", "none", "-i", folder / "user", "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes",
            "-o", f"UserKnownHostsFile={folder}/known", "-o", "LogLevel=ERROR", "-o", "IPQoS=none"]


def ssh(world, space, options, address, port, name):
    return Session(world, space.terminal(name, harness.find("ssh"), *options, "-tt", "-p", port, f"root@{address}",
                                         far_shell(world)))


def checksum(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


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
