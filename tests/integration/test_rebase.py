"""An epoch that writes a table anew: the same versions as row by row, whoever reads, what dies."""

import random
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import boundaries
import psycopg
import pytest
from cutting import Cut, cut_connection
from psycopg import sql
from small_world import Pair
from steps import work_until

from matengine.engine.query import answer, diff
from matengine.engine.query.model import Query
from matengine.engine.runs import engine, runs
from matengine.engine.runs.units import Unit
from matengine.engine.versions import (
    compact,
    dropping,
    exchange,
    garbage,
    layout,
    rebase,
    verify,
)
from matengine.engine.versions.layout import Layout
from matengine.storage.connections import Connection, conninfo_of, open_connection

ROWS = "SELECT h::text FROM {history} AS h ORDER BY 1"
PLACES = "SELECT coalesce(post_pt_root_id, 0), id, from_epoch FROM {history} ORDER BY ctid"
INDEXES = (
    "SELECT indexrelid::regclass::text, indisvalid FROM pg_index"
    " WHERE indrelid = {name}::regclass ORDER BY 1"
)
TRIGGERS = (
    "SELECT tgname, tgtype, tgfoid, tgargs FROM pg_trigger WHERE tgrelid = {name}::regclass"
    " ORDER BY 1"
)
RELATIONS = (
    "SELECT relname, relkind FROM pg_class"
    " WHERE relnamespace IN ('history'::regnamespace, 'staging'::regnamespace) ORDER BY 1"
)


@pytest.fixture(autouse=True)
def whatever_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every epoch that changes any row of a table rebases it."""
    monkeypatch.setattr(rebase, "LEAST", 0)
    monkeypatch.setattr(rebase, "SHARE", 0.0)


@pytest.fixture
def rows(pair: Pair) -> list[tuple[Any, ...]]:
    """The synapses' row versions before the run."""
    return ask(pair.conn, ROWS, table_of(pair))


@pytest.fixture
def begun(pair: Pair, rows: list[tuple[Any, ...]]) -> int:
    """A run that is about to rebase."""
    pair.stir(random.Random(5), 6, 4)
    run_id = pair.begin()
    work_until(pair.conn, run_id, "apply")
    assert kinds(pair.conn, run_id) >= {rebase.KIND}
    assert "apply" not in kinds(pair.conn, run_id)
    return run_id


def table_of(pair: Pair) -> Layout:
    return layout.layout_of(pair.conn, pair.table, pair.name)


def ask(conn: Connection, statement: str, table: Layout) -> list[tuple[Any, ...]]:
    found = conn.execute(
        sql.SQL(statement).format(
            history=table.history, name=sql.Literal(table.history.as_string(conn))
        )
    ).fetchall()
    conn.commit()
    return found


def kinds(conn: Connection, run_id: int) -> set[str]:
    found = conn.execute("SELECT kind FROM matengine.unit WHERE run_id = %s", (run_id,))
    answer = {kind for (kind,) in found}
    conn.commit()
    return answer


def unit_of(pair: Pair, run_id: int) -> int:
    """The unit that rebases the synapses, ready to be tried."""
    row = pair.conn.execute(
        "UPDATE matengine.unit SET lease_until = NULL, attempts = 0"
        " WHERE run_id = %s AND kind = %s AND table_name = %s RETURNING unit_id",
        (run_id, rebase.KIND, pair.table),
    ).fetchone()
    pair.conn.commit()
    assert row is not None
    return int(row[0])


def drive(pair: Pair, run_id: int) -> None:
    engine.drive(conninfo_of(pair.conn), run_id)
    pair.finish(run_id)


def test_versions_are_the_oracles(pair: Pair, begun: int) -> None:
    """Old ones too; and what comes after, by any way, goes on from there."""
    table, dice = table_of(pair), random.Random(6)
    guards = ask(pair.conn, TRIGGERS, table)
    indexes = ask(pair.conn, INDEXES, table)
    drive(pair, begun)
    places = ask(pair.conn, PLACES, table)
    assert places == sorted(places)
    pair.check_versions()
    assert ask(pair.conn, TRIGGERS, table) == guards
    assert {i for i, valid in ask(pair.conn, INDEXES, table) if valid} - {
        i for i, _ in indexes
    } == {f"history.{table.name}__changed"}
    assert {i for i, _ in indexes} <= {i for i, _ in ask(pair.conn, INDEXES, table)}
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        ask(pair.conn, "DELETE FROM {history} RETURNING id", table)
    pair.conn.rollback()
    for share in (float("inf"), 0.0):  # row by row, anew
        rebase.SHARE = share
        pair.stir(dice, 3, 2)
        pair.epoch()
    pair.check_versions()
    newest = max(pair.versions)
    assert all(t.right for v in pair.versions for t in verify.verify(pair.conn, pair.name, v))
    judge_diff(pair, 1, newest)
    judge_diff(pair, newest - 1, newest)
    for version in (1, 3):
        dropping.drop(pair.conn, pair.name, version)
        del pair.versions[version]
    assert garbage.collect(pair.conn, pair.name, live_horizon=timedelta()).tables
    pair.check_versions()
    compaction = compact.start(pair.conn, pair.name)
    assert engine.drive(conninfo_of(pair.conn), compaction).status == "done"
    pair.check_versions()


