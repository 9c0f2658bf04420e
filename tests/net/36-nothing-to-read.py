#!/usr/bin/python3
"""
   client                              [router]            server
   app -> cproxy       eth0 ═══════════════════════ eth0   sproxy -> target
   user nobody                                             user nobody

Goal of this test: what somebody finds who looks around on the two machines. The proxies run without root. Nothing secret
is in their logs, not at the chattiest level either: not the tunnel's secret nor its name, not the client's key nor its
instance, and no byte of a session. The file with the key is its owner's alone, and a link put in its place is not
followed. They write no other file. And the memory in which sessions are kept is left out of core dumps.
"""

import os
import re
import shutil
import socket
import stat
import struct
from pathlib import Path

import harness
import peer
import wire
from flows import Listener, dial

NOBODY = 65534
SECRET_WORDS = b"the password is hunter2"


def as_nobody():
    return ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]


def start(world, space, name, *arguments, ready=True):
    program = name.split("-")[0]
    copied = world.folder / program  # where it was built nobody may be allowed to go
    if not copied.exists():
        shutil.copy(harness.holdfast(program), copied)
    proxy = space.start(name, *as_nobody(), copied, "--log-level", "trace", *arguments)
    proxy.is_proxy = True
    if ready:
        world.until(lambda: "listening on" in proxy.log() or not proxy.running(), 20, f"{name} to listen")
        if not proxy.running():
            raise harness.Failure(f"{name} does not run without root: {proxy.log()}")
    return proxy


def greetings(world, net, begin):
    """The payloads of hello and welcome, read on the wire while `begin` is called."""
    with net.router.inside():
        sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    sniffer.bind(("c0", 0))
    sniffer.setblocking(False)
    seen = {}

    def look():
        packet = sniffer.recv(65536)
        for kind, size in ((wire.HELLO, 132), (wire.WELCOME, 112)):
            at = packet.find(struct.pack("!BBH", kind, 0, size))
            if at > 0 and packet[at + 32:at + 36] == wire.MAGIC:
                seen[kind] = packet[at + 32:at + 32 + size]

    world.watch(sniffer, look)
    result = begin()
    world.until(lambda: len(seen) == 2, 10, "the greetings on the wire")
    world.unwatch(sniffer)
    sniffer.close()
    return result, seen[wire.HELLO], seen[wire.WELCOME]


def shows(text, secret):
    """Whether eight bytes of the secret in a row are in the text, as they are or in hexadecimal digits."""
    digits = re.sub(rb"[^0-9a-f]", b"", text.lower())
    return any(secret[at:at + 8] in text or secret[at:at + 8].hex().encode() in digits for at in range(len(secret) - 7))


def scenario(world):
    net = harness.Routed(world)
    target = Listener(world, net.server, 7000)
    home = world.folder / "home"
    home.mkdir(mode=0o755)
    os.chown(home, NOBODY, NOBODY)
    state = home / "state"
    before = set(os.listdir("/tmp"))

    sproxy = start(world, net.server, "sproxy", "--target", "127.0.0.1:7000", 6000)
    cproxy, hello, welcome = greetings(world, net, lambda: start(world, net.client, "cproxy", "--state-dir", state, 5000,
                                                                 net.server_address, 6000))
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
    for words in (SECRET_WORDS, wire.greeting(wire.hello(purpose=2, tunnel=welcome[24:40], attempt=99))):
        stranger = dial(world, net.client, net.server_address, 6000, "stranger")
        stranger.write(words)
        world.until(lambda: stranger.over or stranger.text, 10, "an answer for a stranger")
        stranger.close()
    app.reset()
    world.until(lambda: far.over, 10, "the reset to arrive")

    key = (state / "instance").read_bytes()
    secrets = {"the tunnel's secret": peer.secret_of(hello, welcome), "the tunnel's name": welcome[24:40], "the client's instance": hello[20:36],
               "the client's key": key, "its run": hello[36:44], "a nonce": hello[68:100], "bytes of a session": SECRET_WORDS}
    for proxy in (cproxy, sproxy):
        text = proxy.path.read_bytes()
        world.check_quietly(len(text.splitlines()) > 3, f"{proxy.name} has something to say")
        world.same([name for name, secret in secrets.items() if shows(text, secret)], [], f"no secret is in {len(text.splitlines())} lines of {proxy.name}")

    mode = stat.S_IMODE((state / "instance").stat().st_mode), stat.S_IMODE(state.stat().st_mode)
    world.same(mode, (0o600, 0o700), "the key and its folder are their owner's alone")
    world.same(sorted(path.name for path in state.iterdir()), ["instance"], "there is nothing beside it")
    mine = {name for name in set(os.listdir("/tmp")) - before if Path("/tmp", name).exists() and Path("/tmp", name).stat().st_uid == NOBODY}
    world.same(mine, set(), "and nothing in the folder that everybody shares")
    for proxy in (cproxy, sproxy):
        files = [os.readlink(f"/proc/{proxy.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{proxy.pid}/fd")]
        written = [name for name in files if name.startswith("/") and not name.startswith(("/dev/null", "/memfd:")) and name != str(proxy.path)]
        world.same(written, [], f"{proxy.name} has no file open but its log")
        # The retained bytes lie in memory files; Documentation/filesystems/proc: "dd" is "do not include area into core dump".
        areas = re.findall(r"^\S+ \S+ \S+ \S+ \d+ +/memfd:\S*.*?^VmFlags: ([^\n]*)", Path(f"/proc/{proxy.pid}/smaps").read_text(), re.S | re.M)
        world.check(areas and all("dd" in flags.split() for flags in areas), f"{proxy.name}: {len(areas)} areas with sessions' bytes, none in core dumps")

    # Somebody else was here first: a link to another file where the key should be.
    precious = home / "precious"
    precious.write_bytes(bytes(32))
    trap = home / "trap"
    trap.mkdir()
    os.chown(trap, NOBODY, NOBODY)
    (trap / "instance").symlink_to(precious)
    trapped = start(world, net.client, "cproxy-trapped", "--state-dir", trap, 5001, net.server_address, 6000, ready=False)
    world.same(trapped.wait(10), 1, "a link in the place of the key is not followed")
    world.same(precious.read_bytes(), bytes(32), "and what it points to is as it was")


harness.main(scenario)
