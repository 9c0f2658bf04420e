#!/usr/bin/python3
"""uncovered.py REPORT.json FOLDER: what gcovr's JSON report says was never run in FOLDER, line by line.

Headers are seen under two names (the build reaches them through links), whose counts are added up. Branches of
assertions are left out: the other side of an assertion is not run when all is well.
"""

import json
import os
import sys


def main():
    report, folder = sys.argv[1:]
    files = {}
    for file in json.load(open(report))["files"]:
        name = os.path.relpath(os.path.realpath(file["file"]))
        if not name.startswith(folder):
            continue
        lines = files.setdefault(name, {})
        for line in file["lines"]:
            if line.get("gcovr/noncode"):
                continue
            seen = lines.setdefault(line["line_number"], {"count": 0, "branches": {}})
            seen["count"] += line["count"]
            for i, branch in enumerate(line["branches"]):
                seen["branches"][i] = seen["branches"].get(i, 0) + branch["count"]

    counts = {"lines": [0, 0], "branches": [0, 0]}
    for name, lines in sorted(files.items()):
        source = open(name).read().splitlines()
        for number, seen in sorted(lines.items()):
            text = source[number - 1].strip()
            branches = [] if "assert(" in text else list(seen["branches"].values())
            run = sum(1 for count in branches if count > 0)
            counts["lines"][0] += seen["count"] > 0
            counts["lines"][1] += 1
            counts["branches"][0] += run
            counts["branches"][1] += len(branches)
            if seen["count"] == 0:
                print(f"{name}:{number}: never run: {text}")
            elif run < len(branches):
                print(f"{name}:{number}: {run} of {len(branches)} branches: {text}")
    for what, (run, all_of_them) in counts.items():
        print(f"{folder}: {run} of {all_of_them} {what} run ({100 * run / max(all_of_them, 1):.1f} %)")


main()
