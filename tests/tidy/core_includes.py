#!/usr/bin/python3
"""The core includes no header of the system and reads no clock: what nm cannot see, because it is inline or unused."""

import re

from tree import ROOT, files, verdict

FORBIDDEN = re.compile(
    r"::now\s*\(|#\s*include\s*<("
    r"sys/|unistd|fcntl|poll|netinet/|arpa/|netdb|signal|csignal|ctime|time\.h|pthread|"
    r"thread|mutex|shared_mutex|condition_variable|future|semaphore|stop_token|"
    r"iostream|fstream|sstream|cstdio|stdio|print|spdlog/|fmt/|random>|cstdlib|filesystem"
    r")"
)

breaches = []
for path in files():
    if path.parts[:2] in {("src", "core"), ("src", "lines")} and path.suffix in {".cc", ".hh"}:
        for number, line in enumerate((ROOT / path).read_text().splitlines(), 1):
            if FORBIDDEN.search(line):
                breaches.append(f"{path}:{number}: {line.strip()}")
verdict("src/core and src/lines know no system, no clock, no thread, no stream and no chance", breaches)
