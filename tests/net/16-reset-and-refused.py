#!/usr/bin/python3
"""
   client                              [router]            server
   app -> cproxy       eth0 ═══════════════════════ eth0   sproxy -> target (or nobody, or a black hole)

Goal of this test: how a session ends looks to each side as if there were no proxies. A reset stays a reset and a
close a close, also when it happens in an outage; a target that refuses, or never answers, is a reset for the app,
and one log line says why.
"""

import harness
from flows import Listener, dial


def scenario(world):
    net = harness.Routed(world)
    target = Listener(world, net.server, 7000)
    sproxy = world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000)
    cproxy = world.cproxy(net.client, 5000, net.server_address, 6000)

    def pair():
        app = dial(world, net.client, "127.0.0.1", 5000, "app")
        far = target.next()
        app.write(b"hello")
        far.write(b"welcome")
        world.until(lambda: (bytes(far.text), bytes(app.text)) == (b"hello", b"welcome"), 15, lambda: f"a greeting ({app!r}, {far!r})")
        return app, far

    for outage in (False, True):
        when = "in an outage" if outage else "while the link is up"
        for who in ("app", "target"):
            for how in ("reset", "close"):
                app, far = pair()
                actor, other = (app, far) if who == "app" else (far, app)
                if outage:
                    net.go_away()
                actor.reset() if how == "reset" else actor.close()
                if outage:
                    world.during(0.5, "without any address")
                    net.come_back(net.next_address())
                world.until(lambda: other.over, 15, lambda: f"the other side to see the {how} of the {who}")
                seen = "reset" if other.was_reset else "close" if other.ends == 1 and other.trouble is None else repr(other)
                world.same(seen, how, f"the {who}'s {how} {when} is seen as what it is")
                other.close()
    world.until(lambda: not net.client.connections(5000) and not net.server.connections(7000), 10, "the sockets to be gone")

    def lines_about(pattern):
        return [line for proxy in (cproxy, sproxy) for line in proxy.since() if pattern in line.lower()]

    target.close()
    cproxy.mark(), sproxy.mark()
    app = dial(world, net.client, "127.0.0.1", 5000, "app")
    world.until(lambda: app.over, 10, "the app to be told that the target refused")
    world.check(app.was_reset and app.got == 0, "a refused target is a reset for the app")
    world.until(lambda: lines_about("refused"), 15, "a log line that says `refused`")
    world.check(len([line for line in sproxy.since() if "refused" in line.lower()]) <= 1
                and len([line for line in cproxy.since() if "refused" in line.lower()]) <= 1,
                f"one log line says why: {lines_about('refused')}")

    net.server.nft("table inet silence { chain o { type filter hook output priority 0; tcp dport 7000 drop\n}\n}\n")
    cproxy.mark(), sproxy.mark()
    app = dial(world, net.client, "127.0.0.1", 5000, "app")
    world.until(lambda: app.over, 15, "the app to be told that the target does not answer")
    world.check(app.was_reset and app.got == 0, "a target that never answers is a reset for the app")
    world.until(lambda: lines_about("timed out"), 15, "a log line that says `timed out`")
    world.check(len(lines_about("timed out")) <= 2, f"one log line says why: {lines_about('timed out')}")

    net.server.run("nft", "delete", "table", "inet", "silence")
    target = Listener(world, net.server, 7000)
    pair()
    world.say("true: after all this a new session works")


harness.main(scenario)
