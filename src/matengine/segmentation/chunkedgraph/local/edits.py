"""Edits: merges, splits, undoing and relabelling.

Each edit is one operation at one millisecond, later than all before it. It retires the roots of
all objects that it touches and makes new ones. One edit at a time a graph: the row of the
graph's facts is locked until the caller's transaction ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from matengine.errors import Invalid
from matengine.segmentation.chunkedgraph.local.arrays import as_ids
from matengine.segmentation.chunkedgraph.local.load import add_supervoxels
from matengine.segmentation.chunkedgraph.local.operations import read_operation
from matengine.segmentation.chunkedgraph.local.read_working import read_working_set
from matengine.segmentation.chunkedgraph.local.store import Connection, Meta, Store, find
from matengine.segmentation.chunkedgraph.local.working import Change, Outcome
from matengine.segmentation.chunkedgraph.local.write import write
from matengine.segmentation.chunkedgraph.protocol import Ids, IdsLike
from matengine.storage.atomic import atomic
from matengine.times import from_ms, to_ms

EdgesLike = Ids | Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Edit:
    """What an operation did; root ids are sorted."""

    operation_id: int
    at: datetime
    former_roots: Ids
    new_roots: Ids


def merge(
    conn: Connection,
    name: str,
    edges: EdgesLike,
    *,
    at: datetime | None = None,
    user_id: int | None = None,
    strict: bool = True,
) -> Edit:
    """Add edges, shape (n, 2).

    `at` must be later than every operation and than what is sealed; by default it is now. Raises
    Invalid, and changes nothing, for wrong edges or times, unknown supervoxels, and with `strict`
    where an edge lies inside one object or several objects would remain.
    """
    change = Change(0, 0, "merge", edges_of(edges), user_id=user_id, strict=strict)
    return _edit(conn, name, change, at)


def split(
    conn: Connection,
    name: str,
    edges: EdgesLike = (),
    *,
    sources: IdsLike = (),
    sinks: IdsLike = (),
    at: datetime | None = None,
    user_id: int | None = None,
    strict: bool = True,
) -> Edit:
    """Remove edges, or the minimum cut between the supervoxels `sources` and `sinks`.

    The cut is of the least sum of affinity; an edge without one counts 1, one of infinite
    affinity is never cut. Raises Invalid as `merge`, with `strict` also for supervoxels of
    several objects and for a removal that separates nothing.
    """
    change = replace(cut_of(edges, sources, sinks), user_id=user_id, strict=strict)
    return _edit(conn, name, change, at)


def preview_split(
    conn: Connection,
    name: str,
    edges: EdgesLike = (),
    *,
    sources: IdsLike = (),
    sinks: IdsLike = (),
) -> list[Ids]:
    """The supervoxels of the pieces that a split would leave; changes nothing, takes no lock."""
    store = find(conn, name)
    change = cut_of(edges, sources, sinks)
    return read_working_set(store, _by_edges(store, store.meta()), [change]).components(change)


def undo(
    conn: Connection,
    name: str,
    operation_id: int,
    *,
    at: datetime | None = None,
    user_id: int | None = None,
) -> Edit:
    """Remove the edges that a merge added, or add again those that a split removed.

    Edges that a later operation changed are left alone. It is an operation of its own, with new
    root ids. Raises NotFound for an unknown operation, Invalid where no edge can be changed back.
    """
    with atomic(conn):
        store = find(conn, name)
        store.meta(lock=True)
        done = read_operation(store, operation_id)
        if done.kind == "relabel":
            raise Invalid("A relabelling cannot be undone.")
        a, b = store.row(
            "SELECT coalesce(array_agg(e.a), '{{}}'), coalesce(array_agg(e.b), '{{}}')"
            " FROM unnest(%s, %s) AS p(a, b) JOIN {g}.edge e ON e.a = p.a AND e.b = p.b"
            " WHERE CASE WHEN %s THEN e.from_ms = %s AND e.to_ms = {never} ELSE e.to_ms = %s"
            " AND NOT EXISTS (SELECT FROM {g}.edge n"
            "  WHERE n.a = e.a AND n.b = e.b AND n.from_ms > e.from_ms) END",
            done.edges[:, 0].copy(), done.edges[:, 1].copy(), done.kind == "merge",
            to_ms(done.at), to_ms(done.at),
        )  # fmt: skip
        if not len(a):
            raise Invalid(f"Operation {operation_id} has no edge left to change back.")
        change = Change(
            0, 0, "split" if done.kind == "merge" else "merge", edges_of(np.stack([a, b], 1)),
            user_id=user_id, undo_of=operation_id,
        )  # fmt: skip
        return _edit(conn, name, change, at)


def relabel(
    conn: Connection,
    name: str,
    supervoxels: IdsLike,
    labels: IdsLike,
    *,
    at: datetime | None = None,
    user_id: int | None = None,
) -> Edit:
    """Regroup the objects of some supervoxels, in a graph that was loaded as an assignment.

    Supervoxels of equal label become one object; of the touched objects, what is not named stays
    together. Raises Invalid for a graph of edges.
    """
    ids, groups = as_ids(supervoxels, "supervoxels"), as_ids(labels, "labels")
    if not len(ids) or len(ids) != len(groups) or len(np.unique(ids)) != len(ids):
        raise Invalid("A relabelling needs each supervoxel once, with one label each.")
    change = Change(0, 0, "relabel", sources=ids, labels=groups, user_id=user_id)
    return _edit(conn, name, change, at)


def seal(conn: Connection, name: str, at: datetime) -> None:
    """Make the state at a time final: later edits get later times, whatever any clock says.

    Waits for the running edit. Whoever relies on answers for `at` calls this first and commits.
    """
    with atomic(conn):
        store = find(conn, name)
        meta = store.meta(lock=True)
        store.write_meta(replace(meta, sealed_ms=max(meta.sealed_ms, to_ms(at))))


def _edit(conn: Connection, name: str, change: Change, at: datetime | None) -> Edit:
    with atomic(conn):
        store = find(conn, name)
        meta = store.meta(lock=True)
        if not change.strict and change.kind != "relabel":
            add_supervoxels(conn, name, change.ends)
            meta = store.meta()
        last_id, clock_ms = store.row(
            "SELECT coalesce(max(operation_id), 0),"
            " floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint FROM {g}.operation"
        )
        at_ms = max(clock_ms, _earliest_ms(store, meta)) if at is None else to_ms(at)
        change = replace(change, operation_id=last_id + 1, at_ms=at_ms)
        (outcome,) = play(store, meta, [change])
    formers, new = np.sort(outcome.former_roots), np.sort(outcome.new_roots)
    return Edit(change.operation_id, from_ms(at_ms), formers, new)


def play(store: Store, meta: Meta, changes: Sequence[Change]) -> list[Outcome]:
    """Make changes whose ids and times are set, in order of time, and write them.

    The caller holds the lock that `meta` was read under. Raises Invalid before anything is
    written where one of them is refused.
    """
    _check_times(_earliest_ms(store, meta), changes)
    if any(change.kind == "relabel" for change in changes):
        if meta.by_edges is not False:
            raise Invalid("Only a graph that was loaded as an assignment can be relabelled.")
    else:
        _by_edges(store, meta)
    working = read_working_set(store, meta, changes)
    outcomes = [working.apply(change) for change in changes]
    write(store, meta, working, outcomes)
    next_segment, next_fragment = working.next_segment, working.next_fragment
    store.write_meta(replace(meta, next_segment=next_segment, next_fragment=next_fragment))
    return outcomes


def _by_edges(store: Store, meta: Meta) -> Meta:
    if meta.by_edges is False:
        raise Invalid(f"The chunkedgraph '{store.name}' has no edges.", "Use relabel.")
    return meta


def _earliest_ms(store: Store, meta: Meta) -> int:
    (last,) = store.row("SELECT max(at_ms) FROM {g}.operation")
    return max(meta.sealed_ms, meta.sealed_ms if last is None else last) + 1


def _check_times(earliest_ms: int, changes: Sequence[Change]) -> None:
    for change in changes:
        if change.at_ms < earliest_ms:
            raise Invalid(
                f"An operation cannot be at {from_ms(change.at_ms).isoformat()}.",
                f"The earliest time now is {from_ms(earliest_ms).isoformat()}.",
            )
        earliest_ms = change.at_ms + 1


def edges_of(edges: EdgesLike) -> Ids:
    """Distinct edges, shape (n, 2), each smaller id first; raises Invalid."""
    sizes = {len(edge) for edge in edges}
    if sizes != {2}:
        raise Invalid("Edges must be pairs of supervoxels, at least one.")
    given = as_ids(np.asarray(edges).ravel(), "supervoxels of edges").reshape(-1, 2)
    pairs = np.unique(np.sort(given, axis=1), axis=0)
    if pairs.min() <= 0 or np.any(pairs[:, 0] == pairs[:, 1]):
        raise Invalid("An edge joins two different supervoxels, and their ids are positive.")
    return pairs


def cut_of(edges: EdgesLike, sources: IdsLike, sinks: IdsLike) -> Change:
    """A split as asked for, its id and time not set yet; raises Invalid."""
    near, far = (np.unique(as_ids(side, "supervoxels")) for side in (sources, sinks))
    if len(edges):
        return Change(0, 0, "split", edges_of(edges), near, far)
    if not len(near) or not len(far):
        raise Invalid("A split needs edges, or both sources and sinks.")
    if min(near[0], far[0]) <= 0:
        raise Invalid("Supervoxel ids are positive.")
    return Change(0, 0, "split", sources=near, sinks=far)
