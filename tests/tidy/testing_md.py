#!/usr/bin/python3
"""docs/testing.md and docs/security.md name tests that exist, and leave no number of their tables out.

A name in backquotes is taken for a test when it looks like one: `Suite.Test` of GoogleTest, `net-...`, `cli....`, `sim....`,
`interop....`, `tidy....`, `model-...`, `fuzz-...`, `soak-...`; `Suite.*` and a name without its last part stand for
several. Each line of a table names a test, or says that it cannot happen, or not yet, and why.

    testing_md.py [DOCUMENT]
"""

import itertools
import re
import sys
from pathlib import Path

from tree import ROOT, files, verdict

TABLES = {"testing.md": {"## 6 Bugs of the field": 60, "## 7 Security rules": 13},
          "security.md": {"## 3 Promises, and the test of each": 18}}
GOOGLE = re.compile(r"[A-Z]\w+\.([A-Z]\w+|\*)")
CTEST = re.compile(r"(net|model|fuzz|soak)-[\w.-]+|(cli|sim|interop|tidy|wan)\.[\w.-]+")


def google_tests():
    for path in files():
        if path.suffix == ".cc" and path.parts[:2] == ("tests", "unit"):
            for suite, test in re.findall(r"^TEST(?:_[FP])?\( (\w+), (\w+) \)", (ROOT / path).read_text(), re.M):
                yield f"{suite}.{test}"


def commands(text):
    """The commands of a CMakeLists.txt with their words, those in a foreach once for each of its items."""
    loops, parts = [], []  # of the loops we are in: (variable, item) each; and list( GET variable index part )
    for name, inside in re.findall(r"^\s*(\w+)\(([^()]*(?:\([^()]*\)[^()]*)*)\)", re.sub(r"#.*", "", text), re.M):
        words = [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', inside)]
        if name == "foreach":
            items = words[3:] if words[1:3] == ["IN", "ITEMS"] else ["?"] if words[1:2] == ["IN"] else words[1:]
            loops.append([(words[0], item) for item in items])
        elif name == "endforeach":
            loops.pop()
        elif name == "list" and words[0] == "GET" and loops:
            parts.append((words[1], int(words[2]), words[3]))
        else:
            for values in itertools.product(*loops):
                known = dict(values)
                known.update({part: known[whole].split()[index] for whole, index, part in parts if whole in known})
                yield name, [re.sub(r"\$\{(\w+)\}", lambda found: known.get(found[1], found[0]), word) for word in words]


def ctest_tests():
    for path in files():
        if path.name != "CMakeLists.txt" or path.parts[0] != "tests":
            continue
        folder = ROOT / path.parent
        for name, words in commands((ROOT / path).read_text()):
            if name == "add_test" and words[:1] == ["NAME"] and "$" not in words[1]:
                yield words[1]
            elif name == "holdfast_scenario" and "$" not in words[0] and (folder / f"{words[0]}.py").exists():
                yield "-".join(["net", words[0], *words[3:]])
            elif name == "holdfast_tidy_test" and (folder / Path(words[1]).name).exists():
                yield f"tidy.{words[0]}"
            elif name == "holdfast_fuzz" and (folder / f"{words[0]}_fuzz.cc").exists():
                yield f"fuzz-{words[0]}"
    for path in files():
        if path.parts[:2] == ("tests", "cli") and re.match(r"\d.*\.py", path.name):
            yield f"cli.{path.stem}"


def is_missing(name, google, ctest):
    if GOOGLE.fullmatch(name):
        return name not in google and not (name.endswith(".*") and any(test.startswith(name[:-1]) for test in google))
    return CTEST.fullmatch(name) and name not in ctest and not any(test.startswith(f"{name}-") for test in ctest)


def breaches(document):
    google, ctest = set(google_tests()), set(ctest_tests())
    text, title = document.read_text(), f"docs/{document.name}"
    for number, line in enumerate(text.splitlines(), 1):
        for name in re.findall(r"`([^`]+)`", line):
            if is_missing(name, google, ctest):
                yield f"{title}:{number}: there is no test {name}"
    for heading, count in TABLES.get(document.name, {}).items():
        section = text.partition(f"\n{heading}\n")[2].partition("\n## ")[0]
        rows = re.findall(r"^\| (\d+) \| (.*) \| (.*) \|$", section, re.M)
        numbers = [int(row[0]) for row in rows]
        for number in range(1, count + 1):
            if numbers.count(number) != 1:
                yield f"{title}: number {number} stands {numbers.count(number)} times in the table of `{heading}`"
        for number, _, here in rows:
            names = [name for name in re.findall(r"`([^`]+)`", here) if GOOGLE.fullmatch(name) or CTEST.fullmatch(name)]
            if not names and not re.search(r"cannot happen|not yet", here, re.I):
                yield f"{title}: number {number} of `{heading}` names no test and does not say why"


document = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "testing.md"
verdict(f"docs/{document.name} names tests that exist, and every number of its tables", list(breaches(document)))
