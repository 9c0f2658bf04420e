#!/usr/bin/python3
"""
   app -> cproxy@test -> sproxy@test -> target      all in one container, whose process 1 is a real systemd

Goal of this test: the units as they are installed do what decision 13 says, with the real service manager instead of the stand-in of
net-51-systemd. A session whose every byte is compared goes on while its proxies are restarted, reloaded and killed, also over a
daemon-reexec and starts that failed; a stop ends it; nothing is left in the store; nothing is denied by the units' sandbox.

Runs as a unit inside of the container; `run` in this folder makes that.
"""

import os
import re
import sys
import time
import traceback

from parts import App, Target, Unit, check, cpu_of_systemd, median, refusals, run, same, say, until

APP_PORT, LINK_PORT, TARGET_PORT = 2222, 5000, 7000
ROUNDS = int(os.environ.get("ROUNDS", "3"))
MANY = int(os.environ.get("SESSIONS", "200"))
THREADS = int(os.environ.get("THREADS", "1"))  # of sproxy
CALM = 1.1        # seconds; a link that lived shorter is not replaced at once for ever (src/core/redial.hh)


def scenario():
    say(run("systemctl", "--version").splitlines()[0])
    target = Target(TARGET_PORT)
    os.makedirs("/etc/holdfast", exist_ok=True)
    sproxy = Unit("sproxy", f"{LINK_PORT} --target 127.0.0.1:{TARGET_PORT} --threads {THREADS}", memories=THREADS)
    cproxy = Unit("cproxy", f"{APP_PORT} 127.0.0.1 {LINK_PORT}")
    units = (sproxy, cproxy)
    run("systemctl", "daemon-reload")
    run("/usr/local/bin/sproxy", "--print-key", "--state-dir", "/var/lib/holdfast")  # who had started one by hand
    key = key_of(cproxy)  # made by root, before the unit has a user
    started(units)
    confined(units)
    lives(units)
    starts_that_fail(units)
    many(units)
    store_is_full(sproxy)
    same(refusals(), [], "nothing was denied to the units")
    same(key_of(cproxy), key, "the key is that from before the first start")
    authorized(sproxy, key)
    low_port(cproxy)
    stopped(units, target)
    given_up(units, target)


def started(units):
    for unit in units:
        unit.ctl("start")
        same(unit.state, "active", f"{unit.kind} is active when `systemctl start` returns")
        unit.keeps(0, "no session yet")
        say(run("systemd-analyze", "security", "--no-pager", unit.name).splitlines()[-1])


def confined(units):
    """What the unit forbids does not keep the worker from confining itself as far as it can without a unit."""
    layers = re.compile(r"sandbox: (.*)")
    alone = run("timeout", "-s", "TERM", "1", "/usr/local/bin/sproxy", "5999", "--state-dir", "/root/holdfast", "--log-level", "debug", may_fail=True)
    for unit in units:
        options = unit.options
        unit.set(options + " --log-level debug")
        unit.ctl("restart")
        until(lambda: layers.search(unit.log()), "a worker that says how it is confined")
        same(layers.search(unit.log())[1], layers.search(alone)[1], f"the worker of {unit.kind} confines itself as without a unit")
        say(layers.search(unit.log())[1])
        unit.set(options)
        unit.ctl("restart")


