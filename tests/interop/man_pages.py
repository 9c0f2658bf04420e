#!/usr/bin/python3
"""Goal of this test: the manual pages say what the programs say. Every option of --help stands in the page with its default,
and no other; the page names the program's arguments and its exit statuses, and groff has nothing to complain about.

    man_pages.py FOLDER_OF_THE_PROGRAMS PROGRAM...
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

PAGES = Path(__file__).resolve().parents[2] / "docs" / "man"


def options_of_help(text):
    """--option to its default (or nothing), as CLI11 prints them."""
    found = {}
    for line in text.splitlines():
        if match := re.match(r"\s+(?:-\w,)?--([\w-]+)(?: [A-Z:]+(?:=(\S+))?)?\s+(.*)", line):
            name, default, words = match.groups()
            said = re.search(r"\(default (\S+)\)", words)
            found[name] = default or (said.group(1) if said and not said.group(1).startswith("$") else None)
    return found


def options_of_page(text):
    """--option to its part of the page."""
    parts = re.split(r"(?m)^\.It Fl (?:\w , Fl )?-([\w-]+).*$", text)
    return dict(zip(parts[1::2], parts[2::2]))


def faults(folder, program):
    text = (PAGES / f"{program}.1").read_text()
    shown = subprocess.run([folder / program, "--help"], capture_output=True, text=True, check=True, timeout=20).stdout
    help_, page = options_of_help(shown), options_of_page(text)
    assert "help" in help_ and "version" in help_, f"cannot read {program} --help:\n{shown}"
    for name, default in help_.items():
        if name not in page:
            yield f"--{name} is not in the page"
        elif default and not re.search(rf"(?m)^\.Li {re.escape(default)}( |$)", page[name]):
            yield f"the default of --{name}, {default}, is not in its paragraph"
    for name in page.keys() - help_.keys():
        yield f"--{name} is in the page, but {program} does not know it"
    usage = re.search(r"Usage: \w+ \[OPTIONS\] (.*)", shown).group(1)
    if f"\n.Ar {usage}\n" not in text:
        yield f"the synopsis does not say {usage}"
    for status in re.findall(r"(?:Exit status: |, |and )(\d+)", shown[shown.index("Exit status"):].replace("\n", " ")):
        if not re.search(rf"(?m)^\.It (\d+ , )*{status}\b", text):
            yield f"exit status {status} is not in the page"
    if shutil.which("groff"):
        said = subprocess.run(["groff", "-mandoc", "-Tutf8", "-ww", "-z", PAGES / f"{program}.1"], capture_output=True, text=True, timeout=20)
        if said.returncode or said.stderr:
            yield f"groff: {said.stderr.strip()}"


def main():
    folder = Path(sys.argv[1])
    found = [f"docs/man/{program}.1: {fault}" for program in sys.argv[2:] for fault in faults(folder, program)]
    print("\n".join(found) or "clean")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
