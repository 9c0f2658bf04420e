#!/usr/bin/python3
"""
   client                              [router]            server
   cproxy              eth0 ═══════════════════════ eth0   sproxy

Goal of this test: whoever types something wrong is told in one clear line what and where, and the exit status says it
too: 2 for the command line, 1 for the world. What can get better by itself (a name that cannot be resolved now, a far
side that is down) is no reason to end. SIGTERM and SIGINT end the proxies orderly, with sessions or without.
"""

import signal

import harness
from flows import Listener, dial


def scenario(world):
    net = harness.Routed(world)
    cproxy, sproxy = harness.holdfast("cproxy"), harness.holdfast("sproxy")
    state = ["--state-dir", world.folder / "state"]

    def ends(program, *arguments, status, says, before=()):
        """The program must end by itself with this status and one line on standard error that contains these words."""
        done = net.client.run(*before, program, *arguments, check=False, timeout=20)
        name = program.rsplit("/", 1)[-1]
        shown = f"{name} {' '.join(map(str, arguments))}"
        lines = done.stderr.strip().splitlines()
        if done.returncode != status or len(lines) != 1 or not lines[0].startswith(f"{name}: ") or any(
                word.lower() not in lines[0].lower() for word in says):
            raise harness.Failure(f"`{shown}` should end with status {status} and one line that begins with `{name}: ` and "
                                  f"says {says}; it ended with {done.returncode} and said:\n{done.stdout}{done.stderr}")
        world.say(f"true: {shown}: {status}, {lines[0]}")

    # The command line itself: status 2.
    ends(cproxy, status=2, says=["LPORT"])
    ends(cproxy, "5000", status=2, says=["SIP"])
    ends(cproxy, "5000", "10.9.0.2", status=2, says=["SPORT"])
    ends(cproxy, "5000", "10.9.0.2", "6000", "7000", status=2, says=["7000"])
    ends(cproxy, "--no-such-option", "5000", "10.9.0.2", "6000", status=2, says=["--no-such-option"])
    ends(cproxy, "70000", "10.9.0.2", "6000", status=2, says=["70000"])
    ends(cproxy, "5000", "10.9.0.2", "telnet!", status=2, says=["telnet!"])
    ends(cproxy, "--heartbeat", "soon", "5000", "10.9.0.2", "6000", status=2, says=["soon"])
    ends(cproxy, "--heartbeat", "0ms", "5000", "10.9.0.2", "6000", status=2, says=["heartbeat"])
    ends(cproxy, "--heartbeat-idle", "61m", "5000", "10.9.0.2", "6000", status=2, says=["heartbeat-idle"])
    ends(cproxy, "--congestion", "", "5000", "10.9.0.2", "6000", status=2, says=["congestion"])
    ends(sproxy, "--congestion", "longer-than-a-name", "6000", status=2, says=["longer-than-a-name"])
    ends(cproxy, "--misses", "-3", "5000", "10.9.0.2", "6000", status=2, says=["misses"])
    ends(cproxy, "--window", "16 parsecs", "5000", "10.9.0.2", "6000", status=2, says=["parsecs"])
    ends(cproxy, "--log-level", "chatty", "5000", "10.9.0.2", "6000", status=2, says=["chatty"])
    ends(sproxy, status=2, says=["SPORT"])
    ends(sproxy, "--target", "127.0.0.1", "6000", status=2, says=["target", "127.0.0.1"])
    ends(sproxy, "--target", "127.0.0.1:99999", "6000", status=2, says=["99999"])
    ends(sproxy, "--keep", "forever", "6000", status=2, says=["forever"])
    ends(sproxy, "--bind", "not-an-address", "6000", status=2, says=["not-an-address"])
    ends(sproxy, "--max-sessions", "many", "6000", status=2, says=["many"])
    ends(sproxy, "--insecure", "--ca", "a", "--cert", "b", "--key", "c", "6000", status=2, says=["--insecure", "--ca"])
    ends(sproxy, "--ca", "a", "6000", status=2, says=["--ca", "--cert", "--key"])

    for program, options in ((cproxy, ("--bind", "--raw", "--heartbeat", "--heartbeat-idle", "--misses", "--congestion", "--window", "--memory", "--keep",
                                       "--max-sessions", "--log-level", "--state-dir", "--insecure", "--user", "--no-sandbox", "--version")),
                             (sproxy, ("--target", "--bind", "--raw", "--heartbeat", "--heartbeat-idle", "--misses", "--congestion", "--window", "--memory",
                                       "--keep", "--max-sessions", "--single", "--threads", "--log-level", "--state-dir", "--insecure", "--user",
                                       "--no-sandbox", "--version"))):
        shown = net.client.run(program, "--help").stdout
        world.same([option for option in options if option not in shown], [], f"{program.rsplit('/', 1)[-1]} --help names every option")
        world.check(any(digit.isdigit() for digit in net.client.run(program, "--version").stdout), "--version tells a version")

    # The world: status 1.
    Listener(world, net.client, 5100, "127.0.0.1")
    Listener(world, net.client, 6100, "0.0.0.0")
    ends(cproxy, *state, "5100", "10.9.0.2", "6000", status=1, says=["5100", "already in use"])
    ends(cproxy, "--raw", "5100", "10.9.0.2", "6000", status=1, says=["5100", "already in use"])
    ends(sproxy, *state, "6100", status=1, says=["6100", "already in use"])
    ends(cproxy, *state, "--bind", "10.77.0.1", "5000", "10.9.0.2", "6000", status=1, says=["10.77.0.1", "cannot assign"])
    as_nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    place = world.folder / "nobody"
    place.mkdir()
    place.chmod(0o777)
    ends(cproxy, "--state-dir", place / "state", "99", "10.9.0.2", "6000", status=1, says=["99", "permission denied"], before=as_nobody)
    ends(sproxy, "--state-dir", place / "state", "99", status=1, says=["99", "permission denied"], before=as_nobody)
    ends(cproxy, *state, "--congestion", "no-such", "5000", "10.9.0.2", "6000", status=1, says=["--congestion", "no-such", "reno"])
    ends(sproxy, *state, "--congestion", "no-such", "6000", status=1, says=["--congestion", "no-such", "reno"])
    ends(cproxy, "--state-dir", "/proc/holdfast", "5000", "10.9.0.2", "6000", status=1, says=["/proc/holdfast"])
    ends(sproxy, *state, "--user", "nobody-of-that-name", "6000", status=1, says=["nobody-of-that-name"])

    # Who may call: apps of this machine only, unless --bind says otherwise; links from everywhere.
    shy = world.cproxy(net.client, 5200, "10.9.0.2", 6000, name="cproxy-shy")
    open_hearted = world.cproxy(net.client, "--bind", "10.1.0.10", 5201, "10.9.0.2", 6000, name="cproxy-open")
    caller = dial(world, net.server, "10.1.0.10", 5200, "from another machine")
    world.until(lambda: caller.over, 10, "the other machine to be refused")
    caller = dial(world, net.server, "10.1.0.10", 5201, "from another machine")
    world.until(lambda: caller.connected, 10, "the other machine to be let in where --bind says so")
    caller.close()
    world.say("true: cproxy listens on the loopback alone unless --bind says otherwise")
    for proxy in (shy, open_hearted):
        proxy.signal(signal.SIGTERM)
        world.same(proxy.wait(10), 0, f"{proxy.name} ends orderly without ever having had a link")

    # What can get better: a name unknown now, a far side not there yet.
    target = Listener(world, net.server, 7000)
    waiting = world.cproxy(net.client, 5000, "late.example", 6000, name="cproxy-late")
    app = dial(world, net.client, "127.0.0.1", 5000, "app")
    app.write(b"patience")
    world.until(lambda: waiting.lines("late.example"), 15, "a log line about the name")
    world.during(2, "the name stays unknown")
    world.check(len(waiting.log().splitlines()) < 15, f"the log of a cproxy in trouble is short ({len(waiting.log().splitlines())} lines)")
    if not app.over:
        net.client.knows("late.example", "10.9.0.2")
        world.during(1, "the name is known, but nobody listens there")
        late = world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000)
        far = target.next(30)
        world.until(lambda: bytes(far.text) == b"patience", 15, "the early bytes to arrive")
        world.say("true: a session opened before the name was known works once it is")
    else:
        raise harness.Failure(f"the app was not held until the far side is there: {app!r}")

    # Ends: with a living session both proxies end with status 0 at once.
    for proxy, number in ((waiting, signal.SIGTERM), (late, signal.SIGINT)):
        proxy.signal(number)
        world.same(proxy.wait(10), 0, f"{proxy.name} ends orderly with {number.name}")
    world.until(lambda: app.over and far.over, 10, "app and target to see the end")


harness.main(scenario)