def judge_diff(pair: Pair, old: int, new: int) -> None:
    """What differs between two versions is what their rows say."""
    before, after = (
        {row["id"]: row for row in pair.versions[v][1][pair.table].to_pylist()} for v in (old, new)
    )
    found = diff.read(pair.conn, diff.between(pair.conn, pair.name, pair.table, old, new))
    assert found["id"].to_pylist() == sorted(
        i for i in before.keys() | after.keys() if before.get(i) != after.get(i)
    )
    pair.conn.commit()


def test_every_edge_of_an_epoch(conn: Connection, tmp_path: Path) -> None:
    """Times on and around those of epochs; lookups that fail, and heal."""
    boundaries.play(conn, tmp_path)


def test_what_is_large_enough(pair: Pair, begun: int, monkeypatch: pytest.MonkeyPatch) -> None:
    table, run = table_of(pair), runs.get(pair.conn, begun)
    (staged,) = pair.conn.execute(
        sql.SQL("SELECT count(*) FROM {}").format(table.staged(run.epoch))
    ).fetchone() or (0,)
    rows = pair.versions[max(pair.versions)][1][pair.table].num_rows
    for share, least, expected in (
        (staged / rows, staged, True),
        (staged / rows, staged + 1, False),
        (staged / rows + 0.001, staged, False),
    ):
        monkeypatch.setattr(rebase, "SHARE", share)
        monkeypatch.setattr(rebase, "LEAST", least)
        assert rebase.due(pair.conn, run, table) is expected


def test_cut_off_at_any_statement(pair: Pair, begun: int) -> None:
    """All of it is there or nothing, whichever statement or commit is the last; every other one."""
    table, conninfo = table_of(pair), conninfo_of(pair.conn)
    before = [ask(pair.conn, s, table) for s in (ROWS, PLACES, RELATIONS)]
    cuts = 0
    for after in range(0, 200, 2):
        unit_id = unit_of(pair, begun)
        try:
            with cut_connection(conninfo, after=after) as conn:
                engine.execute(conn, unit_id)
            break
        except (psycopg.OperationalError, Cut):
            cuts += 1
        if [ask(pair.conn, s, table) for s in (ROWS, PLACES, RELATIONS)] != before:
            break  # the answer to the commit was lost
    assert cuts > 12
    drive(pair, begun)
    pair.check_versions()
    places = ask(pair.conn, PLACES, table)
    assert places == sorted(places)


def test_undone_after_it(pair: Pair, begun: int, rows: list[tuple[Any, ...]]) -> None:
    work_until(pair.conn, begun, "index")
    places = ask(pair.conn, PLACES, table_of(pair))
    assert places == sorted(places)
    engine.cancel(pair.conn, begun)
    assert ask(pair.conn, ROWS, table_of(pair)) == rows
    pair.check_versions()
    pair.epoch()
    pair.check_versions()


def test_cancelled_in_the_midst_of_it(
    pair: Pair, begun: int, rows: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelling holds its unit, and waits until it has let go of the staged rows."""
    real = exchange.keep_readers_out
    cancelling: list[threading.Thread] = []

    def cancel() -> None:
        with open_connection(conninfo_of(pair.conn)) as other:
            engine.cancel(other, begun)

    def lose(conn: Connection, table: Layout, unit: Unit) -> None:
        cancelling.append(threading.Thread(target=cancel))
        cancelling[0].start()
        wait_for_a_waiter(conn)
        real(conn, table, unit)

    monkeypatch.setattr(exchange, "keep_readers_out", lose)
    with open_connection(conninfo_of(pair.conn)) as conn:
        assert engine.execute(conn, unit_of(pair, begun))
    cancelling[0].join()
    assert runs.get(pair.conn, begun).status == "cancelled"
    assert ask(pair.conn, ROWS, table_of(pair)) == rows
    assert kinds(pair.conn, begun) >= {rebase.KIND}
    pair.check_versions()


def wait_for_a_waiter(conn: Connection) -> None:
    """Until another process waits for a lock of this one."""
    waiting = (
        "SELECT EXISTS (SELECT FROM pg_locks"
        " WHERE NOT granted AND %s = ANY (pg_blocking_pids(pid)))"
    )
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if (conn.execute(waiting, (conn.info.backend_pid,)).fetchone() or (False,))[0]:
            return
        time.sleep(0.01)
    raise AssertionError("nobody waits")


def test_where_readers_do_not_end_it_goes_row_by_row(
    pair: Pair, begun: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "WAIT_S", 0.2)
    monkeypatch.setattr(exchange, "PAUSE_S", 0.1)
    with open_connection(conninfo_of(pair.conn)) as reader:
        reader.execute(sql.SQL("SELECT id FROM {} LIMIT 1").format(table_of(pair).history))
        drive(pair, begun)
    assert "apply" in kinds(pair.conn, begun)
    pair.check_versions()


def test_readers_go_on(pair: Pair, begun: int, reading: list[int]) -> None:
    """Also one whose snapshot is older than the new table."""
    query = answer.plan(pair.conn, pair.name, 2, Query(pair.table)).statement
    before = pair.conn.execute(query).fetchall()
    pair.conn.commit()
    with open_connection(conninfo_of(pair.conn)) as early:
        early.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        early.execute("SELECT 1")  # takes the snapshot
        drive(pair, begun)
        assert early.execute(query).fetchall() == before != []
    for _ in range(2):
        pair.stir(random.Random(1), 2, 1)
        pair.epoch()
    pair.check_versions()
