#!/usr/bin/python3
"""
   client                              [switch]            server
   telnet ───────────── cproxy --raw ═════════════════════════════ telnetd      raw-cproxy
   telnet ════════════════════════════════════════ sproxy --raw ── telnetd      raw-sproxy
   telnet ───────────── cproxy --raw ═════════════ sproxy --raw ── telnetd      raw-chain
   telnet ───────────── cproxy ═══════════════════ sproxy ──────── telnetd      protocol

Goal of this test: `exit`, `logout`, Ctrl-D at the far shell and `quit` or sudden death of the telnet client each
end every connection of that session on both proxies and nothing lingers, while a session beside it goes on.

    07-close.py raw-cproxy | raw-sproxy | raw-chain | protocol
"""

import sys

import harness
from telnet import start_telnetd, telnet

kind = sys.argv[1] if len(sys.argv) > 1 else "protocol"


def quit_client(session):
    session.terminal.type("\x1d")
    session.terminal.expect("telnet> ")
    session.terminal.type("quit\r")


def start(world, net):
    """Starts the proxies of this kind; returns the address that the telnet client calls."""
    far, raw = net.server_address, ["--raw"] if kind.startswith("raw") else []
    if kind != "raw-cproxy":
        world.sproxy(net.server, *raw, "--target", "127.0.0.1:23", 6000)
    if kind != "raw-sproxy":
        world.cproxy(net.client, *raw, 5000, far, 23 if kind == "raw-cproxy" else 6000)
    return (far, 6000) if kind == "raw-sproxy" else ("127.0.0.1", 5000)


def scenario(world):
    net = harness.Lan(world)
    start_telnetd(world, net.server)
    called = start(world, net)
    ports = (5000, 23) if kind == "protocol" else (5000, 6000, 23)  # the link of the protocol may stay

    def connections():
        return net.client.connections(*ports) + net.server.connections(*ports)

    def telnetds():
        pids = net.server.run("ip", "netns", "pids", net.server.name).stdout.split()
        return net.server.run("ps", "-o", "comm=", *(word for pid in pids for word in ("-p", pid))).stdout.split().count("telnetd")

    beside = telnet(world, net.client, *called, "telnet-beside").shell().ping()
    quiet = len(connections())
    world.say(f"one session: {quiet} sockets")

    ways = {
        "exit": lambda session: session.terminal.type("exit\r"),
        "logout": lambda session: session.terminal.type("logout\r"),
        "Ctrl-D": lambda session: session.terminal.type("\x04"),
        "quit": quit_client,
        "death": lambda session: session.terminal.process.kill(),
    }
    for number, (way, end) in enumerate(ways.items()):
        session = telnet(world, net.client, *called, f"telnet-{number}-{way}").shell()
        session.type_something()
        session.until_typed_arrived()
        world.check(len(connections()) == 2 * quiet, "two sessions: twice as many sockets")
        end(session)
        session.terminal.wait(10)
        # No claim about the last words of the shell: telnetd itself swallows them now and then, once in 60 directly.
        world.until(lambda: len(connections()) == quiet, 10,
                    lambda: f"the connections to end after {way}; still there: {connections()}")
        world.until(lambda: telnetds() == 1, 10, lambda: f"telnetd to end after {way}")
        world.say(f"true: after {way} the session is gone everywhere")

    beside.until_pings(3)
    beside.faultless()
    beside.leave()
    world.until(lambda: not connections(), 10, lambda: f"no connection to be left; still there: {connections()}")
    world.until(lambda: telnetds() == 0, 10, "the last telnetd to end")
    world.say("true: nothing lingers")


harness.main(scenario)
