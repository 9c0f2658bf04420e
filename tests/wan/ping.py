#!/usr/bin/python3
"""ping.py PROGRAM: the emulated network itself, with real namespaces.

    [ a ]  10.78.0.1 -- wan0 == PROGRAM == wan0 -- 10.78.0.2  [ b ]

Goal of this test: frames cross both ways with the delay they were told to have, a black hole swallows them and lets
them through again, the bottleneck lets through what it should, and the interfaces go when standard input ends.
Exit status 77: network namespaces are not permitted here.
"""

import os
import re
import subprocess
import sys

A, B = (f"hfwan{os.getpid()}-{name}" for name in "ab")


def run(*words, check=True):
    done = subprocess.run(list(words), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(words)}: status {done.returncode}: {done.stdout}{done.stderr}")
    return done


def ping(count=5):
    """How many answers came, and the shortest round trip in milliseconds."""
    done = run("ip", "netns", "exec", A, "ping", "-n", "-c", str(count), "-i", "0.05", "-W", "5", "10.78.0.2", check=False)
    fastest = re.search(r"= ([\d.]+)/", done.stdout)
    return int(re.search(r"(\d+) received", done.stdout)[1]), float(fastest[1]) if fastest else None


def takes(least, most, what):
    """So many milliseconds. A busy machine adds to them now and then, and takes nothing away."""
    for _ in range(10):
        received, fastest = ping()
        assert received < 1 or fastest >= least, f"{what}: {fastest} ms"
        if received == 5 and fastest < most:
            return
    raise AssertionError(f"{what}: {received} of 5 in {fastest} ms")


def scenario(program):
    wan = subprocess.Popen([program, A, B, "delay 20ms"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tell(line):
        wan.stdin.write(line + "\n")
        wan.stdin.flush()
        return wan.stdout.readline().strip()

    try:
        assert wan.stdout.readline() == "ready\n"
        for netns, address in ((A, "10.78.0.1"), (B, "10.78.0.2")):
            run("ip", "-n", netns, "address", "add", f"{address}/24", "dev", "wan0")
        takes(40, 80, "20 ms each way")
        assert tell("ba delay 5ms") == "ok"
        takes(25, 40, "20 ms there, 5 ms back")
        assert tell("ab hole on") == "ok"
        assert ping(1)[0] == 0, "a black hole answers"
        assert tell("ab hole off") == "ok"
        assert ping()[0] == 5, "nothing comes after the black hole"
        assert tell("rate 100kbit") == "ok"  # 12,500 bytes a second: a ping of 108 bytes takes 9 ms each way
        received, fastest = ping(1)
        assert received == 1 and fastest >= 25 + 2 * 8, f"100 kbit/s: {received} of 1 in {fastest} ms"
        assert tell("nonsense").startswith("error: ")
        assert re.search(r"ab entered=\d+ .* swallowed=[1-9]\d* .*  ba entered=\d+", tell("stats"))
    finally:
        wan.communicate(timeout=10)
    assert wan.returncode == 0
    assert "wan0" not in run("ip", "-n", A, "link").stdout, "the interface is still there"


def main():
    if os.geteuid() != 0 or run("ip", "netns", "add", A, check=False).returncode != 0:
        print("SKIPPED: network namespaces are not permitted here (they need root)")
        return 77
    try:
        run("ip", "netns", "add", B)
        scenario(sys.argv[1])
    finally:
        for netns in (A, B):
            run("ip", "netns", "del", netns, check=False)
    print("PASSED")
    return 0


sys.exit(main())
