"""Compaction: the same versions in another order, whoever reads, whatever dies."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql
from small_world import Pair

from matengine.engine.query import answer
from matengine.engine.query.model import Query
from matengine.engine.runs import engine, runs, units
from matengine.engine.runs.runs import Run
from matengine.engine.versions import compact, dropping, exchange, garbage, layout, rewrite, sweep
from matengine.engine.versions.layout import Layout
from matengine.errors import Conflict, NotFound
from matengine.storage.connections import Connection, conninfo_of, open_connection


def table_of(pair: Pair) -> Layout:
    return layout.layout_of(pair.conn, pair.table, pair.name)


def work(pair: Pair) -> Run:
    """Compact the synapses to the end of the run."""
    run_id = compact.start(pair.conn, pair.name, [pair.table])
    return engine.drive(conninfo_of(pair.conn), run_id)


def ask(conn: Connection, statement: str, table: Layout) -> list[tuple[Any, ...]]:
    return conn.execute(
        sql.SQL(statement).format(
            history=table.history, name=sql.Literal(table.history.as_string(conn))
        )
    ).fetchall()


INDEXES = "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = {name}::regclass"
TRIGGERS = (
    "SELECT tgname, tgtype, tgfoid, tgargs FROM pg_trigger WHERE tgrelid = {name}::regclass"
    " ORDER BY 1"
)
COLUMNS = (
    "SELECT attname, atttypid, atttypmod, attnotnull, attnum, pg_get_expr(adbin, adrelid)"
    " FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum"
    " WHERE attrelid = {name}::regclass AND attnum > 0 ORDER BY attnum"
)
OPTIONS = "SELECT reloptions FROM pg_class WHERE oid = {name}::regclass"
ROWS = "SELECT h::text FROM {history} AS h ORDER BY 1"
PLACES = "SELECT coalesce(post_pt_root_id, 0), id, from_epoch FROM {history} ORDER BY ctid"
RELATIONS = (
    "SELECT relname, relkind FROM pg_class WHERE relnamespace = 'history'::regnamespace ORDER BY 1"
)


def test_the_rows_lie_in_the_order_of_roots_and_all_else_is_as_before(pair: Pair) -> None:
    table = table_of(pair)
    statements = (TRIGGERS, COLUMNS, OPTIONS, ROWS)
    before = [ask(pair.conn, s, table) for s in statements]
    indexes = {d for (d,) in ask(pair.conn, INDEXES, table)}
    places = ask(pair.conn, PLACES, table)
    assert places != sorted(places)
    pair.conn.commit()
    assert work(pair).status == "done"
    assert [ask(pair.conn, s, table) for s in statements] == before
    assert ask(pair.conn, PLACES, table) == sorted(places)
    added = {d for (d,) in ask(pair.conn, INDEXES, table)} - indexes
    assert indexes < {d for (d,) in ask(pair.conn, INDEXES, table)}
    assert len(added) == 1
    assert "((from_epoch + 0))) WHERE ((from_epoch + 0) > 1)" in added.pop()
    pair.check_versions()
    names = ask(pair.conn, RELATIONS, table)
    pair.conn.commit()
    assert work(pair).status == "done"
    assert ask(pair.conn, RELATIONS, table) == names
    # guarded as ever, and open to the next epoch
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        ask(pair.conn, "DELETE FROM {history} RETURNING id", table)
    pair.conn.rollback()
    pair.move(0, (3, 3, 3))
    pair.epoch()
    pair.check_versions()


def test_an_index_that_somebody_added_stays(pair: Pair) -> None:
    table = table_of(pair)
    create = 'CREATE INDEX "my "" one" ON {history} USING gist (ctr_pt_position) WHERE id > 3'
    pair.conn.execute(sql.SQL(create).format(history=table.history))
    before = {d for (d,) in ask(pair.conn, INDEXES, table)}
    pair.conn.commit()
    assert work(pair).status == "done"
    assert before < {d for (d,) in ask(pair.conn, INDEXES, table)}


@pytest.mark.usefixtures("reading")
def test_readers_go_on(pair: Pair) -> None:
    """In one statement after the other, while it is done again."""
    for _ in range(3):
        assert work(pair).status == "done"


def test_a_snapshot_older_than_the_copy_sees_all_of_it(pair: Pair) -> None:
    query = answer.plan(pair.conn, pair.name, 2, Query(pair.table)).statement
    before = pair.conn.execute(query).fetchall()
    pair.conn.commit()
    with open_connection(conninfo_of(pair.conn)) as early:
        early.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        early.execute("SELECT 1")  # takes the snapshot
        assert work(pair).status == "done"
        assert early.execute(query).fetchall() == before != []


def test_where_readers_do_not_end_the_old_table_stays(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "WAIT_S", 0.3)
    monkeypatch.setattr(exchange, "PAUSE_S", 0.1)
    table = table_of(pair)
    before = ask(pair.conn, PLACES, table)
    pair.conn.commit()
    with open_connection(conninfo_of(pair.conn)) as reader:
        ask(reader, "SELECT id FROM {history} LIMIT 1", table)
        run = work(pair)
        assert run.status == "failed"
        assert "read the history" in (run.error or "")
        # and nobody stands in line
        assert ask(pair.conn, PLACES, table) == before
        pair.conn.commit()
    pair.check_versions()
    assert work(pair).status == "done"


DEATHS: dict[str, tuple[Any, str]] = {
    "after the copy": (rewrite, "_index"),
    "after the indexes": (exchange, "keep_readers_out"),
    "before the exchange": (exchange, "exchange"),
    "before the end": (units, "finish"),
}


@pytest.mark.parametrize("moment", DEATHS)
def test_a_dead_worker_leaves_the_old_table(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Its connection is cut; whoever takes the unit over does it."""
    module, name = DEATHS[moment]
    real: Callable[..., Any] = getattr(module, name)
    cut = []

    def die(conn: Connection, *arguments: Any) -> Any:
        if not cut:
            cut.append(conn.info.backend_pid)
            with open_connection(conninfo_of(conn), autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s, 5000)", (cut[0],))
        return real(conn, *arguments)

    monkeypatch.setattr(module, name, die)
    table = table_of(pair)
    places = ask(pair.conn, PLACES, table)
    names = ask(pair.conn, RELATIONS, table)
    pair.conn.commit()
    run_id = compact.start(pair.conn, pair.name, [pair.table])
    with pytest.raises(psycopg.OperationalError):
        engine.drive(conninfo_of(pair.conn), run_id)
    assert ask(pair.conn, PLACES, table) == places
    assert ask(pair.conn, RELATIONS, table) == names
    pair.check_versions()
    pair.conn.execute("UPDATE matengine.unit SET lease_until = now() WHERE state = 'working'")
    pair.conn.commit()
    assert engine.drive(conninfo_of(pair.conn), run_id).status == "done"
    assert ask(pair.conn, PLACES, table) == sorted(places)
    pair.check_versions()


