#!/usr/bin/python3
"""
   client                              [router]                  server
   telnet -> cproxy    eth0 ════ c0   masquerades  s0 ════ eth0  sproxy -> telnetd -> sh, ping localhost
   telnet (control)    10.1.0.10      as 10.9.0.1                10.9.0.2
                                      port 20000-20999,
                                      later 30000-30999

Goal of this test: a NAT forgets everything in the middle of a flow and gives new ports from then on (a router that
rebooted, a carrier that rebalanced). Nobody's address changed, nobody is told. The Holdfast session goes on; the
direct one, the control, is ended, because the server sees its packets come from a stranger.
"""

import re
import socket
import struct

import harness
from telnet import Dead, both

NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE = 1, 2
NLM_F_REQUEST, NLM_F_ACK, NLMSG_ERROR = 1, 4, 2


def masquerade(router, ports):
    # In one transaction: a link that is dialled meanwhile must not get past without.
    router.nft("table ip nat {\n}\ndelete table ip nat\n"
               "table ip nat { chain out { type nat hook postrouting priority 100;"
               f" oifname s0 ip protocol tcp masquerade to :{ports}\n}}\n}}\n")


def forget_flows(router):
    """What `conntrack -F` does: asks the kernel to delete every entry of its connection table."""
    with router.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as netlink:  # 12: NETLINK_NETFILTER
        kind = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE
        body = struct.pack("!BBH", 0, 0, 0)
        netlink.send(struct.pack("=IHHII", 16 + len(body), kind, NLM_F_REQUEST | NLM_F_ACK, 1, 0) + body)
        netlink.settimeout(5)
        answer = netlink.recv(4096)
        _, kind, _, _, _, error = struct.unpack("=IHHIIi", answer[:20])
        if kind != NLMSG_ERROR or error:
            raise harness.Failure(f"the kernel did not forget its flows: error {-error}")


def scenario(world):
    net = harness.Routed(world)
    masquerade(net.router, "20000-20999")
    held, direct = both(world, net)

    def seen(first_digits):
        shown = net.server.run("ss", "-Htn", "sport = :6000").stdout
        return re.search(rf"10\.9\.0\.1\]?:{first_digits}\d\d\d\b", shown)

    world.check(seen("20"), "the server sees the client as the NAT, with a port of the first range")

    for number, ports in enumerate(("30000-30999", "40000-40999"), 1):
        masquerade(net.router, ports)
        forget_flows(net.router)
        world.say(f"the NAT has forgotten its flows and gives ports {ports}")
        held.type_something()
        direct.terminal.type("echo x\r")
        held.until_typed_arrived(20)
        held.until_pings(5)
        if number == 1:
            control = Dead(world, direct)
        world.check(seen(ports[:2]), f"the server sees a link from the new range {ports}")

    control.check()
    held.faultless()
    held.leave()


harness.main(scenario)
