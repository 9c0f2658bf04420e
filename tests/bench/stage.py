"""Two network namespaces with the emulated network of tests/wan between them, and the programs of a way in them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keystrokes
from measuring import Process, Trouble, Way

NEAR, FAR = "10.77.0.1", "10.77.0.2"


def for_everybody():
    """The congestion controls that a proxy may use."""
    return Path("/proc/sys/net/ipv4/tcp_allowed_congestion_control").read_text().split()


def command(*words, check=True):
    done = subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    if check and done.returncode != 0:
        raise Trouble(f"{' '.join(map(str, words))}: {done.stderr.strip()}")
    return done.stdout


class Stage:
    """Two namespaces, the network between them, and whatever runs in them; all of it goes with `close`."""

    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.near, self.far = (f"hfbench{os.getpid()}-{name}" for name in ("near", "far"))
        self.started, self.count, self.network = [], 0, None
        self.sshd_config, self.ssh_words = None, []

    def __enter__(self):
        receive, send = (int(float(size) * (1 << 20)) for size in self.options.buffers.split(","))
        try:
            for netns in (self.near, self.far):
                command("ip", "netns", "add", netns)
                command("ip", "-n", netns, "link", "set", "lo", "up")
                command("ip", "netns", "exec", netns, "sysctl", "-qw", f"net.ipv4.tcp_rmem=4096 131072 {receive}",
                        f"net.ipv4.tcp_wmem=4096 16384 {send}", "net.ipv4.tcp_no_metrics_save=1")
            self.network = subprocess.Popen(
                [str(self.options.wan), self.near, self.far, "--mtu", str(self.options.mtu), f"rate {self.options.rate}",
                 f"queue {self.options.queue}", *["--no-offload"] * self.options.no_offload], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            if self.network.stdout.readline() != "ready\n":
                raise Trouble("the emulated network does not start")
            for netns, address in ((self.near, NEAR), (self.far, FAR)):
                command("ip", "-n", netns, "address", "add", f"{address}/24", "dev", "wan0")
            return self
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.stop_programs()
        if self.network:
            self.network.communicate(timeout=10)  # it ends with its standard input
        for netns in (self.near, self.far):
            command("ip", "netns", "del", netns, check=False)

    def tell(self, line):
        """A command to the emulated network, and its answer."""
        self.network.stdin.write(line + "\n")
        self.network.stdin.flush()
        answer = self.network.stdout.readline().strip()
        if not answer or answer.startswith("error"):
            raise Trouble(f"the emulated network: {answer}")
        return answer

    def congestion(self, name):
        """That of new connections, by the route, because a namespace may be forbidden to change its default."""
        for netns, address in ((self.near, NEAR), (self.far, FAR)):
            command("ip", "-n", netns, "route", "replace", "10.77.0.0/24", "dev", "wan0", "src", address, "congctl", name)

    def start(self, netns, name, *words):
        self.count += 1
        process = Process(self.folder, f"{name}-{self.count}", ["ip", "netns", "exec", netns, *words])
        self.started.append(process)
        return process

    def stop_programs(self):
        for process in reversed(self.started):
            process.stop()
        self.started = []

    def way(self, name, congestion, door=False):
        """New programs for this way, from nothing. `door`: the target is also an sshd."""
        self.congestion(congestion)
        target = self.start(self.far, "target", self.options.load, "target", "--bind", "127.0.0.1" if door else FAR).port()
        if door:
            target = self.door(target)
        if name == "direct":
            return Way(name, (FAR, target))
        flags = ["--raw"] if name == "raw" else self.proxy_options(congestion)
        if name == "one-link":
            flags = [*flags, "--no-bulk-link"]
        state = ["--state-dir", self.folder]
        sproxy = self.start(self.far, "sproxy", self.options.programs / "sproxy", "0", "--bind", FAR,
                            "--target", f"{FAR}:{target}", *state, *flags)
        cproxy = self.start(self.near, "cproxy", self.options.programs / "cproxy", "0", FAR, sproxy.port(), *state, *flags)
        return Way(name, ("127.0.0.1", cproxy.port()), (cproxy, sproxy))

    def proxy_options(self, congestion):
        """Of the protocol; the route names another congestion control where the option can name this one."""
        allowed = for_everybody()
        others = [other for other in allowed if other != congestion]
        if congestion not in allowed or not others:
            return self.options.proxy_options.split()
        self.congestion(others[0])
        return ["--congestion", congestion, *self.options.proxy_options.split()]

    def door(self, target):
        """Its port; behind it are the target and an sshd."""
        port = 2200
        if not self.ssh_words:
            self.sshd_config, self.ssh_words = keystrokes.sshd_config(self.folder / "ssh", port)
        sshd = self.start(self.far, "sshd", "/usr/sbin/sshd", "-D", "-e", "-f", self.sshd_config)
        sshd.says("listening on")
        return self.start(self.far, "door", sys.executable, "-B", keystrokes.__file__, FAR, port, target).port()

    def app(self, *words, patience=120):
        done = subprocess.run(["ip", "netns", "exec", self.near, str(self.options.load), *map(str, words)],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=patience)
        if done.returncode != 0:
            raise Trouble(f"bench_load {' '.join(map(str, words))}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def app_beside(self, *words):
        return subprocess.Popen(["ip", "netns", "exec", self.near, str(self.options.load), *map(str, words)],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
