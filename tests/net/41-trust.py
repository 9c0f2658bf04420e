#!/usr/bin/python3
"""
   client                              [router]            server
   app -> cproxy       eth0 ═══════════════════════ eth0   sproxy -> target

Goal of this test: who is believed, and who is let in. A cproxy remembers the key of the sproxy it met first, goes on with
it after a move, and says nothing to another one: not one byte of a session, nor who it is. A person may pin the key, or
change the list of hosts while cproxy runs. An sproxy with a list of clients lets nobody else in, and whoever is taken off
the list is out at once. With a private CA its certificates count, and names, and dates.

    41-trust.py first | changed | pinned | authorized | ca
"""

import os
import signal
import sys

import harness
from flows import Listener, dial, greet

PART = sys.argv[1] if len(sys.argv) > 1 else "first"


def key_of(net, world, program, name):
    """Its fingerprint, as the program itself tells it."""
    return net.server.run(harness.holdfast(program), "--print-key", "--state-dir", world.state(name)).stdout.strip()


def start_sproxy(world, net, *options, name="sproxy"):
    return world.sproxy(net.server, *options, "--target", "127.0.0.1:7000", 6000, name=name)


def start_cproxy(world, net, *options, port=5000, name="cproxy"):
    return world.cproxy(net.client, *options, port, net.server_address, 6000, name=name)


def stop(world, proxy):
    proxy.signal(15)
    proxy.wait(20)


def first(world, net, target):
    sproxy = start_sproxy(world, net)
    key = key_of(net, world, "sproxy", "sproxy")
    world.until(lambda: sproxy.lines("anyone may come"), 10, "sproxy to have said all that it says when it starts")
    world.check(key in sproxy.log(), "sproxy shows its key when it starts")
    world.check(len(sproxy.lines("anyone may come")) == 1, "and says in one line that anyone may come")
    cproxy = start_cproxy(world, net)
    app = dial(world, net.client, "127.0.0.1", 5000, "app")
    far = target.next()
    greet(world, app, far)
    world.check(len(cproxy.lines("first contact: .*" + key.replace("+", r"\+"))) == 1, "cproxy tells whom it trusts from now on")
    known = world.state("cproxy") / "known_hosts"
    world.same(known.read_text().split()[:2], [f"[{net.server_address}]:6000", key], "and has written it down")
    for name in ("client_key", "known_hosts"):
        world.same(oct((world.state("cproxy") / name).stat().st_mode & 0o777), "0o600", f"{name} is its owner's alone")
    world.same(oct((world.state("sproxy") / "host_key").stat().st_mode & 0o777), "0o600", "host_key, too")
    net.move(net.next_address())
    greet(world, app, far, b"after a move")
    stop(world, cproxy)
    start_cproxy(world, net)
    greet(world, dial(world, net.client, "127.0.0.1", 5000, "app"), target.next())
    world.same(len(known.read_text().splitlines()), 1, "met again: nothing new to write down")


