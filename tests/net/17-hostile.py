#!/usr/bin/python3
"""
   client                              [router]            server
   app -> cproxy       eth0 ═══════════════════════ eth0   sproxy -> target      the living session
   stranger ───────────────────────────────────────────▶   sproxy                part `link`
   app -> cproxy-two ──────────────────────────────────▶   a false sproxy        part `false`
   strangers -> cproxy                                                           part `app`

Goal of this test: whatever strangers send (garbage, truncated and oversized frames, absurd lengths and positions, a byte
a second, nothing at all, port scans, frames that are wrong only after a correct greeting, a claim of the living tunnel
without its secret) costs one log line each at most. The living session beside it goes on, on the very same link, and the
proxies keep neither memory nor descriptors of it. Over TLS strangers are wrong below it, in it, and instead of it.

    17-hostile.py link | false | app  [insecure]
"""

import functools
import os
import random
import socket
import struct
import sys
import time

import harness
import tls
import wire
from flows import End, Listener, Source, dial

part = sys.argv[1] if len(sys.argv) > 1 else "link"
FAR = harness.Routed.server_address
noise = random.Random(17).randbytes


# One client instance for all strangers that get as far as a tunnel: each new tunnel ends the one before, so that what
# they legitimately leave behind (a tunnel that waits for its client, as after an outage) is one at most.
INSTANCE = os.urandom(16)


def hello(**more):
    return wire.hello(instance=INSTANCE, **more)


class Beside:
    """The living session: known bytes both ways, all the time, on one link."""

    def __init__(self, world, net, target):
        self.world, self.net = world, net
        self.app = dial(world, net.client, "127.0.0.1", 5000, "app").expect(Source(1))
        self.far = target.next().expect(Source(2))
        self.upto = 0
        self.more()
        world.until(lambda: len(self.links()) == 1, 10, lambda: f"one link: {self.links()}")
        self.link = self.links()

    def links(self):
        shown = self.net.client.run("ss", "-Htnp", "dport = :6000").stdout.splitlines()
        return [line.split()[3] for line in shown if line.startswith("ESTAB") and '"cproxy"' in line]

    def more(self):
        """The next bytes both ways."""
        self.upto += 50_000
        self.app.send(Source(2), self.upto)
        self.far.send(Source(1), self.upto)
        self.world.until(lambda: self.app.got == self.far.got == self.upto, 15, lambda: f"the living session ({self.app!r}, {self.far!r})")

    def check(self):
        self.more()
        self.world.same((self.app.sha256(), self.far.sha256()), (Source(1).sha256(self.upto), Source(2).sha256(self.upto)),
                        "the living session has every byte")
        # A second one for bulk may be beside it, if an app carries much just now.
        self.world.check(len(self.link) == 1 and self.link[0] in self.links(), f"it is still on the link on which it began ({self.link})")


class Weight:
    """What a proxy holds: memory and descriptors."""

    def __init__(self, world, proxy):
        self.world, self.proxy = world, proxy
        self.memory, self.descriptors = proxy.memory_kib(), proxy.descriptors()
        proxy.mark()

    def check(self, attempts, lines_of_each=1):
        proxy, name = self.proxy, self.proxy.name
        self.world.until(lambda: proxy.descriptors() <= self.descriptors, 20,
                         lambda: f"{name} to close what strangers opened ({self.descriptors} descriptors before)")
        said = len(proxy.since())
        self.world.check(said <= attempts * lines_of_each + 3, f"{name} wrote {said} lines about {attempts} attempts")
        grown = proxy.memory_kib() - self.memory
        if "libasan" in open(f"/proc/{proxy.worker}/maps").read():
            return self.world.say(f"{name} runs under AddressSanitizer, its memory says nothing ({grown} KiB more)")
        self.world.check(grown < 8192, f"{name} grew by {grown} KiB")


def stranger(world, net, name):
    """Somebody who connects and says what he likes."""
    return dial(world, net.client, FAR, 6000, name)


def speaker(world, net, name):
    """Somebody who speaks what is under the frames: TLS, unless links are in the clear."""
    return tls.dial_link(world, net.client, FAR, 6000, name)


