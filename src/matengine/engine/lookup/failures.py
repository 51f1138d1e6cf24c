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

_SETTLE = """
WITH tried AS (
  SELECT f.*, h.id IS NOT NULL AS missing, g.from_epoch AS since,
    ROW(g.reason, g.permanent, g.attempts, g.as_of)
      IS NOT DISTINCT FROM ROW(f.reason, f.permanent, f.attempts, f.as_of) AS as_before
  FROM matengine.lookup_failure AS f
  LEFT JOIN {history} AS h ON h.id = f.id AND h.to_epoch = {open} AND ({unknown})
  LEFT JOIN matengine.gap AS g ON g.datastack = f.datastack AND g.table_name = f.table_name
    AND g.id = f.id AND g.point = f.point AND g.to_epoch = {open}
  WHERE f.datastack = {datastack} AND f.table_name = {name} AND f.epoch IS NOT NULL),
ended AS (
  UPDATE matengine.gap AS g SET to_epoch = {epoch} FROM tried AS t
  WHERE g.datastack = t.datastack AND g.table_name = t.table_name AND g.id = t.id
    AND g.point = t.point AND g.from_epoch = t.since AND NOT (t.missing AND t.as_before)),
begun AS (
  INSERT INTO matengine.gap (datastack, table_name, id, point, from_epoch, reason, permanent,
                             attempts, as_of)
  SELECT datastack, table_name, id, point, {epoch}, reason, permanent, attempts, as_of
  FROM tried WHERE missing AND (since IS NULL OR NOT as_before)),
healed AS (
  DELETE FROM matengine.lookup_failure AS f USING tried AS t
  WHERE f.datastack = t.datastack AND f.table_name = t.table_name AND f.id = t.id
    AND f.point = t.point AND NOT t.missing)
UPDATE matengine.lookup_failure AS f SET epoch = NULL FROM tried AS t
WHERE f.datastack = t.datastack AND f.table_name = t.table_name AND f.id = t.id
  AND f.point = t.point AND t.missing
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
    conn.execute(
        "UPDATE matengine.lookup_failure AS f SET epoch = %s FROM unnest(%s::bigint[]) AS tried(id)"
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
    if not table.roots:
        return
    unknown = sql.SQL(" OR ").join(
        sql.SQL("f.point = {point} AND h.{root} IS NULL").format(
            point=sql.Literal(position), root=sql.Identifier(root)
        )
        for position, root in zip(table.positions, table.roots, strict=True)
    )
    conn.execute(
        sql.SQL(_SETTLE).format(
            history=table.history,
            unknown=unknown,
            open=sql.Literal(OPEN),
            datastack=sql.Literal(run.datastack),
            name=sql.Literal(table.table),
            epoch=sql.Literal(run.epoch),
        )
    )


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
