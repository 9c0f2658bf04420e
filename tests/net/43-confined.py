#!/usr/bin/python3
"""
   client                              [router]            server
   app -> cproxy       eth0 ═══════════════════════ eth0   sproxy -> target
          user nobody                                      user nobody

Goal of this test: somebody who gets into a running proxy finds next to nothing. Started by root with --user, both run as
that user for good, with its groups, without capabilities, without a way to new ones, and with a filter for system calls
in force. All the same they do what they are for: names are looked up, links are made again after moves, a new host is
recorded, a list of clients that was replaced is read again, and nothing that they need was refused. Without --user they
keep root's name and nothing else of it. The next worker, after a crash and after an upgrade, has no more than the first one,
and has given up the rest before it looks at what the dead one left. And nobody else of that user can look into them.
"""

import os
import signal
from pathlib import Path

import harness
from flows import Listener, Source, dial

NOBODY = 65534


def status(proxy):
    """What proc(5) says about the process: its lines as a dictionary."""
    return dict(line.split(":\t", 1) for line in Path(f"/proc/{proxy.worker}/status").read_text().splitlines() if ":\t" in line)


def sandboxed(proxy):
    """Sanitizers and gcov leave files and system calls alone; the log says what is in force."""
    line = proxy.lines("sandbox: ")[-1]
    return "not in this" not in line


def expect_least(world, proxy, user):
    shown = status(proxy)
    world.same(set(shown["Uid"].split()), {str(user)}, f"{proxy.name}: every user id")
    if user:
        world.same(set(shown["Gid"].split()) | set(shown["Groups"].split()) & {"0"}, {str(user)}, f"{proxy.name}: its groups")
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        world.check_quietly(int(shown[name], 16) == 0, f"{proxy.name}: {name} is empty: {shown[name]}")
    world.same(shown["NoNewPrivs"], "1", f"{proxy.name}: no new privileges")
    if sandboxed(proxy):
        world.same(shown["Seccomp"], "2", f"{proxy.name}: a filter for system calls")
    else:
        world.say(f"{proxy.name}: {proxy.lines('sandbox: ')[0]}")


def expect_least_of_the_next(world, proxy, user, story, end):
    """Another worker takes over after `end`, and it is not one of root's that reads what a hijacked one may have written."""
    proxy.mark()
    before = proxy.worker
    end()
    world.recovered(proxy)
    world.check_quietly(proxy.worker != before, f"{proxy.name} has another worker")
    expect_least(world, proxy, user)
    steps = [line for line in proxy.since() if "sandbox: " in line or "recovered: " in line]
    first, *others = ["sandbox: " in line for line in steps]
    world.check(first and others and not any(others), f"{proxy.name}, {story}: confined before it recovered")


def expect_nothing_to_see(world, proxy):
    """Another process of the same user looks into the worker, and into the keeper, which is root's."""
    for pid in (proxy.worker, proxy.pid):
        for what in ("maps", "mem", "fd", "environ"):
            look = ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "ls" if what == "fd" else "head", f"/proc/{pid}/{what}"]
            shown = harness.run(*look, check=False)
            world.check_quietly(shown.returncode != 0 and not shown.stdout, f"{proxy.name}: {what} of {pid} is not to be seen: {shown.stdout[:200]}")
    world.say(f"true: {proxy.name}: another process of its user sees neither memory nor descriptors")


def list_is_read_again(world, net, target):
    """The list of clients is replaced as editors do it, by another file under its name, and sproxy may read that too."""
    clients = world.folder / "lists" / "clients"
    clients.parent.mkdir()
    clients.write_text("# nobody yet\n")
    strict = world.sproxy(net.server, "--user", "nobody", "--authorized-clients", clients, "--target", "127.0.0.1:7000", 6001, name="sproxy-strict")
    world.cproxy(net.client, 5001, net.server_address, 6001, name="cproxy-strict")
    app = dial(world, net.client, "127.0.0.1", 5001, "app of a client on the list")
    world.until(lambda: strict.lines("is not in"), 15, "sproxy to turn a client away")
    key = harness.run(harness.holdfast("cproxy"), "--print-key", *world.security("cproxy-strict")).stdout
    fresh = clients.with_suffix(".new")
    fresh.write_text(key)
    fresh.rename(clients)
    target.next(30)
    world.check(strict.lines("admitting SHA256:"), "a list of clients that was replaced is read again, and who is on it comes in")
    app.close()


