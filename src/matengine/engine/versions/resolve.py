"""Resolving: supervoxels and roots of a block of staged or fresh rows."""

from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from psycopg import sql

from matengine.engine import datastacks
from matengine.engine.datastacks import Segmentation
from matengine.engine.lookup.supervoxels import Lookup, supervoxels
from matengine.engine.runs import units
from matengine.engine.runs.runs import Run
from matengine.engine.runs.units import MAX_ATTEMPTS, Effect, Unit
from matengine.engine.versions import layout
from matengine.engine.versions.layout import Layout
from matengine.errors import Unavailable
from matengine.segmentation.chunkedgraph.protocol import ChunkedGraph
from matengine.segmentation.volume import Volume
from matengine.storage import arrow
from matengine.storage.connections import Connection, conninfo_of
from matengine.storage.copy import copy_columns

NO_ROOT = "the chunkedgraph has no root for this supervoxel at this time"


@dataclass
class Rows:
    """Rows being resolved; arrays are (N,) int64, masks tell what is not known.

    `failures` are (row, column number of the point, reason).
    """

    ids: NDArray[np.int64]
    supervoxels: list[NDArray[np.int64]] = field(default_factory=list)
    known: list[NDArray[np.bool_]] = field(default_factory=list)
    roots: list[NDArray[np.int64]] = field(default_factory=list)
    rooted: list[NDArray[np.bool_]] = field(default_factory=list)
    failures: list[tuple[int, int, str]] = field(default_factory=list)


def resolve(conn: Connection, run: Run, unit: Unit) -> None:
    """The work of a resolving unit: reads and looks up first, then writes in one transaction."""
    table = layout.of_unit(conn, run, unit)
    segmentation = datastacks.get(conn, run.datastack).segmentation
    rows = read(conn, table, run, unit, segmentation, last_try=unit.attempts >= MAX_ATTEMPTS)
    assert run.time is not None
    assert run.epoch is not None
    _find_roots(rows, datastacks.open_graph(conn, segmentation), run.time)
    conn.commit()
    units.hold(conn, unit)
    stage(conn, table, rows, run.epoch)
    _record_failures(conn, table, rows, run)
    units.finish(conn, unit, Effect())
    conn.commit()


def read(
    conn: Connection,
    table: Layout,
    run: Run,
    unit: Unit,
    segmentation: Segmentation,
    *,
    last_try: bool,
) -> Rows:
    """The rows of a unit with their supervoxels, looked up where not staged already.

    Raises Unavailable where the volume cannot be read, except on the last try: then these
    supervoxels stay unknown.
    """
    answer = arrow.read_table(conninfo_of(conn), _query(table, run, unit).as_string(conn))
    rows = Rows(_ints(answer["id"]))
    for number, column in enumerate(table.supervoxels):
        staged = answer[column]
        ids, known = _ints(staged), ~np.asarray(staged.is_null())
        missing = np.flatnonzero(~known)
        if len(missing):
            points = _points(answer, number)[missing]
            found = supervoxels(_lookup(segmentation, table), points)
            if found.reason and not last_try:
                raise Unavailable(found.reason)
            ids[missing], known[missing] = found.ids, found.known
            rows.failures += [
                (int(row), number, found.reason or "") for row in missing[~found.known]
            ]
        rows.supervoxels.append(ids)
        rows.known.append(known)
    return rows


def _query(table: Layout, run: Run, unit: Unit) -> sql.Composed:
    """The rows of the unit that its epoch shows: ids, staged supervoxels, points."""
    due = "l.created <= {time} AND (l.deleted IS NULL OR l.deleted > {time})"
    never = "NOT EXISTS (SELECT 1 FROM {history} AS h WHERE h.id = l.id)"
    source = {
        "fresh": f"{{live}} AS l LEFT JOIN {{staging}} AS s USING (id) WHERE {never} AND {due}",
        "staged": "{staging} AS s JOIN {live} AS l USING (id)"
        f" WHERE s.wanted = {{epoch}} AND {due}",
        # whatever its time: an epoch to come will want it
        "lookup": "{live} AS l LEFT JOIN {staging} AS s USING (id)"
        f" WHERE {never} AND s.id IS NULL AND l.deleted IS NULL",
    }[unit.kind]
    columns = [sql.Identifier("s", c) for c in table.supervoxels]
    points = [
        sql.SQL("{function}({point}) AS {name}").format(
            function=sql.SQL(f"ST_{axis.upper()}"),
            point=sql.Identifier("l", position),
            name=sql.Identifier(f"{axis}{number}"),
        )
        for number, position in enumerate(table.positions)
        for axis in "xyz"
    ]
    within = " AND l.id BETWEEN {first} AND {last} ORDER BY l.id"
    template = "SELECT {columns} FROM " + source + within  # noqa: S608 - words of this function
    return sql.SQL(template).format(
        columns=sql.SQL(", ").join([sql.Identifier("l", "id"), *columns, *points]),
        live=table.live,
        staging=table.staging,
        history=table.history,
        epoch=sql.Literal(run.epoch),
        first=sql.Literal(unit.first_id),
        last=sql.Literal(unit.last_id),
        time=sql.Literal(run.time),
    )


