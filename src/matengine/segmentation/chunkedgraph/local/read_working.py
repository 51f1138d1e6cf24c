"""Reads the working set of a batch of operations: the touched objects as they are now."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from matengine.errors import Invalid
from matengine.segmentation.chunkedgraph.local.store import Meta, Store
from matengine.segmentation.chunkedgraph.local.working import NONE, Change, WorkingSet
from matengine.segmentation.chunkedgraph.protocol import Ids

Edges = tuple[Ids, Ids, NDArray[np.float32], Ids, NDArray[np.bool_]]
"""a, b, affinity (NaN: none), area (NONE: none), whether active."""


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
    a, b, affinity, area, active = _edges(store, supervoxels if whole else ends[:0], pairs)
    return WorkingSet(
        supervoxels, fragment, root_of, fragments,
        np.searchsorted(supervoxels, a), np.searchsorted(supervoxels, b), affinity, area, active,
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


def active_edges(
    store: Store, supervoxels: Ids, at_ms: int
) -> tuple[Ids, Ids, NDArray[np.float32], Ids]:
    """The edges a < b that were active at a time and whose `a` is one of the supervoxels.

    With affinity (NaN: none) and area (NONE: none).
    """
    a, b, affinity, area = store.row(
        "SELECT coalesce(array_agg(e.a), '{{}}'), coalesce(array_agg(e.b), '{{}}'),"
        " coalesce(array_agg(coalesce(e.affinity, 'NaN')), '{{}}'),"
        " coalesce(array_agg(coalesce(e.area, -1)), '{{}}')"
        " FROM unnest(%s) AS s(id) CROSS JOIN LATERAL"
        "  (SELECT * FROM {g}.edge WHERE a = s.id AND from_ms <= %s AND to_ms > %s OFFSET 0) AS e",
        supervoxels, at_ms, at_ms,
    )  # fmt: skip
    return a, b, affinity, area


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


def _edges(store: Store, supervoxels: Ids, pairs: Ids) -> Edges:
    """The active edges of all these supervoxels, and the newest state of these pairs; sorted.

    Areas are those of the pairs alone, NONE for others: no operation needs more.
    """
    inner = _now(store, supervoxels)
    named = _newest(store, pairs)
    k = len(pairs)
    unknown = pairs[:, 0], pairs[:, 1], np.full(k, np.nan, np.float32), np.full(k, NONE)
    parts = [named, (*unknown, np.zeros(k, bool)), inner]
    a, b, affinity, area, active = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((b, a))  # stable: of equal pairs what is known best comes first
    a, b = a[order], b[order]
    first = np.ones(len(a), bool)
    first[1:] = (a[1:] != a[:-1]) | (b[1:] != b[:-1])
    kept = order[first]
    return a[first], b[first], affinity[kept], area[kept], active[kept]


def _now(store: Store, supervoxels: Ids) -> Edges:
    """The active edges whose `a` is one of the supervoxels, without areas."""
    # OFFSET 0 keeps the planner at the index, which an object's few edges always repay
    a, b, affinity = store.row(
        "SELECT coalesce(array_agg(a), '{{}}'), coalesce(array_agg(b), '{{}}'),"
        " coalesce(array_agg(coalesce(affinity, 'NaN')), '{{}}')"
        " FROM unnest(%s) AS s(id) CROSS JOIN LATERAL"
        "  (SELECT * FROM {g}.edge WHERE a = s.id AND to_ms = {never} OFFSET 0) AS e",
        supervoxels,
    )
    return a, b, affinity, np.full(len(a), NONE), np.ones(len(a), bool)


def _newest(store: Store, pairs: Ids) -> Edges:
    """The newest state of those of the pairs that were ever edges."""
    a, b, affinity, area, active = store.row(
        "SELECT coalesce(array_agg(a), '{{}}'), coalesce(array_agg(b), '{{}}'),"
        " coalesce(array_agg(coalesce(affinity, 'NaN')), '{{}}'),"
        " coalesce(array_agg(coalesce(area, -1)), '{{}}'),"
        " coalesce(array_agg((to_ms = {never})::int::bigint), '{{}}')"
        " FROM unnest(%s, %s) AS p(x, y) CROSS JOIN LATERAL"
        "  (SELECT * FROM {g}.edge WHERE a = x AND b = y ORDER BY from_ms DESC LIMIT 1) AS e",
        pairs[:, 0].copy(), pairs[:, 1].copy(),
    )  # fmt: skip
    return a, b, affinity, area, active.astype(bool)


def _sorted(keys: Ids, values: Ids) -> tuple[Ids, Ids]:
    order = np.argsort(keys)
    return keys[order], values[order]
