"""The stage on which the scenarios of this folder play: network namespaces, real programs, one bounded wait.

A scenario is a file NN-name.py. It builds a World (its namespaces and wires), starts programs in it, lets
something happen to the network, and says what must be true afterwards. Everything runs in ONE thread:
whatever reads or writes (terminals, sockets of the scenario's own apps and targets) is registered with the
world and is moved along while the scenario waits in `until`. Nothing sleeps to be "surely ready".

    World           namespaces with unique names, removed whatever happens
     |- Namespace   run and start programs inside, create sockets inside
     |- Program     a process with its log in a file
     '- Terminal    a process on a pseudo terminal, as a person at a keyboard would have it

Exit status of a scenario: 0 passed, 1 failed, 77 skipped because namespaces are not permitted here.
"""

import ctypes
import errno
import fcntl
import os
import pty
import re
import resource
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
from contextlib import contextmanager
from pathlib import Path

from workers import is_there, worker_of

SKIPPED = 77
BEGAN = time.time() - 1  # this process, and a little before: the clock of files is a coarser one
DESCRIPTORS = 16384  # that a scenario may have: some are thousands of strangers. A login shell gives 1024
HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
TROUBLE = r"Sanitizer|runtime error:|Assertion|terminate called|the sandbox refused"  # lines that no good proxy writes
BUSY = "the loop was busy for"  # sproxy, of a turn that took 50 ms: that happens to whoever shares a processor with other tests
INSECURE = "insecure" in sys.argv[1:]  # taken away here: the other arguments are the scenario's
MORE_THREADS = 2 if "threads" in sys.argv[1:] else 0  # of each sproxy that may have some
FLAGS = [word for word in sys.argv[1:] if word in ("insecure", "threads")]  # for who starts this script again, as somebody else
sys.argv[1:] = [word for word in sys.argv[1:] if word not in FLAGS]


class Failure(Exception):
    """What the scenario claims is not true."""


class Skip(Exception):
    """Network namespaces are not permitted here, or the kernel lacks what the scenario is about; nothing else is a reason."""


# ---------------------------------------------------------------- finding programs


def find(program, *more_places):
    """The path of a program: PATH, the system folders, then packages unpacked below build/tools."""
    places = os.environ.get("PATH", "").split(":") + ["/usr/sbin", "/sbin", "/usr/bin", "/bin", *more_places]
    for place in places:
        if place and os.access(Path(place) / program, os.X_OK):
            return str(Path(place) / program)
    tools = REPOSITORY / "build" / "tools"
    for path in sorted(tools.rglob(program)) if tools.is_dir() else []:
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
    raise Failure(f"the program {program} is not installed (scripts/deps.sh installs what the tests need)")


def holdfast(program):
    """cproxy or sproxy, from HOLDFAST_BIN or else from the root of the repository."""
    path = Path(os.environ.get("HOLDFAST_BIN", REPOSITORY)) / program
    if not os.access(path, os.X_OK):
        raise Failure(f"no program {path}: build it first, or name its folder in HOLDFAST_BIN")
    return str(path)


def bench(program):
    """A program of tests/bench, from HOLDFAST_BENCH or else from the release build."""
    path = Path(os.environ.get("HOLDFAST_BENCH", REPOSITORY / "build" / "release" / "tests" / "bench")) / program
    if not os.access(path, os.X_OK):
        raise Failure(f"no program {path}: build it first, or name its folder in HOLDFAST_BENCH")
    return str(path)


def run(*command, check=True, timeout=30, **more):
    """Runs a short command to its end; its output is returned, its failure is ours."""
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=timeout, **more)
    if check and done.returncode != 0:
        raise Failure(f"{' '.join(map(str, command))}: status {done.returncode}: {done.stderr.strip()}")
    return done


# ---------------------------------------------------------------- programs


