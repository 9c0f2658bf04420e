#!/usr/bin/python3
"""pure.py NM LIBRARY [--expect SYMBOL...]

A pure library asks nothing of the system: all that it leaves undefined is memory, exceptions, assertions and the
containers of the standard library. Anything else, be it a system call, a clock, a thread, a lock, a log or the
environment, is a breach. With --expect, exactly these symbols must be found as breaches (the self-test)."""

import re
import subprocess
import sys

from tree import verdict

ALLOWED = re.compile(
    "|".join(
        [
            r"_Zn[wa]\w*|_Zd[la]\w*",  # operator new and delete
            r"(__)?mem(cpy|move|set|cmp|chr)(_chk)?|bcmp|strlen",
            r"__cxa_\w+|_Unwind_\w+|__gxx_personality_v0|_ZSt9terminatev",
            r"_ZSt\d+__throw_\w+",  # std::__throw_length_error and its like
            r"_ZTVN10__cxxabiv1\w+|_ZTI[a-z]|_ZTIP?K?[a-z]",  # type information of the language
            r"_ZT[ISV]St\w+(exception|error)|_ZNK?St\d+\w*(exception|error|_error)\w*",  # classes of exceptions
            r"__assert_fail|_ZSt21__glibcxx_assert_fail\w*|abort|__stack_chk_fail",
            r"_ZNK?St7__cxx1112basic_string\w+",
            r"_ZSt\d+_Rb_tree_\w+|_ZNK?St8__detail\w+|_ZSt11_Hash_bytesPKvmm",  # map, list, unordered_map
            r"__(asan|ubsan|tsan|sanitizer|gcov|llvm)_\w+|__dso_handle|_GLOBAL_OFFSET_TABLE_|atexit",  # instrumentation
        ]
    )
)


def symbols(nm, library, *options):
    output = subprocess.run([nm, "-P", *options, library], check=True, capture_output=True, text=True).stdout
    return {line.split()[0] for line in output.splitlines() if line and not line.endswith(":")}


def main():
    nm, library, *rest = sys.argv[1:]
    expected = set(rest[1:]) if rest[:1] == ["--expect"] else None
    undefined = symbols(nm, library, "-u") - symbols(nm, library, "--defined-only")
    assert undefined, f"{library} leaves nothing undefined at all: is it the right file?"
    breaches = sorted(name for name in undefined if not ALLOWED.fullmatch(name))
    if expected is None:
        verdict(f"{library} asks nothing of the system", breaches)
    else:
        found = {re.sub(r"^__(\w+)_chk$", r"\1", name) for name in breaches}  # as _FORTIFY_SOURCE renames them
        missed = sorted(expected - found)
        verdict("the check finds each of these in a library that does it", missed)


main()
