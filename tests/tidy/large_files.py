#!/usr/bin/python3
"""No file of the tree is larger than a megabyte: what is once in the history stays in every clone."""

from tree import ROOT, files, verdict

LIMIT = 1 << 20
sizes = [(path, (ROOT / path).stat().st_size) for path in files()]
verdict(f"no file over {LIMIT} bytes", [f"{path}: {size} bytes" for path, size in sizes if size > LIMIT])