class Program:
    """A process whose standard output and error go to a file of the world's folder."""

    def __init__(self, world, name, command, stdin=subprocess.DEVNULL, env=None, quiet=False):
        self.name, self.world, self.quiet = name, world, quiet
        self.path = world.folder / f"{name}.log"
        self.expected_end = False
        self.memories = 1  # of a proxy: one for each of its threads
        self._at = 0
        with open(self.path, "ab") as log:
            # setpriv: should the scenario be killed, the kernel ends its programs too.
            self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *map(str, command)], stdin=stdin,
                                            stdout=log, stderr=log, env={**os.environ, **(env or {})})
        self.pid = self.process.pid
        self._worker = None

    @property
    def worker(self):
        """The process that does the work: of a proxy, the keeper's child, another one after each crash."""
        self._worker = worker_of(self.pid, self._worker)
        return self._worker

    def log(self):
        """What it has said until now, in whole lines: the last one may be in the middle of being written."""
        running, text = self.running(), self.path.read_text(errors="replace")
        return text[:text.rfind("\n") + 1] if running else text

    def lines(self, pattern):
        """The lines of the log in which the pattern occurs."""
        return [line for line in self.log().splitlines() if re.search(pattern, line)]

    def mark(self):
        """Remembers how long the log is now, for `since`."""
        self._at = len(self.log())

    def since(self):
        """The lines of the log written since the mark, but for what is said of a machine that has too much to do."""
        return [line for line in self.log()[self._at:].splitlines() if BUSY not in line]

    def running(self):
        return self.process.poll() is None

    def signal(self, number):
        """As its user would send it. Who stands still does so with all that belongs to him, as his machine would."""
        worker = self.worker if self.running() else self.pid
        self.process.send_signal(number)
        if number in (signal.SIGSTOP, signal.SIGCONT) and worker != self.pid:
            try:
                os.kill(worker, number)
            except ProcessLookupError:
                pass  # it had just been killed, and its keeper has buried it

    def wait(self, timeout=20):
        """Waits for its end and returns its exit status."""
        self.expected_end = True
        self.world.until(lambda: not self.running() and self._worker_is_gone(), timeout, f"{self.name} to end")
        return self.process.returncode

    def kill(self):
        """All of it at once, as if its machine had died: the kernel ends the worker of a keeper that dies."""
        self.expected_end = True
        if self.running():
            self.worker  # to know who has to be gone
            self.process.kill()
        self.process.wait()
        deadline = time.monotonic() + 20
        while not self._worker_is_gone() and time.monotonic() < deadline:
            time.sleep(0.005)

    def kill_worker(self):
        """kill -9 of what does the work, as a crash would be: the keeper lives on and starts another one."""
        os.kill(self.worker, signal.SIGKILL)

    def _worker_is_gone(self):
        return self._worker in (None, self.pid) or not is_there(self._worker)

    def memory_kib(self):
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.worker}/status").read_text())[1])

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.worker}/fd"))

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.worker}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Terminal:
    """A program on a pseudo terminal: `type` is the keyboard, `text` everything the screen ever showed."""

    def __init__(self, world, name, command, env=None):
        self.name, self.world = name, world
        self.screen = bytearray()
        self.ended = False
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
        self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "setsid", "-c", *map(str, command)],
                                        stdin=slave, stdout=slave, stderr=slave,
                                        env={**os.environ, "TERM": "dumb", **(env or {})})
        os.close(slave)
        os.set_blocking(master, False)
        self.master = master
        world.watch(master, self._readable)

    def _readable(self):
        try:
            got = os.read(self.master, 65536)
        except BlockingIOError:
            return
        except OSError as trouble:
            if trouble.errno != errno.EIO:
                raise
            got = b""  # the last program on this terminal has gone
        if got:
            self.screen += got
        else:
            self.ended = True
            self.world.unwatch(self.master)

    @property
    def text(self):
        return self.screen.decode(errors="replace").replace("\r", "")

    def type(self, keys):
        os.write(self.master, keys.encode() if isinstance(keys, str) else keys)

    def expect(self, pattern, timeout=20, what=None):
        """Waits until the pattern is on the screen."""
        self.world.until(lambda: re.search(pattern, self.text), timeout,
                         what or f"{pattern!r} on the screen of {self.name}")

    def running(self):
        return self.process.poll() is None

    def wait(self, timeout=20):
        self.world.until(lambda: not self.running(), timeout, f"{self.name} to end")
        return self.process.returncode

    def kill(self):
        if self.running():
            self.process.kill()
        self.process.wait()
        if not self.ended:
            self.ended = True
            self.world.unwatch(self.master)


