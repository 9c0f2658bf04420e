#!/usr/bin/python3
"""Goal of this test: what is typed into the client comes out of the server, byte for byte, as two lines per message."""

import os
import pty
import socket
import subprocess
import tempfile

from harness import LIMIT, PATIENCE, Client, Server, eventually, message, printed, tell


def sent(host, text, *payloads):
    with Server() as server, Client(host, server.port) as client:
        client.type(text)
        client.end_input()
        client.ends(0)
        server.prints(printed(*payloads))
        assert client.errors() == "" and client.out.bytes == b""


def lines_arrive_over_ipv4():
    sent("127.0.0.1", b"one\ntwo three\n", b"one", b"two three")


def lines_arrive_over_ipv6():
    sent("::1", b"one\ntwo three\n", b"one", b"two three")


def a_name_will_do():
    sent("localhost", b"hello\n", b"hello")


def all_addresses_of_a_name_are_tried():
    """A name with an IPv6 and an IPv4 address, where only one of them answers. In a mount namespace of its own, the
    client sees a /etc/hosts of ours."""
    space = ["unshare", "--mount"] + ([] if os.getuid() == 0 else ["--map-root-user"])
    if subprocess.run([*space, "true"], stderr=subprocess.DEVNULL).returncode:
        print("    (skipped: mount namespaces are not permitted here)")
        return
    with tempfile.NamedTemporaryFile() as hosts:
        hosts.write(b"::1 twofold\n127.0.0.1 twofold\n")
        hosts.flush()
        prefix = [*space, "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', hosts.name]
        tried = []
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with socket.create_server((host, 0), family=family) as listener:
                listener.settimeout(PATIENCE)
                with Client("twofold", listener.getsockname()[1], prefix=prefix) as client:
                    connection, _ = listener.accept()
                    connection.settimeout(PATIENCE)
                    client.type(b"hello\n")
                    client.end_input()
                    assert connection.makefile("rb").read() == message(b"hello")
                    connection.close()
                    client.ends(0)
                    tried.append("Connection refused; trying the next address" in client.errors())
        assert sorted(tried) == [False, True], tried  # one of them comes first


def an_empty_line_is_a_message_of_length_0():
    sent("127.0.0.1", b"\n\na\n\n", b"", b"", b"a", b"")


def no_input_is_no_message():
    sent("127.0.0.1", b"")


def a_last_line_without_newline_counts():
    sent("127.0.0.1", b"one\ntwo", b"one", b"two")


def all_bytes_but_the_newline_pass():
    everything = bytes(value for value in range(256) if value != 10)
    sent("127.0.0.1", b"a\0b\n\0\n" + everything + b"\r\n", b"a\0b", b"\0", everything + b"\r")


def a_line_of_exactly_the_limit_passes():
    sent("127.0.0.1", b"x" * LIMIT + b"\n" + b"y" * LIMIT, b"x" * LIMIT, b"y" * LIMIT)


def many_lines_arrive_in_order():
    lines = [b"%d" % i * (i % 40) for i in range(50000)]
    sent("::1", b"\n".join(lines) + b"\n", *lines)


def a_line_is_printed_while_the_client_goes_on():
    with Server() as server, Client("127.0.0.1", server.port) as client:
        client.type(b"first\n")
        server.prints(printed(b"first"))
        client.type(b"second\n")
        server.prints(printed(b"first", b"second"))
        assert client.process.poll() is None


def a_half_line_waits_for_its_rest():
    with Server() as server, Client("127.0.0.1", server.port) as client:
        client.type(b"one\ntw")
        server.prints(printed(b"one"))
        client.type(b"o\n")
        server.prints(printed(b"one", b"two"))


def standard_input_may_be_a_file():
    with tempfile.TemporaryFile() as file, Server() as server:
        file.write(b"from\na file\n")
        file.seek(0)
        with Client("127.0.0.1", server.port, stdin=file) as client:
            client.ends(0)
        server.prints(printed(b"from", b"a file"))


def standard_input_may_be_dev_null():
    with Server() as server, Client("127.0.0.1", server.port, stdin=subprocess.DEVNULL) as client:
        client.ends(0)
        server.prints(b"")


def standard_input_may_be_a_terminal():
    keyboard, terminal = pty.openpty()
    try:
        with Server() as server, Client("127.0.0.1", server.port, stdin=terminal) as client:
            os.write(keyboard, b"typed\n")
            server.prints(printed(b"typed"))
            os.write(keyboard, b"\x04")  # Ctrl-D
            client.ends(0)
    finally:
        os.close(keyboard)
        os.close(terminal)


def standard_output_may_be_a_file():
    with tempfile.TemporaryFile() as file, Server(stdout=file) as server:
        with Client("127.0.0.1", server.port) as client:
            client.type(b"into\na file\n")
            client.end_input()
            client.ends(0)
        expected = printed(b"into", b"a file")
        eventually("the file has it", lambda: os.fstat(file.fileno()).st_size == len(expected))
        file.seek(0)
        assert file.read() == expected


tell(
    lines_arrive_over_ipv4,
    lines_arrive_over_ipv6,
    a_name_will_do,
    all_addresses_of_a_name_are_tried,
    an_empty_line_is_a_message_of_length_0,
    no_input_is_no_message,
    a_last_line_without_newline_counts,
    all_bytes_but_the_newline_pass,
    a_line_of_exactly_the_limit_passes,
    many_lines_arrive_in_order,
    a_line_is_printed_while_the_client_goes_on,
    a_half_line_waits_for_its_rest,
    standard_input_may_be_a_file,
    standard_input_may_be_dev_null,
    standard_input_may_be_a_terminal,
    standard_output_may_be_a_file,
)
