"""Epochs and transactions that write while they begin: what is waited for, and what is not."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from psycopg import sql
from small_world import Pair, write_volume
from steps import phase_of, step

from matengine.engine.annotations import rows
from matengine.engine.runs import engine, runs
from matengine.segmentation.chunkedgraph import local
from matengine.storage.connections import Connection

POINTS = {n: {"position": [1, 2, 2]} for n in ("pre_pt", "post_pt", "ctr_pt")}


@pytest.fixture
def pair(conn: Connection, tmp_path: Path) -> Pair:
    pair = Pair(conn, write_volume(tmp_path / "volume"))
    for x in range(4):
        pair.insert([(x, 2, 2), (5, x, 2), (1, 1, 1)], float(x))
    pair.epoch()
    return pair


@pytest.fixture
def other(av: Any) -> Iterator[Connection]:
    """Another program's connection."""
    with av.connect() as connection:
        yield connection


def ids_in(pair: Pair) -> set[int]:
    """The synapses of the newest version."""
    _, frozen = pair.versions[max(pair.versions)]
    return set(frozen[pair.table]["id"].to_pylist())


def wait_in_vain(pair: Pair, run_id: int) -> None:
    for _ in range(3):
        assert not step(pair.conn, run_id)
    assert phase_of(pair.conn, run_id) == "wait"


def finish(pair: Pair, run_id: int) -> None:
    while step(pair.conn, run_id):
        pass
    pair.finish(run_id)


def insert(conn: Connection, pair: Pair) -> list[int]:
    return rows.insert(conn, pair.table, [POINTS])


def update(conn: Connection, pair: Pair) -> list[int]:
    return [1, *rows.update(conn, pair.table, [{"id": 1, "size": 7.0}]).values()]


def delete(conn: Connection, pair: Pair) -> list[int]:
    return rows.delete(conn, pair.table, [1])


def plain_insert(conn: Connection, pair: Pair) -> list[int]:
    """A program of somebody else, whose time is the server's."""
    found = conn.execute(
        sql.SQL(
            "INSERT INTO {} (valid, pre_pt_position, post_pt_position, ctr_pt_position)"
            " SELECT true, p, p, p FROM ST_MakePoint(1, 2, 2) AS p RETURNING id"
        ).format(sql.Identifier(pair.table))
    )
    return [row_id for (row_id,) in found]


@pytest.mark.parametrize("write", [insert, update, delete, plain_insert])
def test_a_writer_that_is_open_is_waited_for(pair: Pair, other: Connection, write: Any) -> None:
    touched = write(other, pair)
    run_id = pair.begin()
    wait_in_vain(pair, run_id)
    other.commit()
    pair._learn(pair.table, touched)
    finish(pair, run_id)  # judges the version: the change is in it
    shown = ids_in(pair)
    assert [i in shown for i in touched] == {
        insert: [True],
        update: [False, True],
        delete: [False],
        plain_insert: [True],
    }[write]
    pair.check_versions()


def test_a_writer_that_gives_up_is_waited_for_too(pair: Pair, other: Connection) -> None:
    insert(other, pair)
    run_id = pair.begin()
    wait_in_vain(pair, run_id)
    other.rollback()
    finish(pair, run_id)
    assert ids_in(pair) == {1, 2, 3, 4}


@pytest.mark.parametrize("write", [insert, update, delete])
def test_a_writer_that_begins_later_is_not_waited_for(
    pair: Pair, other: Connection, write: Any
) -> None:
    run_id = pair.begin()
    touched = write(other, pair)
    finish(pair, run_id)
    assert ids_in(pair) == {1, 2, 3, 4}
    other.commit()
    pair._learn(pair.table, touched)
    pair.check_versions()
    pair.epoch()


def test_a_reader_is_not_waited_for(pair: Pair, other: Connection) -> None:
    rows.get(other, pair.table, [1])
    run_id = pair.begin()
    finish(pair, run_id)


def test_a_writer_that_never_ends_fails_the_run(
    pair: Pair, other: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert(other, pair)
    run_id = pair.begin()
    wait_in_vain(pair, run_id)
    monkeypatch.setattr(engine, "WAIT_DEADLINE", timedelta(0))
    assert step(pair.conn, run_id)
    run = runs.get(pair.conn, run_id)
    assert run.status == "failed"
    assert "open for too long" in (run.error or "")
    other.rollback()
    pair.epoch()
    pair.check_versions()


def test_a_merge_that_is_open_is_waited_for(pair: Pair, other: Connection) -> None:
    """It holds its graph, so that already the start of the run waits."""
    edge = (pair.supervoxels[0], pair.supervoxels[40])
    edit = local.merge(other, pair.name, [edge], strict=False)
    started: list[int] = []
    thread = Thread(target=lambda: started.append(pair.begin()))
    thread.start()
    waiting = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    while other.execute(waiting).fetchone() != (1,):
        assert thread.is_alive()
        other.execute("SELECT pg_stat_clear_snapshot()")
    other.commit()
    thread.join()
    pair.world.graph.merge([edge], at=edit.at, strict=False)
    finish(pair, started[0])
    pair.check_versions()


def test_a_merge_after_the_start_is_later_than_the_epoch(pair: Pair, other: Connection) -> None:
    run_id = pair.begin()
    edge = (pair.supervoxels[0], pair.supervoxels[40])
    edit = local.merge(other, pair.name, [edge], strict=False)
    time = runs.get(pair.conn, run_id).time
    assert time is not None
    assert edit.at > time
    finish(pair, run_id)  # with the merge still open
    other.commit()
    pair.world.graph.merge([edge], at=edit.at, strict=False)
    pair.check_versions()
    pair.epoch()


@pytest.mark.parametrize("phase", ["wait", "collect", "resolve", "apply", "index", None])
def test_a_writer_with_its_own_clock_enters_the_next_epoch(pair: Pair, phase: str | None) -> None:
    """Told late that a row came, and that another went, before the time of the epoch."""
    pair.insert([(3, 2, 2), (5, 3, 2), (1, 1, 1)], None)
    pair.merge(0, 40)
    run_id = pair.begin()
    time = runs.get(pair.conn, run_id).time
    assert time is not None
    earlier = time - timedelta(seconds=1)
    known = dict(pair.world.tables[pair.table])
    while phase_of(pair.conn, run_id) != (phase or "publish"):
        assert step(pair.conn, run_id)
    late = pair.put(earlier)
    pair.end(1, earlier)
    afterwards = dict(pair.world.tables[pair.table])
    if phase != "wait":  # what is told before it collects is still taken up
        pair.world.tables[pair.table] = known
    finish(pair, run_id)
    assert (late in ids_in(pair)) == (phase == "wait")
    pair.world.tables[pair.table] = afterwards
    pair.epoch()
    assert late in ids_in(pair)
    assert 1 not in ids_in(pair)
    pair.check_versions()