def first_bytes(world):
    """How a good client begins."""
    return wire.greeting(hello()) if world.insecure else tls.client_hello()


def ended(world, end, timeout, what):
    world.until(lambda: end.over, timeout, lambda: f"sproxy to end the connection of {what}")
    end.close()


def start_cproxy(world, net):
    return world.cproxy(net.client, 5000, FAR, 6000)


# ---------------------------------------------------------------- what strangers do to sproxy


def bare_words():
    """What is neither TLS nor the protocol; each must be ended by sproxy by itself, at once or at a deadline."""
    yield "garbage", noise(5000)
    yield "a web browser", b"GET / HTTP/1.1\r\nHost: far\r\n\r\n"
    yield "a TLS client", bytes.fromhex("16030100c8010000c40303") + noise(200)
    yield "zeros", bytes(4096)
    yield "a link that is secured otherwise", tls.client_hello() if harness.INSECURE else wire.greeting(hello())
    yield "a record that claims 65535 bytes", bytes.fromhex("160301ffff") + noise(200)
    yield "an alert", bytes.fromhex("15030300020100")


def first_words():
    """Frames that are wrong from the start; so with them."""
    right = hello()
    for kind in (0, 2, 3, 4, 5, 8, 13, 255):
        yield f"type {kind} first", wire.frame(kind, payload=noise(4))
    yield "an empty hello", wire.greeting(b"")
    yield "a short hello", wire.greeting(right[:100])
    yield "an oversized hello", wire.frame(wire.HELLO, payload=right + bytes(1500))
    yield "a hello that claims 65535 bytes", wire.frame(wire.HELLO, payload=right, length=65535)
    yield "a hello with a session", wire.frame(wire.HELLO, session=7, payload=right)
    yield "wrong magic", wire.greeting(hello(magic=b"TSFH"))
    yield "versions the wrong way round", wire.greeting(hello(version=1, lowest=9))
    yield "version 77 only", wire.greeting(hello(version=77, lowest=77))
    yield "no purpose", wire.greeting(hello(purpose=9))
    yield "no heartbeat", wire.greeting(hello(beat_us=0))
    yield "absurd heartbeat", wire.greeting(hello(beat_us=0xFFFFFFFF))
    yield "a tunnel nobody knows", wire.greeting(hello(purpose=2, tunnel=noise(16), proof=noise(32)))
    yield "hello twice", wire.greeting(right) * 2


def later_words():
    """Frames that are wrong after a correct greeting."""
    absurd = (1 << 64) - 1
    yield "type 77", wire.frame(77)
    yield "type 0", wire.frame(0)
    yield "data of 16385 bytes", wire.frame(wire.OPEN, 1) + wire.frame(wire.DATA, 1, payload=noise(16385))
    yield "data that claims 65535 bytes", wire.frame(wire.OPEN, 1) + wire.frame(wire.DATA, 1, payload=b"x", length=65535)
    yield "data without a session", wire.frame(wire.DATA, 0, payload=b"x")
    yield "open of session 0", wire.frame(wire.OPEN, 0)
    yield "data from an absurd position", wire.frame(wire.OPEN, 1) + wire.frame(wire.DATA, 1, absurd, payload=b"x")
    yield "data with a gap", wire.frame(wire.OPEN, 1) + wire.frame(wire.DATA, 1, 1000, payload=b"x")
    yield "an absurd acknowledgement", wire.frame(wire.OPEN, 1) + wire.frame(wire.ACK, 1, 0, absurd)
    yield "an acknowledgement of what was never sent", wire.frame(wire.OPEN, 1) + wire.frame(wire.ACK, 1, 0, 1 << 40)
    yield "data after the end", (wire.frame(wire.OPEN, 1) + wire.frame(wire.END, 1, 0) + wire.frame(wire.DATA, 1, 0, payload=b"x"))
    yield "an absurd resume", wire.frame(wire.OPEN, 1) + wire.frame(wire.RESUME, 1, absurd, absurd, payload=b"\xff" * 8)
    yield "a welcome", wire.frame(wire.WELCOME, payload=wire.welcome())
    yield "a heartbeat with payload", wire.frame(wire.HEARTBEAT, payload=b"x")
    yield "a reset with no reason", wire.frame(wire.OPEN, 1) + wire.frame(wire.RESET, 1)
    yield "noise", noise(3000)