def _points(answer: pa.Table, number: int) -> NDArray[np.float64]:
    """Points (N, 3) in the table's voxels, NaN where the row has none."""
    return np.stack([answer[f"{axis}{number}"].to_numpy() for axis in "xyz"], axis=1)


def _ints(column: pa.ChunkedArray) -> NDArray[np.int64]:
    return np.array(column.fill_null(0).to_numpy(), np.int64)


def _lookup(segmentation: Segmentation, table: Layout) -> Lookup:
    volume = _volume(
        segmentation.name, segmentation.volume, tuple(segmentation.resolution_nm or ())
    )
    return lambda points: volume.supervoxels(points, voxel_resolution_nm=table.voxel_resolution_nm)


@lru_cache(maxsize=8)
def _volume(name: str, url: str | None, resolution_nm: tuple[float, ...]) -> Volume:
    """An open volume, kept by the process with its cache of chunks."""
    return datastacks.open_segmentation_volume(Segmentation(name, url, list(resolution_nm) or None))


def _find_roots(rows: Rows, graph: ChunkedGraph, at: datetime) -> None:
    """Roots of all supervoxels as of the epoch's time: asked once, each supervoxel once."""
    if not rows.supervoxels:
        return
    every = np.concatenate(rows.supervoxels)
    unique, places = np.unique(every, return_inverse=True)
    roots = np.split(graph.roots(unique, at)[places], len(rows.supervoxels))
    for number, found in enumerate(roots):
        known, ids = rows.known[number], rows.supervoxels[number]
        lost = known & (ids != 0) & (found == 0)
        rows.failures += [(int(row), number, NO_ROOT) for row in np.flatnonzero(lost)]
        rows.roots.append(found)
        rows.rooted.append(known & ~lost)


def stage(conn: Connection, table: Layout, rows: Rows, epoch: int | None) -> None:
    """Write rows into the staging table, over what is there.

    Without an epoch only the supervoxels are kept, for the epoch that will want the rows.
    """
    columns = {"id": pa.array(rows.ids)}
    if epoch is not None:
        columns["wanted"] = columns["rooted"] = pa.array(np.full(len(rows.ids), epoch, np.int32))
    for names, values, masks in (
        (table.supervoxels, rows.supervoxels, rows.known),
        (table.roots, rows.roots, rows.rooted),
    ):
        for name, value, mask in zip(names, values, masks, strict=False):
            columns[name] = pa.array(value, mask=~mask)
    conn.execute(
        sql.SQL("CREATE TEMP TABLE resolved (LIKE {}) ON COMMIT DROP").format(table.staging)
    )
    copy_columns(conn, ("pg_temp", "resolved"), pa.table(columns))
    names_of = sql.SQL(", ").join(map(sql.Identifier, columns))
    settings = sql.SQL(", ").join(
        sql.SQL("{c} = excluded.{c}").format(c=sql.Identifier(c)) for c in columns if c != "id"
    )
    conn.execute(
        sql.SQL(
            "INSERT INTO {staging} ({columns}) SELECT {columns} FROM pg_temp.resolved ORDER BY id"
            " ON CONFLICT (id) DO {action}"
        ).format(
            staging=table.staging,
            columns=names_of,
            action=sql.SQL("NOTHING")
            if epoch is None
            else sql.SQL("UPDATE SET {}").format(settings),
        )
    )


def _record_failures(conn: Connection, table: Layout, rows: Rows, run: Run) -> None:
    """Enter the lookups that failed and strike those that have healed."""
    conn.execute(
        "DELETE FROM matengine.lookup_failure AS f USING pg_temp.resolved AS r"
        " WHERE f.datastack = %s AND f.table_name = %s AND f.id = r.id"
        " AND (f.id, f.point) <> ALL (SELECT * FROM unnest(%s::bigint[], %s::text[]))",
        (
            run.datastack,
            table.table,
            [int(rows.ids[row]) for row, _, _ in rows.failures],
            [table.positions[number] for _, number, _ in rows.failures],
        ),
    )
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO matengine.lookup_failure"
            " (datastack, table_name, id, point, reason, as_of) VALUES (%s, %s, %s, %s, %s, %s)"
            " ON CONFLICT (datastack, table_name, id, point) DO UPDATE SET"
            " reason = excluded.reason, as_of = excluded.as_of,"
            " attempts = lookup_failure.attempts + 1",
            [
                (
                    run.datastack,
                    table.table,
                    int(rows.ids[row]),
                    table.positions[number],
                    reason,
                    run.time,
                )
                for row, number, reason in rows.failures
            ],
        )
