"""Which process does the work of a proxy: cproxy and sproxy are keepers, and the worker is their child.

Memory, processor time and descriptors are the worker's; ending one ends both; standing still takes both.
"""

from pathlib import Path


def _stat(pid):
    """Name, state and parent, or nothing when there is no such process any more (proc(5)). Names end after 15 bytes, of whatever."""
    try:
        head, tail = Path(f"/proc/{pid}/stat").read_text(errors="replace").rsplit(")", 1)
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, parent = tail.split()[:2]
    return head.split("(", 1)[1], state, int(parent)


def is_there(pid):
    """It runs, or could: what is only waiting to be buried does not."""
    shown = _stat(pid)
    return bool(shown) and shown[1] not in "ZX"


def parent_of(pid):
    """Nothing, when it has gone."""
    shown = _stat(pid)
    return shown and shown[2]


def worker_of(pid, known=None):
    """The worker below this process, itself a keeper or what started one; the process itself if it is neither.

    `known` is what was found the last time, which is quickly seen to be still right.
    """
    seen = known and _stat(known)
    if seen and seen[1] not in "ZX":
        parent = _stat(seen[2])
        if parent and parent[0].endswith("-keeper"):
            return known
    processes = {int(path.name): _stat(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()}
    family = [pid]
    for one in family:
        name = processes[one][0] if processes.get(one) else ""
        children = [other for other, shown in processes.items() if shown and shown[2] == one and shown[1] not in "ZX"]
        if children and name.endswith("-keeper"):
            return children[0]
        family += children
    return pid
