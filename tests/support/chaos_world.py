"""The world of a chaos run, and what a version of it must be, found by brute force.

Supervoxels are known by a formula, objects by the connected components of edges, membership by
the live table's times. Nothing here asks history, epochs or fingerprints.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from raw_volume import write_raw_volume
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from matengine import times
from matengine.engine import datastacks
from matengine.engine.annotations import bulk, tables
from matengine.segmentation.chunkedgraph import local
from matengine.storage import arrow
from matengine.storage.connections import Connection, conninfo_of

Ints = NDArray[np.int64]

VOLUME, DATASTACK, TABLE = "chaos_av", "chaos", "synapses"
POINTS = ("pre_pt", "post_pt", "ctr_pt")
BOUND = POINTS[:2]
CELL, CHUNK = 4, 32  # voxels of a supervoxel's and of a chunk's edge
CELLS = np.array((24, 24, 16))
SIZE = CELLS * CELL  # voxels
START = datetime(2026, 1, 1, tzinfo=UTC)
# of the cells that touch along x, y, z, so many belong together in the beginning
JOINED = (0.5, 0.06, 0.03)

_LIVE = """
SELECT id, created, deleted, superceded_id, {points}, size FROM public.synapses ORDER BY id
"""
_OPERATIONS = """
SELECT operation_id, at_ms, kind, edges_a, edges_b FROM "graph_chaos".operation ORDER BY at_ms
"""


def supervoxels(points: Ints) -> Ints:
    """The supervoxels (N,) under voxels (N, 3); 0 outside and in the background."""
    inside = ((points >= 0) & (points < SIZE)).all(axis=1)
    cell = np.where(inside[:, None], points, 0) // CELL
    chunk, within = np.divmod(cell, CHUNK // CELL)
    ids = (chunk << np.array([46, 36, 26])).sum(axis=1) + (1 << 56)
    ids += within @ np.array([1, 8, 64]) + 1
    background = (cell @ np.array([7, 13, 29])) % 16 == 0
    found: Ints = np.where(inside & ~background, ids, 0)
    return found


def cells() -> Ints:
    """The cells (N, 3) that are no background."""
    every = np.indices(CELLS).reshape(3, -1).T
    return every[supervoxels(every * CELL) != 0]


def neighbours() -> list[Ints]:
    """Pairs (N, 2) of supervoxels that touch, along x, y and z."""
    found = []
    for axis in range(3):
        one = cells() * CELL
        other = one + CELL * np.eye(3, dtype=np.int64)[axis]
        pairs = np.stack([supervoxels(one), supervoxels(other)], axis=1)
        found.append(np.sort(pairs[pairs[:, 1] != 0], axis=1))
    return found


def first_edges(seed: int) -> Ints:
    """The edges (N, 2) of the graph's beginning."""
    dice = np.random.default_rng(seed)
    chosen = [
        pairs[dice.random(len(pairs)) < share]
        for pairs, share in zip(neighbours(), JOINED, strict=True)
    ]
    return np.concatenate(chosen)


def make(conn: Connection, folder: Path, rows: int, seed: int) -> None:
    """Volume, graph, table with `rows` synapses, datastack. Commits."""
    tables.create_table(
        conn, TABLE, "synapse", voxel_resolution_nm=(1, 1, 1), description="for chaos"
    )
    bulk.load(conn, TABLE, _first_rows(rows, seed))
    local.create(conn, DATASTACK, start=START)
    edges = first_edges(seed)
    columns = {"supervoxel_a": edges[:, 0], "supervoxel_b": edges[:, 1]}
    local.load_edges(conn, DATASTACK, pa.table(columns), supervoxels(cells() * CELL))
    place = _write_volume(folder)
    segmentation = datastacks.Segmentation(DATASTACK, place, [1.0, 1.0, 1.0], [CHUNK] * 3)
    datastacks.create(conn, DATASTACK, segmentation)
    conn.commit()


def _first_rows(rows: int, seed: int) -> pa.Table:
    """Synapses from id 1 on; `size`, which tells rows apart, is the id. Some lie outside."""
    dice = np.random.default_rng(seed)
    positions = {
        f"{point}_position_{axis}": dice.integers(-1, SIZE["xyz".index(axis)], rows).astype(float)
        for point in POINTS
        for axis in "xyz"
    }
    ids = np.arange(1, rows + 1)
    return pa.table({"id": ids, **positions, "size": ids.astype(float)})


def _write_volume(folder: Path) -> str:
    voxels = np.indices(SIZE).reshape(3, -1).T
    return write_raw_volume(folder, supervoxels(voxels).reshape(SIZE), chunk=[CHUNK] * 3)