def greet(world, net, name):
    """A stranger that is admitted (this sproxy serves anybody: he may have a tunnel of his own)."""
    end = speaker(world, net, name)
    end.write(wire.greeting(hello()))
    world.until(lambda: wire.parse(end.text) or end.over, 10, lambda: f"an answer for {name}")
    frames = wire.parse(end.text)
    if not frames or frames[0][0] != wire.WELCOME or wire.answer_of(frames[0][4]) != wire.MADE:
        raise harness.Failure(f"{name} was not welcomed: {frames} {end!r}")
    return end


def syn_only(net, ports):
    """Half a handshake from an address where nobody answers: the kernel's business, but sproxy must not mind."""
    with net.client.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        for port in ports:
            source, goal = socket.inet_aton("10.1.0.222"), socket.inet_aton(FAR)
            segment = struct.pack("!HHIIBBHHH", port, 6000, 1, 0, 5 << 4, 2, 1024, 0, 0)
            pseudo = source + goal + struct.pack("!BBH", 0, 6, len(segment)) + segment
            total = sum(struct.unpack(f"!{len(pseudo) // 2}H", pseudo))
            total = (total & 0xFFFF) + (total >> 16)
            check = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
            segment = segment[:16] + struct.pack("!H", check) + segment[18:]
            raw.sendto(struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 1, 0, 64, 6, 0, source, goal) + segment, (FAR, 0))


def attack_link(world, net, sproxy, beside):
    attempts = 0

    # All at once, since some need patience: those who say nothing, or half a hello, or a byte a second, are cut by a deadline.
    patient = [stranger(world, net, f"silent {number}") for number in range(5)]
    for number in range(5):
        half = stranger(world, net, f"half a beginning {number}")
        half.write(first_bytes(world)[:20 + number])
        patient.append(half)
        half = speaker(world, net, f"half a hello {number}")
        half.write(wire.greeting(hello())[:20 + number])
        patient.append(half)
    wrong = []
    for begin, said in ((stranger, bare_words()), (speaker, first_words())):
        for name, words in said:
            end = begin(world, net, name)
            end.write(words)
            wrong.append(end)
    lorises = [(stranger(world, net, "slow loris"), first_bytes(world)), (speaker(world, net, "slow loris in TLS"), wire.greeting(hello()))]
    began, fed = time.monotonic(), 0
    attempts += len(patient) + len(wrong) + len(lorises)

    def lorises_are_cut():
        nonlocal fed
        if fed < time.monotonic() - began:
            for loris, words in lorises:
                if not loris.over:
                    loris.write(words[fed:fed + 1])
            fed += 1
        return all(loris.over for loris, _ in lorises)

    world.until(lorises_are_cut, 60, "sproxy to lose patience with one byte a second")
    world.check(fed >= 3, f"sproxy lost patience with one byte a second after {time.monotonic() - began:.0f} s and {fed} bytes")
    for end in patient:
        ended(world, end, 20, end.name)
    world.say("true: so it did with those who said nothing, or half of something")
    for end in wrong:
        ended(world, end, 20, end.name)
    world.say(f"true: {len(wrong)} wrong beginnings were ended by sproxy")
    beside.more()

    for number in range(200):
        end = stranger(world, net, "port scan")
        world.until(lambda: end.connected or end.over, 15, "a connection")
        end.reset() if number % 2 else end.close()
        attempts += 1
    syn_only(net, range(40000, 40100))
    world.say("true: 200 port scans and 100 SYNs later")
    beside.more()

    for name, words_now in later_words():
        end = greet(world, net, name)
        end.write(words_now)
        ended(world, end, 20, name)
        attempts += 1
    world.say("true: everybody who was wrong after a correct greeting was ended by sproxy")
    beside.more()

    # Truncated: a good beginning of a frame, then the end of the connection.
    for cut in (1, 31, 32, 40):
        end = greet(world, net, "truncated")
        end.write((wire.frame(wire.OPEN, 1) + wire.frame(wire.DATA, 1, payload=noise(100)))[:32 + cut])
        world.until(end.sent_all, 15, "the bytes to be sent")
        end.reset() if cut % 2 else end.close()
        attempts += 1

    # A flood about sessions that do not exist; it may be ended or ignored, but not cost anything.
    end = greet(world, net, "flood")
    end.write(b"".join(wire.frame(wire.ACK, session) for session in range(1, 30000)))
    world.until(lambda: end.over or end.sent_all(), 20, "the flood to have passed")
    end.close()

    # The last one says goodbye, and takes with it the tunnel that waited for these strangers.
    end = greet(world, net, "goodbye")
    end.write(wire.frame(wire.GOODBYE, payload=b"\x07"))
    ended(world, end, 20, "the one who said goodbye")
    return attempts + 2


