"""Epochs among what rarely happens.

Tables and rows that come and go in the middle of one, ids that come again, ids far apart, workers
that die again and again, faults of the engine itself.
"""

import random
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from small_world import Pair, write_volume
from steps import step, work_until

from matengine.engine import datastacks
from matengine.engine.annotations import ids, tables
from matengine.engine.lookup import ingest
from matengine.engine.query import answer
from matengine.engine.query.model import Query
from matengine.engine.runs import engine, runs, units
from matengine.engine.runs.units import Effect
from matengine.engine.versions import catalogue, epoch, publish, resolve
from matengine.engine.workflows import WORKFLOWS
from matengine.errors import Conflict, Unavailable
from matengine.segmentation.chunkedgraph import local
from matengine.storage.connections import Connection, conninfo_of

PHASES = ["wait", "collect", "resolve", "apply", "index"]


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_volume(Path(tmp_path_factory.mktemp("volume")))


@pytest.fixture
def pair(conn: Connection, volume: str) -> Pair:
    pair = Pair(conn, volume)
    for x in range(4):
        pair.insert([(x, 2, 2), (5, x, 2), (1, 1, 1)], float(x))
    pair.epoch()
    return pair


def finish(pair: Pair, run_id: int) -> None:
    engine.drive(conninfo_of(pair.conn), run_id)
    pair.finish(run_id)


def tables_of(pair: Pair, version: int) -> set[str]:
    found = catalogue.version(pair.conn, pair.name, version)
    names = {t.table_name for t in catalogue.tables_at(pair.conn, pair.name, found.epoch)}
    pair.conn.commit()
    return names


@pytest.mark.parametrize("phase", PHASES)
def test_a_table_made_in_the_middle_of_an_epoch(pair: Pair, phase: str) -> None:
    pair.insert([(3, 2, 2), (5, 3, 2), (1, 1, 1)], None)
    run_id = pair.begin()
    work_until(pair.conn, run_id, phase)
    tables.create_table(pair.conn, "late", "synapse", voxel_resolution_nm=(1, 1, 1), description="")
    pair.conn.commit()
    finish(pair, run_id)
    pair.epoch()
    assert "late" in tables_of(pair, 3)
    pair.check_versions()


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("cancelled", [False, True])
def test_a_table_deleted_in_the_middle_of_an_epoch(pair: Pair, phase: str, cancelled: bool) -> None:
    """It was there at the epoch's time, so this version shows it and the next does not."""
    pair.insert([(3, 2, 2), (5, 3, 2), (1, 1, 1)], None)
    pair.delete(0)
    pair.merge(0, 40)
    run_id = pair.begin()
    work_until(pair.conn, run_id, phase)
    tables.delete_table(pair.conn, pair.table)
    pair.conn.commit()
    if cancelled:
        engine.cancel(pair.conn, run_id)
        at = runs.get(pair.conn, run_id).time
        run_id = pair.begin(at=at)
    finish(pair, run_id)
    version = max(pair.versions)
    assert pair.table in tables_of(pair, version)
    pair.check_versions()
    next_run = pair.begin()
    engine.drive(conninfo_of(pair.conn), next_run)
    assert runs.get(pair.conn, next_run).status == "done"
    assert pair.table not in tables_of(pair, version + 1)
    pair.check_versions()


@pytest.mark.parametrize("phase", PHASES)
def test_rows_erased_in_the_middle_of_an_epoch(pair: Pair, phase: str) -> None:
    """Those that were shown stay, with the roots of the epoch's time, until the next epoch."""
    pair.merge(0, 40)
    pair.stir(random.Random(1), 0, 8)
    run_id = pair.begin()
    work_until(pair.conn, run_id, phase)
    _, before = pair.versions[1]
    shown = set(before[pair.table]["id"].to_pylist())
    synapses, notes = pair.world.tables[pair.table], pair.world.tables[pair.notes]
    known, known_notes = dict(synapses), dict(notes)
    for row_id in shown:
        pair.erase(row_id)
        pair.forget(row_id)
    # rows erased before the engine looked for what went are gone from this version already
    if phase not in ("wait", "collect"):
        synapses |= known
    # the notes are new, and went with their synapses: from this version, unless they were in it
    if phase == "index":
        notes |= known_notes
    finish(pair, run_id)
    for row_id in shown:
        pair.forget(row_id)
    pair.epoch()
    pair.check_versions()