def scenario(world):
    net = harness.Routed(world)
    target = Listener(world, net.server, 7000)
    states = {}
    for name in ("cproxy", "sproxy"):
        states[name] = world.state(name)
        states[name].mkdir(mode=0o700)
        os.chown(states[name], NOBODY, NOBODY)
    net.client.knows("far.example", net.server_address)

    sproxy = world.sproxy(net.server, "--user", "nobody", "--log-level", "debug", "--target", "127.0.0.1:7000", 6000)
    cproxy = world.cproxy(net.client, "--user", "nobody", "--log-level", "debug", 5000, "far.example", 6000)
    app = dial(world, net.client, "127.0.0.1", 5000, "app").expect(Source(2))
    far = target.next().expect(Source(1))
    for proxy in (cproxy, sproxy):
        expect_least(world, proxy, NOBODY)

    upto = 0
    for _ in range(3):
        net.move(net.next_address())
        upto += 300_000
        app.send(Source(1), upto)
        far.send(Source(2), upto)
        world.until(lambda: app.got == far.got == upto, 20, lambda: f"the session after a move ({app!r}, {far!r})")
    world.say("true: links are made again, the name is looked up again")
    if not world.insecure:
        world.check("far.example" in (states["cproxy"] / "known_hosts").read_text(), "the new host was recorded")
        owners = {path.name: path.stat().st_uid for path in states["cproxy"].iterdir()}
        world.same(set(owners.values()), {NOBODY}, f"all in the state directory is the user's: {sorted(owners)}")
    for proxy in (cproxy, sproxy):
        world.same(proxy.lines("refused system call"), [], f"{proxy.name} was refused nothing")

    for proxy in (cproxy, sproxy):
        expect_nothing_to_see(world, proxy)
        expect_least_of_the_next(world, proxy, NOBODY, "after a crash", proxy.kill_worker)
        expect_least_of_the_next(world, proxy, NOBODY, "after an upgrade", lambda: harness.run(harness.holdfast(proxy.name), "upgrade", proxy.pid))  # noqa: B023
        expect_nothing_to_see(world, proxy)
    upto += 300_000
    app.send(Source(1), upto)
    far.send(Source(2), upto)
    world.until(lambda: app.got == far.got == upto, 20, lambda: f"the session after crashes and upgrades ({app!r}, {far!r})")

    # A privileged port is bound before root is gone, and is not lost with a worker.
    low = world.sproxy(net.server, "--user", "nobody", "--log-level", "debug", "--target", "127.0.0.1:7000", 99, name="sproxy-low")
    world.check(net.server.listens(99), "a privileged port is listened on, by nobody")
    expect_least_of_the_next(world, low, NOBODY, "after a crash", low.kill_worker)
    world.check(net.server.listens(99), "and by the next worker, too")
    low.signal(signal.SIGTERM)
    world.same(low.wait(10), 0, "and it ends orderly")

    if not world.insecure:
        list_is_read_again(world, net, target)

    # Without --user: root in name only.
    root = world.cproxy(net.client, "--log-level", "debug", 5002, net.server_address, 6000, name="cproxy-root")
    again = dial(world, net.client, "127.0.0.1", 5002, "again")
    target.next()
    expect_least(world, root, 0)
    again.close()

    loose = world.cproxy(net.client, "--no-sandbox", 5003, net.server_address, 6000, name="cproxy-loose")
    world.same(status(loose)["Seccomp"], "0", "with --no-sandbox there is no filter")
    world.check(loose.lines("--no-sandbox"), "which is said")


harness.main(scenario)
