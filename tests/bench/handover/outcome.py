"""What the rounds of a case come to: median, smallest, largest; and what was aimed at."""

import statistics

from cases import Case

NEVER = float("inf")


class Outcome:
    """Milliseconds of one value (data, echo, all, stall) of one case; NEVER where a round ended without."""

    def __init__(self, rounds, value):
        found = [got[value if value in got else "data"] for got in rounds]  # without an echo where nobody types
        found = [NEVER if ms is None else ms for ms in found]
        self.n, self.low, self.high = len(found), min(found), max(found)
        self.median = statistics.median_low(sorted(found)) if NEVER in found else statistics.median(found)


def value_of(case):
    """Which value answers for a case: the stall while both paths live, the slowest session of a crowd, and an echo where
    a dead path may have lost only one of the directions."""
    if case.scenario in ("overlap", "silent"):
        return {"overlap": "stall", "silent": "echo"}[case.scenario]
    return "all" if case.sessions > 1 else "data"


def aim(case):
    """Milliseconds that we aim at, or nothing where nothing was said."""
    crowd = 20 if case.sessions > 1 else 0
    if case.scenario in ("address", "gap", "subnet"):
        return 2 * case.rtt + 5 + crowd
    if case.scenario == "overlap":
        return 100 + crowd  # one heartbeat
    if case.scenario.startswith("hole"):
        return 300 + crowd
    if case.scenario == "silent":
        return 300 + 2 * case.rtt + 10 + crowd
    return None


def load(kept):
    """{case: rounds} of a results file."""
    return {Case.of(key): entry["rounds"] for key, entry in kept["cases"].items()}


def outcomes(found, value=None):
    """{case: Outcome}, of the value that answers for each case or of a given one."""
    return {case: Outcome(rounds, value or value_of(case)) for case, rounds in found.items()}
