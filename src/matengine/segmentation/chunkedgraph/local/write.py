"""Writes what a batch of operations changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from matengine.segmentation.chunkedgraph.local.edges import NONE, Edges
from matengine.segmentation.chunkedgraph.local.store import NEVER, Meta, Store
from matengine.segmentation.chunkedgraph.local.working import Event, Outcome, WorkingSet
from matengine.segmentation.chunkedgraph.protocol import Ids


@dataclass(frozen=True)
class Spans:
    """Events of one table as rows: ended ones are there already, the others are new."""

    ended: Ids
    ended_ms: Ids
    keys: Ids
    values: Ids
    from_ms: Ids
    to_ms: Ids


def spans(events: Sequence[Event]) -> Spans:
    """Each event ends its key's row and opens one until the key's next event.

    A value of NONE opens nothing. Events come in order of time.
    """
    empty = [np.empty(0, np.int64)]
    keys = np.concatenate(empty + [event[0] for event in events])
    values = np.concatenate(empty + [event[1] for event in events])
    times = np.concatenate(empty + [np.full(len(event[0]), event[2]) for event in events])
    order = np.argsort(keys, kind="stable")
    keys, values, times = keys[order], values[order], times[order]
    follows = np.zeros(len(keys), bool)  # the event before has the same key
    follows[1:] = keys[1:] == keys[:-1]
    until = np.full(len(keys), NEVER, np.int64)
    until[:-1][follows[1:]] = times[1:][follows[1:]]
    opens = values != NONE
    return Spans(
        keys[~follows], times[~follows], keys[opens], values[opens], times[opens], until[opens]
    )


def write(store: Store, meta: Meta, working: WorkingSet, outcomes: Sequence[Outcome]) -> None:
    """Write the log of a working set and its operations."""
    _write_members(store, spans(working.log.members))
    _write_fragments(store, spans(working.log.fragments))
    _write_edges(store, meta, working.edges, spans(working.log.edges))
    _write_touches(store, working)
    _write_roots(store, working)
    _write_operations(store, outcomes)


def _write_members(store: Store, rows: Spans) -> None:
    if len(rows.ended):
        store.run(
            "UPDATE {g}.member SET to_ms = c.at FROM unnest(%s, %s) AS c(id, at)"
            " WHERE supervoxel_id = c.id AND to_ms = {never}",
            rows.ended, rows.ended_ms,
        )  # fmt: skip
    store.copy("member", {"supervoxel_id": rows.keys, "fragment": rows.values} | _times(rows))


def _write_fragments(store: Store, rows: Spans) -> None:
    store.run(
        "UPDATE {g}.fragment_root SET to_ms = c.at FROM unnest(%s, %s) AS c(id, at)"
        " WHERE fragment = c.id AND to_ms = {never}",
        rows.ended, rows.ended_ms,
    )  # fmt: skip
    store.copy("fragment_root", {"fragment": rows.keys, "root_id": rows.values} | _times(rows))


def _write_edges(store: Store, meta: Meta, edges: Edges, rows: Spans) -> None:
    packed = edges.packed[rows.ended]
    ended, ended_ms = rows.ended[~packed], rows.ended_ms[~packed]
    if len(ended):
        store.run(
            "UPDATE {g}.edge SET to_ms = c.at FROM unnest(%s, %s, %s) AS c(a, b, at)"
            " WHERE edge.a = c.a AND edge.b = c.b AND to_ms = {never}",
            edges.a[ended], edges.b[ended], ended_ms,
        )  # fmt: skip
    # from now on their rows tell of them
    first = edges.take(rows.ended[packed])
    always = {"from_ms": np.full(len(first.a), meta.start_ms), "to_ms": rows.ended_ms[packed]}
    for which, times in ((first, always), (edges.take(rows.keys), _times(rows))):
        columns = {
            "a": which.a,
            "b": which.b,
            "affinity": pa.array(which.affinity, mask=np.isnan(which.affinity)),
            "area": pa.array(which.area, mask=which.area == NONE),
        }
        store.copy("edge", columns | times)


def _write_touches(store: Store, working: WorkingSet) -> None:
    """The supervoxels at the ends of the edges that each edit switched, numbered as they come."""
    touched, times = [], []
    for numbers, _, at_ms in working.log.edges:
        touched.append(np.union1d(working.edges.a[numbers], working.edges.b[numbers]))
        times.append(np.full(len(touched[-1]), at_ms, np.int64))
    if touched:
        supervoxels = np.concatenate(touched)
        (last,) = store.row("SELECT coalesce(max(number), 0) FROM {g}.touch")
        store.copy(
            "touch",
            {
                "number": last + 1 + np.arange(len(supervoxels), dtype=np.int64),
                "supervoxel_id": supervoxels,
                "at_ms": np.concatenate(times),
            },
        )


def _times(rows: Spans) -> dict[str, Ids]:
    return {"from_ms": rows.from_ms, "to_ms": rows.to_ms}


def _write_roots(store: Store, working: WorkingSet) -> None:
    made, retired = working.log.made, working.log.retired
    open_end = (NEVER, None)
    store.copy(
        "root",
        {
            "root_id": pa.array(made, pa.int64()),
            "created_ms": pa.array([at for at, _ in made.values()], pa.int64()),
            "created_by": pa.array([by for _, by in made.values()], pa.int64()),
            "expired_ms": pa.array([retired.get(r, open_end)[0] for r in made], pa.int64()),
            "retired_by": pa.array([retired.get(r, open_end)[1] for r in made], pa.int64()),
        },
    )
    older = [root for root in retired if root not in made]
    ends = np.array([retired[root] for root in older], np.int64).reshape(-1, 2)
    store.run(
        "UPDATE {g}.root r SET expired_ms = c.at, retired_by = c.by"
        " FROM unnest(%s, %s, %s) AS c(id, at, by) WHERE r.root_id = c.id",
        np.array(older, np.int64), ends[:, 0].copy(), ends[:, 1].copy(),
    )  # fmt: skip
    links = np.array(working.log.formers, np.int64).reshape(-1, 2)
    store.copy("root_former", {"root_id": links[:, 0], "former_id": links[:, 1]})


def _write_operations(store: Store, outcomes: Sequence[Outcome]) -> None:
    store.run_many(
        "INSERT INTO {g}.operation (operation_id, at_ms, kind, user_id, undo_of,"
        " source_ids, sink_ids, edges_a, edges_b) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        [_operation(outcome) for outcome in outcomes],
    )


def _operation(outcome: Outcome) -> tuple[Any, ...]:
    change, edges = outcome.change, outcome.edges
    plain = (change.operation_id, change.at_ms, change.kind, change.user_id, change.undo_of)
    return (*plain, change.sources, change.sinks, edges[:, 0].copy(), edges[:, 1].copy())
