#!/usr/bin/python3
"""
   client                              [router]            server
   telnet -> cproxy    eth0 ═══════════════════════ eth0   sproxy -> telnetd -> sh, ping localhost
             keeper, worker (killed)                       keeper, worker (killed)
             stand-in for systemd, keeps copies            stand-in for systemd, keeps copies

Goal of this test: where a service manager keeps descriptors, not even the death of a whole proxy ends a session. A telnet session with a
running ping goes on although keeper and worker of cproxy, of sproxy, and of both are killed, by accident or as `systemctl restart` does it,
also after a start that failed. Sessions that end leave nothing in the store, and end as without it: a close is a close and a reset
a reset, although somebody has a copy of the socket. A service manager that does not listen keeps nobody waiting.

    51-systemd.py restarted | ended | busy
"""

import os
import signal
import sys

import harness
from flows import Listener, dial, greet, pair
from manager import Manager, kill_all
from telnet import start_telnetd, telnet, TELNETD_PORT

part = sys.argv[1] if len(sys.argv) > 1 else "restarted"
# What is always kept: the memory, of each thread, and a socket that listens (sproxy's is one for both families).
OURS = {"cproxy": 2, "sproxy": 2 + harness.MORE_THREADS}


class Service:
    """A proxy as a unit of the stand-in."""

    def __init__(self, world, kind, space, *arguments):
        self.world, self.kind, self.space, self.arguments = world, kind, space, arguments
        self.manager = Manager(world, kind)
        self.memories = 0  # recovered so far
        self.start()

    def start(self, *more, ready=True):
        begin = self.world.cproxy if self.kind == "cproxy" else self.world.sproxy
        said = len(self.manager.said)
        self.proxy = begin(self.space, *self.arguments, *more, before=self.manager.before(), ready=ready)
        if ready:
            self.world.until(lambda: "READY=1" in self.manager.said[said:], 20, f"{self.kind} to say READY=1")

    def restart(self, end=lambda proxy: proxy.kill()):
        end(self.proxy)
        self.start()
        self.recovered()

    def recovered(self, timeout=20):
        self.memories += self.proxy.memories
        self.world.until(lambda: self.proxy.log().count("recovered: ") >= self.memories, timeout, f"{self.kind} to recover")

    def keeps(self, count, what):
        self.world.until(lambda: len(self.manager.kept) == count, 20, lambda: f"{what}: {count} kept for {self.kind}, not {self.manager.names()}")
        self.world.say(f"true: {what}: {count} descriptors are kept for {self.kind}")


def services(world, net, target):
    sproxy = Service(world, "sproxy", net.server, "--target", f"127.0.0.1:{target}", 6000)
    cproxy = Service(world, "cproxy", net.client, 5000, net.server_address, 6000)
    return cproxy, sproxy


def restarted(world):
    net = harness.Routed(world)
    start_telnetd(world, net.server)
    cproxy, sproxy = services(world, net, TELNETD_PORT)
    held = telnet(world, net.client, "127.0.0.1", 5000, "telnet-holdfast").shell().ping()

    def goes_on(story):
        held.until_typed_arrived()
        held.until_pings(3)
        world.say(f"true: the session goes on after {story}")

    for _ in range(3):
        for service in (cproxy, sproxy):
            held.type_something()
            service.restart()
            goes_on(f"the death of {service.kind}'s keeper")
            held.type_something()
            service.restart(kill_all)
            goes_on(f"a restart of {service.kind}")

    held.type_something()
    kill_all(cproxy.proxy)
    sproxy.restart(kill_all)
    cproxy.start()
    cproxy.recovered()
    goes_on("a restart of both at once")

    sproxy.proxy.kill_worker()  # what is kept is now out of the way: this is the keeper's business
    sproxy.recovered()
    held.type_something()
    sproxy.restart()
    goes_on("the death of the worker, and then of the keeper")

    for service in (cproxy, sproxy):
        service.proxy.kill()
        service.start("--no-such-option", ready=False)
        world.same(service.proxy.wait(), 2, f"a start of {service.kind} that fails")
        service.start()
        service.recovered()
    goes_on("starts that failed")

    net.go_away()
    cproxy.restart(kill_all)
    sproxy.restart(kill_all)
    held.type_something()
    net.come_back(net.next_address())
    goes_on("restarts while the network was away")
    for service in (cproxy, sproxy):
        service.keeps(OURS[service.kind] + 1, "one session")
    held.faultless()
    held.leave()
    for service in (cproxy, sproxy):
        service.keeps(OURS[service.kind], "the session is over")
    orderly_end(world, cproxy, sproxy)


def orderly_end(world, *services):
    for service in services:
        world.check("STOPPING=1" not in service.manager.said, f"nobody has stopped {service.kind}")
        service.proxy.signal(signal.SIGTERM)
        world.same(service.proxy.wait(15), 0, f"{service.kind} ends in order")
        world.until(lambda: "STOPPING=1" in service.manager.said, 15, f"{service.kind} to have said STOPPING=1")


