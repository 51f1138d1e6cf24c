"""Runs that are cancelled, abandoned and taken over: whatever they wrote is gone or is finished."""

import json
import threading
from datetime import timedelta
from typing import Any

import pytest
from commands import Command
from poison import unreadable
from psycopg import sql
from small_world import Pair
from steps import work_until

from matengine.engine.runs import engine, runs, units
from matengine.engine.versions import apply, catalogue, epoch
from matengine.errors import Conflict, Unavailable
from matengine.storage import writers
from matengine.storage.connections import conninfo_of, open_connection

PHASES = ["wait", "collect", "resolve", "apply", "index"]
# what a run that is taken back must leave as it was; numbers of runs and queue entries go on
KEPT = {
    "history": "SELECT * FROM {table} ORDER BY id, from_epoch, to_epoch",
    "matengine.epoch": "SELECT * FROM {table} ORDER BY 1, 2",
    "matengine.epoch_table": "SELECT * FROM {table} ORDER BY 1, 2, 3",
    "matengine.table_metadata": "SELECT * FROM {table} ORDER BY 1, 2, 3",
    "matengine.gap": "SELECT * FROM {table} ORDER BY 1, 2, 3, 4, 5",
    "matengine.expired_root": "SELECT * FROM {table}",
    "matengine.lookup_failure": (
        "SELECT datastack, table_name, id, point, reason, epoch FROM {table} ORDER BY 1, 2, 3, 4"
    ),
    "matengine.change": (
        "SELECT datastack, table_name, kind, first_id, last_id, due, epoch FROM {table} ORDER BY 1,"
        " 2, 3, 4, 5"
    ),
}


@pytest.fixture
def stirred(pair: Pair) -> Pair:
    """An epoch with gaps, and then changes of every kind."""
    with unreadable(lambda points: points[:, 0] == 9):
        pair.insert([(9, 9, 1), (5, 6, 2), (1, 1, 1)], None)
        pair.insert([(9, 8, 1), (9, 6, 2), (1, 1, 1)], None)
        engine.drive(conninfo_of(pair.conn), pair.begin())
    pair.insert([(1, 2, 2), (5, 6, 2), (1, 1, 1)], 1.0)
    pair.delete(0)
    pair.move(1, (3, 3, 3))
    pair.merge(0, 40)
    pair.split(3)
    return pair


def everything(pair: Pair) -> dict[str, Any]:
    """All that a version is made of, in the database."""
    found = {}
    histories = pair.conn.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'history'::regnamespace"
        " AND relkind = 'r' ORDER BY 1"
    ).fetchall()
    for name in [("history", relation) for (relation,) in histories] + [
        tuple(table.split(".")) for table in KEPT if "." in table
    ]:
        query = KEPT.get(".".join(name), KEPT["history"])
        found[".".join(name)] = pair.conn.execute(
            sql.SQL(query).format(table=sql.Identifier(*name))
        ).fetchall()
    found["staged"] = pair.conn.execute(
        "SELECT count(*) FROM pg_class WHERE relname LIKE '%\\_\\_epoch\\_%'"
    ).fetchall()
    pair.conn.commit()
    return found