def test_an_id_that_comes_again_is_another_row(pair: Pair) -> None:
    pair.erase(1)
    pair.put(pair.clock(), points=[(9, 9, 1), (2, 2, 2), (0, 0, 0)], row_id=1)
    pair.epoch()
    pair.erase(2)
    pair.forget(2)
    pair.epoch()
    pair.put(pair.clock(), points=[(9, 9, 1), (2, 2, 2), (0, 0, 0)], row_id=2)
    pair.epoch()
    pair.check_versions()


def test_an_id_that_comes_again_is_looked_up_again(pair: Pair) -> None:
    row_id = pair.put(pair.clock())
    engine.drive(conninfo_of(pair.conn), ingest.start(pair.conn, pair.name))
    pair.erase(row_id)
    pair.put(pair.clock(), points=[(9, 9, 1), (2, 2, 2), (0, 0, 0)], row_id=row_id)
    pair.epoch()
    pair.check_versions()


@pytest.mark.parametrize("moved", [False, True], ids=["removed", "moved in place"])
def test_what_was_looked_up_before_the_first_epoch(
    conn: Connection, volume: str, moved: bool
) -> None:
    pair = Pair(conn, volume)
    rows = [pair.put(pair.clock()) for _ in range(3)]
    pair.delete(2)
    engine.drive(conninfo_of(conn), ingest.start(conn, pair.name))
    points = [(9, 9, 1), (2, 2, 2), (0, 0, 0)]
    if moved:
        pair.displace(rows[0], points)
    else:
        pair.erase(rows[0])
        pair.put(pair.clock(), points=points, row_id=rows[0])
    time.sleep(0.002)
    live = answer.ask(conn, pair.name, pair.clock(), Query(pair.table))
    conn.commit()
    pair.epoch()
    pair.check_versions()
    assert live == answer.ask(conn, pair.name, 1, Query(pair.table))


def test_a_table_that_was_emptied(pair: Pair) -> None:
    pair.conn.execute(f'TRUNCATE "{pair.table}" CASCADE')
    pair.conn.commit()
    for table in pair.world.tables.values():
        table.clear()
    pair.epoch()
    assert pair.versions[2][1][pair.table].num_rows == 0
    pair.put(pair.clock(), row_id=3)
    pair.epoch()
    pair.check_versions()


def test_a_table_whose_rows_were_all_deleted(pair: Pair) -> None:
    for _ in range(4):
        pair.delete(0)
    pair.epoch()
    assert pair.versions[2][1][pair.table].num_rows == 0
    pair.insert([(3, 2, 2), (5, 3, 2), (1, 1, 1)], None)
    pair.epoch()
    pair.check_versions()


def test_ids_as_far_apart_as_they_can_be(
    pair: Pair, volume: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ids, "MAX_ID", 2**63 - 1)
    for row_id in (2**63 - 1, 2**53 + 1, 2**53, 0):
        pair.put(pair.clock(), row_id=row_id)
    pair.epoch()
    pair.merge(0, 40)
    pair.end(2**63 - 1, pair.clock())
    pair.epoch()
    # a new datastack takes up all of the table as one run of ids
    other = Pair(pair.conn, volume, neighbour=pair)
    other.epoch()
    assert {2**53 + 1, 2**53, 0} <= set(other.versions[1][1][pair.table]["id"].to_pylist())
    pair.check_versions()


def test_a_hundred_thousand_changes_of_one_row_each(pair: Pair) -> None:
    pair.conn.execute(
        sql.SQL(
            "INSERT INTO {} (id, valid, pre_pt_position, post_pt_position)"
            " SELECT 10 + 2 * n, true, ST_MakePoint(n % 12, 2, 2), ST_MakePoint(1, n % 12, 3)"
            " FROM generate_series(1, 100000) AS n"
        ).format(sql.Identifier(pair.table))
    )
    pair.conn.commit()
    run_id = pair.begin()
    engine.drive(conninfo_of(pair.conn), run_id)
    version = runs.get(pair.conn, run_id).version
    assert version is not None
    told = catalogue.tables_at(pair.conn, pair.name, 2)
    assert [t.row_count for t in told if t.table_name == pair.table] == [100_004]
    assert pair.conn.execute("SELECT count(*) FROM matengine.change").fetchone() == (0,)
    pair.check_versions()


