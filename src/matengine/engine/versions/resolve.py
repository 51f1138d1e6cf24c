"""Resolving: supervoxels and roots of a block of staged or fresh rows."""

from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

import numpy as np
import psycopg
import pyarrow as pa
from numpy.typing import NDArray
from psycopg import sql

from matengine.engine import datastacks
from matengine.engine.datastacks import Segmentation
from matengine.engine.lookup import failures
from matengine.engine.lookup.supervoxels import Lookup, supervoxels
from matengine.engine.runs import units
from matengine.engine.runs.runs import Run
from matengine.engine.runs.units import MAX_ATTEMPTS, Effect, Unit
from matengine.engine.versions import layout
from matengine.engine.versions.layout import OPEN, Layout
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

    `held` are roots known beforehand, 0 where they must be asked for; empty where none is.
    `failures` are (row, column number of the point, reason).
    """

    ids: NDArray[np.int64]
    supervoxels: list[NDArray[np.int64]] = field(default_factory=list)
    known: list[NDArray[np.bool_]] = field(default_factory=list)
    held: list[NDArray[np.int64]] = field(default_factory=list)
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
    find_roots(rows, datastacks.open_graph(conn, segmentation), run.time)
    conn.commit()
    units.hold(conn, unit)
    stage(conn, table, rows, run.epoch, fresh=unit.kind == "fresh")
    failures.note(
        conn,
        table,
        run,
        rows.ids,
        [(int(rows.ids[row]), table.positions[n], reason) for row, n, reason in rows.failures],
    )
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
    gone = np.asarray(answer["gone"])
    wanted: list[NDArray[np.intp]] = []
    for number, column in enumerate(table.supervoxels):
        staged = answer[column]
        rows.supervoxels.append(_ints(staged))
        rows.known.append(~np.asarray(staged.is_null()))
        # a row that was removed from the live table has left no point to look up
        missing = ~rows.known[-1] & ~gone
        if missing.any():
            missing &= ~_left_alone(conn, table, run, unit, number, rows)
        wanted.append(np.flatnonzero(missing))
    if unit.kind == "staged":
        rows.held = [_ints(answer[column]) for column in table.roots]
    if any(map(len, wanted)):
        _look_up(rows, wanted, answer, lookup_of(segmentation, table), last_try=last_try)
    return rows


def _look_up(
    rows: Rows,
    wanted: list[NDArray[np.intp]],
    answer: pa.Table,
    lookup: Lookup,
    *,
    last_try: bool,
) -> None:
    """Find the supervoxels of wanted rows, all points together: they lie in the same chunks."""
    points = [_points(answer, number)[missing] for number, missing in enumerate(wanted)]
    found = supervoxels(lookup, np.concatenate(points))
    if found.reason and not last_try:
        raise Unavailable(found.reason)
    ends = np.cumsum([len(missing) for missing in wanted])[:-1]
    each = zip(wanted, np.split(found.ids, ends), np.split(found.known, ends), strict=True)
    for number, (missing, ids, known) in enumerate(each):
        rows.supervoxels[number][missing] = ids
        rows.known[number][missing] = known
        rows.failures += [(int(row), number, found.reason or "") for row in missing[~known]]


def _left_alone(
    conn: Connection, table: Layout, run: Run, unit: Unit, number: int, rows: Rows
) -> NDArray[np.bool_]:
    """Which rows, (N,) bool, have failed at a point for good: they are not looked up."""
    position = table.positions[number]
    found = failures.left_alone(
        conn, run.datastack, table.table, position, unit.first_id, unit.last_id
    )
    return np.isin(rows.ids, found)


def _query(table: Layout, run: Run, unit: Unit) -> sql.Composed:
    """The rows of the unit that its epoch shows: ids, staged supervoxels, points."""
    due = "l.created <= {time} AND (l.deleted IS NULL OR l.deleted > {time})"
    never = "NOT EXISTS (SELECT 1 FROM {history} AS h WHERE h.id = l.id AND h.to_epoch = {open})"
    found = "{live} AS l LEFT JOIN {lookups} AS k USING (id)"
    source = {
        "fresh": f"{found} WHERE {never} AND {due}",
        # collecting has decided on them, whatever has happened to the live row since; a lateral
        # query with an offset is run for each row by itself, and reads nothing where all is known
        "staged": "{staged} AS s LEFT JOIN LATERAL (SELECT * FROM {live} AS l"
        " WHERE l.id = s.id AND NOT {known} OFFSET 0) AS l USING (id)"
        " LEFT JOIN {lookups} AS k USING (id) WHERE true",
        # whatever its time: an epoch to come will want it
        "lookup": f"{found} WHERE {never} AND k.id IS NULL AND l.deleted IS NULL",
    }[unit.kind]
    known = [sql.SQL("{} IS NOT NULL").format(sql.Identifier("s", c)) for c in table.supervoxels]
    supervoxel = "coalesce(s.{c}, k.{c}) AS {c}" if unit.kind == "staged" else "k.{c}"
    columns = [sql.SQL(supervoxel).format(c=sql.Identifier(c)) for c in table.supervoxels]
    if unit.kind == "staged":
        columns += [sql.SQL("{}").format(sql.Identifier("s", c)) for c in table.roots]
    points = [
        sql.SQL("{function}({point}) AS {name}").format(
            function=sql.SQL(f"ST_{axis.upper()}"),
            point=sql.Identifier("l", position),
            name=sql.Identifier(f"{axis}{number}"),
        )
        for number, position in enumerate(table.positions)
        for axis in "xyz"
    ]
    within = " AND id BETWEEN {first} AND {last} ORDER BY id"
    template = "SELECT {columns} FROM " + source + within  # noqa: S608 - words of this function
    return sql.SQL(template).format(
        columns=sql.SQL(", ").join([sql.SQL("id, l.id IS NULL AS gone"), *columns, *points]),
        live=table.live,
        lookups=table.lookups,
        staged=table.staged(run.epoch),
        history=table.history,
        open=sql.Literal(OPEN),
        known=sql.SQL("({})").format(sql.SQL(" AND ").join([sql.SQL("true"), *known])),
        first=sql.Literal(unit.first_id),
        last=sql.Literal(unit.last_id),
        time=sql.Literal(run.time),
    )


def _points(answer: pa.Table, number: int) -> NDArray[np.float64]:
    """Points (N, 3) in the table's voxels, NaN where the row has none."""
    return np.stack([answer[f"{axis}{number}"].to_numpy() for axis in "xyz"], axis=1)