def changed(world, net, target):
    sproxy = start_sproxy(world, net)
    cproxy = start_cproxy(world, net)
    app = dial(world, net.client, "127.0.0.1", 5000, "app")
    far = target.next()
    greet(world, app, far)

    # Somebody else answers at that address for a while: the real one is only stopped, and not heard from.
    net.router.nft("table ip other { chain c { type nat hook prerouting priority -100; "
                   "tcp dport 6000 redirect to :6000\n}\n}\n")
    false = world.sproxy(net.router, "--target", "127.0.0.1:7000", 6000, name="false-sproxy")
    net.move(net.next_address())
    world.until(lambda: cproxy.lines("HAS CHANGED"), 30, "cproxy to notice another key")
    line = cproxy.lines("HAS CHANGED")[0]
    known = world.state("cproxy") / "known_hosts"
    world.check(all(word in line for word in (key_of(net, world, "sproxy", "false-sproxy"), key_of(net, world, "sproxy", "sproxy"),
                                              f"{known}, line 1", "remove that line")),
                "the line says what changed, where the old key is written, and what to do")
    app.write(b"secret")
    world.during(3, "cproxy meets it again and again")
    world.same(len(cproxy.lines("HAS CHANGED")), 1, "it is said once")
    world.check(not false.lines("tunnel|SHA256:.*not in"), "the false one got no hello")
    world.check(far.text.endswith(b"hello") and not app.over, "and the session waits")
    net.router.run("nft", "delete", "table", "ip", "other")
    world.until(lambda: far.text.endswith(b"secret"), 30, "the session to go on with the real one")
    world.say("true: when the real one is back, the session goes on")

    # sproxy is really set up anew: a person removes the line while cproxy runs.
    stop(world, false)
    stop(world, sproxy)
    (world.state("sproxy") / "host_key").unlink()
    cproxy.mark()
    start_sproxy(world, net)
    world.until(lambda: any("HAS CHANGED" in line for line in cproxy.since()), 30, "cproxy to refuse the new key")
    known.write_text("")
    app = dial(world, net.client, "127.0.0.1", 5000, "app")
    greet(world, app, target.next(40), timeout=40)
    world.check(key_of(net, world, "sproxy", "sproxy") in known.read_text(), "the line removed, cproxy trusts the new key by itself")


def pinned(world, net, target):
    start_sproxy(world, net)
    key = key_of(net, world, "sproxy", "sproxy")
    wrong = "SHA256:" + "A" * 43
    start_cproxy(world, net, "--fingerprint", wrong, "--fingerprint", key)
    app = dial(world, net.client, "127.0.0.1", 5000, "app")
    far = target.next()
    greet(world, app, far)
    world.check(not (world.state("cproxy") / "known_hosts").exists(), "what a person has said need not be remembered")
    net.move(net.next_address())
    greet(world, app, far, b"after a move")
    other = start_cproxy(world, net, "--fingerprint", wrong, port=5001, name="cproxy-wrong")
    dial(world, net.client, "127.0.0.1", 5001, "app").write(b"secret")
    world.until(lambda: other.lines("--fingerprint"), 20, "the other cproxy to refuse")
    world.during(2, "it tries on")
    world.same(len(target.ends), 1, "pinned to another key, no session comes about")


def authorized(world, net, target):
    lists = world.folder / "lists"
    lists.mkdir()
    file = lists / "clients"
    ours, theirs = (key_of(net, world, "cproxy", name) for name in ("cproxy", "cproxy-other"))
    file.write_text(f"# who may come\n\n{ours} laptop of Ann\n")
    sproxy = start_sproxy(world, net, "--authorized-clients", file)
    world.check(not sproxy.lines("anyone may come"), "not anyone may come")
    cproxy, other = start_cproxy(world, net), start_cproxy(world, net, port=5001, name="cproxy-other")
    app = dial(world, net.client, "127.0.0.1", 5000, "app")
    far = target.next()
    greet(world, app, far)
    waiting = dial(world, net.client, "127.0.0.1", 5001, "waiting")
    waiting.write(b"let me in")
    world.until(lambda: other.lines("does not admit our key"), 20, "the other cproxy to be told")
    world.until(lambda: sproxy.lines("its key " + theirs.replace("+", r"\+") + " is not in "), 10, "sproxy's log to have the key, to be put on the list")
    world.same(len(target.ends), 1, "it got no session")

    def replace(text):
        """As editors do: another file takes its name."""
        fresh = lists / "clients.new"
        fresh.write_text(text)
        os.replace(fresh, file)

    replace(f"{ours} laptop of Ann\n{theirs} phone of Ann\n")
    far_other = target.next(40)
    world.until(lambda: bytes(far_other.text) == b"let me in", 20, "its words to arrive")
    world.say("true: put on the list while both run, it is let in, and what waited goes through")

    sproxy.mark()
    replace(f"{theirs} phone of Ann\nrubbish\n")
    world.until(lambda: any("clients:2" in line for line in sproxy.since()), 15, "sproxy to find the damaged line")
    greet(world, app, far, b"still here")
    world.say("true: a damaged list changes nothing")

    replace(f"{theirs} phone of Ann\n")
    world.until(lambda: app.over and far.over, 20, "the sessions of the other to end")
    world.check(app.was_reset, "taken off the list, the client is out at once, and its app sees a reset")
    greet(world, waiting, far_other, b"not concerned")
    world.until(lambda: cproxy.lines("does not admit our key"), 20, "its cproxy to be told")

    os.kill(sproxy.worker, signal.SIGSTOP)
    replace("# nobody any more\n")
    sproxy.kill_worker()
    world.until(lambda: far_other.over, 20, "the session of a client that was taken off while no worker looked to end")
    world.say("true: nor does the next worker keep what is not admitted any more")