def claim_the_living(world, net, sproxy, beside, tunnel):
    """Strangers who know the name of the living tunnel (under TLS they can only guess it), but not its secret."""
    claims = []
    for number in range(20):
        end = speaker(world, net, "false claim")
        claims.append(end)
        end.write(wire.greeting(hello(purpose=2, tunnel=tunnel, attempt=1 << 40 if number % 2 else 2, proof=noise(32))))
    for end in claims:
        world.until(lambda: wire.parse(end.text) or end.over, 10, "an answer to a false claim")
        frames = wire.parse(end.text)
        if frames and wire.answer_of(frames[0][4]) not in (wire.GONE, wire.REFUSED, wire.LATER):
            raise harness.Failure(f"a claim without proof was answered {wire.answer_of(frames[0][4])}")
        ended(world, end, 20, "a false claim")
    world.say("true: 20 claims of the living tunnel without its secret came to nothing")
    return 20


def capture_tunnel(world, net, begin):
    """Watches the wire while `begin` is called; returns its result and the tunnel's name from the welcome that passed."""
    with net.router.inside():
        sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    sniffer.bind(("c0", 0))
    sniffer.setblocking(False)
    seen = []

    def look():
        packet = sniffer.recv(65536)
        at = packet.find(struct.pack("!BBH", wire.WELCOME, 0, 112))
        if at > 0 and packet[at + 32:at + 36] == wire.MAGIC:
            seen.append(packet[at + 32 + 24:at + 32 + 40])

    world.watch(sniffer, look)
    result = begin()
    world.until(lambda: seen, 15, "the welcome of the living tunnel to be seen on the wire")
    world.unwatch(sniffer)
    sniffer.close()
    return result, seen[0]


def link_part(world, net, target, sproxy):
    if world.insecure:
        _, tunnel = capture_tunnel(world, net, lambda: start_cproxy(world, net))
    else:
        start_cproxy(world, net)
        tunnel = noise(16)
    beside = Beside(world, net, target)
    attack_link(world, net, sproxy, beside)  # once to warm up: what it takes for good (caches) it takes now
    weight = Weight(world, sproxy)
    attempts = attack_link(world, net, sproxy, beside)
    attempts += claim_the_living(world, net, sproxy, beside, tunnel)
    beside.check()
    weight.check(attempts, lines_of_each=1)


# ---------------------------------------------------------------- a false sproxy


