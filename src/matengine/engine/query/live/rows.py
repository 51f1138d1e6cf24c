"""The rows of an overlay: what they are at the moment, with the roots that they have there."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from psycopg import sql

from matengine.engine.datastacks import Segmentation
from matengine.engine.lookup.supervoxels import supervoxels
from matengine.engine.query.live import base
from matengine.engine.query.live.base import Gulf
from matengine.engine.versions import layout, resolve
from matengine.engine.versions.layout import OPEN, Layout
from matengine.engine.versions.resolve import Rows
from matengine.segmentation.chunkedgraph.protocol import ChunkedGraph
from matengine.storage.connections import Connection
from matengine.storage.copy import copy_columns

# points that one question may have looked up in the volume; those beyond have root 0 until then
MOST_LOOKUPS = 5_000


@dataclass(frozen=True)
class Written:
    """How many rows there are in a step: new ones, those without a root that is known, closed."""

    rows: int
    unresolved: int
    closed: int = 0
    closed_unresolved: int = 0


def create(conn: Connection, table: Layout, name: str) -> None:
    """Make the table `live.name`, without indexes.

    It has the columns of a version's rows; `shown`, false for ids that the moment does not show;
    `known`, false where a root is not known yet, though there may be one; and its steps.
    """
    conn.execute(
        sql.SQL(
            "CREATE UNLOGGED TABLE {} WITH (fillfactor = 90) AS SELECT {}, true AS shown,"
            " true AS known, 0 AS from_step, 0 AS to_step FROM {} LIMIT 0"
        ).format(sql.Identifier("live", name), layout.names_of(table), table.history)
    )


def copy(conn: Connection, source: str, step: int, name: str) -> None:
    """Fill a new table with the rows of a step of another one, as its step 1."""
    columns = sql.SQL(", ").join(
        sql.Identifier(column)
        for (column,) in conn.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
            " AND attname NOT IN ('from_step', 'to_step') ORDER BY attnum",
            (f'live."{source}"',),
        )
    )
    conn.execute(
        sql.SQL(
            "INSERT INTO {target} ({columns}, from_step, to_step) SELECT {columns}, 1, {open}"
            " FROM {source} WHERE from_step <= {step} AND to_step > {step}"
        ).format(
            target=sql.Identifier("live", name),
            source=sql.Identifier("live", source),
            columns=columns,
            step=sql.Literal(step),
            open=sql.Literal(OPEN),
        )
    )


def index(conn: Connection, table: Layout, name: str) -> None:
    """Make the indexes of a table that has its first rows."""
    target = sql.Identifier("live", name)
    for column in ("id", *table.roots):
        conn.execute(sql.SQL("CREATE INDEX ON {} ({})").format(target, sql.Identifier(column)))
    # rows of the ground are looked for by it one by one, in half the time
    conn.execute(sql.SQL("CREATE INDEX ON {} USING hash (id)").format(target))
    conn.execute(sql.SQL("CREATE INDEX ON {} (from_step) WHERE NOT known").format(target))
    conn.execute(sql.SQL("ANALYZE {}").format(target))


def write(
    conn: Connection,
    table: Layout,
    gulf: Gulf,
    datastack: str,
    segmentation: Segmentation,
    graph: ChunkedGraph,
    name: str,
    step: int,
) -> Written:
    """Write the rows in pg_temp.candidate as a step of a table; asks the chunkedgraph once."""
    conn.execute(_CLASSIFY.format(**_names(table, gulf, datastack)))
    rows = _read(conn, table)
    _look_up(conn, table, rows, segmentation)
    resolve.find_roots(rows, graph, gulf.segmentation)
    closed, closed_unresolved = _close(conn, name, step) if step > 1 else (0, 0)
    complete = np.all(rows.rooted, axis=0) if rows.rooted else np.ones(len(rows.ids), np.bool_)
    written = _fill(conn, table, gulf, rows, complete, name, step)
    unresolved = int(np.count_nonzero(~complete))
    return Written(written, unresolved, closed, closed_unresolved)


# What an epoch shows has its values in history, unless the live table has another row of that id.
# A row that is in neither of the two epochs around a moment counts if it ended between them. What
# was looked up ahead of a row that strayed is another row's, or another point's.
_CLASSIFY = sql.SQL("""
CREATE TEMP TABLE classified ON COMMIT DROP AS
SELECT c.id, kept, coalesce({shown}, false) AS shown {supervoxels}
FROM pg_temp.candidate AS c LEFT JOIN {live} AS l USING (id)
LEFT JOIN LATERAL {past} AS h ON true
CROSS JOIN LATERAL (SELECT {kept} AS kept) AS s
LEFT JOIN {lookups} AS k ON k.id = c.id AND NOT EXISTS (
  SELECT FROM matengine.strayed AS d
  WHERE d.table_name = {table} AND k.id BETWEEN d.first_id AND d.last_id);