def _ints(column: pa.ChunkedArray) -> NDArray[np.int64]:
    return np.array(column.fill_null(0).to_numpy(), np.int64)


def lookup_of(segmentation: Segmentation, table: Layout) -> Lookup:
    """How the supervoxels under points of a table are found."""
    volume = _volume(
        segmentation.name, segmentation.volume, tuple(segmentation.resolution_nm or ())
    )
    return lambda points: volume.supervoxels(points, voxel_resolution_nm=table.voxel_resolution_nm)


@lru_cache(maxsize=8)
def _volume(name: str, url: str | None, resolution_nm: tuple[float, ...]) -> Volume:
    """An open volume, kept by the process with its cache of chunks."""
    return datastacks.open_segmentation_volume(Segmentation(name, url, list(resolution_nm) or None))


def find_roots(rows: Rows, graph: ChunkedGraph, at: datetime) -> None:
    """Roots of all supervoxels as of the epoch's time: asked once, each supervoxel once."""
    if not rows.supervoxels:
        return
    every = np.concatenate(rows.supervoxels)
    roots = np.concatenate(rows.held) if rows.held else np.zeros_like(every)
    asked = roots == 0
    unique, places = np.unique(every[asked], return_inverse=True)
    roots[asked] = graph.roots(unique, at)[places]
    for number, found in enumerate(np.split(roots, len(rows.supervoxels))):
        known, ids = rows.known[number], rows.supervoxels[number]
        lost = known & (ids != 0) & (found == 0)
        rows.failures += [(int(row), number, NO_ROOT) for row in np.flatnonzero(lost)]
        rows.roots.append(found)
        rows.rooted.append(known & ~lost)


