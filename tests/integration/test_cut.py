"""A version is one cut through time: whatever else happens while it is made, and whoever reads."""

import itertools
from collections.abc import Callable

import psycopg
from psycopg import sql
from small_world import Pair
from steps import step

from matengine.engine.versions import catalogue
from matengine.storage.connections import Connection, conninfo_of, open_connection

_SCANS = """
SELECT seq_scan, idx_scan FROM pg_stat_user_tables WHERE schemaname = 'history' AND relname = %s
"""


def test_changes_after_the_cut_are_for_the_next_version(pair: Pair) -> None:
    """One of every kind after each step of the run; the oracle knows which of them are later."""
    changes: itertools.cycle[Callable[[], None]] = itertools.cycle(
        [
            lambda: pair.delete(1),
            lambda: pair.move(2, (9, 9, 9)),
            lambda: pair.insert([(2, 9, 1), (3, 9, 1), (2, 9, 2)], 0.0),
            lambda: pair.merge(3, 50),
            lambda: pair.split(7),
            lambda: pair.note(0),
        ]
    )
    run_id = pair.begin()
    for _ in range(6):
        next(changes)()
    while step(pair.conn, run_id):
        next(changes)()
    pair.finish(run_id)
    pair.epoch()
    before, after = (set(pair.versions[v][1][pair.table]["id"].to_pylist()) for v in (4, 5))
    assert before - after
    assert after - before
    pair.check_versions()


def test_whether_a_row_is_called_valid_decides_nothing(pair: Pair) -> None:
    for x in range(3):
        pair.insert([(x, 2, 2), (5, x, 2), (1, 1, 1)], 1.0)
    for row_id, valid in zip(
        sorted(pair.world.tables[pair.table])[-3:], (None, False, True), strict=True
    ):
        pair.conn.execute(
            sql.SQL("UPDATE {} SET valid = %s WHERE id = %s").format(sql.Identifier(pair.table)),
            (valid, row_id),
        )
    pair.epoch()  # compared with the oracle, which knows times only
    pair.delete(0)
    pair.epoch()


def test_what_refers_to_a_superseded_annotation_stays(pair: Pair) -> None:
    """Nothing is removed with the old annotation, from the live tables or from a version."""
    synapses = pair.world.tables[pair.table]
    living = [i for i, annotation in sorted(synapses.items()) if annotation.deleted is None]
    target = living[0]
    pair.note(sorted(synapses).index(target))
    pair.epoch()
    pair.move(0, (8, 8, 8))
    pair.epoch()
    shown = [pair.versions[version][1] for version in (4, 5)]
    assert [target in version[pair.table]["id"].to_pylist() for version in shown] == [True, False]
    assert all(target in version[pair.notes]["target_id"].to_pylist() for version in shown)


def test_an_epoch_of_nothing_writes_nothing(pair: Pair) -> None:
    pair.epoch()
    told = catalogue.tables_at(pair.conn, pair.name, 5)
    assert told
    assert {(t.rows_added, t.rows_closed) for t in told} == {(0, 0)}
    units = pair.conn.execute("SELECT count(*) FROM matengine.unit WHERE run_id = 5").fetchone()
    assert units == (0,)


def test_an_epoch_does_not_scan_the_history(pair: Pair) -> None:
    """One this small would be scanned, did the engine leave it to PostgreSQL."""
    pair.insert([(2, 9, 1), (3, 9, 1), (2, 9, 2)], 0.0)
    pair.delete(2)
    pair.merge(10, 70)
    scanned, by_index = scans(pair)
    run_id = pair.begin()
    while step(pair.conn, run_id):
        pass
    after = scans(pair)
    assert after[0] == scanned
    assert after[1] > by_index
    pair.finish(run_id)


def scans(pair: Pair) -> tuple[int, int]:
    """How often the synapses' history was scanned, and read by an index."""
    pair.conn.execute("SELECT pg_stat_force_next_flush()")
    pair.conn.commit()
    row = pair.conn.execute(_SCANS, (f"{pair.table}__{pair.name}",)).fetchone()
    pair.conn.commit()
    assert row is not None
    return int(row[0]), int(row[1])


def test_nobody_is_cut_off_or_kept_waiting(pair: Pair) -> None:
    """A reader and a writer in the midst of their transactions while an epoch is made."""
    pair.delete(0)
    with open_connection(conninfo_of(pair.conn)) as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        shown = rows_of(reader, pair)
        run_id = pair.begin()
        with open_connection(conninfo_of(pair.conn)) as writer:
            writer.execute(sql.SQL("UPDATE {} SET size = size").format(sql.Identifier(pair.table)))
            while step(pair.conn, run_id):
                pass
            writer.rollback()
        pair.finish(run_id)
        assert rows_of(reader, pair) == shown


def rows_of(conn: Connection, pair: Pair) -> list[tuple[int, ...]]:
    """What the SQL schema of version 3 shows."""
    view = sql.Identifier(f"{pair.name}__mat3", pair.table)
    return conn.execute(sql.SQL("SELECT * FROM {} ORDER BY id").format(view)).fetchall()
