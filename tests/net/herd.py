"""Many clients in one program, bench_herd: each a whole cproxy with an app that checks its echo byte for byte.

    Herd       bench_herd, and the lines it is told and says
    cut        the ways in which the path of a Routed network is cut, and `give_back`
"""

import json
import re
import subprocess

from harness import Failure


class Herd:
    def __init__(self, world, space, name, program, *options, nice=0):
        self.world = world
        self.program = space.start(name, "nice", "-n", nice, program, *options, stdin=subprocess.PIPE)
        self.lines = 0

    def said(self):
        """What it answered, without what its cproxies logged."""
        return [line for line in self.program.log().splitlines() if not re.match(r"\d{4}-\d\d-\d\d ", line)]

    def next_line(self, timeout, what):
        self.world.until(lambda: len(self.said()) > self.lines or not self.program.running(), timeout, what)
        said = self.said()
        if len(said) <= self.lines:
            raise Failure(f"{self.program.name} ended")
        self.lines += 1
        return said[self.lines - 1]

    def until_ready(self, timeout):
        """Every session has had an echo."""
        while self.next_line(timeout, "all to be there") != "ready":
            pass

    def tell(self, order):
        self.program.process.stdin.write(f"{order}\n".encode())
        self.program.process.stdin.flush()

    def mark(self):
        self.tell("mark")
        self.next_line(60, "the mark")

    def report(self):
        self.tell("report")
        return json.loads(self.next_line(60, "the report"))


def cut(net, how):
    """reset: the router answers every packet with a TCP reset; hole: it swallows all; cable: its plug to the clients is pulled."""
    if how == "reset":
        net.reset_everything()
    elif how == "hole":
        net.hole()
    else:
        net.router.ip("link set c0 down")


def give_back(net, how):
    if how == "reset":
        net.stop_resetting()
    elif how == "hole":
        net.open()
    else:
        net.router.run("sh", "-c", "ip link set c0 up; ip addr show dev c0 | grep -q 10.1.0.1 || ip addr add 10.1.0.1/24 dev c0")
