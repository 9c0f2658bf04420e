#!/usr/bin/python3
"""Goal of this test: wrong options and a port in use are named in one clear line, with the status that --help promises."""

import socket
import subprocess

from harness import Program, Server, free_port, tell


def outcome(name, *arguments):
    with Program(name, *arguments, stdin=subprocess.DEVNULL) as program:
        program.process.wait(20)
        program.ends(program.process.returncode)
        return program.process.returncode, program.out.bytes.decode(), program.errors()


def wrong_options_end_with_one_line_and_status_2():
    for name, arguments, word in (
        ("client", (), "SIP"),
        ("client", ("127.0.0.1",), "SPORT"),
        ("client", ("127.0.0.1", "telnet"), "SPORT"),
        ("client", ("", "5000"), "SIP"),  # once taken for a name that the resolver was asked for
        ("client", ("127.0.0.1", "0"), "SPORT"),
        ("client", ("127.0.0.1", "65536"), "SPORT"),
        ("client", ("127.0.0.1", "5000", "extra"), "extra"),
        ("client", ("--nonsense", "127.0.0.1", "5000"), "--nonsense"),
        ("server", (), "SPORT"),
        ("server", ("65536",), "SPORT"),
        ("server", ("-5",), "-"),
        ("server", ("5000x",), "SPORT"),
        ("server", ("50\n00",), "SPORT"),  # once quoted as it was, which made two lines
        ("server", ("5000", "extra"), "extra"),
    ):
        status, out, errors = outcome(name, *arguments)
        assert status == 2 and out == "", (name, arguments, status, out)
        assert errors.startswith(f"{name}: ") and errors.count("\n") == 1 and word in errors, (arguments, errors)


def help_and_version_answer_on_standard_output():
    for name in ("client", "server"):
        status, out, errors = outcome(name, "--help")
        assert status == 0 and errors == "" and "SPORT" in out and "Exit status" in out
        status, out, errors = outcome(name, "--version")
        assert status == 0 and errors == "" and out.startswith(name + " ") and out.count("\n") == 1


def a_port_in_use_is_named():
    with Server() as server:
        status, out, errors = outcome("server", server.port)
        assert status == 1 and out == ""
        assert errors == f"server: cannot listen on port {server.port}: Address already in use\n", errors


def a_port_is_free_again_as_soon_as_the_server_has_ended():
    port = free_port()
    with Program("server", port, stdin=subprocess.DEVNULL) as server:
        server.says(f"listening on port {port}")
        with socket.create_connection(("127.0.0.1", port), 20) as connection:
            server.process.terminate()
            server.ends(0)
            assert connection.recv(1) == b""
    with Program("server", port, stdin=subprocess.DEVNULL) as again:
        again.says(f"listening on port {port}")


def the_server_listens_on_both_families():
    with Server() as server:
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with socket.socket(family) as connection:
                connection.settimeout(20)
                connection.connect((host, server.port))


tell(
    wrong_options_end_with_one_line_and_status_2,
    help_and_version_answer_on_standard_output,
    a_port_in_use_is_named,
    a_port_is_free_again_as_soon_as_the_server_has_ended,
    the_server_listens_on_both_families,
)