CREATE UNIQUE INDEX ON pg_temp.classified (id);
ANALYZE pg_temp.classified
""")

_FROZEN = "true"
_OPEN = """CASE
  WHEN l.id IS NOT NULL THEN l.created <= {at} AND (l.deleted IS NULL OR l.deleted > {at})
  ELSE h.id IS NOT NULL AND NOT {removed} AND NOT EXISTS (
    SELECT FROM matengine.change AS d
    WHERE d.datastack = {datastack} AND d.table_name = {table} AND d.kind = 'delete'
      AND d.due <= {at} AND c.id BETWEEN d.first_id AND d.last_id) END"""
_SETTLED = """CASE
  WHEN h.to_epoch > {settled} THEN h.created <= {at}
  WHEN l.id IS NOT NULL THEN l.created <= {at} AND l.deleted > {at} AND l.deleted <= {end}
  ELSE h.id IS NOT NULL AND h.created <= {at} AND NOT {removed} END"""
_REMOVED = """EXISTS (
    SELECT FROM matengine.strayed AS d
    WHERE d.table_name = {table} AND c.id BETWEEN d.first_id AND d.last_id AND d.removed <= {at})"""


def _names(table: Layout, gulf: Gulf, datastack: str) -> dict[str, sql.Composable]:
    names = base.names(datastack, table, gulf)
    names |= {"lookups": table.lookups, "past": _past(table, gulf)}
    shown, same = _OPEN, "l.id IS NULL OR l.created = h.created"
    if gulf.frozen:
        shown, same = _FROZEN, "true"
    elif gulf.settled is not None:
        shown, same = _SETTLED, same + " OR h.to_epoch > {settled}"
    names["kept"] = sql.SQL(f"h.id IS NOT NULL AND ({same})").format(**names)
    names["removed"] = sql.SQL(_REMOVED).format(**names)
    names["shown"] = sql.SQL(shown).format(**names)
    known = sql.SQL(
        ", coalesce(CASE WHEN kept THEN h.{c} END, k.{c}, (SELECT o.{c} FROM {history} AS o"
        " WHERE o.id = c.id AND o.created = CASE WHEN kept THEN h.created ELSE l.created END"
        " AND o.{c} IS NOT NULL LIMIT 1)) AS {c}"
    )
    names["supervoxels"] = sql.SQL("").join(
        known.format(c=sql.Identifier(c), history=table.history) for c in table.supervoxels
    )
    return names


def _past(table: Layout, gulf: Gulf) -> sql.Composed:
    """The row of history under a candidate: the settling epoch's, else the base's."""
    epochs = [e.epoch for e in (gulf.base, gulf.settled) if e is not None]
    visible = [layout.visible("v", epoch) for epoch in epochs] or [sql.SQL("false").format()]
    return sql.SQL(
        "(SELECT * FROM {} AS v WHERE v.id = c.id AND ({}) ORDER BY v.from_epoch DESC LIMIT 1)"
    ).format(table.history, sql.SQL(" OR ").join(visible))


def _read(conn: Connection, table: Layout) -> Rows:
    """The rows that are shown, with the supervoxels that are known already."""
    columns = layout.trailing(table.supervoxels)
    with conn.cursor(binary=True) as cursor:
        found = cursor.execute(
            sql.SQL("SELECT id {} FROM pg_temp.classified WHERE shown ORDER BY id").format(columns)
        ).fetchall()
    ids, *supervoxel_ids = (
        zip(*found, strict=True) if found else ((), *[()] * len(table.supervoxels))
    )
    rows = Rows(np.array(ids, np.int64))
    for given in supervoxel_ids:
        rows.supervoxels.append(np.array([i or 0 for i in given], np.int64))
        rows.known.append(np.array([i is not None for i in given], np.bool_))
    return rows


def _look_up(conn: Connection, table: Layout, rows: Rows, segmentation: Segmentation) -> None:
    """Find supervoxels that nobody has looked up yet, and keep them for the next epoch."""
    if not rows.known:
        return
    missing = np.flatnonzero(~np.all(rows.known, axis=0))[: MOST_LOOKUPS // len(rows.known)]
    if not len(missing):
        return
    for number, position in enumerate(table.positions):
        wanted = missing[~rows.known[number][missing]]
        points = _points(conn, table, position, rows.ids[wanted])
        found = supervoxels(resolve.lookup_of(segmentation, table), points)
        rows.supervoxels[number][wanted] = found.ids
        rows.known[number][wanted] = found.known
    complete = missing[np.all(rows.known, axis=0)[missing]]
    kept = Rows(rows.ids[complete])
    kept.supervoxels = [ids[complete] for ids in rows.supervoxels]
    kept.known = [mask[complete] for mask in rows.known]
    resolve.keep(conn, table, kept)


def _points(
    conn: Connection, table: Layout, position: str, ids: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Points (N, 3) in the table's voxels, in the order of sorted ids; NaN where there is none."""
    with conn.cursor(binary=True) as cursor:
        found = cursor.execute(
            sql.SQL(
                "SELECT ST_X({p}), ST_Y({p}), ST_Z({p}) FROM unnest(%s::bigint[]) AS w (id)"
                " LEFT JOIN {live} AS l USING (id) ORDER BY w.id"
            ).format(p=sql.Identifier("l", position), live=table.live),
            (ids.tolist(),),
        ).fetchall()
    return np.array(found, np.float64).reshape(-1, 3)


