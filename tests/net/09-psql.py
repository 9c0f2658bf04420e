#!/usr/bin/python3
"""
   client                              [router]            server
   psql -> cproxy      eth0 ═══════════════════════ eth0   sproxy -> PostgreSQL
                       10.1.0.10, then others              10.9.0.2

Goal of this test: psql and a real PostgreSQL. In one and the same connection a long query gives its answer although
the client moved while it ran, and a million rows are copied out and in again through moves; the table read back is
the table that was there.
"""

import os
import pwd
from pathlib import Path

import harness


def start_postgres(world, space):
    """A database of its own in the world's folder; PostgreSQL refuses to be root."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    tools = versions[-1] if versions else Path(harness.find("initdb")).parent
    user = "postgres" if "postgres" in (entry.pw_name for entry in pwd.getpwall()) else "nobody"
    as_user = ["setpriv", "--reuid", user, "--regid", str(pwd.getpwnam(user).pw_gid), "--clear-groups"]
    folder = world.folder / "postgres"
    folder.mkdir()
    os.chown(folder, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
    harness.run(*as_user, tools / "initdb", "-D", folder / "data", "-A", "trust", "-U", "postgres", "-N", "-E", "UTF8",
                "--locale=C", timeout=120, cwd=folder)
    server = space.start("postgres", *as_user, tools / "postgres", "-D", folder / "data", "-k", folder, "-h", "127.0.0.1",
                         "-c", "fsync=off", "-c", "autovacuum=off")
    world.until(lambda: "ready to accept connections" in server.log() or not server.running(), 60, "PostgreSQL to be ready")
    return server


def scenario(world):
    net = harness.Routed(world)
    start_postgres(world, net.server)
    world.sproxy(net.server, "--target", "127.0.0.1:5432", 6000)
    world.cproxy(net.client, 5000, net.server_address, 6000)

    psql = world.add(harness.Terminal(world, "psql", ["ip", "netns", "exec", net.client.name, harness.find("psql"), "-X",
                                                      "-h", "127.0.0.1", "-p", "5000", "-U", "postgres", "-AtqP", "pager=off"]))
    asked = 0

    def ask(text, moving_every=None, timeout=60):
        """Types a command, perhaps moves until it is done; returns what was shown and how often we moved."""
        nonlocal asked
        asked += 1
        before, moves = len(psql.text), 0
        psql.type(f"{text}\r\\echo done-{asked}-\\`echo here\\`\r".replace("\\`", "`"))
        done = f"done-{asked}-here"
        if moving_every:
            while done not in psql.text and moves < 300:
                net.move(net.next_address())
                moves += 1
                world.during(moving_every, "the command goes on")
        psql.expect(done, timeout, f"the end of {text!r}")
        return psql.text[before:], moves

    psql.expect("postgres=#")
    backend = ask("select 'backend=' || pg_backend_pid();")[0]
    backend = next(line for line in backend.splitlines() if line.startswith("backend="))

    shown, moves = ask("select pg_sleep(6), 'the answer is ' || 6*7;", moving_every=0.8)
    world.check("the answer is 42" in shown, f"the long query gave its answer after {moves} moves")
    world.check(moves >= 3, "the moves came while it was running")

    ask("create table rows as select i, md5(i::text) as v from generate_series(1, 1000000) i;", timeout=120)
    ask("create table again (like rows);")
    file = world.folder / "rows.copy"

    def copy(text, before):
        """As often as it takes for three moves to come while rows are under way: a fast machine copies them in a blink."""
        moves = 0
        while moves < 3:
            for line in before:
                ask(line)
            moves += ask(text, moving_every=0.1)[1]
        world.say(f"{moves} moves came during {text!r}")

    copy(f"\\copy rows to '{file}'", [])
    copy(f"\\copy again from '{file}'", ["truncate again;"])
    shown = ask("select 'count=' || count(*) || ' sum=' || md5(string_agg(v, ',' order by i)) from again;", timeout=120)[0]
    right = ask("select 'count=' || count(*) || ' sum=' || md5(string_agg(v, ',' order by i)) from rows;", timeout=120)[0]
    answer = [line for line in shown.splitlines() if line.startswith("count=")]
    world.same(answer, [line for line in right.splitlines() if line.startswith("count=")], "the table copied out and in again")
    world.check(answer and answer[0].startswith("count=1000000 "), "it has a million rows")
    world.check(backend in ask("select 'backend=' || pg_backend_pid();")[0], f"all of it in one connection ({backend})")
    psql.type("\\q\r")
    world.same(psql.wait(10), 0, "psql ends well")


harness.main(scenario)
