#!/usr/bin/python3
"""
   client                                server
   app -> cproxy 0 ═════════════╗        sproxy --threads 3
   app -> cproxy 1 ═══════════╗ ║          thread 0, the door   memory 0
   app -> cproxy 2 ═════════╗ ╠═╩══════>   thread 1             memory 1   -> target
   app -> cproxy 3 ═════════╩═╝            thread 2             memory 2

Goal of this test: an sproxy with several threads spreads its clients over them, and nothing else is different. Bytes of each
client are carried by one thread; the death of the worker costs no session of any thread; a keeper that dies takes all threads with it.
After an upgrade or a restart there are as many threads as memories, or more, if more are asked for. A client whose key is struck from the
list is turned out, whichever thread has him.

    52-cores.py killed | grown | revoked
"""

import signal
import sys
from pathlib import Path

import harness
from flows import Listener, dial, greet
from manager import Manager, kill_all
from workers import is_there

part = sys.argv[1] if len(sys.argv) > 1 else "killed"
CLIENTS = 4


class Client:
    """A cproxy with a key of its own, and a session through it."""

    def __init__(self, world, net, target, number):
        self.world, self.net, self.target, self.number = world, net, target, number
        self.cproxy = world.cproxy(net.client, 5000 + number, net.server_address, 6000, name=f"cproxy-{number}")
        self.app = dial(world, net.client, "127.0.0.1", 5000 + number, f"app-{number}")
        self.far = target.next()

    def greets(self, words):
        greet(self.world, self.app, self.far, words)

    def carries(self, size):
        """So many bytes, in both directions."""
        for one, other in ((self.app, self.far), (self.far, self.app)):
            wanted = other.got + size
            one.write(bytes(size))
            self.world.until(lambda: other.got == wanted, 30, f"{size} bytes of client {self.number}")
            other.text.clear()


def threads(sproxy):
    """Processor time by thread, in the order in which they were started."""
    tasks = sorted(Path(f"/proc/{sproxy.worker}/task").iterdir(), key=lambda task: int(task.name))
    return [int((task / "schedstat").read_text().split()[0]) for task in tasks]


def worked(sproxy, work):
    """Which threads did, while that was done."""
    before = threads(sproxy)
    work()
    spent = [after - earlier for earlier, after in zip(before, threads(sproxy))]
    # The others beat their hearts meanwhile, which adds up where this takes long.
    return [number for number, time in enumerate(spent) if time > max(spent) / 2]


def killed(world):
    net = harness.Routed(world)
    target = Listener(world, net.server, 7000)
    sproxy = world.sproxy(net.server, "--target", "127.0.0.1:7000", "--threads", 3, 6000)
    world.same(len(threads(sproxy)), 3, "threads")
    clients = [Client(world, net, target, number) for number in range(CLIENTS)]

    def spread():
        busy = [worked(sproxy, lambda client=client: [client.carries(4_000_000) for _ in range(3)]) for client in clients]
        world.check(all(len(each) == 1 for each in busy), f"the bytes of each client are carried by one thread: {busy}")
        return {each[0] for each in busy}

    world.same(spread(), {0, 1, 2}, "threads that have clients")
    for round_ in range(4):
        world.crash(sproxy)
        for client in clients:
            client.greets(b"after the death of the worker")
        if round_ % 2:
            net.move(net.next_address())
    world.same(spread(), {0, 1, 2}, "threads that have clients after deaths and moves")

    answer = harness.run(harness.holdfast("sproxy"), "upgrade", sproxy.pid, check=False)
    world.check(answer.returncode == 0, f"an upgrade: {answer.stdout.strip()}{answer.stderr.strip()}")
    for client in clients:
        client.greets(b"after an upgrade")
    world.same(spread(), {0, 1, 2}, "threads that have clients after an upgrade")

    worker = sproxy.worker
    sproxy.kill()
    world.until(lambda: not is_there(worker), 10, "the worker to end with its keeper")
    for client in clients:
        world.until(lambda client=client: client.far.over, 10, "the targets to see an end")
    world.say("true: the death of the keeper ends all threads")


def grown(world):
    net = harness.Routed(world)
    target = Listener(world, net.server, 7000)
    manager = Manager(world, "sproxy")

    def start(*more):
        said = len(manager.said)
        made = world.sproxy(net.server, "--target", "127.0.0.1:7000", *more, 6000, before=manager.before())
        world.until(lambda: "READY=1" in manager.said[said:], 20, "READY=1")
        return made

    def keeps_all(sproxy):
        """The memory of each thread, the socket that listens and those of sessions are with the service manager."""
        expected = len(threads(sproxy)) + 1 + len(clients)
        world.until(lambda: len(manager.kept) == expected, 20, lambda: f"{expected} to be kept: {manager.names()}")

    def restart(sproxy, count, expected):
        keeps_all(sproxy)  # a target has accepted before sproxy knows of it, and keeps it
        kill_all(sproxy)
        sproxy = start("--threads", count)
        world.same(len(threads(sproxy)), expected, f"threads after a restart with --threads {count}")
        return sproxy

    sproxy = start()
    world.same(len(threads(sproxy)), 1, "threads, if nothing is said about them")
    clients = [Client(world, net, target, number) for number in range(2)]
    for count, expected in ((3, 3), (1, 3), (2, 3)):
        sproxy = restart(sproxy, count, expected)
        for client in clients:
            client.greets(b"after a restart")
        clients.append(Client(world, net, target, len(clients)))
    # The first two have stayed in their memory, and the new ones are where nobody was.
    busy = [worked(sproxy, lambda client=client: [client.carries(4_000_000) for _ in range(3)]) for client in clients]
    world.same(len({tuple(each) for each in busy}), 3, f"threads that have clients ({busy})")
    world.same(busy[0], busy[1], "the thread of the first two")
    keeps_all(sproxy)
    sproxy.signal(signal.SIGTERM)
    world.same(sproxy.wait(15), 0, "the status of an orderly end")
    for client in clients:
        world.until(lambda client=client: client.app.over, 10, "the apps to see an end")
        world.check(client.app.was_reset, f"client {client.number} sees a reset")


def revoked(world):
    net = harness.Routed(world)
    target = Listener(world, net.server, 7000)
    # cproxy makes its key at its first start; --print-key is one.
    keys = [net.client.run(harness.holdfast("cproxy"), "--print-key", "--state-dir", world.state(f"cproxy-{number}"), 1, "x", 1).stdout.strip()
            for number in range(CLIENTS)]
    known = world.folder / "clients"
    known.write_text("".join(f"{key}\n" for key in keys))
    known.chmod(0o600)
    sproxy = world.sproxy(net.server, "--target", "127.0.0.1:7000", "--threads", 3, "--authorized-clients", known, 6000)
    clients = [Client(world, net, target, number) for number in range(CLIENTS)]
    for number in (0, 1, 2):
        fresh = known.with_suffix(".new")  # another file takes its name, as editors do it: no thread reads half a list
        fresh.write_text("".join(f"{key}\n" for key in keys[number + 1:]))
        fresh.chmod(0o600)
        fresh.rename(known)
        world.until(lambda number=number: clients[number].app.over and clients[number].far.over, 15, f"client {number} to be turned out")
        for client in clients[number + 1:]:
            client.greets(b"the others stay")
    world.say("true: whoever is struck from the list is turned out, whichever thread has him")


def scenario(world):
    {"killed": killed, "grown": grown, "revoked": revoked}[part](world)


harness.main(scenario)