def _close(conn: Connection, name: str, step: int) -> tuple[int, int]:
    """End the candidates' rows of earlier steps; how many there were, and how many not known."""
    row = conn.execute(
        sql.SQL(
            "WITH closed AS (UPDATE {target} AS o SET to_step = {step} FROM pg_temp.classified AS c"
            " WHERE o.id = c.id AND o.to_step = {open} RETURNING o.known)"
            " SELECT count(*), count(*) FILTER (WHERE NOT known) FROM closed"
        ).format(
            target=sql.Identifier("live", name), step=sql.Literal(step), open=sql.Literal(OPEN)
        )
    ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def _fill(
    conn: Connection,
    table: Layout,
    gulf: Gulf,
    rows: Rows,
    complete: NDArray[np.bool_],
    name: str,
    step: int,
) -> int:
    """The rows: values of history, else of the live table; supervoxels and roots as found."""
    target = sql.Identifier("live", name)
    segmentation = [*table.supervoxels, *table.roots]
    conn.execute(
        sql.SQL(
            "CREATE TEMP TABLE found ON COMMIT DROP AS SELECT id {}, known FROM {} LIMIT 0;"
            "ALTER TABLE found ADD PRIMARY KEY (id)"
        ).format(layout.trailing(segmentation), target)
    )
    columns = resolve.id_columns(table.supervoxels, rows.supervoxels, rows.known)
    columns |= resolve.id_columns(table.roots, rows.roots, rows.rooted)
    columns["known"] = pa.array(complete)
    copy_columns(conn, ("pg_temp", "found"), pa.table({"id": pa.array(rows.ids), **columns}))
    annotation = ["created", *(c.name for c in table.annotation)]
    values = [
        sql.SQL("CASE WHEN c.kept THEN h.{c} ELSE l.{c} END").format(c=sql.Identifier(c))
        for c in annotation
    ]
    filled = conn.execute(
        sql.SQL(
            "INSERT INTO {target} ({names}, shown, known, from_step, to_step)"
            " SELECT {values}, c.shown, coalesce(f.known, true), {step}, {open}"
            " FROM pg_temp.classified AS c LEFT JOIN pg_temp.found AS f USING (id)"
            " LEFT JOIN {live} AS l ON l.id = c.id LEFT JOIN LATERAL {past} AS h ON c.kept"
        ).format(
            target=target,
            names=sql.SQL(", ").join(map(sql.Identifier, ["id", *annotation, *segmentation])),
            values=sql.SQL(", ").join([sql.Identifier("c", "id"), *values])
            + layout.trailing(segmentation, "f"),
            step=sql.Literal(step),
            open=sql.Literal(OPEN),
            live=table.live,
            past=_past(table, gulf),
        )
    )
    return filled.rowcount
