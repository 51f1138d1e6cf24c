"""The state in which a graph begins: objects from edges, or from labels."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from matengine.errors import Conflict, Invalid
from matengine.progress import Progress, quiet
from matengine.segmentation.chunkedgraph.ids import (
    DEFAULT_N_LAYERS,
    chunk_of,
    is_supervoxel,
    n_layers_for,
    root_ids,
)
from matengine.segmentation.chunkedgraph.local import fragments, packed
from matengine.segmentation.chunkedgraph.local.arrays import as_ids
from matengine.segmentation.chunkedgraph.local.components import components
from matengine.segmentation.chunkedgraph.local.edges import NONE
from matengine.segmentation.chunkedgraph.local.read_working import known_members
from matengine.segmentation.chunkedgraph.local.store import (
    NEVER,
    Connection,
    Meta,
    Store,
    find,
)
from matengine.segmentation.chunkedgraph.protocol import Ids, IdsLike
from matengine.storage.atomic import atomic

# the layout of chunks in supervoxel ids is the same for all graphs of up to this many layers
_SAME_LAYOUT_LAYERS = 12


def load_edges(
    conn: Connection,
    name: str,
    edges: pa.Table,
    supervoxels: IdsLike = (),
    progress: Progress = quiet,
) -> int:
    """Load the edges of the graph's beginning: their connected components are its objects.

    `edges` has supervoxel_a, supervoxel_b and optionally affinity and area; edges are undirected
    and a set (the first of equal ones counts). `supervoxels` may name further ones, which are
    objects of their own. Returns the number of objects. Raises Conflict where the graph is not
    empty, Invalid for wrong ids or affinities and for an edge from a supervoxel to itself.
    """
    clean = _clean_edges(edges)
    lone = _positive(as_ids(supervoxels, "supervoxels"))
    every = np.unique(np.concatenate([clean["a"], clean["b"], lone]))
    ends = [np.searchsorted(every, clean[side]).astype(np.int32) for side in ("a", "b")]
    labels = components(len(every), *ends)
    with atomic(conn):
        store, meta = _empty_store(conn, name)
        progress(0, len(every), "supervoxels")
        fragment = fragments.parts(labels, *ends)
        packed.write(store, clean, meta.next_fragment + fragment[ends[0]])
        _write_objects(store, replace(meta, by_edges=True), every, labels, fragment)
        store.analyze()
        progress(len(every), len(every), "supervoxels")
    return int(labels.max(initial=-1)) + 1


def load_assignment(
    conn: Connection,
    name: str,
    supervoxels: IdsLike,
    labels: IdsLike,
    *,
    labels_are_roots: bool = False,
) -> int:
    """Load the graph's beginning as a label for each supervoxel: equal labels, one object.

    Such a graph has no edges, so `relabel` edits it. With `labels_are_roots` the labels become
    the root ids. Returns the number of objects. Raises Conflict where the graph is not empty,
    Invalid for wrong ids.
    """
    ids, groups = _positive(as_ids(supervoxels, "supervoxels")), as_ids(labels, "labels")
    if len(ids) != len(groups) or len(np.unique(ids)) != len(ids):
        raise Invalid("An assignment needs each supervoxel once, with one label each.")
    names, group = np.unique(groups, return_inverse=True)
    with atomic(conn):
        store, meta = _empty_store(conn, name)
        roots = _positive(names) if labels_are_roots else None
        _write_objects(store, replace(meta, by_edges=False), ids, group, group, roots)
        store.analyze()
    return len(names)


def add_supervoxels(conn: Connection, name: str, supervoxels: IdsLike) -> int:
    """Make supervoxels that the graph lacks objects of their own, from its start on.

    Returns how many were new.
    """
    ids = np.unique(_positive(as_ids(supervoxels, "supervoxels")))
    with atomic(conn):
        store = find(conn, name)
        meta = store.meta(lock=True)
        fresh = np.setdiff1d(ids, known_members(store, ids)[0], assume_unique=True)
        if len(fresh):
            by_edges = True if meta.by_edges is None else meta.by_edges
            labels = np.arange(len(fresh), dtype=np.int64)
            _write_objects(store, replace(meta, by_edges=by_edges), fresh, labels, labels)
    return len(fresh)


def _empty_store(conn: Connection, name: str) -> tuple[Store, Meta]:
    store = find(conn, name)
    meta = store.meta(lock=True)
    if meta.by_edges is not None:
        raise Conflict(f"The chunkedgraph '{name}' has been loaded already.")
    return store, meta


def _positive(ids: Ids) -> Ids:
    if len(ids) and ids.min() <= 0:
        raise Invalid(f"{ids.min()} cannot be a supervoxel or root id: ids are positive.")
    return ids


def _clean_edges(edges: pa.Table) -> packed.Edges:
    """Edges a < b, sorted, each once: the first of equal ones."""
    sides = []
    for column in ("supervoxel_a", "supervoxel_b"):
        if column not in edges.column_names or edges[column].null_count:
            raise Invalid(f"Edges need a column {column} without nulls.")
        sides.append(_positive(as_ids(edges[column].to_numpy(), column)))
    a, b = np.minimum(*sides), np.maximum(*sides)
    if np.any(a == b):
        raise Invalid(f"Supervoxel {a[a == b][0]} has an edge to itself.")
    _check_affinity(edges)
    order = np.lexsort((b, a))
    first = np.ones(len(a), bool)
    first[1:] = (np.diff(a[order]) != 0) | (np.diff(b[order]) != 0)
    kept = order[first]
    clean = np.empty(len(kept), packed.EDGE)
    clean["a"], clean["b"] = a[kept], b[kept]
    clean["affinity"], clean["area"] = np.nan, NONE
    for name, kind, none in (("affinity", pa.float32(), np.nan), ("area", pa.int64(), NONE)):
        if name in edges.column_names:
            clean[name] = edges[name].cast(kind).fill_null(none).to_numpy()[kept]
    return clean


def _check_affinity(edges: pa.Table) -> None:
    if "affinity" not in edges.column_names:
        return
    affinity: NDArray[np.float64] = edges["affinity"].drop_null().to_numpy()
    if not np.all(affinity >= 0):
        raise Invalid("An affinity must be a number of zero or more (infinity: never cut).")


def _write_objects(
    store: Store, meta: Meta, supervoxels: Ids, labels: Ids, fragment: Ids, roots: Ids | None = None
) -> None:
    """Supervoxels become objects from the graph's start on.

    Their objects are labelled 0, 1, …, their fragments numbered so.
    """
    meta = replace(meta, n_layers=meta.n_layers or _fitting_layers(supervoxels))
    count = int(labels.max()) + 1 if len(labels) else 0
    if roots is None:
        roots = root_ids(meta.next_segment, count, meta.n_layers or DEFAULT_N_LAYERS)
        next_segment = meta.next_segment + count
    else:
        # below the layer and the three chunk bits lies the segment number
        next_segment = int((roots & ((1 << 53) - 1)).max(initial=0)) + 1
    _, some = np.unique(fragment, return_index=True)
    names = meta.next_fragment + np.arange(len(some))
    order = np.lexsort((supervoxels, fragment))
    always = {"from_ms": meta.start_ms, "to_ms": NEVER}
    member = {"supervoxel_id": supervoxels[order], "fragment": names[fragment[order]]}
    store.copy("member", _with_constants(member, always))
    objects = {"fragment": names, "root_id": roots[labels[some]]}
    store.copy("fragment_root", _with_constants(objects, always))
    life = {"created_ms": meta.start_ms, "expired_ms": NEVER}
    store.copy("root", _with_constants({"root_id": roots}, life))
    store.write_meta(
        replace(meta, next_segment=next_segment, next_fragment=meta.next_fragment + len(some))
    )


def _with_constants(columns: dict[str, Ids], constants: dict[str, int]) -> dict[str, Ids]:
    n = len(next(iter(columns.values())))
    return columns | {name: np.full(n, value, np.int64) for name, value in constants.items()}


def _fitting_layers(supervoxels: Ids) -> int:
    """As many layers as the supervoxels' chunks need; the default where ids tell no chunks."""
    if not len(supervoxels) or not is_supervoxel(supervoxels).all():
        return DEFAULT_N_LAYERS
    return n_layers_for(chunk_of(supervoxels, _SAME_LAYOUT_LAYERS).max(axis=0) + 1)