def test_two_datastacks_in_one_aligned_volume(pair: Pair, volume: str) -> None:
    other = Pair(pair.conn, volume, neighbour=pair)
    pair.merge(0, 40)
    other.split(3)
    for which in (other, pair, other):
        pair.insert([(3, 2, 2), (5, 3, 2), (1, 1, 1)], None)
        pair.delete(1)
        which.epoch()
    pair.epoch()
    pair.check_versions()
    other.check_versions()


def test_rows_that_went_before_an_epoch_leave_nothing(pair: Pair) -> None:
    pair.insert([(3, 2, 2), (5, 3, 2), (1, 1, 1)], None)
    pair.delete(0)
    pair.delete(3)
    pair.epoch()
    assert pair.conn.execute("SELECT count(*) FROM matengine.change").fetchone() == (0,)
    pair.check_versions()


def test_points_that_are_not_there(pair: Pair) -> None:
    """As programs that write by themselves leave them out: background, and no gap."""
    nowhere = (None, None, None)
    pair.put(pair.clock(), points=[nowhere, (5, 6, 2), nowhere])
    pair.put(pair.clock(), points=[nowhere, nowhere, nowhere])
    pair.epoch()
    pair.merge(0, 40)
    pair.epoch()
    told = catalogue.tables_at(pair.conn, pair.name, 3)
    assert [t.gaps for t in told] == [0, 0]
    pair.check_versions()