def ended(world):
    net = harness.Routed(world)
    target = Listener(world, net.server, 7000)
    cproxy, sproxy = services(world, net, 7000)
    for restart in (False, True):
        when = "after a restart" if restart else "at once"
        for who in ("app", "target"):
            for how in ("reset", "close"):
                app, far = pair(world, net, target)
                for service in (cproxy, sproxy):
                    service.keeps(OURS[service.kind] + 1, "one session")
                if restart:
                    cproxy.restart(kill_all)
                    sproxy.restart()
                    greet(world, app, far, b"again")
                actor, other = (app, far) if who == "app" else (far, app)
                actor.reset() if how == "reset" else actor.close()
                world.until(lambda: other.over, 15, lambda: f"the other side to hear of it ({other!r})")
                world.same(other.was_reset, how == "reset", f"a {how} by the {who} {when} is one for the other side")
                other.close()
                for service in (cproxy, sproxy):
                    service.keeps(OURS[service.kind], "nothing is left")

    many = [pair(world, net, target) for _ in range(40)]
    for service in (cproxy, sproxy):
        service.keeps(OURS[service.kind] + len(many), "many sessions")
        world.same(service.manager.polled, 0, "none of which may go before we say so")
    for app, far in many:
        app.write(b"last words")
        world.until(app.sent_all, 15, "the last words to be sent")
        app.close()
        world.until(lambda: far.over, 15, lambda: f"the end to arrive ({far!r})")
        world.check_quietly(far.text.endswith(b"last words") and not far.was_reset, f"an orderly end arrives whole ({far!r})")
        far.close()
    for service in (cproxy, sproxy):
        service.keeps(OURS[service.kind], "nothing is left of many sessions")

    # Not in the store, as when that is full: there is nothing to go on with.
    app, far = pair(world, net, target)
    cproxy.keeps(OURS["cproxy"] + 1, "one session")
    cproxy.manager.lose_last()
    cproxy.restart(kill_all)
    world.until(lambda: app.over and far.over, 15, "both ends to hear of it")
    world.check(app.was_reset and far.was_reset, "a session of which nothing was kept is reset")
    world.until(lambda: "ended: its connection was not kept" in cproxy.proxy.log(), 10, "the log to say that it was not the program that did it")

    # Stopped for good: sessions end with a reset, whoever has copies.
    app, far = pair(world, net, target)
    orderly_end(world, cproxy)
    world.until(lambda: app.over and far.over, 15, "both ends to hear of it")
    world.check(app.was_reset and far.was_reset, "who stops a proxy resets its sessions")
    cproxy.keeps(OURS["cproxy"], "the session is over")

    # Dead, and not started again: what the service manager closes is no orderly end either.
    cproxy.manager.empty()
    cproxy.start()
    app, far = pair(world, net, target)
    cproxy.keeps(OURS["cproxy"] + 1, "one session")
    cproxy.proxy.kill()
    cproxy.manager.empty()
    world.until(lambda: app.over, 15, "the app to hear of it")
    world.check(app.was_reset, "a session that is given up is reset")


def busy(world):
    net = harness.Routed(world)
    target = Listener(world, net.server, 7000)
    cproxy, sproxy = services(world, net, 7000)
    cproxy.keeps(OURS["cproxy"], "no session")
    cproxy.manager.listen(False)
    first = [pair(world, net, target) for _ in range(60)]
    for app, far in first[:30]:
        app.close()
        world.until(lambda: far.over, 15, "the end to arrive")
        far.close()
    world.say("true: sessions come, work and go although the service manager of cproxy does not listen")
    kept = len(cproxy.manager.kept)
    world.same(kept, OURS["cproxy"], "it has heard nothing")
    cproxy.manager.listen(True)
    cproxy.keeps(OURS["cproxy"] + 30, "it has been told all")
    sproxy.keeps(OURS["sproxy"] + 30, "as has the other one")
    cproxy.restart(kill_all)
    for app, far in first[30:]:
        greet(world, app, far, b"still here")
    world.say("true: all sessions go on after a restart")

    # The worker dies with something unsaid: the next one says it.
    cproxy.manager.listen(False)
    more = [pair(world, net, target) for _ in range(30)]
    cproxy.proxy.kill_worker()
    cproxy.recovered()
    cproxy.manager.listen(True)
    cproxy.keeps(OURS["cproxy"] + 60, "the next worker has told all")
    cproxy.restart()
    for app, far in first[30:] + more:
        greet(world, app, far, b"and still")
    world.say("true: all sessions go on after a death of the worker, and of the keeper")

    # Memory that nobody can read: a new beginning, and nothing old stays in the store.
    cproxy.proxy.kill()
    spoiled = next(number for name, number in cproxy.manager.kept if name.startswith("memory-"))
    os.pwrite(spoiled, b"nonsense", 0)
    cproxy.start()
    world.check("starting anew" in cproxy.proxy.log(), "the log says that it begins anew")
    world.until(lambda: all(app.over for app, _ in first[30:] + more), 20, "the apps to hear of it")
    world.check(all(app.was_reset for app, _ in first[30:] + more), "all apps see a reset")
    cproxy.keeps(OURS["cproxy"], "nothing old is left")
    app, far = pair(world, net, target)
    app.close()
    world.until(lambda: far.over, 15, "the end to arrive")


def scenario(world):
    {"restarted": restarted, "ended": ended, "busy": busy}[part](world)


harness.main(scenario)
