"""Lookups that failed: noted when they are tried, settled when the epoch is published.

A failure stands for a point whose supervoxel or root could not be found; what is stored of the
point is NULL, never 0. It is tried again by every epoch, until it has been tried `MAX_ATTEMPTS`
times: then it is permanent, and left alone until somebody asks for it (`retry`).

While an epoch is made, failures are only marked as tried by it. Publishing asks history which of
them still have no root: those stay and are entered as gaps of the version, the others have healed.
An epoch that is undone takes its marks away, and so changes nothing but the number of attempts.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from matengine.engine.runs.runs import Run
from matengine.engine.versions.layout import OPEN, Layout
from matengine.storage.connections import Connection

MAX_ATTEMPTS = 10  # epochs, each of which tries several times

_NOTE = """
INSERT INTO matengine.lookup_failure AS f
  (datastack, table_name, id, point, reason, as_of, epoch, permanent)
SELECT %(datastack)s, %(table)s, failed.id, failed.point, failed.reason, %(as_of)s, %(epoch)s,
  %(most)s <= 1
FROM unnest(%(ids)s::bigint[], %(points)s::text[], %(reasons)s::text[]) AS failed(id, point, reason)
ON CONFLICT (datastack, table_name, id, point) DO UPDATE SET reason = excluded.reason,
  as_of = excluded.as_of, epoch = excluded.epoch, attempts = f.attempts + 1,
  permanent = f.attempts + 1 >= %(most)s
"""

_ANY = """
SELECT EXISTS (SELECT FROM matengine.lookup_failure WHERE datastack = %s AND table_name = %s)
"""
_ANY_TRIED = """
SELECT EXISTS (SELECT FROM matengine.lookup_failure
  WHERE datastack = %s AND table_name = %s AND epoch IS NOT NULL)
"""

# what was tried: whether it is still missing, since when it is a gap, and whether as it was
_FIND_TRIED = """
CREATE TEMP TABLE tried ON COMMIT DROP AS
SELECT f.*, h.id IS NOT NULL AS missing, g.from_epoch AS since,
  ROW(g.reason, g.permanent, g.attempts, g.as_of)
    IS NOT DISTINCT FROM ROW(f.reason, f.permanent, f.attempts, f.as_of) AS as_before
FROM matengine.lookup_failure AS f
LEFT JOIN {history} AS h ON h.id = f.id AND h.to_epoch = {open} AND ({unknown})
LEFT JOIN LATERAL (
  SELECT * FROM matengine.gap AS o WHERE o.datastack = f.datastack AND o.table_name = f.table_name
    AND o.id = f.id AND o.point = f.point AND o.to_epoch = {open}
  OFFSET 0  -- one by one: on statistics from before there were gaps it would join them all
) AS g ON true
WHERE f.datastack = {datastack} AND f.table_name = {name} AND f.epoch IS NOT NULL;
ALTER TABLE pg_temp.tried ADD PRIMARY KEY (id, point);
ANALYZE pg_temp.tried
"""

_SETTLE = """
UPDATE matengine.gap AS g SET to_epoch = {epoch} FROM pg_temp.tried AS t
WHERE g.datastack = {datastack} AND g.table_name = {name} AND g.id = t.id AND g.point = t.point
  AND g.from_epoch = t.since AND NOT (t.missing AND t.as_before);

INSERT INTO matengine.gap (datastack, table_name, id, point, from_epoch, reason, permanent,
                           attempts, as_of)
SELECT datastack, table_name, id, point, {epoch}, reason, permanent, attempts, as_of
FROM pg_temp.tried WHERE missing AND (since IS NULL OR NOT as_before);

DELETE FROM matengine.lookup_failure AS f USING pg_temp.tried AS t
WHERE f.datastack = {datastack} AND f.table_name = {name} AND f.id = t.id AND f.point = t.point
  AND NOT t.missing;

UPDATE matengine.lookup_failure AS f SET epoch = NULL
WHERE f.datastack = {datastack} AND f.table_name = {name} AND f.epoch IS NOT NULL;

DROP TABLE pg_temp.tried
"""


def note(
    conn: Connection,
    table: Layout,
    run: Run,
    ids: NDArray[np.int64],
    failures: Sequence[tuple[int, str, str]],
) -> None:
    """Note that rows were tried by the run's epoch: `failures` are (id, position column, reason).

    `ids` (N,) int64 are all rows that were tried.
    """
    if conn.execute(_ANY, (run.datastack, table.table)).fetchone() == (True,):
        conn.execute(
            "UPDATE matengine.lookup_failure AS f SET epoch = %s"
            " FROM unnest(%s::bigint[]) AS tried(id)"
            " WHERE f.datastack = %s AND f.table_name = %s AND f.id = tried.id",
            (run.epoch, ids.tolist(), run.datastack, table.table),
        )
    if failures:
        rows, points, reasons = (list(column) for column in zip(*failures, strict=True))
        conn.execute(
            _NOTE,
            {
                "datastack": run.datastack,
                "table": table.table,
                "as_of": run.time,
                "epoch": run.epoch,
                "most": MAX_ATTEMPTS,
                "ids": rows,
                "points": points,
                "reasons": reasons,
            },
        )


def left_alone(
    conn: Connection, datastack: str, table: str, position: str, first: int | None, last: int | None
) -> NDArray[np.int64]:
    """The rows from `first` to `last` whose lookup at a point has failed for good, (N,) int64."""
    rows = conn.execute(
        "SELECT id FROM matengine.lookup_failure WHERE datastack = %s AND table_name = %s"
        " AND point = %s AND permanent AND id BETWEEN %s AND %s",
        (datastack, table, position, first, last),
    ).fetchall()
    return np.array([row_id for (row_id,) in rows], np.int64)


def settle(conn: Connection, table: Layout, run: Run) -> None:
    """Enter the gaps that the run's epoch begins and end those that it fills, before it is sealed.

    The cost is that of the lookups that it tried.
    """
    if conn.execute(_ANY_TRIED, (run.datastack, table.table)).fetchone() == (False,):
        return
    unknown = sql.SQL(" OR ").join(
        sql.SQL("f.point = {point} AND h.{root} IS NULL").format(
            point=sql.Literal(position), root=sql.Identifier(root)
        )
        for position, root in zip(table.positions, table.roots, strict=True)
    )
    names = {
        "history": table.history,
        "unknown": unknown,
        "open": sql.Literal(OPEN),
        "datastack": sql.Literal(run.datastack),
        "name": sql.Literal(table.table),
        "epoch": sql.Literal(run.epoch),
    }
    for statements in (_FIND_TRIED, _SETTLE):
        conn.execute(sql.SQL(statements).format(**names))


def take_back(conn: Connection, run: Run) -> None:
    """What an undone epoch has tried is as it was, but for the number of attempts."""
    conn.execute(
        "UPDATE matengine.lookup_failure SET epoch = NULL WHERE datastack = %s AND epoch = %s",
        (run.datastack, run.epoch),
    )


def retry(
    conn: Connection, datastack: str, table: str | None = None, ids: Sequence[int] | None = None
) -> int:
    """Let the next epoch try permanent failures again, all or some; gives their number."""
    return conn.execute(
        "UPDATE matengine.lookup_failure SET permanent = false, attempts = 0"
        " WHERE datastack = %(datastack)s AND permanent"
        " AND (%(table)s::text IS NULL OR table_name = %(table)s)"
        " AND (%(ids)s::bigint[] IS NULL OR id = ANY(%(ids)s))",
        {"datastack": datastack, "table": table, "ids": None if ids is None else list(ids)},
    ).rowcount
