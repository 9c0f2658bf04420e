"""Which measures are made: a selection for half an hour, or everything; and what ONLY leaves of it."""

import itertools
from dataclasses import dataclass

import peers
import scenarios
from harness import Failure

EVERY_PEER = tuple(peers.ALL)
RTT, LOSS, SESSIONS = (0, 50, 200, 600), (0, 2), (1, 1000)


@dataclass(frozen=True, order=True)
class Case:
    scenario: str
    rtt: float      # ms
    loss: float     # %
    sessions: int
    peer: str

    def __str__(self):
        return (f"{self.scenario}, {self.rtt:g} ms" + f", {self.loss:g} % loss" * (self.loss > 0)
                + f", {self.sessions:,} sessions" * (self.sessions > 1) + f": {self.peer}")

    def key(self):
        return f"{self.scenario}/{self.rtt:g}/{self.loss:g}/{self.sessions}/{self.peer}"

    @staticmethod
    def of(key):
        scenario, rtt, loss, sessions, peer = key.split("/")
        return Case(scenario, float(rtt), float(loss), int(sessions), peer)


def cases(chosen_scenarios, rtts, losses, sessions, chosen_peers):
    for scenario, rtt, loss, number, peer in itertools.product(chosen_scenarios, rtts, losses, sessions, chosen_peers):
        if number == 1 or peers.ALL[peer].many:
            yield Case(scenario, rtt, loss, number, peer)


def selection():
    """About half an hour with three lanes: every scenario for every peer at 50 ms, and what changes with the rest."""
    some = ("address", "overlap", "hole5", "silent")
    yield from cases(scenarios.ALL, (50,), (0,), (1,), EVERY_PEER)
    yield from cases(some, (0, 200, 600), (0,), (1,), ("holdfast", "mosh", "mptcp"))
    yield from cases(some, (50,), (2,), (1,), ("holdfast", "mosh", "mptcp"))
    yield from cases(some, (50,), (0,), (1000,), ("holdfast",))
    yield from cases(some[:3], (50,), (0,), (1000,), ("mptcp",))  # a thousand of it with two paths each did not come up in 40 s


def everything():
    yield from cases(scenarios.ALL, RTT, LOSS, SESSIONS, EVERY_PEER)


def only(words, all_cases):
    """`words`: "scenario=address,gap rtt=0,50 peer=holdfast"; what is not named is not restricted."""
    wanted = {}
    for word in words.split():
        field, equals, values = word.partition("=")
        if not equals or field not in Case.__dataclass_fields__:
            raise Failure(f"ONLY: '{word}' is not one of {', '.join(Case.__dataclass_fields__)} followed by = and values")
        wanted[field] = set(values.split(","))
    chosen = [case for case in all_cases
              if all(f"{getattr(case, field)}" in values or f"{getattr(case, field)}".removesuffix(".0") in values
                     for field, values in wanted.items())]
    if not chosen:
        raise Failure(f"ONLY: nothing is left of the selection (FULL=1 has more): {words}")
    return chosen