def lives(units):
    app = App(APP_PORT)
    for unit in units:
        unit.keeps(1, "one session")

    def survives(story, happens, rounds=ROUNDS):
        pauses = []
        for _ in range(rounds):
            time.sleep(CALM)
            app.calm()
            happens()
            pauses.append(app.goes_on(story))
        say(f"measured: {story}: a pause of {median(pauses):.0f} ms (median of {rounds}; {min(pauses):.0f} to {max(pauses):.0f})")

    def dies(unit, *which):
        before = unit.keeper if "keeper" in which else unit.worker
        unit.kill(*(getattr(unit, process) for process in which))
        until(lambda: unit.state == "active" and (unit.keeper if "keeper" in which else unit.worker) not in (0, before), f"another one of {unit.kind}")

    for unit in units:
        survives(f"systemctl restart {unit.kind}", lambda: unit.ctl("restart"))
        survives(f"systemctl reload {unit.kind}", lambda: unit.ctl("reload"))
        survives(f"the death of {unit.kind}'s worker", lambda: dies(unit, "worker"))
        survives(f"the death of {unit.kind}'s keeper", lambda: dies(unit, "keeper"))
        survives(f"the death of {unit.kind}'s worker and keeper", lambda: dies(unit, "worker", "keeper"))
        unit.keeps(1, "one session, after all that")
    names = [unit.name for unit in units]
    survives("a restart of both", lambda: run("systemctl", "restart", *names))
    # systemd carries the store over: this is what an update of its package does.
    survives("daemon-reexec", lambda: run("systemctl", "daemon-reexec"), 1)
    survives("a restart of both after daemon-reexec", lambda: run("systemctl", "restart", *names), 1)
    app.leave()
    for unit in units:
        unit.keeps(0, "the session is over")


def starts_that_fail(units):
    app = App(APP_PORT)
    for unit in units:
        unit.keeps(1, "one session")
        options = unit.options
        unit.set(options + " --no-such-option")
        unit.ctl("restart", may_fail=True)
        until(lambda: int(unit.show("NRestarts")) >= 2, f"{unit.kind} to be tried again")
        unit.keeps(1, "after starts that failed")
        unit.set(options)
        if unit.kind == "sproxy":  # cproxy finds that by itself
            unit.ctl("restart")
        unit.running()
        app.goes_on(f"starts of {unit.kind} that failed, with wrong options")
    app.leave()


def many(units):
    used = cpu_of_systemd()
    apps = [App(APP_PORT, every=0.5) for _ in range(MANY)]
    for unit in units:
        unit.keeps(MANY, "many sessions")
    say(f"measured: systemd used {cpu_of_systemd() - used:.2f} s of a processor to store {MANY} sessions twice")
    for unit in units:
        time.sleep(CALM)
        begun = time.monotonic()
        unit.ctl("restart")
        say(f"measured: `systemctl restart {unit.kind}` with {MANY} sessions took {(time.monotonic() - begun) * 1000:.0f} ms")
    said = [app.said for app in apps]
    until(lambda: all(app.heard > many or app.trouble for app, many in zip(apps, said)), "all to go on")
    same(sum(app.trouble is not None for app in apps), 0, f"of {MANY} sessions none ends in restarts of both")
    for app in apps:
        app.quiet.set()
    for app in apps:
        app.leave()
    for unit in units:
        unit.keeps(0, "many sessions are over")


def store_is_full(sproxy):
    """Sessions beyond the store's size work, and end with a restart: with a reset, not as if all had been said."""
    room = 5
    folder = f"/run/systemd/system/{sproxy.name}.d"
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/room.conf", "w", encoding="utf-8") as file:
        file.write(f"[Service]\nFileDescriptorStoreMax={sproxy.ours + room}\n")
    run("systemctl", "daemon-reload")
    apps = [App(APP_PORT, every=0.05) for _ in range(room + 3)]
    for app in apps:
        until(lambda: app.heard > 3, "answers")
    sproxy.keeps(room, "more sessions than there is room for")
    time.sleep(CALM)
    sproxy.ctl("restart")
    until(lambda: sum(app.trouble is not None for app in apps) == 3, "those without room to end")
    check(all(app.was_reset for app in apps if app.trouble), "sessions that were not in the store are reset by a restart")
    same(sproxy.log().count("ended: its connection was not kept"), 3, "and the log says why")
    for app in apps:
        if not app.trouble:
            app.goes_on("a restart with a full store")
            app.leave()
    os.remove(f"{folder}/room.conf")
    run("systemctl", "daemon-reload")
    sproxy.keeps(0, "all sessions are over")


