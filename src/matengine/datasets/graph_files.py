"""The chunkedgraph's files: `edges.parquet` and `edits.parquet`."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from matengine.datasets.columns import Column, numbers, read_columns
from matengine.datasets.faults import Faults
from matengine.times import to_ms

Int64s = NDArray[np.int64]

# Chunkedgraph id layout: 8 bits layer, 3 x 10 bits chunk, 26 bits segment
_LAYER_SHIFT = 56
_CHUNK_SHIFTS = (46, 36, 26)
_CHUNK_MASK = (1 << 10) - 1
_SEGMENT_MASK = (1 << 26) - 1

_EDGES = [
    Column("supervoxel_a", "integer"),
    Column("supervoxel_b", "integer"),
    Column("affinity", "number", optional=True),
    Column("area", "integer", optional=True),
]
_EDITS = [
    Column("operation_id", "integer"),
    Column("timestamp", "milliseconds"),
    Column("kind", "string"),
    Column("edges_a", "ids"),
    Column("edges_b", "ids"),
    Column("source_ids", "ids", optional=True, nullable=True),
    Column("sink_ids", "ids", optional=True, nullable=True),
]
_ID_LISTS = ("edges_a", "edges_b", "source_ids", "sink_ids")


def read_edges(
    folder: Path, file: str, grid: tuple[int, int, int] | None, faults: Faults
) -> pa.Table | None:
    """The start edges, smaller id first; None where the file cannot be read.

    Columns supervoxel_a, supervoxel_b int64, and where the file has them affinity float32,
    area int64. `grid` is the number of chunks an axis, None in a graph-only folder.
    """
    table = read_columns(folder, file, _EDGES, faults)
    if table is None:
        return None
    a, b = numbers(table, "supervoxel_a"), numbers(table, "supervoxel_b")
    for name, ids in (("supervoxel_a", a), ("supervoxel_b", b)):
        _check_ids(file, name, ids, np.arange(len(ids)), grid, faults)
    faults.add_rows(file, "supervoxel_b", a == b, "the edge joins a supervoxel to itself")
    low, high = np.minimum(a, b), np.maximum(a, b)
    faults.add_rows(file, "supervoxel_a", _repeated(low, high), "the edge is there already")
    columns = {"supervoxel_a": pa.array(low), "supervoxel_b": pa.array(high)}
    if "affinity" in table.column_names:
        affinity = numbers(table, "affinity")
        faults.add_rows(file, "affinity", ~(affinity >= 0), "it must be a number from 0 on")
        columns["affinity"] = pa.array(affinity.astype(np.float32))
    if "area" in table.column_names:
        columns["area"] = table["area"]
    return pa.table(columns)


def read_edits(
    folder: Path,
    file: str | None,
    start: datetime,
    grid: tuple[int, int, int] | None,
    faults: Faults,
) -> pa.Table | None:
    """The proofreading history in time order; empty where the folder has none.

    Columns operation_id int64, timestamp (ms, UTC), kind string, and edges_a, edges_b,
    source_ids, sink_ids list<int64>.
    """
    if file is None:
        return _no_edits()
    table = read_columns(folder, file, _EDITS, faults)
    if table is None:
        return None
    table = _with_lists(table)
    operation, time = numbers(table, "operation_id"), numbers(table, "timestamp")
    faults.add_rows(file, "operation_id", operation < 1, "it must be 1 or more")
    faults.add_rows(file, "operation_id", _repeated(operation), "the id is there already")
    early = np.zeros(len(time), bool)
    early[1:] = time[1:] <= time[:-1]
    faults.add_rows(file, "timestamp", early, "it must be later than the row before")
    faults.add_rows(
        file, "timestamp", time <= to_ms(start), "it must be later than segmentation.start_time"
    )
    for name in _ID_LISTS:
        rows, ids = _flat(table, name)
        _check_ids(file, name, ids, rows, grid, faults)
    _check_operations(file, table, faults)
    return table


def _no_edits() -> pa.Table:
    ids = pa.list_(pa.int64())
    fields = [("operation_id", pa.int64()), ("timestamp", pa.timestamp("ms", tz="UTC"))]
    fields += [("kind", pa.string()), *((name, ids) for name in _ID_LISTS)]
    return pa.schema(fields).empty_table()


def _with_lists(table: pa.Table) -> pa.Table:
    """Sources and sinks as lists in every row, empty where none are given."""
    kind = pa.list_(pa.int64())
    for name in ("source_ids", "sink_ids"):
        if name in table.column_names:
            lists = pa.array([row or [] for row in table[name].to_pylist()], kind)
            table = table.set_column(table.column_names.index(name), name, lists)
        else:
            table = table.append_column(name, pa.array([[]] * len(table), kind))
    return table


def _flat(table: pa.Table, name: str) -> tuple[Int64s, Int64s]:
    """Row number and id of every entry of a list column."""
    lists = table[name].combine_chunks()
    rows = np.repeat(np.arange(len(lists)), lists.value_lengths().to_numpy())
    ids: Int64s = lists.flatten().to_numpy(zero_copy_only=False).astype(np.int64)
    return rows, ids


def _check_operations(file: str, table: pa.Table, faults: Faults) -> None:
    kind = np.array(table["kind"].to_pylist(), dtype=object)
    known = (kind == "merge") | (kind == "split")
    faults.add_rows(file, "kind", ~known, "it must be merge or split")
    lengths = {name: table[name].combine_chunks().value_lengths().to_numpy() for name in _ID_LISTS}
    uneven = lengths["edges_a"] != lengths["edges_b"]
    faults.add_rows(file, "edges_b", uneven, "it must be as long as edges_a")
    bare = lengths["edges_a"] == 0
    faults.add_rows(file, "edges_a", bare & (kind == "merge"), "a merge needs an edge")
    for name in ("source_ids", "sink_ids"):
        lost = bare & (kind == "split") & (lengths[name] == 0)
        faults.add_rows(file, name, lost, "a split without edges needs sources and sinks")
    if not uneven.any():
        rows, a = _flat(table, "edges_a")
        loops = np.zeros(len(table), bool)
        loops[rows[a == _flat(table, "edges_b")[1]]] = True
        faults.add_rows(file, "edges_b", loops, "the edge joins a supervoxel to itself")
    sides = zip(table["source_ids"].to_pylist(), table["sink_ids"].to_pylist(), strict=True)
    both = np.array([not set(source).isdisjoint(sink) for source, sink in sides], bool)
    faults.add_rows(file, "sink_ids", both, "a supervoxel is source and sink at once")


def _repeated(*keys: Int64s) -> NDArray[np.bool_]:
    """Where a key (or tuple of keys) was in an earlier row."""
    order = np.lexsort(keys)
    same = np.ones(max(len(order) - 1, 0), bool)
    for key in keys:
        same &= key[order[1:]] == key[order[:-1]]
    repeated = np.zeros(len(order), bool)
    repeated[order[1:][same]] = True
    return repeated


def _check_ids(
    file: str,
    column: str,
    ids: Int64s,
    rows: Int64s,
    grid: tuple[int, int, int] | None,
    faults: Faults,
) -> None:
    """Supervoxel ids have layer 1, a segment, and a chunk inside the volume's grid."""
    legal = (ids >> _LAYER_SHIFT == 1) & (ids & _SEGMENT_MASK > 0)
    inside = np.ones(len(ids), bool)
    for shift, chunks in zip(_CHUNK_SHIFTS, grid or (), strict=False):
        inside &= (ids >> shift) & _CHUNK_MASK < chunks
    for bad, what in (
        (~legal, "is no supervoxel id (layer 1 and a segment)"),
        (legal & ~inside, "lies in a chunk outside the volume"),
    ):
        if bad.any():
            first = np.flatnonzero(bad)[0]
            count = int(rows.max()) + 1
            marked = np.zeros(count, bool)
            marked[rows[bad]] = True
            faults.add_rows(file, column, marked, f"{ids[first]} {what}")