def false_part(world, net, target, _):
    start_cproxy(world, net)
    beside = Beside(world, net, target)
    answers = [b"", noise(2000), b"HTTP/1.1 400 Bad Request\r\n\r\n", wire.frame(wire.WELCOME, payload=b""),
               wire.frame(wire.WELCOME, payload=wire.welcome()[:50]), wire.frame(wire.WELCOME, payload=wire.welcome(), length=65535),
               wire.frame(wire.WELCOME, payload=wire.welcome(magic=b"LIAR")), wire.frame(wire.DATA, 1, payload=b"x"),
               wire.frame(wire.WELCOME, payload=wire.welcome(answer=77)),
               wire.frame(wire.WELCOME, payload=wire.welcome(wire.RESUMED)),
               wire.frame(wire.WELCOME, payload=wire.welcome()) + noise(3000),
               wire.frame(wire.WELCOME, payload=wire.welcome()) + wire.frame(wire.DATA, 77, 1 << 61, payload=b"x"),
               wire.frame(wire.WELCOME, payload=wire.welcome(wire.GONE)),
               wire.frame(wire.WELCOME, payload=wire.welcome(wire.LATER))]
    calls, in_frames, speaks = 0, len(answers), End
    if not world.insecure:
        # It has the key of the true one: whoever has not is not even greeted.
        harness.run(harness.holdfast("sproxy"), "--print-key", *world.security("sproxy-two"))
        key = tls.Identity(world.state("sproxy-two") / "host_key")
        speaks = functools.partial(tls.TlsEnd, identity=key, server=True)
        answers += [words for _, words in bare_words()]

    def made(*arguments):
        return (speaks if calls % len(answers) < in_frames else End)(*arguments)

    def answer(end):
        nonlocal calls
        words = answers[calls % len(answers)]
        calls += 1
        if words:
            end.write(words)
        else:
            end.reset()

    false = Listener(world, net.server, 6001, FAR, on_accept=answer, end=made)
    victim = world.cproxy(net.client, 5001, FAR, 6001, name="cproxy-two")
    app = dial(world, net.client, "127.0.0.1", 5001, "app-two").expect(Source(3))
    world.until(lambda: calls > len(answers), 60, lambda: f"cproxy-two to hear every false answer ({calls} until now)")
    weight, spent, before, began = Weight(world, victim), victim.cpu_seconds(), calls, time.monotonic()
    world.until(lambda: calls > before + 2 * len(answers), 90, f"cproxy-two to hear them all twice more")
    lasted = time.monotonic() - began
    world.check(victim.cpu_seconds() - spent < 0.5 * lasted, f"cproxy-two does not spin: {victim.cpu_seconds() - spent:.2f} s of"
                f" processor time in {lasted:.1f} s, {calls - before} links")
    false.close()
    for end in false.ends:
        end.close()
    world.until(lambda: victim.descriptors() <= weight.descriptors + 2, 20, "cproxy-two to close its false links")
    weight.descriptors += 2
    weight.check(calls - before, lines_of_each=2)

    world.sproxy(net.server, "--target", "127.0.0.1:7000", 6001, name="sproxy-two")
    if app.over:
        app = dial(world, net.client, "127.0.0.1", 5001, "app-two").expect(Source(3))
    far = target.next(60).expect(Source(4))
    app.send(Source(4), 100_000)
    far.send(Source(3), 100_000)
    world.until(lambda: app.got == far.got == 100_000, 15, "bytes by the true sproxy")
    world.say("true: as soon as a true sproxy is there, a session works")
    beside.check()


# ---------------------------------------------------------------- strangers at the app's port


def app_part(world, net, target, sproxy):
    cproxy = start_cproxy(world, net)
    beside = Beside(world, net, target)

    def scan():
        for number in range(200):
            end = dial(world, net.client, "127.0.0.1", 5000, "scan")
            world.until(lambda: end.connected or end.over, 15, "a connection")
            if number % 3 == 0:
                end.write(noise(100))
                world.turn(0)
            end.reset() if number % 2 else end.close()
        world.until(lambda: all(far.over for far in target.ends[1:]), 30, "the targets of the scans to see their end")
        for far in target.ends[1:]:
            far.close()
        world.until(lambda: len(net.client.connections(5000)) <= 2, 10, "the sockets of the scans to be gone")
        beside.more()

    scan()
    world.say("200 port scans of cproxy, to warm up")
    weights = [Weight(world, cproxy), Weight(world, sproxy)]
    scan()
    scan()
    world.say("400 more")
    target._seen = len(target.ends)
    garbage = dial(world, net.client, "127.0.0.1", 5000, "garbage").expect(Source(6))
    far = target.next().expect(Source(5))
    garbage.send(Source(5), 1_000_000, then_end=True)
    far.send(Source(6), 1_000_000, then_end=True)
    world.until(lambda: garbage.ends and far.ends and garbage.got == far.got == 1_000_000, 20, "garbage of an app to arrive as it is")
    garbage.close(), far.close()
    beside.check()
    for weight in weights:
        weight.check(401)


def scenario(world):
    net = harness.Routed(world)
    target = Listener(world, net.server, 7000)
    sproxy = world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000)
    {"link": link_part, "false": false_part, "app": app_part}[part](world, net, target, sproxy)


harness.main(scenario)
