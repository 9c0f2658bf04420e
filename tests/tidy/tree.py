"""The files of the tree, for the checks in this folder."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def files():
    """What git knows, and what it would be asked to add: paths relative to the root."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listing = subprocess.run(command, check=True, capture_output=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        skip("this is not a git checkout, so which files belong to the tree is not known")
    names = sorted(set(listing.decode().split("\0")) - {""})
    return [Path(name) for name in names if (ROOT / name).is_file()]  # without those deleted but not yet committed


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def verdict(rule, breaches):
    for breach in breaches:
        print(breach)
    if breaches:
        print(f"\nThe rule: {rule}")
        sys.exit(1)
    print("clean")