@pytest.mark.parametrize("phase", PHASES)
def test_a_cancelled_run_leaves_nothing(
    stirred: Pair, run: Command, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    """Nor does it take anything away: the next epoch is as if it had never been."""
    monkeypatch.setattr(apply, "BLOCK", 2)  # many units, some done and some not
    before = everything(stirred)
    run_id = stirred.begin()
    work_until(stirred.conn, run_id, phase)
    unit_id = units.claimable(stirred.conn, run_id)
    stirred.conn.commit()
    if unit_id is not None:
        engine.execute(stirred.conn, unit_id)
    code, out, _ = run("runs", run_id, "--cancel")
    assert code == 0
    assert out.startswith(f"run {run_id}: complete of {stirred.name}, cancelled\n")
    assert "cancelled by a user" in out
    assert everything(stirred) == before
    assert json.loads(run("runs", run_id, "--cancel", "--json")[1])["status"] == "cancelled"
    failed = catalogue.versions(stirred.conn, stirred.name)[-1]
    assert (failed.status, failed.time) == ("FAILED", None)
    stirred.epoch()
    assert max(stirred.versions) == failed.version + 1
    stirred.check_versions()


def test_a_dead_process_is_taken_over(stirred: Pair, run: Command) -> None:
    """Its units go to others when their leases run out; it cannot write any more itself."""
    run_id = stirred.begin()
    work_until(stirred.conn, run_id, "apply")
    unit_id = units.claimable(stirred.conn, run_id)
    stirred.conn.commit()
    assert unit_id is not None
    dead = units.claim(stirred.conn, unit_id)
    assert dead is not None
    assert not engine.execute(stirred.conn, unit_id)  # while its lease lasts it is left alone
    with pytest.raises(Conflict, match=f"matengine runs {run_id} --resume"):
        epoch.start(stirred.conn, stirred.name, "complete", publish_version=True)
    stirred.conn.rollback()
    stirred.conn.execute(
        "UPDATE matengine.unit SET lease_until = now() WHERE unit_id = %s", (unit_id,)
    )
    code, out, _ = run("runs", run_id, "--resume")
    assert code == 0
    assert f"{stirred.name}, done" in out
    with pytest.raises(units.LeaseLost):
        units.hold(stirred.conn, dead)
    stirred.conn.rollback()
    stirred.finish(run_id)
    stirred.check_versions()


def test_a_living_process_keeps_its_unit(stirred: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes: its heart beats."""
    monkeypatch.setattr(units, "LEASE_S", 0.3)
    monkeypatch.setattr(units, "BEAT_S", 0.02)
    run_id = stirred.begin()
    work_until(stirred.conn, run_id, "collect")
    unit_id = units.claimable(stirred.conn, run_id)
    stirred.conn.commit()
    assert unit_id is not None
    unit = units.claim(stirred.conn, unit_id)
    assert unit is not None
    lease = "SELECT lease_until FROM matengine.unit WHERE unit_id = %s"
    leases = {stirred.conn.execute(lease, (unit_id,)).fetchone()}
    pause = threading.Event()
    with units.heartbeat(conninfo_of(stirred.conn), unit):
        while len(leases) < 4:
            stirred.conn.commit()
            leases.add(stirred.conn.execute(lease, (unit_id,)).fetchone())
            pause.wait(0.01)
        stirred.conn.commit()
        assert runs.silence(stirred.conn, run_id) < timedelta(seconds=60)
    stirred.conn.rollback()
    engine.cancel(stirred.conn, run_id)


def test_a_unit_that_always_fails_is_named_and_ends_the_run(
    stirred: Pair, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poison(*_: object) -> None:
        raise RuntimeError("of this row")

    before = everything(stirred)
    monkeypatch.setattr(apply.Statements, "replace", poison)
    monkeypatch.setattr(units, "MAX_ATTEMPTS", 2)
    run_id = stirred.begin()
    tried = engine.drive(conninfo_of(stirred.conn), run_id)
    assert (tried.status, tried.error) == ("failed", "RuntimeError: of this row")
    out = run("runs", run_id)[1]
    assert f"stumbled: apply of {stirred.table}, attempt 2: RuntimeError: of this row" in out
    assert everything(stirred) == before


def test_a_watcher_does_not_wait_for_ever(stirred: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no worker comes it says so; the run stands as it is."""
    run_id = stirred.begin()
    monkeypatch.setattr(engine, "SILENCE_DEADLINE", timedelta(milliseconds=100))
    with pytest.raises(Unavailable, match=f"matengine runs {run_id} --resume"):
        engine.watch(conninfo_of(stirred.conn), run_id)
    assert engine.drive(conninfo_of(stirred.conn), run_id).status == "done"


def test_a_writer_that_never_ends_ends_the_run(
    stirred: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(stirred)
    monkeypatch.setattr(engine, "WAIT_DEADLINE", timedelta())
    with open_connection(conninfo_of(stirred.conn)) as writer:
        writers.enter(writer)
        run = engine.drive(conninfo_of(stirred.conn), stirred.begin())
    assert run.status == "failed"
    assert "open for too long" in (run.error or "")
    assert everything(stirred) == before
