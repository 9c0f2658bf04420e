"""Real OpenSSH: a server with keys of its own, and a far shell behind it."""

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
