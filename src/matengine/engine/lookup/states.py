"""What is known of each point's lookup: pending, resolved, background, or failed and why.

States are as of the newest epoch; what came later is pending. Whatever failed when it was last
tried has failed, also where that epoch was not published. A failure is never stored as 0: 0 is
background, which was looked up and found empty.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row, kwargs_row

from matengine.engine import datastacks
from matengine.engine.annotations import tables
from matengine.engine.versions import layout
from matengine.storage.connections import Connection


class State(StrEnum):
    """The state of a point's lookup."""

    PENDING = "pending"  # no epoch has taken the row up yet
    RESOLVED = "resolved"  # supervoxel and root are known
    BACKGROUND = "background"  # there is no supervoxel under the point: both are 0
    RETRYABLE = "failed-retryable"  # the next epoch tries again
    PERMANENT = "failed-permanent"  # tried too often; tried again on request only


@dataclass(frozen=True)
class Counts:
    """How many rows of a table are in each state at one of its points, such as `pre_pt`."""

    table: str
    point: str
    pending: int
    resolved: int
    background: int
    failed_retryable: int
    failed_permanent: int


@dataclass(frozen=True)
class Failure:
    """A lookup that failed: `attempts` epochs tried it, the last one for roots `as_of` a time."""

    table: str
    id: int
    point: str
    state: State
    reason: str
    attempts: int
    as_of: datetime


@dataclass(frozen=True)
class Lookup:
    """The state of one point of a row.

    `supervoxel_id` and `root_id` are 0 for background and None where they are not known. Roots
    are those `as_of` the newest epoch; a failure tells when it was tried for, and why it failed.
    """

    id: int
    point: str
    state: State
    supervoxel_id: int | None
    root_id: int | None
    attempts: int
    reason: str | None
    as_of: datetime | None


_FAILURES = """
SELECT f.table_name AS "table", f.id, f.point, f.permanent, f.reason, f.attempts, f.as_of
FROM matengine.lookup_failure AS f JOIN public.annotation_table_metadata AS m USING (table_name)
WHERE f.datastack = %(datastack)s AND (%(table)s::text IS NULL OR f.table_name = %(table)s)
  AND m.deleted IS NULL
ORDER BY 1, 2, 3 LIMIT %(limit)s
"""

_COUNTS = """
SELECT pending.n, shown.n - background.n - failed.shown, background.n, failed.retryable,
  failed.permanent
FROM
  (SELECT count(DISTINCT l.id) AS n
   FROM matengine.change AS c JOIN {live} AS l ON l.id BETWEEN c.first_id AND c.last_id
   WHERE c.datastack = {datastack} AND c.table_name = {name} AND c.kind = 'insert' AND {living}
     AND NOT EXISTS (SELECT FROM {history} AS h WHERE h.id = l.id AND {visible})
     AND NOT EXISTS (SELECT FROM matengine.lookup_failure AS f WHERE f.datastack = {datastack}
                     AND f.table_name = {name} AND f.id = l.id AND f.point = {point})) AS pending,
  (SELECT coalesce(max(row_count), 0) AS n FROM matengine.epoch_table
   WHERE datastack = {datastack} AND table_name = {name} AND epoch = {epoch}) AS shown,
  (SELECT count(*) AS n FROM {history} AS h WHERE h.{root} = 0 AND {visible}
   AND NOT EXISTS (SELECT FROM matengine.lookup_failure AS f WHERE f.datastack = {datastack}
                   AND f.table_name = {name} AND f.id = h.id AND f.point = {point})) AS background,
  (SELECT count(*) FILTER (WHERE f.permanent) AS permanent,
          count(*) FILTER (WHERE NOT f.permanent) AS retryable, count(h.id) AS shown
   FROM matengine.lookup_failure AS f LEFT JOIN {history} AS h ON h.id = f.id AND {visible}
   WHERE f.datastack = {datastack} AND f.table_name = {name} AND f.point = {point}) AS failed
"""