@dataclass(frozen=True)
class Operation:
    """An edit as the graph's log has it; the edges are sorted pairs."""

    operation_id: int
    at_ms: int
    kind: str
    edges: list[tuple[int, int]]


@dataclass(frozen=True)
class Facts:
    """All that has happened, read in one snapshot: the live table and the log of edits."""

    live: pa.Table
    operations: list[Operation]


def facts(conn: Connection) -> Facts:
    """The live table first: an edit that is read beside it may be later, which does no harm."""
    points = ", ".join(
        f"ST_{axis.upper()}({point}_position) AS {point}_position_{axis}"
        for point in POINTS
        for axis in "xyz"
    )
    live = arrow.read_table(conninfo_of(conn), _LIVE.format(points=points))
    operations = [
        Operation(number, at_ms, kind, sorted(zip(a, b, strict=True)))
        for number, at_ms, kind, a, b in conn.execute(_OPERATIONS)
    ]
    conn.commit()
    return Facts(live, operations)


def expected(conn: Connection, known: Facts, at: datetime, seed: int) -> tuple[pa.Table, list[str]]:
    """The rows that a version of this time must have, and what is wrong with the graph's roots."""
    every = np.sort(supervoxels(cells() * CELL))
    roots = local.LocalGraph(conn, DATASTACK).roots(every, at)
    conn.commit()
    faults = _compare_objects(roots, _objects(every, known.operations, times.to_ms(at), seed))
    live = known.live.select([c for c in known.live.column_names if c != "superceded_id"])
    moment = np.datetime64(at.replace(tzinfo=None), "us")
    created = live["created"].to_numpy()
    deleted = live["deleted"].to_numpy()
    rows = live.filter(pa.array((created <= moment) & ~(deleted <= moment)))
    columns = {"id": rows["id"], "created": rows["created"]}
    for point in POINTS:
        places = [rows[f"{point}_position_{axis}"] for axis in "xyz"]
        columns |= dict(zip((f"{point}_position_{a}" for a in "xyz"), places, strict=True))
        if point in BOUND:
            ids = supervoxels(np.stack([p.to_numpy() for p in places], axis=1).astype(np.int64))
            found = roots[np.searchsorted(every, ids).clip(max=len(every) - 1)]
            columns[f"{point}_supervoxel_id"] = pa.array(ids)
            columns[f"{point}_root_id"] = pa.array(np.where(ids, found, 0))
    valid = pa.array(np.ones(len(rows), np.bool_))  # what a version shows is
    return pa.table(columns | {"size": rows["size"], "valid": valid}), faults


def _objects(every: Ints, operations: list[Operation], at_ms: int, seed: int) -> Ints:
    """The object (a number) of each supervoxel, from the edges that there are at a time."""
    edges = set(map(tuple, first_edges(seed).tolist()))
    for operation in operations:
        if operation.at_ms <= at_ms:
            change = edges.update if operation.kind == "merge" else edges.difference_update
            change(operation.edges)
    ends = np.searchsorted(every, np.array(sorted(edges)))
    links = coo_array((np.ones(len(ends)), ends.T), shape=(len(every),) * 2)
    labels: Ints = connected_components(links, directed=False)[1]
    return labels


def _compare_objects(roots: Ints, labels: Ints) -> list[str]:
    if not roots.all():
        return ["a supervoxel has no root"]
    pairs = np.unique(np.stack([roots, labels], axis=1), axis=0)
    objects = len(np.unique(labels)), len(np.unique(roots))
    return [] if objects == (len(pairs),) * 2 else ["roots are not the components of the edges"]


def digest(table: pa.Table) -> str:
    """A hash of names, nulls and values, whatever order the columns and batches came in."""
    found = hashlib.sha256()
    for name in sorted(table.column_names):
        column = table[name].combine_chunks()
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("us", "UTC")).cast(pa.int64())
        elif pa.types.is_boolean(column.type):
            column = column.cast(pa.int64())
        found.update(f"{name} {column.null_count} ".encode())
        found.update(np.asarray(column.is_null()).tobytes())
        found.update(column.fill_null(0).to_numpy().tobytes())
    return found.hexdigest()


def describe(answer: pa.Table, truth: pa.Table) -> str:
    """Where an answer leaves the truth."""
    if sorted(answer.column_names) != sorted(truth.column_names):
        return f"columns {answer.column_names}, not {truth.column_names}"
    found, right = np.asarray(answer["id"]), np.asarray(truth["id"])
    missing, surplus = np.setdiff1d(right, found), np.setdiff1d(found, right)
    if len(missing) or len(surplus) or len(found) != len(right):
        return f"{len(missing)} rows missing, {len(surplus)} too many: {missing[:5]} {surplus[:5]}"
    wrong = [c for c in answer.column_names if not answer[c].equals(truth[c])]
    return f"other values in {', '.join(wrong)}"
