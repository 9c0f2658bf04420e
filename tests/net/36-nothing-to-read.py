#!/usr/bin/python3
"""
   client                              [router]            server
   app -> cproxy       eth0 ═══════════════════════ eth0   sproxy -> target
   user nobody                                             user nobody

Goal of this test: what somebody finds who looks around on the two machines, and on the wire between. The proxies run
without root. Nothing secret is in their logs, not at the chattiest level either: not the tunnel's secret nor its name, not
the keys nor the client's instance, and no byte of a session. Nothing of it is on the wire. The files with the keys are
their owner's alone, and a link put in the place of one is not followed. They write no other file. And the memory in which
sessions are kept is left out of core dumps. With `insecure`, the wire tells the scenario what to look for in the logs.
"""

import base64
import os
import re
import shutil
import socket
import stat
import struct
from pathlib import Path

import harness
import peer
import tls
import wire
from flows import Listener, dial

NOBODY = 65534
SECRET_WORDS = b"the password is hunter2"


def as_nobody():
    return ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]


def library(program):
    """What the keeper's worker loads."""
    return f"libholdfast-{program}.so"


def start(world, space, name, *arguments, ready=True):
    program = name.split("-")[0]
    copied = world.folder / program  # where it was built nobody may be allowed to go
    if not copied.exists():
        shutil.copy(harness.holdfast(program), copied)
        shutil.copy(Path(harness.holdfast(program)).resolve().with_name(library(program)), world.folder)
    proxy = space.start(name, *as_nobody(), copied, "--log-level", "trace", *arguments)
    proxy.is_proxy = True
    if ready:
        world.until(lambda: "listening on" in proxy.log() or not proxy.running(), 20, f"{name} to listen")
        if not proxy.running():
            raise harness.Failure(f"{name} does not run without root: {proxy.log()}")
    return proxy


def owner(path):
    """Nobody's, when it is gone: other tests come and go in that folder, too."""
    try:
        return path.lstat().st_uid
    except FileNotFoundError:
        return None


def descriptors(pid):
    """What is open: one that is closed just now is not."""
    for path in Path(f"/proc/{pid}/fd").iterdir():
        try:
            yield os.readlink(path)
        except FileNotFoundError:
            pass


class Wiretap:
    """Everything that passes the router, and the payloads of hello and welcome where they can be read."""

    def __init__(self, world, net):
        self.world, self.seen, self.greetings = world, bytearray(), {}
        with net.router.inside():
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.sock.bind(("c0", 0))
        self.sock.setblocking(False)
        world.watch(self.sock, self._look)

    def _look(self):
        packet = self.sock.recv(65536)
        self.seen += packet
        for kind, size in ((wire.HELLO, 164), (wire.WELCOME, 112)):
            at = packet.find(struct.pack("!BBH", kind, 0, size))
            if at > 0 and packet[at + 32:at + 36] == wire.MAGIC:
                self.greetings.setdefault(kind, packet[at + 32:at + 32 + size])

    def close(self):
        self.world.unwatch(self.sock)
        self.sock.close()


def shows(text, secret):
    """Whether eight bytes of the secret in a row are in the text, as they are or in hexadecimal digits."""
    digits = re.sub(rb"[^0-9a-f]", b"", text.lower())
    return any(secret[at:at + 8] in text or secret[at:at + 8].hex().encode() in digits for at in range(len(secret) - 7))


def expect_no_bytes_in_cores(world, proxy):
    """The retained bytes lie in memory files; Documentation/filesystems/proc: "dd" is "do not include area into core dump"."""
    text = Path(f"/proc/{proxy.worker}/smaps").read_text()
    areas = re.findall(r"^\S+ \S+ \S+ \S+ \d+ +/memfd:(?!holdfast-register)\S*.*?^VmFlags: ([^\n]*)", text, re.S | re.M)
    world.check(areas and all("dd" in flags.split() for flags in areas), f"{proxy.name}: {len(areas)} areas with sessions' bytes, none in core dumps")
    world.check_quietly("/memfd:holdfast " not in Path(f"/proc/{proxy.pid}/maps").read_text(), f"{proxy.name}: the keeper has none")


