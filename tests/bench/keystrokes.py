#!/usr/bin/python3
"""How long the echo of a keystroke takes in a real ssh: sshd, a door before it, and somebody who types.

    ssh ── … ──> door ──> sshd -> cat          the first bytes of a connection say which
    bulk ── … ──> door ──> bench_load target

A pair of proxies has one target, and ssh and bulk shall share a tunnel: so the door, this file as a program, stands before
both servers. It also does where nothing is between, so that all ways have the same far side.
"""

import os
import random
import select
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

PAUSE = 0.02, 0.12  # s between an echo and the next keystroke: somebody who types fast


def quantile(values, part):
    return sorted(values)[round(part * (len(values) - 1))]


class Keyboard:
    """An ssh to `host`, `port`, whose far end is a terminal with `cat` in it. `prefix` starts programs on this side."""

    def __init__(self, prefix, words, host, port):
        words = [*prefix, "ssh", *words, "-tt", "-p", port, f"root@{host}", "echo ready; exec cat"]
        self.process = subprocess.Popen([str(word) for word in words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.chance = random.Random(1)
        seen = b""
        while b"ready" not in seen:
            seen += self._read(30)

    def _read(self, patience):
        fd = self.process.stdout.fileno()
        if not select.select([fd], [], [], patience)[0]:
            raise TimeoutError(f"ssh: nothing came for {patience} s")
        got = os.read(fd, 4096)
        if not got:
            raise ConnectionError("ssh ended")
        return got

    def type(self, seconds):
        """Types for so long; how long each echo took, in ms."""
        times, end = [], time.monotonic() + seconds
        while time.monotonic() < end:
            key = b"abcdefghijklmnopqrstuvwxyz"[len(times) % 26:][:1]
            before = time.monotonic()
            os.write(self.process.stdin.fileno(), key)
            while key not in self._read(30):
                pass
            times.append((time.monotonic() - before) * 1e3)
            time.sleep(self.chance.uniform(*PAUSE))
            if len(times) % 1000 == 0:
                os.write(self.process.stdin.fileno(), b"\x15")  # a terminal's line is not endless (termios(3), KILL)
        return times

    def close(self):
        self.process.kill()
        self.process.wait()


def in_short(times):
    return {"keys": len(times), "keys_p50": statistics.median(times), "keys_p99": quantile(times, 0.99)}


def sshd_config(folder, port):
    """Files for an sshd of our own: where its configuration is, and the options for ssh."""
    folder.mkdir(mode=0o700)
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True, stdin=subprocess.DEVNULL)
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\nPidFile none\nUsePAM no\n"
        "StrictModes no\nPermitRootLogin prohibit-password\nPasswordAuthentication no\nUseDNS no\n")
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd insists on this empty folder
    return folder / "config", ["-F", "none", "-i", folder / "user", "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes",
                               "-o", f"UserKnownHostsFile={folder}/known", "-o", "LogLevel=ERROR"]


# ---------------------------------------------------------------- the door


def carry(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for end in (source, sink):
            end.close()


def let_in(visitor, ssh_port, bulk_port):
    first = visitor.recv(65536)
    inside = socket.create_connection(("127.0.0.1", ssh_port if first.startswith(b"SSH-") else bulk_port))
    for end in (visitor, inside):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    inside.sendall(first)
    threading.Thread(target=carry, args=(visitor, inside), daemon=True).start()
    carry(inside, visitor)


def door(address, ssh_port, bulk_port):
    with socket.create_server((address, 0)) as listener:
        print(f"listening on {address}:{listener.getsockname()[1]}", flush=True)
        while True:
            visitor, _ = listener.accept()
            threading.Thread(target=let_in, args=(visitor, int(ssh_port), int(bulk_port)), daemon=True).start()


if __name__ == "__main__":
    door(*sys.argv[1:])
