"""Real telnet to a real telnetd with a running `ping localhost`: the session of the assignment, and its control."""

import re
import sys

from harness import HERE, find

TELNETD_PORT = 23


def far_shell(world):
    """The program that stands in place of login, so that no password is needed: a login shell with a plain prompt."""
    shell = world.folder / "login"
    if not shell.exists():
        shell.write_text("#!/bin/sh\nPS1='far$ '; export PS1; unset PROMPT_COMMAND\ncd /\n"
                         "exec /bin/bash --noprofile --norc --noediting -l -i\n")
        shell.chmod(0o755)
    return shell


def start_telnetd(world, space, port=TELNETD_PORT):
    """telnetd behind the small inetd."""
    telnetd = find("telnetd", "/usr/sbin", "/usr/libexec")
    inetd = space.start("inetd", sys.executable, HERE / "inetd.py", port, telnetd, "-h", "-E", far_shell(world))
    inetd.quiet = True
    world.until(lambda: "listening" in inetd.log(), 10, "inetd to listen")
    return inetd


class Session:
    """A far shell at a terminal. After `ping()` a ping of localhost runs behind its prompt."""

    def __init__(self, world, terminal):
        self.world, self.terminal, self.name = world, terminal, terminal.name
        self.typed = 0

    def shell(self, timeout=20):
        self.terminal.expect(r"far\$ ", timeout, f"the prompt of the far shell in {self.name}")
        return self

    def ping(self):
        self.terminal.type("ping -i 0.2 localhost &\r")
        self.until_pings(3)
        return self

    def sequence(self):
        """Every icmp_seq on the screen, in order."""
        return [int(number) for number in re.findall(r"icmp_seq=(\d+) ttl", self.terminal.text)]

    def until_pings(self, more, timeout=30, what=None):
        """Waits for so many pings more than there are now."""
        wanted = len(self.sequence()) + more
        self.world.until(lambda: len(self.sequence()) >= wanted, timeout, what or f"{more} more pings in {self.name}")

    def type_something(self):
        """Types a command whose output tells how often it was executed."""
        self.typed += 1
        self.terminal.type(f"echo typed-$((6*7))-{self.typed}.\r")

    def until_typed_arrived(self, timeout=30):
        self.world.until(lambda: f"typed-42-{self.typed}." in self.terminal.text, timeout,
                         lambda: f"the output of what was typed in {self.name}")

    def faultless(self):
        """icmp_seq without gap or repeat from 1 on; every typed command executed once, in order."""
        if self.typed:
            self.until_typed_arrived()
        numbers = self.sequence()
        self.world.same(first_fault(numbers), None, f"{self.name}: {len(numbers)} pings without gap or repeat")
        executed = [int(number) for number in re.findall(r"typed-42-(\d+)\.", self.terminal.text)]
        self.world.same(executed, list(range(1, self.typed + 1)), f"{self.name}: what was typed was executed once each")

    def leave(self):
        """Ends ping and the shell; the client must end by itself."""
        self.terminal.type("kill %1\r")
        self.terminal.type("exit\r")
        self.terminal.wait(15)
        self.world.say(f"true: {self.name} ends with `exit`")


def telnet(world, space, address, port, name="telnet"):
    return Session(world, space.terminal(name, find("telnet"), address, port))


def first_fault(numbers):
    """None when the numbers are 1, 2, 3, ...; otherwise the first place where they are not."""
    for place, number in enumerate(numbers):
        if number != place + 1:
            return f"after icmp_seq={numbers[place - 1] if place else 0} came icmp_seq={number}"
    return None


def both(world, net, lport=5000, sport=6000):
    """Real telnet twice: through cproxy and sproxy, and directly as the control. Returns (held, direct)."""
    start_telnetd(world, net.server)
    world.sproxy(net.server, "--target", f"127.0.0.1:{TELNETD_PORT}", sport)
    world.cproxy(net.client, lport, net.server_address, sport)
    held = telnet(world, net.client, "127.0.0.1", lport, "telnet-holdfast").shell().ping()
    direct = telnet(world, net.client, net.server_address, TELNETD_PORT, "telnet-direct").shell().ping()
    return held, direct


class Dead:
    """The control: remembers what a direct session has shown, which is dead already, and claims that nothing is added."""

    def __init__(self, world, session):
        world.during_quietly(1)  # what came before is still on its way to the screen: changing the network takes a while
        self.world, self.session, self.had = world, session, len(session.sequence())

    def check(self):
        self.world.same(len(self.session.sequence()), self.had,
                        f"{self.session.name} (the control) shows nothing since the move")