def scenario(world):
    net = harness.Routed(world)
    target = Listener(world, net.server, 7000)
    home = world.folder / "home"
    home.mkdir(mode=0o755)
    os.chown(home, NOBODY, NOBODY)
    states = {name: home / name for name in ("cproxy", "sproxy")}
    security = ["--insecure"] * world.insecure
    before = set(os.listdir("/tmp"))

    tap = Wiretap(world, net)
    sproxy = start(world, net.server, "sproxy", "--state-dir", states["sproxy"], *security, "--target", "127.0.0.1:7000", 6000)
    cproxy = start(world, net.client, "cproxy", "--state-dir", states["cproxy"], *security, 5000, net.server_address, 6000)
    world.say("both run as nobody")
    app = dial(world, net.client, "127.0.0.1", 5000, "app")
    far = target.next()
    app.write(SECRET_WORDS)
    far.write(SECRET_WORDS)
    world.until(lambda: bytes(far.text) == bytes(app.text) == SECRET_WORDS, 10, "words both ways")
    # Moves, an attempt at somebody else's tunnel, rubbish, a reset: whatever makes the proxies talk.
    net.move(net.next_address())
    app.write(SECRET_WORDS)
    world.until(lambda: bytes(far.text) == 2 * SECRET_WORDS, 10, "words after a move")
    # All that follows is true of the next workers, too: they have the memory of the first ones.
    for proxy in (cproxy, sproxy):
        expect_no_bytes_in_cores(world, proxy)
        world.crash(proxy)
    app.write(SECRET_WORDS)
    world.until(lambda: bytes(far.text) == 3 * SECRET_WORDS, 20, "words after both were killed")
    tap.close()
    world.same(SECRET_WORDS in tap.seen, world.insecure, "whether the words can be read on the wire")
    world.same(sorted(tap.greetings), [wire.HELLO, wire.WELCOME] * world.insecure, "and the greetings")
    hello, welcome = (tap.greetings.get(kind, bytes(164)) for kind in (wire.HELLO, wire.WELCOME))
    for words in (SECRET_WORDS, wire.greeting(wire.hello(purpose=2, tunnel=welcome[24:40], attempt=99))):
        stranger = tls.dial_link(world, net.client, net.server_address, 6000, "stranger")
        stranger.write(words)
        world.until(lambda: stranger.over or stranger.text, 10, "an answer for a stranger")
        stranger.close()
    app.reset()
    world.until(lambda: far.over, 10, "the reset to arrive")

    instance = (states["cproxy"] / "instance").read_bytes()
    secrets = {"what the instance is made of": instance, "bytes of a session": SECRET_WORDS}
    if world.insecure:
        secrets |= {"the tunnel's first secret": peer.secret_of(hello, welcome), "the tunnel's name": welcome[24:40],
                    "the client's instance": hello[20:36], "its run": hello[36:44], "a nonce": hello[68:100]}
    else:
        keys = {"sproxy": "host_key", "cproxy": "client_key"}
        secrets |= {name: base64.b64decode("".join((states[proxy] / name).read_text().splitlines()[1:-1]))[-32:] for proxy, name in keys.items()}
    world.same([name for name, secret in secrets.items() if secret != SECRET_WORDS and secret in tap.seen and not world.insecure], [],
               "no secret is on the wire")
    for proxy in (cproxy, sproxy):
        text = proxy.path.read_bytes()
        world.check_quietly(len(text.splitlines()) > 3, f"{proxy.name} has something to say")
        world.same([name for name, secret in secrets.items() if shows(text, secret)], [], f"no secret is in {len(text.splitlines())} lines of {proxy.name}")

    files = {}
    for state in states.values():
        if state.exists():
            world.same(oct(stat.S_IMODE(state.stat().st_mode)), oct(0o700), f"{state.name}: its folder is its owner's alone")
            files |= {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in state.iterdir()}
    kept = ["instance"] if world.insecure else ["client_key", "host_key", "instance", "known_hosts"]
    world.same(files, {name: oct(0o600) for name in kept}, "and so are the files, and there is nothing beside them")
    mine = {name for name in set(os.listdir("/tmp")) - before if owner(Path("/tmp", name)) == NOBODY}
    world.same(mine, set(), "and nothing in the folder that everybody shares")
    for proxy in (cproxy, sproxy):
        written = [name for name in descriptors(proxy.worker) if name.startswith("/") and not name.startswith(("/dev/null", "/memfd:")) and name != str(proxy.path)
                   and name != str(world.folder / library(proxy.name))]
        world.same(written, [], f"{proxy.name} has no file open but its log and its own program")
        expect_no_bytes_in_cores(world, proxy)

    # Somebody else was here first: a link to another file where a key should be.
    precious = home / "precious"
    for name in set(kept) & {"instance", "client_key"}:
        precious.write_bytes(bytes(32))
        trap = home / f"trap-{name}"
        trap.mkdir(mode=0o700)
        os.chown(trap, NOBODY, NOBODY)
        (trap / name).symlink_to(precious)
        trapped = start(world, net.client, f"cproxy-{name}", "--state-dir", trap, *security, 5001, net.server_address, 6000, ready=False)
        world.same(trapped.wait(10), 1, f"a link in the place of {name} is not followed")
        world.check_quietly(name in trapped.log(), f"{name} is named: {trapped.log()}")
        world.same(precious.read_bytes(), bytes(32), "and what it points to is as it was")


harness.main(scenario)
