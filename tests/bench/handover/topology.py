"""The network of the handovers: a user who has two access networks, and a server far away.

              eth0 10.1.0.x ── [gate-a] wan0 ═══ emulated ═══ wan0
    [ near ]       10.3.0.x                                        [ far ]  10.9.0.2
              eth1 10.2.0.x ── [gate-b] wan1 ═══ emulated ═══ wan1

The gates are what a wireless router is: one millisecond away at most, so that asking for its hardware address costs
nothing; delay, loss and black holes are behind them. gate-a serves two subnets, so that one can move between them
without changing the path. near has, as a machine with two networks should, a routing table for each: what is sent from
an address leaves by its interface (ip-rule(8)). Hardware addresses of the long paths are known to both ends for good.

near's interfaces are changed by rtnetlink in microseconds. `attach` and `detach` are told to whoever listens: MPTCP
needs somebody to tell its kernel.
"""

import os
import socket
import struct
import subprocess
import time
from pathlib import Path

import harness
from harness import Failure
from rtnetlink import Rtnetlink

SERVER = "10.9.0.2"
GATEWAYS = {"10.1.0": ("eth0", 101), "10.3.0": ("eth0", 101), "10.2.0": ("eth1", 102)}
METRIC = {"eth0": 200, "eth1": 100}  # eth1 is the better network where both are there
CONGESTION = "cubic"  # Debian's default; by the route, because a namespace may be forbidden to change its own
NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE, NETLINK_NETFILTER = 1, 2, 12


