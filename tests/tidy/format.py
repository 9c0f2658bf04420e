#!/usr/bin/python3
"""Every source file is as clang-format 14 writes it."""

import re
import shutil
import subprocess

from tree import ROOT, files, skip, verdict

tool = shutil.which("clang-format-14") or shutil.which("clang-format")
if not tool:
    skip("clang-format is not installed (scripts/deps.sh dev installs it)")
version = subprocess.run([tool, "--version"], check=True, capture_output=True, text=True).stdout
if not re.search(r"version 14\.", version):
    skip(f"the format is that of clang-format 14, and this is {version.strip()}")

sources = [str(path) for path in files() if path.suffix in {".cc", ".hh"}]
assert sources, "there are no sources: something is wrong with this check"
result = subprocess.run([tool, "--dry-run", "--Werror", *sources], cwd=ROOT, capture_output=True, text=True)
breaches = sorted(set(re.findall(r"^(\S+?):\d+:\d+: error", result.stderr, re.M)))
if result.returncode and not breaches:
    breaches = [result.stderr]
verdict("`make format` has been run", breaches)