_ROWS = """
SELECT l.id, h.id IS NOT NULL AS shown, f.permanent, h.{supervoxel} AS supervoxel_id,
  h.{root} AS root_id, f.attempts, f.reason, coalesce(f.as_of, e.time) AS as_of
FROM {live} AS l
LEFT JOIN {history} AS h ON h.id = l.id AND {visible}
LEFT JOIN matengine.epoch AS e ON h.id IS NOT NULL
  AND e.datastack = {datastack} AND e.epoch = {epoch}
LEFT JOIN matengine.lookup_failure AS f ON f.datastack = {datastack} AND f.table_name = {name}
  AND f.id = l.id AND f.point = {point}
WHERE l.id = ANY(%s) AND (h.id IS NOT NULL OR {living}) ORDER BY l.id
"""


def counts(conn: Connection, datastack: str, table: str) -> list[Counts]:
    """The states of a table's lookups, point by point; raises NotFound.

    The cost is that of what is pending, has failed or lies in background.
    """
    told = []
    for point, query in _queries(conn, datastack, table, _COUNTS):
        row = conn.execute(query).fetchone()
        assert row is not None
        told.append(Counts(table, point, *row))
    return told


def failures(
    conn: Connection, datastack: str, table: str | None = None, *, limit: int | None = None
) -> list[Failure]:
    """Lookups that have failed, of one table or all, by table and id; raises NotFound."""
    if table is not None:
        check(conn, datastack, table)
    with conn.cursor(row_factory=kwargs_row(_failure)) as cursor:
        names = {"datastack": datastack, "table": table, "limit": limit}
        return cursor.execute(_FAILURES, names).fetchall()


def check(conn: Connection, datastack: str, table: str) -> None:
    """Raise NotFound where there is no such datastack or table."""
    datastacks.get(conn, datastack)
    tables.get_metadata(conn, table)


def _failure(*, point: str, permanent: bool, **rest: Any) -> Failure:
    return Failure(point=_short(point), state=failed(permanent=permanent), **rest)


def failed(*, permanent: bool) -> State:
    """The state of a lookup that failed."""
    return State.PERMANENT if permanent else State.RETRYABLE


def of_rows(conn: Connection, datastack: str, table: str, ids: Sequence[int]) -> list[Lookup]:
    """The states of some rows' points; ids that have no row are left out. Raises NotFound."""
    told = []
    for point, query in _queries(conn, datastack, table, _ROWS):
        with conn.cursor(row_factory=dict_row) as cursor:
            found = cursor.execute(query, (list(ids),)).fetchall()
        told += [_lookup(point, **row) for row in found]
    return sorted(told, key=lambda lookup: lookup.id)


def _lookup(
    point: str, *, shown: bool, permanent: bool | None, attempts: int | None, **row: Any
) -> Lookup:
    if permanent is not None:
        state = failed(permanent=permanent)
    elif not shown:
        state = State.PENDING
    else:
        state = State.RESOLVED if row["supervoxel_id"] else State.BACKGROUND
    return Lookup(point=point, state=state, attempts=attempts or 0, **row)


def _queries(
    conn: Connection, datastack: str, table: str, template: str
) -> Iterator[tuple[str, sql.Composed]]:
    """A query for each point of a table, as of the newest sealed epoch."""
    where = layout.layout_of(conn, table, datastacks.get(conn, datastack).segmentation.name)
    row = conn.execute(
        "SELECT coalesce(max(epoch), 0), to_regclass(%s) IS NOT NULL FROM matengine.epoch"
        " WHERE datastack = %s AND sealed IS NOT NULL",
        (where.history.as_string(conn), datastack),
    ).fetchone()
    assert row is not None
    epoch, has_history = row
    for position, supervoxel, root in zip(
        where.positions, where.supervoxels, where.roots, strict=True
    ):
        names = {"supervoxel": sql.Identifier(supervoxel), "root": sql.Identifier(root)}
        yield (
            _short(position),
            sql.SQL(template).format(
                **names,
                live=where.live,
                history=where.history if has_history else sql.SQL(_NO_HISTORY).format(**names),
                visible=layout.visible("h", epoch),
                living=sql.SQL("(l.deleted IS NULL OR l.deleted > now())"),
                datastack=sql.Literal(datastack),
                name=sql.Literal(table),
                epoch=sql.Literal(epoch),
                point=sql.Literal(position),
            ),
        )


# of a table that no epoch has taken up yet
_NO_HISTORY = """
(SELECT 0::bigint AS id, 0::bigint AS {supervoxel}, 0::bigint AS {root}, 0 AS from_epoch,
  0 AS to_epoch WHERE false)
"""


def _short(position: str) -> str:
    """The point of a position column."""
    return position.removesuffix("_position")
