"""Ways from an app to its target through two programs in a row, on loopback: Holdfast, its probes, and what a user
would take instead. Each is started once and serves all measures. How each is set up is meant to be its best: no log
for each connection, one thread (as Holdfast has), buffers as it comes."""

import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

from measuring import Process, Trouble, Way

HERE = "127.0.0.1"


def free_port():
    with socket.socket() as probe:
        probe.bind((HERE, 0))
        return probe.getsockname()[1]


def listens(port):
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port:
            return True
    return False


def wait_until_listening(process, port):
    deadline = time.monotonic() + 10
    while not listens(port):
        if process.process.poll() is not None or time.monotonic() > deadline:
            raise Trouble(f"{process.name} does not listen:\n{process.path.read_text(errors='replace')}")
        time.sleep(0.01)


class Relays:
    """`start( name )` makes a way. Programs end with stop()."""

    def __init__(self, folder, programs, bench, target_port):
        self.folder, self.programs, self.bench, self.target = folder, programs, bench, target_port
        self.started = []
        (folder / "empty").mkdir()

    def start(self, name):
        return getattr(self, name.replace("-", "_"))()

    def stop(self):
        for process in reversed(self.started):
            process.stop()

    def _run(self, name, port, *command, **more):
        process = Process(self.folder, name, command, **more)
        self.started.append(process)
        wait_until_listening(process, port)
        return process

    def _chain(self, name, near, far):
        """near( port, to ) and far( port, to ) are command lines."""
        first, second = free_port(), free_port()
        to = self._run(f"{name}-far", second, *far(second, self.target))
        return Way(name, first, (self._run(f"{name}-near", first, *near(first, second)), to))

    def _file(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    # ------------------------------------------------------------ ours

    def _holdfast(self, name, *flags):
        def near(port, to):
            return [self.programs / "cproxy", port, HERE, to, "--state-dir", self.folder / f"{name}-c", *flags]

        def far(port, to):
            return [self.programs / "sproxy", port, "--bind", HERE, "--target", f"{HERE}:{to}", "--state-dir",
                    self.folder / f"{name}-s", *flags]

        return self._chain(name, near, far)

    def clear(self):
        return self._holdfast("clear", "--insecure")

    def tls(self):
        return self._holdfast("tls")

    def copy(self):
        return self._chain("copy", *2 * [lambda port, to: [self.bench / "bench_probe", "copy", port, to]])

    def framed(self):
        return self._chain("framed", lambda port, to: [self.bench / "bench_probe", "near", port, to],
                           lambda port, to: [self.bench / "bench_probe", "far", port, to])

    def sealed(self):
        return self._chain("sealed", lambda port, to: [self.bench / "bench_probe", "tls-near", port, to],
                           lambda port, to: [self.bench / "bench_probe", "tls-far", port, to])

    # ------------------------------------------------------------ in the clear

    def direct(self):
        return Way("direct", self.target)

    def socat(self):
        return self._chain("socat", *2 * [lambda port, to: [
            "socat", "-b", 131072, f"TCP4-LISTEN:{port},bind={HERE},fork,reuseaddr,nodelay,backlog=1024", f"TCP4:{HERE}:{to},nodelay"]])

    def haproxy(self):
        def hop(port, to):
            return ["haproxy", "-db", "-f", self._file(f"haproxy-{port}.cfg", f"""
global
    nbthread 1
    maxconn 4000
defaults
    mode tcp
    timeout connect 10s
    timeout client 1h
    timeout server 1h
listen relay
    bind {HERE}:{port}
    server next {HERE}:{to}
""")]

        return self._chain("haproxy", hop, hop)

    def nginx(self):
        module = next(iter(Path("/usr/lib/nginx/modules").glob("ngx_stream_module.so")), None)

        def hop(port, to):
            place = self.folder / f"nginx-{port}"
            place.mkdir()
            config = self._file(f"nginx-{port}.conf", f"""
{f'load_module {module};' if module else ''}
daemon off;
worker_processes 1;
pid {place}/pid;
error_log stderr error;
worker_rlimit_nofile 16000;
events {{ worker_connections 8000; }}
stream {{
    proxy_timeout 1h;
    proxy_half_close on;
    server {{ listen {HERE}:{port} reuseport; proxy_pass {HERE}:{to}; }}
}}
""")
            return ["nginx", "-p", place, "-e", "stderr", "-c", config]

        return self._chain("nginx", hop, hop)

    # ------------------------------------------------------------ encrypted

    def stunnel(self):
        key = self.folder / "stunnel.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
                        "/CN=bench", "-keyout", key, "-out", f"{key}.crt"], check=True, capture_output=True)
        key.write_text(key.read_text() + Path(f"{key}.crt").read_text())
        key.chmod(0o600)

        def hop(client):
            def command(port, to):
                return ["stunnel4", self._file(f"stunnel-{port}.conf", f"""
foreground = yes
debug = 3
pid =
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1
[relay]
client = {'yes' if client else 'no'}
accept = {HERE}:{port}
connect = {HERE}:{to}
{'' if client else f'cert = {key}'}
sslVersionMin = TLSv1.3
""")]
            return command

        return self._chain("stunnel", hop(True), hop(False))

    def spiped(self):
        key = self.folder / "spiped.key"
        key.write_bytes(os.urandom(32))

        def hop(flag):
            return lambda port, to: ["spiped", flag, "-F", "-n", 500, "-k", key, "-s", f"[{HERE}]:{port}", "-t", f"[{HERE}]:{to}"]

        return self._chain("spiped", hop("-e"), hop("-d"))

    def ssh(self):
        """One hop is ssh, the other one sshd; sessions are channels of one connection."""
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / f"ssh-{name}"], check=True)
        shutil.copy(self.folder / "ssh-user.pub", self.folder / "ssh-authorized")
        Path("/run/sshd").mkdir(exist_ok=True)  # its privilege separation wants it
        first, second = free_port(), free_port()
        config = self._file("sshd.conf", f"""
ListenAddress {HERE}:{second}
HostKey {self.folder}/ssh-host
AuthorizedKeysFile {self.folder}/ssh-authorized
PidFile none
StrictModes no
UsePAM no
PermitRootLogin yes
""")
        far = self._run("sshd", second, "/usr/sbin/sshd", "-D", "-e", "-f", config)
        known = self._file("ssh-known", f"[{HERE}]:{second} {(self.folder / 'ssh-host.pub').read_text()}")
        near = self._run("ssh", first, "ssh", "-F", "none", "-N", "-p", second, "-i", self.folder / "ssh-user", "-o",
                         f"UserKnownHostsFile={known}", "-o", "BatchMode=yes", "-L", f"{HERE}:{first}:{HERE}:{self.target}", HERE)
        return Way("ssh", first, (near, far))


PACKAGES = {"socat": "socat", "haproxy": "haproxy", "nginx": "nginx-light", "stunnel": "stunnel4", "spiped": "spiped", "ssh": "openssh-client"}


def version(name):
    """Of a program that stands in the table; the first number that it says of itself."""
    flag = {"socat": "-V", "nginx": "-v", "haproxy": "-v", "stunnel4": "-version", "spiped": "-v", "ssh": "-V"}[name]
    done = subprocess.run([name, flag], capture_output=True, text=True)
    found = re.search(r"\d+\.\d+[\w.]*", done.stdout + done.stderr)
    return f"{name} {found[0] if found else '?'}"
