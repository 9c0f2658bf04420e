"""Real OpenSSH: a server with keys of its own.

    ssh         a far shell at a terminal (telnet.py)
    Transfer    an scp in each direction
"""

import hashlib
import os
from pathlib import Path

import harness
from telnet import Session, far_shell

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
    os.makedirs("/run/sshd", 0o755, exist_ok=True)  # sshd insists on this empty folder; systemd would have made it
    sshd = space.start("sshd", harness.find("sshd", "/usr/sbin"), "-D", "-e", "-f", folder / "config")
    world.until(lambda: space.listens(PORT) or not sshd.running(), 20, "sshd to listen")
    return ["-F", "none", "-i", folder / "user", "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes",
            "-o", f"UserKnownHostsFile={folder}/known", "-o", "LogLevel=ERROR", "-o", "IPQoS=none"]


def ssh(world, space, options, address, port, name):
    return Session(world, space.terminal(name, harness.find("ssh"), *options, "-tt", "-p", port, f"root@{address}",
                                         far_shell(world)))


def checksum(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


class Transfer:
    """An scp in each direction through cproxy on port 5000, with so many kbit/s, compared when it ends."""

    def __init__(self, world, net, options, size, rate):
        self.world, self.net, self.options, self.rate, self.programs = world, net, options, rate, []
        self.original, self.there, self.back = (world.folder / name for name in ("original", "there", "back"))
        self.original.write_bytes(os.urandom(size))

    def start(self, way):
        source, goal = {"up": (self.original, f"root@127.0.0.1:{self.there}"),
                        "down": (f"root@127.0.0.1:{self.original}", self.back)}[way]
        self.programs.append(self.net.client.start(f"scp-{way}-{len(self.programs)}", harness.find("scp"), *self.options, "-q", "-l", self.rate,
                                                   "-P", 5000, source, goal))

    def running(self):
        return all(program.running() for program in self.programs)

    def stop(self):
        for program in self.programs:
            program.kill()
        self.programs = []

    def finish(self, timeout=120):
        """Both have ended well; what has come is put aside, for `compare`."""
        self.world.check(self.running(), "all this happened in the middle of the transfers")
        for program in self.programs:
            self.world.same(program.wait(timeout), 0, f"{program.name} ended well")
        self.programs = []
        self.arrived = [path.rename(path.with_suffix(".arrived")) for path in (self.there, self.back)]

    def compare(self):
        self.world.same([checksum(path) for path in self.arrived], [checksum(self.original)] * 2, "the same checksum, up and down")
