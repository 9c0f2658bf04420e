"""What happens to the network (docs/handover.md tells it in words), one class each, and when the new path can carry packets.

    begin    the world was whole until here
    usable   from here on the new path can carry packets; recovery counts from here
    quiet    from here on nothing can arrive any more that was sent by the old path
    lost     what was written before may have arrived by the old path, and may be read late by a busy app

Where something happens within a command (a rule is loaded into a router), `usable` is before the command and `quiet`
behind it: an error of some milliseconds to the disadvantage of everybody.
"""

import time
from dataclasses import dataclass

SLACK = 0.010  # seconds: longer than the emulated network is ever late


@dataclass
class Moment:
    begin: float
    usable: float
    quiet: float
    lost: float


class Scenario:
    """`stalls`: the old path lives until the new one is there, so that the longest stall is measured, not a recovery."""

    name = title = ""
    stalls = False

    def __init__(self, stage):
        self.stage, self.net = stage, stage.net

    def prepare(self):
        self.net.up("10.1.0.10")

    def happen(self, peer):
        raise NotImplementedError


class Address(Scenario):
    name, title = "address", "address replaced"
    away, new = 0.0, "10.1.0.11"

    def happen(self, peer):
        begin = time.monotonic()
        self.net.detach("10.1.0.10")
        lost = time.monotonic() - self.net.rtt / 2
        self.stage.pass_time(self.away)
        usable = self.net.attach(self.new)
        return Moment(begin, usable, usable, lost)


class Gap(Address):
    name, title, away = "gap", "address replaced, 1 s without", 1.0


class Subnet(Address):
    name, title, new = "subnet", "another subnet", "10.3.0.10"


class Overlap(Scenario):
    name, title, stalls = "overlap", "another network, both up for 2 s", True
    both = 2.0

    def happen(self, peer):
        begin = time.monotonic()
        self.net.attach("10.2.0.10")
        self.stage.pass_time(self.both)
        self.net.detach("10.1.0.10")
        gone = time.monotonic()
        return Moment(begin, gone, gone + self.net.rtt / 2 + SLACK, gone)


class Hole(Scenario):
    seconds = 0.0

    def happen(self, peer):
        begin = time.monotonic()
        self.net.hole(0, True)
        self.stage.pass_time(self.seconds)
        usable = self.net.hole(0, False)
        return Moment(begin, usable, usable, begin)


class Hole1(Hole):
    name, title, seconds = "hole1", "black hole of 1 s", 1.0


class Hole5(Hole):
    name, title, seconds = "hole5", "black hole of 5 s", 5.0


class Hole30(Hole):
    name, title, seconds = "hole30", "black hole of 30 s", 30.0


class Nat(Scenario):
    name, title = "nat", "NAT rebinding"

    def prepare(self):
        super().prepare()
        self.net.masquerade("20000-29999")

    def happen(self, peer):
        begin = time.monotonic()
        self.net.masquerade("30000-39999")
        self.net.forget_flows()
        quiet = time.monotonic()
        return Moment(begin, begin, quiet, quiet - self.net.rtt / 2)


class Reset(Scenario):
    name, title = "reset", "reset by a middlebox"

    def happen(self, peer):
        begin = time.monotonic()
        self.net.reset_flows()
        quiet = time.monotonic()
        return Moment(begin, begin, quiet, quiet - self.net.rtt / 2)


class Sleep(Scenario):
    name, title, seconds = "sleep", "sleep of 5 s", 5.0

    def happen(self, peer):
        begin = time.monotonic()
        self.net.unplug("eth0")
        self.net.hole(0, True)  # or the router would keep the last packet for us, and we would call that a recovery
        time.sleep(SLACK)  # what has arrived is read
        peer.pause(True)
        self.stage.pass_time(self.seconds)
        peer.pause(False)
        self.net.hole(0, False)
        usable = self.net.plug_in("10.1.0.10")
        return Moment(begin, usable, usable, begin)


class Silent(Scenario):
    name, title = "silent", "silent death, another path up"

    def prepare(self):
        self.net.up("10.1.0.10")
        self.net.up("10.2.0.10")

    def happen(self, peer):
        begin = time.monotonic()
        dead = self.net.hole(1, True)
        return Moment(begin, begin, dead + self.net.rtt / 2 + SLACK, dead)


ALL = {scenario.name: scenario
       for scenario in (Address, Gap, Subnet, Overlap, Hole1, Hole5, Hole30, Nat, Reset, Sleep, Silent)}
