#!/usr/bin/python3
"""links.py READELF FILE... [--expect]

The keepers link nothing but libc (and the loader, which comes with it), so that what has to outlive every crash shares no
code with what may crash. With --expect something else must be found (the self-test)."""

import re
import subprocess
import sys

from tree import verdict

readelf, *files = sys.argv[1:]
expected = files[-1:] == ["--expect"]
found = []
for file in files[: len(files) - expected]:
    output = subprocess.run([readelf, "-d", file], check=True, capture_output=True, text=True).stdout
    libraries = re.findall(r"\(NEEDED\).*\[(.*)\]", output)
    assert libraries, f"{file} needs no library at all: is it the right file?"
    found += [f"{file} links {name}" for name in libraries if not re.match(r"libc\.|ld-linux|libc\.musl", name)]
if expected:
    verdict("the check finds another library where there is one", [] if found else ["nothing was found"])
else:
    verdict("the keepers link libc only", found)
