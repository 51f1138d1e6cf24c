"""Reads the working set of a batch of operations: the touched objects as they are now."""

from collections.abc import Sequence

import numpy as np

from matengine.errors import Invalid
from matengine.segmentation.chunkedgraph.local.edges import (
    Edges,
    are_pairs,
    edges_at,
    joined,
    origins,
    unknown,
)
from matengine.segmentation.chunkedgraph.local.store import Meta, Store
from matengine.segmentation.chunkedgraph.local.working import Change, WorkingSet
from matengine.segmentation.chunkedgraph.protocol import Ids


def read_working_set(store: Store, meta: Meta, changes: Sequence[Change]) -> WorkingSet:
    """All that `changes` need; raises Invalid where they name a supervoxel the graph lacks."""
    if meta.n_layers is None:
        raise Invalid(f"The chunkedgraph '{store.name}' is empty.")
    ends = np.unique(np.concatenate([change.ends for change in changes]))
    supervoxels, fragment = known_members(store, ends)
    if len(supervoxels) < len(ends):
        missing = np.setdiff1d(ends, supervoxels)
        raise Invalid(f"The chunkedgraph '{store.name}' has no supervoxel {missing[0]}.")
    root_of, fragments = _objects(store, np.unique(fragment))
    whole = any(change.kind != "merge" for change in changes)
    if whole:
        supervoxels, fragment = _members(store, np.array(list(root_of), np.int64))
    pairs = np.concatenate([change.edges for change in changes])
    edges = _edges(store, supervoxels, fragment, pairs, whole=whole)
    return WorkingSet(
        supervoxels, fragment, root_of, fragments, edges,
        meta.n_layers, meta.next_segment, meta.next_fragment,
    )  # fmt: skip


def known_members(store: Store, supervoxels: Ids) -> tuple[Ids, Ids]:
    """Those of the supervoxels that the graph has, sorted, and the fragments of them now."""
    return _sorted(
        *store.row(
            "SELECT coalesce(array_agg(m.supervoxel_id), '{{}}'),"
            " coalesce(array_agg(m.fragment), '{{}}')"
            " FROM unnest(%s) AS s(id)"
            " JOIN {g}.member m ON m.supervoxel_id = s.id AND m.to_ms = {never}",
            supervoxels,
        )
    )


def _objects(store: Store, some: Ids) -> tuple[dict[int, int], dict[int, list[int]]]:
    """All fragments of the objects of some fragments: fragment -> root and root -> fragments."""
    every, roots = store.row(
        "SELECT array_agg(fragment), array_agg(root_id) FROM {g}.fragment_root"
        " WHERE to_ms = {never} AND root_id IN"
        "  (SELECT r.root_id FROM unnest(%s) AS s(id)"
        "   JOIN {g}.fragment_root r ON r.fragment = s.id AND r.to_ms = {never})",
        some,
    )
    root_of = dict(zip(every.tolist(), roots.tolist(), strict=True))
    fragments: dict[int, list[int]] = {}
    for fragment, root in root_of.items():
        fragments.setdefault(root, []).append(fragment)
    return root_of, fragments


def _members(store: Store, fragments: Ids) -> tuple[Ids, Ids]:
    return _sorted(
        *store.row(
            "SELECT array_agg(m.supervoxel_id), array_agg(m.fragment)"
            " FROM unnest(%s) AS s(id)"
            " JOIN {g}.member m ON m.fragment = s.id AND m.to_ms = {never}",
            fragments,
        )
    )


def _edges(store: Store, supervoxels: Ids, fragment: Ids, pairs: Ids, *, whole: bool) -> Edges:
    """The state now of these pairs of supervoxels and, with `whole`, of all active edges."""
    near = np.arange(len(supervoxels))
    if not whole:
        near = np.searchsorted(supervoxels, np.unique(pairs[:, 0]))
    # what is in one fragment began in one
    _, some = np.unique(fragment[near], return_index=True)
    known = edges_at(store, supervoxels[near], origins(store, supervoxels[near[some]]))
    every = joined(known, unknown(pairs))
    wanted = are_pairs(every, pairs)
    return every.take(wanted | every.active if whole else wanted)


def _sorted(keys: Ids, values: Ids) -> tuple[Ids, Ids]:
    order = np.argsort(keys)
    return keys[order], values[order]
