"""The rows of an overlay: what they are at the moment, with the roots that they have there."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from psycopg import sql

from matengine.engine.datastacks import Segmentation
from matengine.engine.lookup.supervoxels import supervoxels
from matengine.engine.query.live.base import Gulf
from matengine.engine.versions import layout, resolve
from matengine.engine.versions.layout import Layout
from matengine.engine.versions.resolve import Rows
from matengine.segmentation.chunkedgraph.protocol import ChunkedGraph
from matengine.storage.connections import Connection
from matengine.storage.copy import copy_columns

# points that one question may have looked up in the volume; those beyond have root 0 until then
MOST_LOOKUPS = 5_000


def write(
    conn: Connection,
    table: Layout,
    gulf: Gulf,
    datastack: str,
    segmentation: Segmentation,
    graph: ChunkedGraph,
    name: str,
) -> tuple[int, int]:
    """Make the table `live.name` of the rows in pg_temp.candidate; asks the chunkedgraph once.

    It has the columns of a version's rows and `shown`, false for ids that the moment does not
    show. Returns the number of all ids, and of shown rows with a root that is not known, though
    there may be one.
    """
    conn.execute(_CLASSIFY.format(**_names(table, gulf, datastack)))
    rows = _read(conn, table)
    _look_up(conn, table, rows, segmentation)
    resolve.find_roots(rows, graph, gulf.segmentation)
    size = _fill(conn, table, gulf, rows, name)
    known = rows.known if gulf.unrooted else rows.rooted
    complete = np.all(known, axis=0) if known else np.ones(0, np.bool_)
    return size, int(np.count_nonzero(~complete))


# an erased row has left its values in history only, and what an epoch shows is in its history
_CLASSIFY = sql.SQL("""
CREATE TEMP TABLE classified ON COMMIT DROP AS
SELECT c.id, l.id IS NOT NULL AND NOT {frozen} AS alive,
  CASE WHEN {frozen} THEN true
    WHEN l.id IS NOT NULL THEN l.created <= {at} AND (l.deleted IS NULL OR l.deleted > {at})
    ELSE h.id IS NOT NULL AND NOT EXISTS (
      SELECT FROM matengine.change AS d
      WHERE d.datastack = {datastack} AND d.table_name = {table} AND d.kind = 'delete'
        AND d.due <= {at} AND c.id BETWEEN d.first_id AND d.last_id) END AS shown {supervoxels}
FROM pg_temp.candidate AS c LEFT JOIN {live} AS l USING (id)
LEFT JOIN {history} AS h ON h.id = c.id AND {visible} LEFT JOIN {lookups} AS k ON k.id = c.id;
ANALYZE pg_temp.classified
""")


def _names(table: Layout, gulf: Gulf, datastack: str) -> dict[str, sql.Composable]:
    known = sql.SQL(
        ", coalesce(h.{c}, k.{c}, (SELECT o.{c} FROM {history} AS o"
        " WHERE o.id = c.id AND o.{c} IS NOT NULL LIMIT 1)) AS {c}"
    )
    return {
        "at": sql.Literal(gulf.annotations),
        "frozen": sql.Literal(gulf.frozen),
        "datastack": sql.Literal(datastack),
        "table": sql.Literal(table.table),
        "live": table.live,
        "history": table.history,
        "lookups": table.lookups,
        "visible": _visible(gulf),
        "supervoxels": sql.SQL("").join(
            known.format(c=sql.Identifier(c), history=table.history) for c in table.supervoxels
        ),
    }


def _visible(gulf: Gulf) -> sql.Composed:
    """The condition that a row of history is one of the base's."""
    if gulf.base is None:
        return sql.SQL("false").format()
    return layout.visible("h", gulf.base.epoch)


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


def _fill(conn: Connection, table: Layout, gulf: Gulf, rows: Rows, name: str) -> int:
    """The table itself: values of the live row, else of history; supervoxels and roots as found."""
    target = sql.Identifier("live", name)
    segmentation = [*table.supervoxels, *table.roots]
    conn.execute(
        sql.SQL(
            "CREATE UNLOGGED TABLE {target} AS SELECT {names}, true AS shown FROM {history} LIMIT 0"
        ).format(target=target, names=layout.names_of(table), history=table.history)
    )
    conn.execute(
        sql.SQL("CREATE TEMP TABLE found ON COMMIT DROP AS SELECT id {} FROM {} LIMIT 0").format(
            layout.trailing(segmentation), target
        )
    )
    columns = resolve.id_columns(table.supervoxels, rows.supervoxels, rows.known)
    columns |= resolve.id_columns(table.roots, rows.roots, rows.rooted)
    copy_columns(conn, ("pg_temp", "found"), pa.table({"id": pa.array(rows.ids), **columns}))
    annotation = ["created", *(c.name for c in table.annotation)]
    values = [
        sql.SQL("CASE WHEN c.alive THEN l.{c} ELSE h.{c} END").format(c=sql.Identifier(c))
        for c in annotation
    ]
    filled = conn.execute(
        sql.SQL(
            "INSERT INTO {target} ({names}, shown) SELECT {values}, c.shown"
            " FROM pg_temp.classified AS c LEFT JOIN pg_temp.found AS f USING (id)"
            " LEFT JOIN {live} AS l ON l.id = c.id"
            " LEFT JOIN {history} AS h ON h.id = c.id AND {visible}"
        ).format(
            target=target,
            names=sql.SQL(", ").join(map(sql.Identifier, ["id", *annotation, *segmentation])),
            values=sql.SQL(", ").join([sql.Identifier("c", "id"), *values])
            + layout.trailing(segmentation, "f"),
            live=table.live,
            history=table.history,
            visible=_visible(gulf),
        )
    )
    for column in ("id", *table.roots):
        conn.execute(sql.SQL("CREATE INDEX ON {} ({})").format(target, sql.Identifier(column)))
    conn.execute(sql.SQL("ANALYZE {}").format(target))
    return filled.rowcount