def ca(world, net, target):
    folder = world.folder / "ca"
    folder.mkdir()

    def openssl(*words):
        net.server.run("openssl", *words, cwd=folder)

    def authority(name):
        openssl("req", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", "30",
                "-subj", f"/CN={name}")

    def certificate(name, names, signed_by="ca", days=30):
        openssl("req", "-newkey", "ed25519", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (folder / "extensions").write_text(f"subjectAltName={names}\n")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{signed_by}.pem", "-CAkey", f"{signed_by}.key", "-out",
                f"{name}.pem", "-days", days, "-extfile", "extensions")
        os.chmod(folder / f"{name}.key", 0o600)
        return ["--ca", folder / "ca.pem", "--cert", folder / f"{name}.pem", "--key", folder / f"{name}.key"]

    authority("ca")
    authority("stranger")
    laptop = certificate("laptop", "DNS:laptop")
    for number, (name, names, signed_by, days, says) in enumerate((
            ("right", f"IP:{net.server_address}", "ca", 30, None),
            ("wrong-name", "DNS:elsewhere.example", "ca", 30, "IP address mismatch"),
            ("wrong-ca", f"IP:{net.server_address}", "stranger", 30, "unable to get|self-signed"),
            ("too-old", f"IP:{net.server_address}", "ca", -1, "expired"))):
        port, link = 5000 + number, 6000 + number
        sproxy = world.sproxy(net.server, *certificate(name, names, signed_by, days), "--target", "127.0.0.1:7000", link, name=f"sproxy-{name}")
        cproxy = world.cproxy(net.client, *laptop, port, net.server_address, link, name=f"cproxy-{name}")
        app = dial(world, net.client, "127.0.0.1", port, "app")
        if says is None:
            far = target.next()
            greet(world, app, far)
            net.move(net.next_address())
            greet(world, app, far, b"after a move")
            world.say("true: with the right certificates it works, and moves")
        else:
            app.write(b"hello")
            world.until(lambda: cproxy.lines("certificate is not good.*(" + says + ")"), 20, f"cproxy to refuse: {cproxy.log()}")
            world.check(len(target.ends) == 1, f"{name}: refused, and no session came about")
        stop(world, cproxy)
        stop(world, sproxy)

    sproxy = world.sproxy(net.server, *certificate("server", f"IP:{net.server_address}"), "--target", "127.0.0.1:7000", 6010, name="sproxy-strict")
    cproxy = world.cproxy(net.client, *certificate("nobody", "DNS:nobody", "stranger"), 5010, net.server_address, 6010, name="cproxy-nobody")
    dial(world, net.client, "127.0.0.1", 5010, "app").write(b"hello")
    world.until(lambda: cproxy.lines("does not admit our key"), 20, lambda: f"cproxy to be told: {cproxy.log()}")
    world.until(lambda: sproxy.lines("its certificate is not good"), 10, "sproxy to say that a client with another CA's certificate is refused")
    world.same(len(target.ends), 1, "and got no session")


def scenario(world):
    net = harness.Routed(world)
    target = Listener(world, net.server, 7000)
    {"first": first, "changed": changed, "pinned": pinned, "authorized": authorized, "ca": ca}[PART](world, net, target)


harness.main(scenario)