def key_of(unit):
    """As an administrator asks for it."""
    return run(f"/usr/local/bin/{unit.kind}", "--print-key", "--state-dir", f"/var/lib/holdfast-{unit.kind}-test").strip()


def authorized(sproxy, key):
    """A dynamic user reads the list of whom it admits, also when it is changed; a list that it may not read fails the start."""
    options, path = sproxy.options, "/etc/holdfast/clients"

    def write(text):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def goes_on(app, story):
        said = app.said
        until(lambda: app.trouble or app.heard > said, f"answers after {story}", 60)
        app.goes_on(story)

    write(f"{key} test\n")
    os.chmod(path, 0o600)
    sproxy.set(f"{options} --authorized-clients {path}")
    app = App(APP_PORT)
    sproxy.ctl("restart", may_fail=True)
    until(lambda: f"{path}: Permission denied" in sproxy.log(), "a start that says what it may not read")
    os.chmod(path, 0o644)
    sproxy.running()
    goes_on(app, "a list of clients that could not be read")
    write("# nobody any more\n")
    until(lambda: app.trouble, "the session of a client who was taken off to end", 60)
    check(app.was_reset, "who is taken off the list is reset")
    until(lambda: f"is not in {path}" in sproxy.log(), "cproxy to be refused, whom nobody has listed")
    write(f"{key} test\n")
    app = App(APP_PORT)
    goes_on(app, "a list of clients that names cproxy again")
    app.leave()
    sproxy.set(options)
    sproxy.ctl("restart")


def low_port(cproxy):
    options = cproxy.options
    cproxy.set(f"80 127.0.0.1 {LINK_PORT}")
    cproxy.ctl("restart")
    app = App(80)
    time.sleep(CALM)
    cproxy.ctl("restart")
    app.goes_on("a restart on a port below 1024")
    app.leave()
    cproxy.set(options)
    cproxy.ctl("restart")
    cproxy.keeps(0, "another port")


def stopped(units, target):
    """The end on purpose: both sides see a reset, nothing stays in the store, and the unit has not failed."""
    for unit in units:
        for other in units:
            other.ctl("start")
        app = App(APP_PORT)
        until(lambda: app.heard > 20, "answers")
        begun = time.monotonic()
        unit.ctl("stop")
        took = time.monotonic() - begun
        ended_by_reset(app, target, f"a stop of {unit.kind}")
        same((unit.state, unit.show("Result"), unit.stored), ("inactive", "success", 0), f"{unit.kind} has ended in order, with an empty store (after {took * 1000:.0f} ms)")


def given_up(units, target):
    """A stop while the start fails: there is nobody who could say how a session ends, and it is a reset all the same."""
    sproxy, cproxy = units
    cproxy.ctl("start")
    sproxy.ctl("start")
    app = App(APP_PORT)
    until(lambda: app.heard > 20, "answers")
    cproxy.set("--no-such-option")
    cproxy.ctl("restart", may_fail=True)
    cproxy.keeps(1, "a start that fails")
    cproxy.ctl("stop")
    same(cproxy.stored, 0, "a stop empties the store")
    until(lambda: app.trouble, "the app to hear of it")
    check(app.was_reset, "a stop while the start fails resets the app")
    sproxy.ctl("stop")


def ended_by_reset(app, target, story):
    until(lambda: app.trouble and target.ends[-1].over, "both ends to hear of it")
    check(app.was_reset and target.ends[-1].was_reset, f"{story} resets app and target")


def main():
    try:
        scenario()
    except Exception as trouble:  # whatever it is, the journal is needed, and gone with the container
        traceback.print_exc(file=sys.stdout)
        say(f"failed: {trouble}")
        say(run("journalctl", "--no-pager", "-n", "60", may_fail=True))
        sys.exit(1)
    say("passed")


main()
