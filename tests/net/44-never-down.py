#!/usr/bin/python3
"""
   client                              [router]            server
   app -> cproxy       eth0 ═══════════════════════ eth0   sproxy -> target
   openssl s_client ───────────────────────────────────▶

Goal of this test: a link is never less secure than its two ends were told. With --insecure on one side only, no session
comes about, not one byte of it is on the wire, and the log of the side that speaks TLS says what to look at; with the same
on both sides the very session that waited goes on. And to OpenSSL's own client sproxy speaks nothing older than TLS 1.3,
nothing without our protocol's name, and not with who shows no key.
"""

import signal
import socket

import harness
import tls
from flows import Listener, dial

WORDS = b"for nobody else's eyes"


def tap(world, net):
    """All that passes the router from now on."""
    with net.router.inside():
        sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    sniffer.bind(("c0", 0))
    sniffer.setblocking(False)
    seen = bytearray()

    def look():
        seen.extend(sniffer.recv(65536))

    world.watch(sniffer, look)
    return seen


def one_side_only(world, net, target, seen, number, secure_cproxy):
    """`--insecure` on one side, then as cproxy has it on both."""
    port, link = 5000 + number, 6000 + number
    names = f"cproxy-{number}", f"sproxy-{number}"
    insecure = ["--insecure"]

    def start_sproxy(*options):
        return world.sproxy(net.server, *options, "--target", "127.0.0.1:7000", link, name=names[1])

    sproxy = start_sproxy(*(insecure if secure_cproxy else []))
    cproxy = world.cproxy(net.client, *([] if secure_cproxy else insecure), port, net.server_address, link, name=names[0])
    app = dial(world, net.client, "127.0.0.1", port, "app")
    app.write(WORDS)
    hint = cproxy if secure_cproxy else sproxy
    world.until(lambda: hint.lines("--insecure\\?"), 15, lambda: f"{hint.name} to say what to look at: {hint.log()}")
    world.during(2, "cproxy tries on")
    world.same((len(target.ends), app.over), (number, False), f"{hint.name} says what to look at; no session came about, the app is held")
    world.check(WORDS not in seen, "and its words are not on the wire")
    world.check(max(len(proxy.log().splitlines()) for proxy in (cproxy, sproxy)) < 25, "the logs stay short")
    sproxy.signal(signal.SIGTERM)
    sproxy.wait(10)
    sproxy = start_sproxy(*([] if secure_cproxy else insecure))
    far = target.next(30)
    world.until(lambda: bytes(far.text) == WORDS, 20, "the words to arrive")
    world.say("true: with the same on both sides, the session that waited goes on")
    return sproxy


def s_client(net, *options):
    """What OpenSSL's own client makes of sproxy, in its words."""
    command = ["timeout", "20", "openssl", "s_client", "-connect", f"{net.server_address}:6000", "-ign_eof", *options]
    return net.client.run(*command, check=False, timeout=30)


def scenario(world):
    net = harness.Routed(world)
    target = Listener(world, net.server, 7000)
    seen = tap(world, net)
    sproxy = one_side_only(world, net, target, seen, 0, secure_cproxy=True)

    key, certificate = world.folder / "key.pem", world.folder / "certificate.pem"
    tls.somebody().write(key, certificate)
    ours = ["-alpn", "holdfast/1", "-cert", certificate, "-key", key]
    good = s_client(net, *ours).stdout  # sproxy ends it after five seconds
    world.until(lambda: sproxy.lines("dropped.*did not introduce itself"), 10, "sproxy to say so")
    world.check("TLSv1.3" in good and "ALPN protocol: holdfast/1" in good, "OpenSSL's client gets through with a key and the protocol's name")
    for name, options, why in (("TLS 1.2", [*ours, "-tls1_2"], "unsupported protocol"),
                               ("TLS 1.1", [*ours, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], "unsupported protocol"),
                               ("no protocol's name", ours[2:], "no ALPN"), ("another one", ["-alpn", "h2", *ours[2:]], "no application protocol"),
                               ("no key", ours[:2], "did not return a certificate")):
        sproxy.mark()
        shown = s_client(net, *options)
        world.check_quietly(shown.returncode not in (0, 124), f"{name}: sproxy ends it at once: {shown.stdout}{shown.stderr}")
        world.until(lambda: any("dropped" in line for line in sproxy.since()), 10, "sproxy to say so")
        said = [line for line in sproxy.since() if "dropped" in line]
        world.check(len(said) == 1 and why in said[0], f"{name}: {said}")

    one_side_only(world, net, target, seen, 1, secure_cproxy=False)


harness.main(scenario)