def test_a_worker_that_lost_its_unit_changes_nothing(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = exchange.keep_readers_out

    def lose(conn: Connection, table: Layout, unit: units.Unit) -> None:
        with open_connection(conninfo_of(conn)) as other:
            engine.cancel(other, run_id)
        real(conn, table, unit)

    monkeypatch.setattr(exchange, "keep_readers_out", lose)
    before = ask(pair.conn, PLACES, table_of(pair))
    pair.conn.commit()
    run_id = compact.start(pair.conn, pair.name, [pair.table])
    assert engine.drive(conninfo_of(pair.conn), run_id).status == "cancelled"
    assert ask(pair.conn, PLACES, table_of(pair)) == before


def test_no_epoch_is_made_meanwhile(pair: Pair) -> None:
    run_id = compact.start(pair.conn, pair.name)
    with pytest.raises(Conflict):
        pair.begin()
    with pytest.raises(Conflict):
        compact.start(pair.conn, pair.name)
    pair.conn.rollback()
    engine.cancel(pair.conn, run_id)
    run_id = pair.begin()
    with pytest.raises(Conflict, match="making an epoch"):
        compact.start(pair.conn, pair.name)
    pair.conn.rollback()
    assert runs.get(pair.conn, run_id).status == "running"


def test_nothing_is_collected_meanwhile(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "LOCK_TIMEOUT", "100ms")
    dropping.drop(pair.conn, pair.name, 1)
    with open_connection(conninfo_of(pair.conn)) as other:
        other.execute(rewrite.ALONE.format(table_of(pair).history))
        with pytest.raises(Conflict, match="being written anew"):
            garbage.collect(pair.conn, pair.name, live_horizon=timedelta())
    pair.conn.rollback()
    del pair.versions[1]
    assert garbage.collect(pair.conn, pair.name, live_horizon=timedelta()).tables
    pair.check_versions()


def test_it_is_worth_it_where_the_file_has_much_to_spare(pair: Pair) -> None:
    """By estimate; and then the disk is the machine's again."""
    conn, table = pair.conn, table_of(pair)
    conn.execute("SET session_replication_role = replica")
    # tombstones, which no version shows
    columns = [c for c in rewrite.columns_of(table) if c not in ("id", "from_epoch", "to_epoch")]
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    conn.execute(
        sql.SQL(
            "INSERT INTO {h} (id, from_epoch, to_epoch, {names}) SELECT g, 2, 2, {names}"
            " FROM (SELECT * FROM {h} LIMIT 1) AS r, generate_series(1000, 30999) AS g"
        ).format(h=table.history, names=names)
    )
    conn.commit()

    def size_without(share: int) -> int:
        conn.execute(
            sql.SQL("DELETE FROM {} WHERE id >= 1000 AND id %% 100 < %s").format(table.history),
            (share,),
        )
        conn.commit()
        conn.autocommit = True
        conn.execute(sql.SQL("VACUUM {}").format(table.history))
        conn.autocommit = False
        return compact.sizes(conn, pair.name)[pair.table]

    full = size_without(5)
    assert compact.worthwhile(conn, pair.name) == []
    loose = size_without(30)
    assert loose == full
    assert compact.worthwhile(conn, pair.name) == [pair.table]
    conn.commit()
    assert work(pair).status == "done"
    assert compact.sizes(conn, pair.name)[pair.table] < 0.8 * full
    assert compact.worthwhile(conn, pair.name) == []
    pair.check_versions()


def test_what_cannot_be_compacted(pair: Pair) -> None:
    with pytest.raises(NotFound, match="no annotation table 'synapse'"):
        compact.start(pair.conn, pair.name, ["synapse"])
    with pytest.raises(NotFound, match="no datastack"):
        compact.start(pair.conn, "nobody")
