"""The replay of a whole proofreading history."""

from dataclasses import replace

import numpy as np
import pyarrow as pa

from matengine.errors import Conflict, Invalid
from matengine.progress import Progress, quiet
from matengine.segmentation.chunkedgraph.local.edits import cut_of, edges_of, play
from matengine.segmentation.chunkedgraph.local.load import add_supervoxels
from matengine.segmentation.chunkedgraph.local.store import Connection, find
from matengine.segmentation.chunkedgraph.local.working import Change
from matengine.storage.atomic import atomic

# operations played in one working set
REPLAY_BATCH = 2000


def replay(conn: Connection, name: str, edits: pa.Table, progress: Progress = quiet) -> int:
    """Play a history (the columns of a dataset folder's edits.parquet) at its own times.

    Operations that are there already with the same time are skipped, so that it can be called
    again with a longer history. Supervoxels that the graph lacks become objects of their own
    from its start on. Returns the number of operations played. Raises Conflict where an operation
    is there with another time, Invalid for what cannot be played.
    """
    changes = _history(edits)
    with atomic(conn):
        store = find(conn, name)
        store.meta(lock=True)
        times = dict(store.run("SELECT operation_id, at_ms FROM {g}.operation").fetchall())
        other = [c for c in changes if times.get(c.operation_id, c.at_ms) != c.at_ms]
        if other:
            raise Conflict(f"Operation {other[0].operation_id} is there with another time.")
        changes = [change for change in changes if change.operation_id not in times]
        named = [np.concatenate([c.edges.ravel(), c.sources, c.sinks]) for c in changes]
        add_supervoxels(conn, name, np.concatenate([np.empty(0, np.int64), *named]))
        for start in range(0, len(changes), REPLAY_BATCH):
            progress(start, len(changes), "operations")
            play(store, store.meta(), changes[start : start + REPLAY_BATCH])
        store.analyze()
        progress(len(changes), len(changes), "operations")
    return len(changes)


def _history(edits: pa.Table) -> list[Change]:
    names = ["operation_id", "kind", "edges_a", "edges_b", "source_ids", "sink_ids"]
    missing = [name for name in [*names[:4], "timestamp"] if name not in edits.column_names]
    if missing:
        raise Invalid(f"Edits need a column {missing[0]}.")
    times = edits["timestamp"].cast(pa.timestamp("ms", "UTC"), safe=False).cast(pa.int64())
    empty: list[list[int]] = [[]] * edits.num_rows
    columns = [edits[n].to_pylist() if n in edits.column_names else empty for n in names]
    rows = zip(times.to_pylist(), *columns, strict=True)
    return [_change(*row) for row in rows]


def _change(
    at_ms: int,
    operation_id: int,
    kind: str,
    edges_a: list[int] | None,
    edges_b: list[int] | None,
    sources: list[int] | None,
    sinks: list[int] | None,
) -> Change:
    a, b = edges_a or [], edges_b or []
    if kind not in ("merge", "split") or len(a) != len(b):
        raise Invalid(f"Operation {operation_id} is no merge or split of pairs of supervoxels.")
    pairs = np.array([a, b], np.int64).T
    if kind == "split":
        change = cut_of(pairs, sources or (), sinks or ())
    else:
        near, far = (np.array(side or (), np.int64) for side in (sources, sinks))
        change = Change(0, 0, "merge", edges_of(pairs), near, far)
    return replace(change, operation_id=operation_id, at_ms=at_ms)