def stage(conn: Connection, table: Layout, rows: Rows, epoch: int, *, fresh: bool) -> None:
    """Write resolved rows for the open epoch, over what is staged of them.

    Of `fresh` rows nothing is staged, but for the few that were queued twice; of others, all are.
    """
    columns = id_columns(table.supervoxels, rows.supervoxels, rows.known)
    columns |= id_columns(table.roots, rows.roots, rows.rooted)
    columns["resolved"] = pa.array(np.ones(len(rows.ids), np.bool_))
    target = table.staged(epoch)
    if not fresh:
        _bring(conn, target, rows, columns)
        conn.execute(
            sql.SQL("UPDATE {} AS s SET {} FROM pg_temp.resolved AS r WHERE s.id = r.id").format(
                target, _settings(columns, "r")
            )
        )
    elif not _copy(conn, table.staged_name(epoch), rows, columns):
        action = sql.SQL("UPDATE SET {}").format(_settings(columns, "excluded"))
        _insert(conn, target, rows, columns, action)


def _settings(columns: dict[str, pa.Array], source: str) -> sql.Composed:
    """Each column as it is in `source`."""
    return sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(c), sql.Identifier(source, c)) for c in columns
    )


def _copy(
    conn: Connection, target: tuple[str, str], rows: Rows, columns: dict[str, pa.Array]
) -> bool:
    """Write rows straight into a table; False, and nothing written, where some are there."""
    try:
        with conn.transaction():
            copy_columns(conn, target, pa.table({"id": pa.array(rows.ids), **columns}))
    except psycopg.errors.UniqueViolation:
        return False
    return True


def keep(conn: Connection, table: Layout, rows: Rows) -> None:
    """Keep the supervoxels of rows for the epoch that will want them; what is kept stays."""
    columns = id_columns(table.supervoxels, rows.supervoxels, rows.known)
    if not _copy(conn, table.lookups_name, rows, columns):
        _insert(conn, table.lookups, rows, columns, sql.SQL("NOTHING").format())


def id_columns(
    names: tuple[str, ...], values: list[NDArray[np.int64]], masks: list[NDArray[np.bool_]]
) -> dict[str, pa.Array]:
    """Ids with nulls where a mask says that none is known."""
    return {
        name: pa.array(value, mask=~mask)
        for name, value, mask in zip(names, values, masks, strict=True)
    }


def _insert(
    conn: Connection,
    target: sql.Identifier,
    rows: Rows,
    columns: dict[str, pa.Array],
    action: sql.Composed,
) -> None:
    """Insert rows; `action` is for those that are there."""
    _bring(conn, target, rows, columns)
    conn.execute(
        sql.SQL(
            "INSERT INTO {target} ({columns}) SELECT {columns} FROM pg_temp.resolved ORDER BY id"
            " ON CONFLICT (id) DO {action}"
        ).format(
            target=target,
            columns=sql.SQL(", ").join(map(sql.Identifier, ["id", *columns])),
            action=action,
        )
    )


def _bring(
    conn: Connection, target: sql.Identifier, rows: Rows, columns: dict[str, pa.Array]
) -> None:
    """Bring rows into the temporary table `resolved`, which is like the target."""
    conn.execute(
        sql.SQL("CREATE TEMP TABLE resolved (LIKE {} INCLUDING DEFAULTS) ON COMMIT DROP").format(
            target
        )
    )
    copy_columns(conn, ("pg_temp", "resolved"), pa.table({"id": pa.array(rows.ids), **columns}))
