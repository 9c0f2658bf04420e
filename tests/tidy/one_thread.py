#!/usr/bin/python3
"""one_thread.py NM FILE... [--expect]

Our programs have one thread: none of these object files or archives starts another one, whichever way. Only an sproxy with
--threads has more; what starts them is not among these files, and its tests run under ThreadSanitizer (`make tsan`). With
--expect a thread must be found (the self-test)."""

import re
import subprocess
import sys

from tree import verdict

STARTS_A_THREAD = re.compile(r"pthread_create|thrd_create|clone3?|fork|_ZNSt6thread\w+|_ZNSt7jthread\w+|_ZNSt\d+__future_base\w+")


def main():
    nm, *files = sys.argv[1:]
    expected = files[-1:] == ["--expect"]
    found = []
    for file in files[: len(files) - expected]:
        output = subprocess.run([nm, "-P", "-u", file], check=True, capture_output=True, text=True).stdout
        names = {line.split()[0].split("@")[0] for line in output.splitlines() if line and not line.endswith(":")}
        assert names, f"{file} leaves nothing undefined at all: is it the right file?"
        found += sorted(f"{file} uses {name}" for name in names if STARTS_A_THREAD.fullmatch(name))
    if expected:
        verdict("the check finds a thread where there is one", [] if found else ["nothing was found"])
    else:
        verdict("no program starts a thread", found)


main()
