#!/usr/bin/python3
"""Goal of this test: cproxy and sproxy show who they are, and say in one line what is wrong with a key, a list or an option."""

import os
import subprocess
import tempfile
from pathlib import Path

from harness import Program, tell

KEY = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
PORTS = {"cproxy": ("0", "127.0.0.1", "1"), "sproxy": ("0",)}
FILES = {"cproxy": "client_key", "sproxy": "host_key"}


def outcome(name, *arguments):
    with Program(name, *arguments, stdin=subprocess.DEVNULL) as program:
        program.ends(program.process.wait(20))
        return program.process.returncode, program.out.bytes.decode(), program.errors()


def refused(status, name, *arguments, words):
    ended, out, errors = outcome(name, *arguments)
    assert ended == status and out == "", (name, arguments, ended, out, errors)
    assert errors.startswith(f"{name}: ") and errors.count("\n") == 1, (arguments, errors)
    for word in words:
        assert word in errors, (arguments, word, errors)


def a_key_is_made_once_and_shown_without_any_port():
    with tempfile.TemporaryDirectory() as folder:
        seen = set()
        for name, file in FILES.items():
            state = Path(folder, "state")
            first = outcome(name, "--print-key", "--state-dir", state)
            assert first == outcome(name, "--print-key", "--state-dir", state, *PORTS[name]), first
            assert first[0] == 0 and first[2] == "" and len(first[1]) == 51, first
            key = state / file
            assert key.stat().st_mode & 0o7777 == 0o600 and state.stat().st_mode & 0o7777 == 0o700
            named = subprocess.run(f"openssl pkey -in {key} -pubout -outform DER | openssl dgst -sha256 -binary | base64",
                                   shell=True, capture_output=True, text=True, check=True).stdout
            assert first[1].strip() == "SHA256:" + named.strip().rstrip("="), (first, named)
            seen.add(first[1])
        assert len(seen) == 2 and sorted(os.listdir(state)) == ["client_key", "host_key"]


def root_is_shown_the_key_of_any_user():
    """As that of a service whose user is a dynamic one; what is missing is made for that user."""
    if os.geteuid() != 0:
        return
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, 12345, -1)
        for name, file in FILES.items():
            key = Path(folder, file)
            first = outcome(name, "--print-key", "--state-dir", folder)
            assert first[0] == 0 and first == outcome(name, "--print-key", "--state-dir", folder), first
            assert key.stat().st_uid == os.stat(folder).st_uid == 12345
            refused(1, name, "--state-dir", folder, *PORTS[name], words=[folder, "12345"])


def a_key_that_cannot_be_shown_is_trouble():
    with tempfile.TemporaryDirectory() as folder, open("/dev/full", "wb") as full:
        with Program("sproxy", "--print-key", "--state-dir", folder, stdin=subprocess.DEVNULL, stdout=full) as program:
            program.ends(1)
            assert "standard output" in program.errors(), program.errors()


def wrong_keys_and_folders_end_with_one_line_and_status_1():
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        for name, file in FILES.items():
            key = state / file
            how = ("--state-dir", folder, *PORTS[name])
            key.write_text("")
            key.chmod(0o600)
            refused(1, name, *how, words=[str(key), "restore it from a backup"])
            key.chmod(0o644)
            refused(1, name, *how, words=[f"chmod 600 {key}"])
            state.chmod(0o770)
            refused(1, name, *how, words=[f"chmod 700 {folder}"])
            state.chmod(0o700)
            key.unlink()
            refused(1, name, "--user", "nobody-of-this-name", *how, words=["nobody-of-this-name"])
            refused(1, name, "--state-dir", "/dev/null", *PORTS[name], words=["/dev/null"])
            refused(1, name, "--print-key", "--ca", "ca", "--cert", "cert", "--key", "/nowhere", words=["/nowhere"])


def a_list_with_a_damaged_line_is_refused():
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder, "clients")
        how = ("--state-dir", Path(folder, "state"), "--authorized-clients", listed, "0")
        refused(1, "sproxy", *how, words=[str(listed), "No such file"])
        listed.write_text(f"# ours\n{KEY} laptop\n{KEY}x\n")
        listed.chmod(0o600)
        refused(1, "sproxy", *how, words=[f"{listed}:3: "])
        listed.chmod(0o622)
        refused(1, "sproxy", *how, words=[f"chmod go-w {listed}"])


def options_that_contradict_each_other_end_with_one_line_and_status_2():
    for name in FILES:
        ports = PORTS[name]
        for arguments, words in (
            (("--insecure", "--print-key"), ["--insecure", "--print-key"]),
            (("--raw", "--print-key"), ["--raw", "--print-key"]),
            (("--insecure", "--ca", "a", "--cert", "b", "--key", "c", *ports), ["--insecure", "--ca"]),
            (("--ca", "a", *ports), ["--cert"]),
            (("--key", "a", "--cert", "b", *ports), ["--ca"]),
            (("--ca", "", *ports), ["--ca", "empty"]),
            (("--state-dir", "", *ports), ["--state-dir", "empty"]),
            (("--user", "", *ports), ["--user", "empty"]),
            (("--insecure",), ["PORT"]),
        ):
            refused(2, name, *arguments, words=words)
    for arguments, words in (
        (("--fingerprint", KEY[:-1]), ["--fingerprint", KEY[:-1]]),
        (("--fingerprint", KEY, "--fingerprint", "sha256"), ["sha256"]),
        (("--fingerprint", KEY, "--insecure"), ["--fingerprint", "--insecure"]),
        (("--fingerprint", KEY, "--raw"), ["--fingerprint", "--raw"]),
        (("--fingerprint", KEY, "--ca", "a", "--cert", "b", "--key", "c"), ["--fingerprint", "--ca"]),
    ):
        refused(2, "cproxy", *arguments, *PORTS["cproxy"], words=words)
    for arguments, words in (
        (("--authorized-clients", "list", "--insecure"), ["--authorized-clients", "--insecure"]),
        (("--authorized-clients", "list", "--raw"), ["--authorized-clients", "--raw"]),
        (("--roam", "home"), ["--roam", "home"]),
        (("--max-age", "0s"), ["--max-age", "1s"]),
        (("--max-age", "10"), ["--max-age", "unit"]),
        (("--client-tunnels", "0"), ["--client-tunnels"]),
        (("--client-sessions", "many"), ["--client-sessions", "many"]),
        (("--client-memory", "1k"), ["--client-memory", "512KiB"]),
    ):
        refused(2, "sproxy", *arguments, "0", words=words)


tell(
    a_key_is_made_once_and_shown_without_any_port,
    root_is_shown_the_key_of_any_user,
    a_key_that_cannot_be_shown_is_trouble,
    wrong_keys_and_folders_end_with_one_line_and_status_1,
    a_list_with_a_damaged_line_is_refused,
    options_that_contradict_each_other_end_with_one_line_and_status_2,
)
