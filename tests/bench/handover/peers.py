"""Ways from an app to its target. Each is started from nothing for every single measure.

    peer.start( stage ) -> the app        peer.sleepers: its programs on the near side, which a sleeping machine stops
"""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import harness
from harness import Failure
from topology import SERVER

HERE = Path(__file__).resolve().parent
LINK_PORT, LOCAL_PORT, TARGET_PORT, SSH_PORT = 5000, 2000, 7000, 22
READY = 40  # seconds until a peer must have a working session, at most


class App:
    """The program that notices (app.py or terminal.py), and its desk."""

    name, quiet = "app", True  # its few words are in our failures already

    def __init__(self, world, space, script, *arguments, env=None):
        self.world, self.again = world, "again" in arguments
        self.trouble = open(world.folder / "app.log", "wb")
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "ip", "netns", "exec", space.name, "/usr/bin/python3", "-B", HERE / script,
             *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.trouble, text=True,
            env={**os.environ, **(env or {})})
        if self.process.stdout.readline() != "ready\n":
            raise Failure(f"the app does not come up: {(world.folder / 'app.log').read_text().strip()}")

    def ask(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise Failure(f"the app has ended: {(self.world.folder / 'app.log').read_text().strip()}")
        return json.loads(answer)

    def since(self, usable, quiet, lost):
        return self.ask("since", usable, quiet, lost)

    def stall(self, begin, end):
        return self.ask("stall", begin, end)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stdin.close()
        self.trouble.close()


class Peer:
    """`title` stands above its column."""

    name = title = ""
    many = True  # can carry a thousand sessions here

    def __init__(self, stage):
        self.stage, self.world, self.net = stage, stage.world, stage.net
        self.sleepers = []

    def start(self, sessions):
        raise NotImplementedError

    def attached(self, address, interface):
        pass

    def detached(self, address):
        pass

    def pause(self, stopped):
        for program in self.sleepers:
            program.signal(signal.SIGSTOP if stopped else signal.SIGCONT)

    def target(self, address="127.0.0.1", *more):
        program = self.net.far.start("target", "/usr/bin/python3", "-B", HERE / "target.py", address, TARGET_PORT, *more)
        self.world.until(lambda: self.net.far.listens(TARGET_PORT) or not program.running(), READY, "the target to listen")

    def app(self, address, port, sessions, *more):
        return self.world.add(App(self.world, self.net.near, "app.py", address, port, sessions, *more))


class Holdfast(Peer):
    name, title = "holdfast", "Holdfast"

    def start(self, sessions):
        self.target()
        self.world.sproxy(self.net.far, LINK_PORT, "--target", f"127.0.0.1:{TARGET_PORT}")
        self.sleepers = [self.world.cproxy(self.net.near, LOCAL_PORT, SERVER, LINK_PORT)]
        return self.app("127.0.0.1", LOCAL_PORT, sessions)


class Direct(Peer):
    name, title = "direct", "direct TCP"

    def start(self, sessions):
        self.target(SERVER)
        return self.app(SERVER, TARGET_PORT, sessions)


class Mptcp(Peer):
    """The kernel's path manager is told each new address as soon as it is there, and that the old one is gone when the new
    path has had time to join: told before, it could tell the far side by the dead path only, and nothing came back."""

    name, title = "mptcp", "MPTCP"

    def start(self, sessions):
        self.gone = []
        for space in (self.net.near, self.net.far):
            space.run("sysctl", "-qw", "net.mptcp.enabled=1", "net.mptcp.blackhole_timeout=0")  # no measure learns from another
            space.ip("mptcp limits set subflows 4 add_addr_accepted 4")
        self.net.near.ip("mptcp endpoint flush")
        for address, interface in self.net.addresses.items():
            self._add(address, interface)
        self.target(SERVER, "mptcp")
        return self.app(SERVER, TARGET_PORT, sessions, "mptcp")

    def attached(self, address, interface):
        self._add(address, interface)
        if self.gone:
            time.sleep(2 * self.net.rtt + 0.05)
        while self.gone:
            self._delete(self.gone.pop())

    def detached(self, address):
        if self.net.addresses:
            self._delete(address)
        else:
            self.gone.append(address)

    def _add(self, address, interface):
        self.net.near.ip(f"mptcp endpoint add {address} dev {interface} subflow")

    def _delete(self, address):
        shown = self.net.near.ip("mptcp endpoint show").stdout
        number = re.search(rf"{re.escape(address)} id (\d+)", shown)[1]
        self.net.near.ip(f"mptcp endpoint delete id {number}")


class Ssh(Peer):
    name, title = "ssh", "ssh -L"
    alive = ("ServerAliveInterval=15", "ServerAliveCountMax=3")
    again = ()

    def start(self, sessions):
        self.target()
        options = self.sshd()
        words = [*options, *(word for option in self.alive for word in ("-o", option)), "-o", "ExitOnForwardFailure=yes",
                 "-N", "-L", f"127.0.0.1:{LOCAL_PORT}:127.0.0.1:{TARGET_PORT}", "-p", SSH_PORT, f"root@{SERVER}"]
        client = self.command(words)
        self.sleepers = [client]
        self.world.until(lambda: self.net.near.listens(LOCAL_PORT) or not client.running(), READY, "ssh to listen")
        return self.app("127.0.0.1", LOCAL_PORT, sessions, *self.again)

    def command(self, words):
        return self.net.near.start("ssh", harness.find("ssh"), *words)

    def sshd(self):
        """sshd with a configuration, a host key and one authorised key of its own."""
        folder = self.world.folder / "ssh"
        if not folder.exists():
            folder.mkdir(mode=0o700)
            for key in ("host", "user"):
                harness.run(harness.find("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", folder / key)
            (folder / "config").write_text(
                f"Port {SSH_PORT}\nListenAddress {SERVER}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\n"
                "PidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin prohibit-password\nPasswordAuthentication no\n"
                "MaxSessions 2000\nUseDNS no\n")
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd insists on this empty folder
        sshd = self.net.far.start("sshd", harness.find("sshd", "/usr/sbin"), "-D", "-e", "-f", folder / "config")
        self.world.until(lambda: self.net.far.listens(SSH_PORT) or not sshd.running(), READY, "sshd to listen")
        return ["-F", "none", "-i", folder / "user", "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes",
                "-o", f"UserKnownHostsFile={folder}/known", "-o", "LogLevel=ERROR"]


class Autossh(Ssh):
    """As fast as ssh can be told to notice. The session is lost with ssh; the app connects again, for another one."""

    name, title = "autossh", "autossh"
    alive = ("ServerAliveInterval=1", "ServerAliveCountMax=3")
    again = ("again",)

    def command(self, words):
        # AUTOSSH_GATETIME: without it a first connection that lasted less than 30 s is not replaced.
        return self.net.near.start("autossh", harness.find("autossh"), "-M", "0", *words, env={"AUTOSSH_GATETIME": "0"})

    def pause(self, stopped):
        """autossh and its ssh."""
        children = harness.run("ps", "-o", "pid=", "--ppid", self.sleepers[0].pid, check=False).stdout.split()
        for pid in map(int, children):
            os.kill(pid, signal.SIGSTOP if stopped else signal.SIGCONT)
        super().pause(stopped)


class Mosh(Peer):
    name, title, many, manner = "mosh", "mosh", False, "typing"

    def start(self, sessions):
        assert sessions == 1, "mosh carries one terminal"
        port, locale = "60001", {"LC_ALL": "C.UTF-8", "TERM": "xterm"}
        begun = self.net.far.run("mosh-server", "new", "-i", SERVER, "-p", port, "--", "/usr/bin/python3", "-B", HERE / "screen.py",
                                 env={**os.environ, **locale})
        key = re.search(r"MOSH CONNECT \d+ (\S+)", begun.stdout)[1]
        app = self.world.add(App(self.world, self.net.near, "terminal.py", self.manner, "mosh-client", SERVER, port,
                                 env={**locale, "MOSH_KEY": key, "MOSH_PREDICTION_DISPLAY": "never"}))
        self.client_pid = app.ask("pid")["pid"]
        return app

    def pause(self, stopped):
        os.kill(self.client_pid, signal.SIGSTOP if stopped else signal.SIGCONT)


class WatchedMosh(Mosh):
    name, title, manner = "mosh-watched", "mosh, watched", "watching"


ALL = {peer.name: peer for peer in (Holdfast, Direct, Ssh, Autossh, Mosh, WatchedMosh, Mptcp)}