# ---------------------------------------------------------------- namespaces


class Namespace:
    def __init__(self, world, short):
        self.world, self.short = world, short
        self.name = f"hf{os.getpid()}-{short}"
        done = run("ip", "netns", "add", self.name, check=False)
        if done.returncode != 0:
            raise Skip(f"network namespaces are not permitted here: {done.stderr.strip()}")
        world.on_close(lambda: remove_namespace(self.name))
        # /etc/netns/NAME/* stands in for /etc/* inside: names without a server that might not answer for seconds.
        etc = Path("/etc/netns") / self.name
        etc.mkdir(parents=True)
        (etc / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        (etc / "hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
        self.run("ip", "link", "set", "lo", "up")
        self.run("sysctl", "-qw", "net.ipv4.ping_group_range=0 2147483647", check=False)

    def run(self, *command, **more):
        return run("ip", "netns", "exec", self.name, *command, **more)

    def knows(self, name, *addresses):
        """Inside, the name now stands for these addresses."""
        hosts = Path("/etc/netns") / self.name / "hosts"
        kept = [line for line in hosts.read_text().splitlines() if line.split()[1:] != [name]]
        hosts.write_text("".join(f"{line}\n" for line in kept + [f"{address} {name}" for address in addresses]))

    def ip(self, *words):
        """One `ip` command inside; words may be given as one string."""
        return run("ip", "-n", self.name, *(word for part in words for word in str(part).split()))

    def nft(self, ruleset):
        """Loads an nft ruleset inside."""
        with tempfile.NamedTemporaryFile("w", suffix=".nft") as file:
            file.write(ruleset)
            file.flush()
            self.run("nft", "-f", file.name)

    def start(self, name, *command, **more):
        return self.world.add(Program(self.world, name, ["ip", "netns", "exec", self.name, *command], **more))

    def terminal(self, name, *command, **more):
        return self.world.add(Terminal(self.world, name, ["ip", "netns", "exec", self.name, *command], **more))

    @contextmanager
    def inside(self):
        """Sockets created in this block belong to the namespace, whatever thread uses them later."""
        with open("/proc/self/ns/net") as home, open(f"/run/netns/{self.name}") as there:
            self.world.enter(there)
            try:
                yield
            finally:
                self.world.enter(home)

    def socket(self, family=socket.AF_INET, kind=socket.SOCK_STREAM, protocol=0):
        with self.inside():
            return socket.socket(family, kind, protocol)

    def connections(self, *ports):
        """The TCP sockets with one of these ports that still are something: not listening, not TIME-WAIT."""
        wanted = " or ".join(f"sport = :{port} or dport = :{port}" for port in ports)
        shown = self.run("ss", "-Htan", f"( {wanted} )" if wanted else "").stdout
        return [line for line in shown.splitlines() if not line.startswith(("LISTEN", "TIME-WAIT"))]

    def links(self, port=6000, far_ends=False):
        """Our ends of the links that are established, "10.1.0.10:40000", or "10.3.0.10%eth1:40000" when bound to an interface."""
        return [line.split()[4 if far_ends else 3] for line in self.connections(port) if line.startswith("ESTAB")]

    def one_link(self, port=6000):
        """Our links, which are one: a slow start may have dialled another, which is closed when the first one is welcomed."""
        self.world.until(lambda: len(self.links(port)) == 1, 10, lambda: f"one link, not {self.links(port)}")
        return self.links(port)

    def reaches(self, address):
        """Waits until the wires to that address work."""
        self.world.until(lambda: self.run("ping", "-c1", "-W1", address, check=False).returncode == 0, 30, "the wires to work")

    def listens(self, port):
        return bool(self.run("ss", "-Htln", f"sport = :{port}").stdout.strip())


class World:
    """Namespaces, programs and everything that must go away at the end. Use with `with`."""

    def __init__(self, insecure=False):
        self.started = time.monotonic()
        sweep()
        self.folder = Path(tempfile.mkdtemp(prefix=f"holdfast-net-{os.getpid()}-"))
        self.folder.chmod(0o755)
        self.insecure = insecure  # links in the clear; otherwise over TLS, as users have them
        self.programs = []
        self._closers = []
        self._selector = selectors.DefaultSelector()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None and not issubclass(kind, (Skip, KeyboardInterrupt)):
            self._show_logs()
        for program in reversed(self.programs):
            program.kill()
        for closer in self._closers:
            try:
                closer()
            except (OSError, subprocess.SubprocessError) as trouble:  # the others have their turn, and the outcome is what it is
                print(f"left behind: {trouble}", flush=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def namespace(self, short):
        return Namespace(self, short)

    def add(self, program):
        self.programs.append(program)
        return program

    def on_close(self, action):
        self._closers.append(action)

    @staticmethod
    def enter(file):
        if LIBC.setns(file.fileno(), CLONE_NEWNET) != 0:
            raise Failure(f"cannot enter a namespace: {os.strerror(ctypes.get_errno())}")

    # -- the one loop

    def watch(self, file, on_read=None, on_write=None):
        """Calls the functions when the file is readable or writable; replaces an earlier watch."""
        events = (selectors.EVENT_READ if on_read else 0) | (selectors.EVENT_WRITE if on_write else 0)
        known = file in self._selector.get_map()
        if events and known:
            self._selector.modify(file, events, (on_read, on_write))
        elif events:
            self._selector.register(file, events, (on_read, on_write))
        elif known:
            self._selector.unregister(file)

    def unwatch(self, file):
        self.watch(file)

    def turn(self, at_most):
        """Moves along whatever is ready, waiting at most so many seconds for something to be."""
        for key, events in self._selector.select(at_most):
            on_read, on_write = key.data
            if events & selectors.EVENT_READ and on_read:
                on_read()
            if events & selectors.EVENT_WRITE and on_write and key.fd in self._selector.get_map():
                on_write()

    def until(self, condition, timeout, what):
        """THE wait: until the condition holds, at most `timeout` seconds. Returns what the condition returned.

        `what` says what was waited for; as a function it is called only in the end, to tell how things are then.
        """
        deadline = time.monotonic() + timeout
        look_again = 0.0
        while True:
            now = time.monotonic()
            if now >= look_again or now >= deadline:  # at the end once more: it may be this process that stood still
                got = condition()
                if got:
                    return got
                # A condition that starts a command must not starve the loop.
                look_again = time.monotonic() + min(0.2, max(0.01, 4 * (time.monotonic() - now)))
            if now >= deadline:
                ended = [program.name for program in self.programs if getattr(program, "is_proxy", False)
                         and not program.expected_end and not program.running()]
                raise Failure(f"waited {timeout:g} s in vain for {what() if callable(what) else what}"
                              + "".join(f"; {name} has ended unasked" for name in ended))
            self.turn(max(0.0, min(look_again, deadline) - time.monotonic()))

    def during(self, seconds, why):
        """Lets so much time pass because the story says so (an outage of 2 s), not to wait for something."""
        self.say(f"{why} ({seconds:g} s)")
        self.during_quietly(seconds)

    def during_quietly(self, seconds):
        """The same without a word, for the many small steps of a story."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.turn(min(left, 0.05))

    # -- talking

    def say(self, text):
        print(f"[{time.monotonic() - self.started:7.3f}] {text}", flush=True)

    def check(self, truth, claim):
        """A claim of the scenario: told when true, the end of the scenario when not."""
        if not truth:
            raise Failure(f"NOT TRUE: {claim}")
        self.say(f"true: {claim}")

    def check_quietly(self, truth, claim):
        """The same without a word when true, for claims that are made many times."""
        if not truth:
            raise Failure(f"NOT TRUE: {claim}")

    def same(self, left, right, claim):
        if left != right:
            raise Failure(f"NOT TRUE: {claim}: {left!r} is not {right!r}")
        self.say(f"true: {claim} ({str(left)[:80]})")

    def _show_logs(self):
        for program in self.programs:
            if isinstance(program, Terminal):
                text = program.text
            elif program.quiet:
                continue
            else:
                text = program.log()
            lines = text.splitlines()
            print(f"---- {program.name} ({len(lines)} lines, the last 60) ----")
            print("\n".join(lines[-60:]), flush=True)

    # -- Holdfast itself

    def cproxy(self, space, *arguments, name="cproxy", state=None, ready=True, before=(), folder=None):
        """`before` is what stands before the program: prlimit, env or the like, with its arguments. `folder` is where it is,
        if it is not the one that was built."""
        return self._proxy(space, name, "cproxy", arguments, state, ready, before, folder)

    def sproxy(self, space, *arguments, name="sproxy", state=None, ready=True, before=(), folder=None):
        return self._proxy(space, name, "sproxy", arguments, state, ready, before, folder)

    def lied_to(self, source):
        """For `before`: functions of libc are replaced by those of this C source."""
        (self.folder / "lies.c").write_text(source)
        run("cc", "-shared", "-fPIC", "-o", self.folder / "lies.so", self.folder / "lies.c", "-ldl")
        return ["env", f"LD_PRELOAD={self.folder / 'lies.so'}", "ASAN_OPTIONS=verify_asan_link_order=0"]

    def state(self, name):
        """The state directory of a proxy of this name, unless it was given another one."""
        return self.folder / f"{name}.state"

    def security(self, name, *arguments, state=None):
        """The options of a proxy that say who it is and how its links are secured. With --raw there is neither."""
        if "--raw" in arguments:
            return []
        return ["--state-dir", state or self.state(name)] + ["--insecure"] * self.insecure

    def _proxy(self, space, name, program, arguments, state, ready, before, folder):
        arguments = [*self.security(name, *arguments, state=state), *arguments]
        if program == "sproxy" and not {"--raw", "--single", "--threads"} & set(arguments):
            arguments += ["--threads", 1 + MORE_THREADS] if MORE_THREADS else []
        log = self.folder / f"{name}.log"
        earlier = len(log.read_text(errors="replace")) if log.exists() else 0
        proxy = space.start(name, *before, folder / program if folder else holdfast(program), *arguments)
        proxy.is_proxy = True
        # sproxy listens before its threads are there and its death would be survived, and says whom it admits when all is so.
        up = "listening on" if program == "cproxy" or "--raw" in arguments else "our key is |links are in the clear"
        if "--threads" in arguments:
            proxy.memories = int(arguments[arguments.index("--threads") + 1])
        if ready:
            self.until(lambda: re.search(up, proxy.log()[earlier:]) or not proxy.running(), 20, f"{name} to be up")
            if not proxy.running():
                raise Failure(f"{name} ended at once: {proxy.log().strip()}")
        return proxy

    def recovered(self, *proxies, timeout=30):
        """The next worker has taken over in each of them since its mark(), each of its threads with a memory of its own."""
        for proxy in proxies:
            self.until(lambda: sum("recovered: " in line for line in proxy.since()) >= proxy.memories, timeout,  # noqa: B023
                       f"{proxy.name} to recover")

    def crash(self, *proxies, meanwhile=lambda: None):
        """kill -9 of the worker of each; then the next ones have taken over. `meanwhile`: before they have."""
        for proxy in proxies:
            proxy.mark()
        for proxy in proxies:
            proxy.kill_worker()
        meanwhile()
        self.recovered(*proxies)

    def finish(self):
        """The end of every good scenario: the proxies are still there, and end orderly when asked to."""
        proxies = [program for program in self.programs if getattr(program, "is_proxy", False)]
        for proxy in proxies:
            trouble = proxy.lines(TROUBLE)
            if trouble:
                raise Failure(f"{proxy.name} had trouble of its own: {trouble[0]}")
            if proxy.expected_end:
                continue
            if not proxy.running():
                raise Failure(f"{proxy.name} ended before its time with status {proxy.process.returncode}")
            proxy.signal(signal.SIGTERM)
            status = proxy.wait(15)
            if status != 0:
                raise Failure(f"{proxy.name} ended with status {status} after SIGTERM, not 0")
            trouble = proxy.lines(TROUBLE)
            if trouble:
                raise Failure(f"{proxy.name} had trouble of its own at the end: {trouble[0]}")


# ---------------------------------------------------------------- the usual topologies


def wire(one, one_name, other, other_name):
    """A cable between two namespaces."""
    run("ip", "-n", one.name, "link", "add", one_name, "type", "veth", "peer", "name", other_name, "netns", other.name)
    one.ip("link set", one_name, "up")
    other.ip("link set", other_name, "up")


class Lan:
    """client eth0 (10.0.0.11 at first) --- [switch] --- eth0 server (10.0.0.2), all in 10.0.0.0/24."""

    server_address = "10.0.0.2"
    bits = 24

    def __init__(self, world):
        self.world = world
        self.client, self.switch, self.server = map(world.namespace, ("client", "switch", "server"))
        wire(self.client, "eth0", self.switch, "port1")
        wire(self.server, "eth0", self.switch, "port2")
        self.switch.ip("link add br0 type bridge")
        self.switch.ip("link set br0 up")
        for port in ("port1", "port2"):
            self.switch.ip("link set", port, "master br0")
        self.server.ip("addr add 10.0.0.2/24 dev eth0")
        self.address = "10.0.0.11"
        self.client.ip("addr add 10.0.0.11/24 dev eth0")
        self.client.reaches(self.server_address)

    def go_away(self):
        """ip addr del A: the client has no address any more."""
        self.client.ip(f"addr del {self.address}/24 dev eth0")
        self.world.say(f"address {self.address} deleted")

    def come_back(self, address):
        """ip addr add B."""
        self.client.ip(f"addr add {address}/24 dev eth0")
        self.world.say(f"address {address} added")
        self.address = address

    def move(self, address):
        """ip addr del A; ip addr add B, back to back in one shell."""
        old, self.address = self.address, address
        self.client.run("sh", "-c", f"ip addr del {old}/24 dev eth0; ip addr add {address}/24 dev eth0")
        self.world.say(f"moved: {old} -> {address}")


class Routed:
    """client eth0 (10.1.0.10, or a guest in 10.2.0.0/24) --- c0 [router] s0 --- eth0 server (10.9.0.2)."""

    server_address = "10.9.0.2"

    def __init__(self, world):
        self.world, self._guests = world, 0
        self.client, self.router, self.server = map(world.namespace, ("client", "router", "server"))
        wire(self.client, "eth0", self.router, "c0")
        wire(self.server, "eth0", self.router, "s0")
        self.router.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        for address in ("10.1.0.1", "10.2.0.1"):
            self.router.ip(f"addr add {address}/24 dev c0")
        self.router.ip("addr add 10.9.0.1/24 dev s0")
        self.server.ip("addr add 10.9.0.2/24 dev eth0")
        self.server.ip("route add default via 10.9.0.1")
        self.address = "10.1.0.10"
        self.client.ip("addr add 10.1.0.10/24 dev eth0")
        self.client.ip("route add default via 10.1.0.1")
        self.client.reaches(self.server_address)

    def go_away(self):
        self.client.ip(f"addr del {self.address}/24 dev eth0")
        self.world.say(f"address {self.address} deleted, its route with it")

    def come_back(self, address):
        gateway = re.sub(r"\d+$", "1", address)
        self.client.run("sh", "-c", f"ip addr add {address}/24 dev eth0; ip route add default via {gateway}")
        self.world.say(f"address {address} added, route via {gateway}")
        self.address = address

    def move(self, address):
        gateway = re.sub(r"\d+$", "1", address)
        old, self.address = self.address, address
        self.client.run("sh", "-c", f"ip addr del {old}/24 dev eth0; ip addr add {address}/24 dev eth0;"
                                    f" ip route add default via {gateway}")
        self.world.say(f"moved: {old} -> {address} (via {gateway})")

    def next_address(self):
        """An address not used lately, in the two networks by turns."""
        self._guests += 1
        return f"10.{1 + self._guests % 2}.0.{20 + self._guests % 200}"

    def hole(self, rule="meta l4proto { tcp, udp, icmp }"):
        """From now on the router swallows what the rule matches, silently and in both directions."""
        self.router.nft(f"table inet hole {{ chain f {{ type filter hook forward priority 0; {rule} drop\n}}\n}}\n")
        self.world.say("the router is a black hole now")

    def open(self):
        self.router.run("nft", "delete", "table", "inet", "hole")
        self.world.say("the router forwards again")

    def reset_everything(self, rule="ip protocol tcp"):
        """From now on the router answers what the rule matches with a TCP reset."""
        self.router.nft(f"table ip cut {{ chain f {{ type filter hook forward priority 0;"
                        f" {rule} counter reject with tcp reset\n}}\n}}\n")

    def resets(self):
        """How many until now."""
        return int(re.search(r"packets (\d+)", self.router.run("nft", "list", "table", "ip", "cut").stdout)[1])

    def stop_resetting(self):
        self.router.run("nft", "delete", "table", "ip", "cut")


class TwoWays(Routed):
    """A machine with two ways out, as one with Wi-Fi and a cable. The default route goes by eth0 at first.

    client eth0 (10.1.0.10, or a guest as in Routed) --- c0 [router] s0 --- eth0 server (10.9.0.2)
           eth1 (10.3.0.10)                          --- c1
    """

    gateways = "10.1.0.1", "10.3.0.1"

    def __init__(self, world):
        super().__init__(world)
        wire(self.client, "eth1", self.router, "c1")
        self.router.ip("addr add 10.3.0.1/24 dev c1")
        self.client.ip("addr add 10.3.0.10/24 dev eth1")
        # What answers a link on the way that the route does not take comes in there; a strict filter would drop it.
        self.client.run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0")

    def default(self, which):
        """The kernel prefers this way from now on; the other one lives."""
        self.client.ip(f"route replace default via {self.gateways[which]}")
        self.world.say(f"the default route goes by eth{which}")

    def kill(self, which):
        """This way out is dead from now on, silently and in both directions."""
        self.router.nft(f"table inet dead {{ chain f {{ type filter hook forward priority 0;"
                        f" iif c{which} drop; oif c{which} drop\n}}\n}}\n")
        self.world.say(f"the network behind eth{which} is dead")


# ---------------------------------------------------------------- the frame around a scenario


def sweep():
    """Removes what earlier scenarios left that were killed: their process is gone, its number is in the names. Or that is ours
    by now; what we made ourselves is younger than we are, and stays: a process may have several worlds at once."""

    def abandoned(folder, pattern):
        for path in Path(folder).iterdir() if Path(folder).is_dir() else []:
            owner = re.match(pattern, path.name)
            if owner and (path.lstat().st_mtime < BEGAN if int(owner[1]) == os.getpid() else not Path(f"/proc/{owner[1]}").exists()):
                yield path

    for folder in "/run/netns", "/etc/netns":
        for path in abandoned(folder, r"hf(\d+)-"):
            remove_namespace(path.name)
    for path in abandoned(tempfile.gettempdir(), r"holdfast-net-(\d+)-"):
        shutil.rmtree(path, ignore_errors=True)


def remove_namespace(name):
    """A namespace lives as long as a process in it: end those (a shell of telnetd, say), then remove it."""
    for pid in run("ip", "netns", "pids", name, check=False).stdout.split():
        try:
            os.kill(int(pid), signal.SIGKILL)
        except ProcessLookupError:
            pass
    run("ip", "netns", "del", name, check=False)
    shutil.rmtree(Path("/etc/netns") / name, ignore_errors=True)


def main(scenario):
    """Runs `scenario( world )`, tells the outcome, leaves nothing behind.

    With the argument "insecure", which every scenario understands, links are in the clear.
    """

    def stop(number, _):
        raise Failure(f"ended by signal {number}")

    if os.geteuid() != 0:
        if shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0:
            kept = [f"{name}={os.environ[name]}" for name in ("HOLDFAST_BIN", "HOLDFAST_BENCH", "PATH") if name in os.environ]
            os.execvp("sudo", ["sudo", "-n", "env", *kept, sys.executable, *sys.argv, *FLAGS])
        print("SKIPPED: network namespaces need root (run the tests with sudo)")
        sys.exit(SKIPPED)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(DESCRIPTORS, most), most))
    try:
        with World(INSECURE) as world:
            scenario(world)
            world.finish()
            world.say("PASSED")
    except Skip as reason:
        print(f"SKIPPED: {reason}")
        sys.exit(SKIPPED)
    except Failure as reason:
        print(f"FAILED: {reason}", flush=True)
        sys.exit(1)
