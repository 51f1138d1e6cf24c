"""A past told at its own times, with something at every edge, judged by the oracle.

Everything happens at, just before or just after the times of three epochs that are made at
explicit times.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from machine.failing import failing
from psycopg import sql
from small_world import Pair, write_volume
from steps import step

from matengine.engine.versions import layout
from matengine.storage.connections import Connection
from matengine.testing.graph import as_edge

FIRST, SECOND, THIRD = (datetime(2026, 2, 1, 12, minute, tzinfo=UTC) for minute in range(3))
TICK, MS = timedelta(microseconds=1), timedelta(milliseconds=1)


def play(conn: Connection, folder: Path) -> None:
    """The whole scenario; raises AssertionError where a version is not the oracle's."""
    pair = Pair(conn, write_volume(folder / "volume"))
    for at in (FIRST, SECOND, THIRD):
        for offset in (-TICK, timedelta(0), TICK):
            around(pair, at, offset)
    in_one_statement(pair)
    graph(pair, FIRST)
    pair.epoch(at=FIRST)
    graph(pair, SECOND)
    pair.epoch(at=SECOND)
    pair.epoch(at=SECOND + MS)
    graph(pair, THIRD)
    pair.epoch(at=THIRD)
    unreadable(pair)
    pair.check_versions()


def around(pair: Pair, at: datetime, offset: timedelta) -> None:
    """Rows that begin and end close to a time; one that lives for a moment, one for none."""
    left, right = (2, 1, 2), (9, 6, 2)
    pair.put(at + offset, points=(left, right, left))
    pair.put(at - timedelta(seconds=5), at + offset, points=(right, left, left))
    pair.put(at + offset, at + offset + TICK)
    pair.put(at + offset, at + offset)


def in_one_statement(pair: Pair) -> None:
    """Rows of consecutive ids that begin and end at different times."""
    moments = [at + offset for at in (FIRST, SECOND, THIRD) for offset in (-TICK, TICK * 0, TICK)]
    found = pair.conn.execute(
        sql.SQL(
            "INSERT INTO {} (created, deleted, valid, pre_pt_position, post_pt_position,"
            " ctr_pt_position) SELECT a, b, b IS NULL, p, p, p"
            " FROM unnest(%s::timestamptz[], %s::timestamptz[]) AS m(a, b),"
            " ST_MakePoint(2, 1, 2) AS p RETURNING id"
        ).format(sql.Identifier(pair.table)),
        ([*moments, *[FIRST - MS] * len(moments)], [*[None] * len(moments), *moments]),
    ).fetchall()
    pair.conn.commit()
    pair._learn(pair.table, [row_id for (row_id,) in found])


def graph(pair: Pair, at: datetime) -> None:
    """Edits about a time: at it, one just before it and one just after it, then back again.

    Rows have the supervoxels of `left` and those of `right` at one point each.
    """
    left = [int(pair.voxels[x, 1, 2]) for x in (2, 6)]
    right = [int(pair.voxels[x, 6, 2]) for x in (5, 9)]
    pair.merge(*map(pair.supervoxels.index, left), at=at - MS)
    pair.merge(*map(pair.supervoxels.index, right), at=at)
    pair.split(sorted(pair.world.graph.edges).index(as_edge(*right)), at=at + MS)


def unreadable(pair: Pair) -> None:
    """Where the volume cannot be read, supervoxel and root are unknown, and are not 0.

    They are known as soon as it can be read again.
    """
    row_id = pair.put(THIRD + timedelta(seconds=1))
    with failing("volume", tries=1):
        run_id = pair.begin(at=THIRD + timedelta(seconds=2))
        while step(pair.conn, run_id):
            pass
    assert unknown(pair, row_id) == (True, True), "a failure was stored as a supervoxel or root"
    pair.epoch(at=THIRD + timedelta(seconds=3))
    assert unknown(pair, row_id) == (False, False), "a failure was not healed"


def unknown(pair: Pair, row_id: int) -> tuple[bool, ...]:
    """Whether the newest version does not know a row's supervoxel and root."""
    history = layout.layout_of(pair.conn, pair.table, pair.name).history
    row = pair.conn.execute(
        sql.SQL(
            "SELECT pre_pt_supervoxel_id IS NULL, pre_pt_root_id IS NULL FROM {}"
            " WHERE id = %s AND to_epoch = %s"
        ).format(history),
        (row_id, layout.OPEN),
    ).fetchone()
    pair.conn.commit()
    assert row is not None, "a row is missing"
    return tuple(row)