class Wide:
    """The emulated network between two namespaces (tests/wan)."""

    def __init__(self, world, program, one, other, interface):
        self.process = subprocess.Popen([str(program), one.name, other.name, "--interface", interface],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        world.on_close(lambda: self.process.communicate(timeout=10))  # it ends with its standard input
        if self.process.stdout.readline() != "ready\n":
            raise Failure("the emulated network does not start")
        for here, there, last, other_last in ((one, other, 1, 2), (other, one, 2, 1)):
            here.ip(f"addr add 10.8.{interface[-1]}.{last}/24 dev {interface}")
            shown = there.ip(f"-br link show dev {interface}").stdout.split()[2]
            here.ip(f"neigh replace 10.8.{interface[-1]}.{other_last} lladdr {shown} dev {interface} nud permanent")

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if not answer or answer.startswith("error"):
            raise Failure(f"the emulated network: {answer}")
        return answer


class Topology:
    def __init__(self, world, wan, lane):
        self.world, self.listeners, self.addresses = world, [], {}
        self.near, self.gate_a, self.gate_b, self.far = (world.namespace(f"{lane}{name}") for name in ("n", "a", "b", "f"))
        self.paths = []
        for gate, eth, name, nets in ((self.gate_a, "eth0", "wan0", ("10.1.0", "10.3.0")), (self.gate_b, "eth1", "wan1", ("10.2.0",))):
            harness.wire(self.near, eth, gate, "access")
            gate.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
            self.paths.append(Wide(world, wan, gate, self.far, name))
            gate.ip(f"route add default via 10.8.{name[-1]}.2")
            for net in nets:
                gate.ip(f"addr add {net}.1/24 dev access")
                self.far.ip(f"route add {net}.0/24 via 10.8.{name[-1]}.1 congctl {CONGESTION}")
                self.near.ip(f"rule add from {net}.0/24 table {GATEWAYS[net][1]}")
        for space in (self.near, self.far):
            space.run("sysctl", "-qw", "net.ipv4.tcp_no_metrics_save=1")  # no measure learns from the one before
        self.far.ip(f"addr add {SERVER}/32 dev lo")
        self.netlink = Rtnetlink(self.near)
        world.on_close(self.netlink.close)
        self.rtt = 0.0
        self._gate_a_rules("")

    # -- what near does

    def attach(self, address):
        """The address is added, with its routes. Returns when the path can carry packets."""
        net = address.rsplit(".", 1)[0]
        interface, table = GATEWAYS[net]
        self.netlink.add_address(address, interface)
        self._routes(net)
        usable = time.monotonic()
        self.addresses[address] = interface
        for listener in self.listeners:
            listener.attached(address, interface)
        return usable

    def _routes(self, net):
        interface, table = GATEWAYS[net]
        self.netlink.default_route(f"{net}.1", interface, METRIC[interface], CONGESTION, table)
        self.netlink.default_route(f"{net}.1", interface, METRIC[interface], CONGESTION)

    def detach(self, address):
        self.netlink.delete_address(address, self.addresses.pop(address))
        for listener in self.listeners:
            listener.detached(address)

    def unplug(self, interface):
        """The interface goes down; addresses stay, routes go."""
        self.netlink.link(interface, False)

    def plug_in(self, address):
        self.netlink.link(self.addresses[address], True)
        self._routes(address.rsplit(".", 1)[0])
        return time.monotonic()

    # -- what the network does

    def conditions(self, rtt_ms, loss_percent):
        self.rtt = rtt_ms / 1000
        for path in self.paths:
            path.tell(f"delay {rtt_ms / 2}ms")
            path.tell(f"loss {loss_percent}%")

    def hole(self, number, on):
        self.paths[number].tell(f"hole {'on' if on else 'off'}")
        return time.monotonic()

    def masquerade(self, ports):
        """gate-a is a NAT that gives these ports; flows it knows keep theirs until `forget_flows`."""
        self._gate_a_rules("chain n { type nat hook postrouting priority 100; oifname wan0 meta l4proto { tcp, udp }"
                           f" masquerade to :{ports}\n}}")

    def forget_flows(self):
        """What `conntrack -F` does in gate-a."""
        with self.gate_a.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as netlink:
            kind = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE
            body = struct.pack("!BBH", 0, 0, 0)
            netlink.send(struct.pack("=IHHII", 16 + len(body), kind, 5, 1, 0) + body)  # request, acknowledge
            netlink.settimeout(5)
            if error := struct.unpack("=IHHIIi", netlink.recv(4096)[:20])[5]:
                raise Failure(f"the kernel did not forget its flows: error {-error}")

    def reset_flows(self):
        """From now on gate-a answers every flow that it knows already with a reset, both ways; new ones may pass."""
        self._gate_a_rules("chain r { type filter hook forward priority 10; ct state new ct mark set 1\n"
                           " ct mark 0 meta l4proto tcp reject with tcp reset\n}")

    def _gate_a_rules(self, chains):
        # The first chain makes the kernel follow flows from the beginning.
        self.gate_a.nft("table ip gate {}\ndelete table ip gate\ntable ip gate { chain f { type filter hook forward priority 0;"
                        f" ct state established accept\n}}\n{chains}\n}}\n")

    # -- from nothing again

    def reset(self):
        """As at the beginning: no address, no rule, no flow, nothing lost. Programs must have ended."""
        self.listeners = []
        for address in list(self.addresses):
            self.detach(address)
        for interface in METRIC:
            self.netlink.link(interface, True)
        for path in self.paths:
            path.tell("hole off")
        self._gate_a_rules("")
        self.forget_flows()

    def up(self, address):
        """The address is there and the far side answers."""
        self.attach(address)
        source = ["-I", address]
        self.world.until(lambda: self.near.run("ping", "-c1", "-W2", *source, SERVER, check=False).returncode == 0, 20,
                         f"the wires to work from {address}")


def wan_program():
    """From HOLDFAST_WAN or else from the release build."""
    path = Path(os.environ.get("HOLDFAST_WAN", harness.REPOSITORY / "build" / "release" / "tests" / "wan" / "wan"))
    if not path.exists():
        raise Failure(f"no program {path}: build it first (make bench-handover does), or name it in HOLDFAST_WAN")
    return path