def test_a_row_that_goes_takes_its_failed_lookup_along(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise Unavailable("the volume cannot be read")

    failed, erased = pair.put(pair.clock()), pair.put(pair.clock())
    with monkeypatch.context() as patch:
        patch.setattr(resolve, "lookup_of", lambda *_: fail)
        patch.setattr(resolve, "MAX_ATTEMPTS", 1)
        run_id = pair.begin()
        engine.drive(conninfo_of(pair.conn), run_id)
        failures = "SELECT count(*), count(DISTINCT id) FROM matengine.lookup_failure"
        assert pair.conn.execute(failures).fetchone() == (4, 2)
        pair.end(failed, pair.clock())
        pair.erase(erased)
        pair.forget(erased)
        pair.epoch()
    assert pair.conn.execute(failures).fetchone() == (0, 0)


def test_a_segmentation_has_one_datastack(pair: Pair) -> None:
    with pytest.raises(Conflict, match="belongs to the datastack"):
        datastacks.create(pair.conn, "second", datastacks.Segmentation(pair.name))


def test_an_edit_that_never_ends_is_not_waited_for(
    pair: Pair, av: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epoch, "EDIT_DEADLINE", "50ms")
    with av.connect() as other:
        local.merge(other, pair.name, [pair.supervoxels[:2]], strict=False)
        with pytest.raises(Conflict, match="edits the chunkedgraph"):
            pair.begin()
        pair.conn.rollback()
        other.rollback()
    pair.epoch()


def test_two_starts_at_once(pair: Pair, av: Any) -> None:
    """One of them makes the epoch."""
    barrier, outcomes = threading.Barrier(4), []

    def begin() -> None:
        with av.connect() as conn:
            barrier.wait()
            try:
                outcomes.append(epoch.start(conn, pair.name, "complete", publish_version=True))
            except Conflict as refused:
                outcomes.append(str(refused))

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    begun = [outcome for outcome in outcomes if isinstance(outcome, int)]
    assert len(begun) == 1
    assert all("Another run" in o for o in outcomes if isinstance(o, str))
    finish(pair, begun[0])


def test_a_fault_of_the_engine_ends_the_run(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only faults that it knows of: no run stays RUNNING for ever."""

    def broken(conn: Connection, *_: object) -> None:
        conn.execute("SELECT 1 / 0")

    pair.insert([(3, 2, 2), (5, 3, 2), (1, 1, 1)], None)
    pair.merge(0, 40)
    with monkeypatch.context() as patch:
        patch.setattr(publish, "create_views", broken)
        run_id = pair.begin()
        run = engine.drive(conninfo_of(pair.conn), run_id)
    assert run.status == "failed"
    assert "division by zero" in (run.error or "")
    pair.epoch()
    pair.check_versions()


def test_a_unit_whose_workers_die_ends_the_run(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    pair.insert([(3, 2, 2), (5, 3, 2), (1, 1, 1)], None)
    run_id = pair.begin()
    work_until(pair.conn, run_id, "collect")
    unit_id = units.claimable(pair.conn, run_id)
    assert unit_id is not None
    monkeypatch.setattr(units, "LEASE_S", -1)
    for _ in range(units.MAX_ATTEMPTS):
        assert units.claim(pair.conn, unit_id) is not None
    assert engine.advance(pair.conn, run_id)
    run = runs.get(pair.conn, run_id)
    assert (run.status, run.error) == ("failed", "every worker that tried it died")
    pair.epoch()
    pair.check_versions()


def test_a_unit_that_fails_while_it_writes(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its heartbeat does not wait for the row that its own transaction holds."""
    beaten = threading.Event()

    def fail(conn: Connection, run: runs.Run, unit: units.Unit) -> None:
        units.hold(conn, unit)
        assert beaten.wait(60), "no heartbeat came while the unit was held"
        raise RuntimeError("in the middle of it")

    class Watched(psycopg.Connection):
        def execute(self, *words: Any, **more: Any) -> Any:
            done = super().execute(*words, **more)
            if "SKIP LOCKED" in str(words[0]):
                beaten.set()
            return done

    monkeypatch.setattr(units, "BEAT_S", 0.01)
    monkeypatch.setattr(
        units, "open_connection", lambda info, **how: Watched.connect(info, autocommit=True)
    )
    pair.insert([(3, 2, 2), (5, 3, 2), (1, 1, 1)], None)
    run_id = pair.begin()
    work_until(pair.conn, run_id, "apply")
    unit_id = units.claimable(pair.conn, run_id)
    assert unit_id is not None
    with monkeypatch.context() as patch:
        patch.setitem(WORKFLOWS["complete"].work, "apply", fail)
        assert engine.execute(pair.conn, unit_id)
    assert "in the middle of it" in runs.tally(pair.conn, run_id).faults[0]
    finish(pair, run_id)


def test_what_a_held_unit_plans_ends_with_a_cancelled_run(pair: Pair, av: Any) -> None:
    """A collecting unit that is being written while its run is cancelled plans others."""
    pair.insert([(3, 2, 2), (5, 3, 2), (1, 1, 1)], None)
    run_id = pair.begin()
    work_until(pair.conn, run_id, "collect")
    unit_id = units.claimable(pair.conn, run_id)
    pair.conn.commit()
    assert unit_id is not None
    with av.connect() as worker, av.connect() as canceller:
        unit = units.claim(worker, unit_id)
        assert unit is not None
        units.hold(worker, unit)
        cancelling = threading.Thread(target=engine.cancel, args=(canceller, run_id))
        cancelling.start()
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND pid = %s"
        )
        while pair.conn.execute(waiting, (canceller.info.backend_pid,)).fetchone() != (1,):
            pair.conn.rollback()
        units.plan(worker, run_id, "staged", pair.table, [(1, 9)])
        units.finish(worker, unit, Effect())
        worker.commit()
        cancelling.join()
    states = pair.conn.execute(
        "SELECT DISTINCT state FROM matengine.unit WHERE run_id = %s AND kind = 'staged'",
        (run_id,),
    ).fetchall()
    assert states == [("failed",)]
    pair.epoch()
    pair.check_versions()


def test_sweeps_pass_by_what_a_worker_holds(pair: Pair, av: Any) -> None:
    pair.insert([(3, 2, 2), (5, 3, 2), (1, 1, 1)], None)
    run_id = pair.begin()
    work_until(pair.conn, run_id, "collect")
    unit_id = units.claimable(pair.conn, run_id)
    assert unit_id is not None
    pair.conn.commit()
    with av.connect() as worker:
        unit = units.claim(worker, unit_id)
        assert unit is not None
        worker.execute("UPDATE matengine.unit SET lease_until = now() - interval '1 h'")
        worker.commit()
        units.hold(worker, unit)
        pair.conn.execute("SET statement_timeout = '5s'")
        assert unit_id not in [sent for sent, _ in units.to_send(pair.conn)]
        assert units.claim(pair.conn, unit_id) is None
        assert not step(pair.conn, run_id)
    finish(pair, run_id)


def test_the_future_is_kept_for_later(pair: Pair) -> None:
    """Rows that will begin or end after the epoch's time, told already."""
    soon = pair.clock() + timedelta(seconds=1)
    later = pair.put(soon)
    pair.end(1, soon)
    pair.epoch()
    while pair.clock() < soon:
        pass
    pair.epoch()
    shown = set(pair.versions[3][1][pair.table]["id"].to_pylist())
    assert later in shown
    assert 1 not in shown
    pair.check_versions()
