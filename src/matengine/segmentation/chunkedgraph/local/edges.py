"""Edges at a time: those of the beginning, and what edits have made of them.

An edge that some edit has added or removed has a row in the table `edge` for each span of time in
which it was active; these rows say all of it. Other edges are packed (`packed.py`) and were always
active. In a graph that was loaded before edges were packed, all edges have rows.
"""

from dataclasses import dataclass
from typing import Any, LiteralString

import numpy as np
from numpy.typing import NDArray

from matengine.segmentation.chunkedgraph.local import packed
from matengine.segmentation.chunkedgraph.local.packed import is_in
from matengine.segmentation.chunkedgraph.local.roots import fragments_at
from matengine.segmentation.chunkedgraph.local.store import NEVER, Store
from matengine.segmentation.chunkedgraph.protocol import Ids

Mask = NDArray[np.bool_]
NONE = -1
"""The area of an edge that has none."""


@dataclass(frozen=True)
class Edges:
    """Edges a < b, sorted, each once."""

    a: Ids
    b: Ids
    affinity: NDArray[np.float32]  # NaN: none
    area: Ids  # NONE: none
    active: Mask
    packed: Mask  # no edit has changed it

    def take(self, which: Ids | Mask) -> "Edges":
        return Edges(*(column[which] for column in self.columns()))

    def columns(self) -> tuple[NDArray[Any], ...]:
        return self.a, self.b, self.affinity, self.area, self.active, self.packed


def edges_at(store: Store, supervoxels: Ids, fragments: Ids, at_ms: int = NEVER - 1) -> Edges:
    """All edges whose `a` is one of the supervoxels (sorted), in their state at a time.

    Edges that were active before but not then are among them. `fragments` are those in which the
    supervoxels began (`origins`).
    """
    rows = packed.read(store, fragments, supervoxels)
    changed = _changed(store, supervoxels, at_ms, few=len(rows) > 0)
    always = np.ones(len(rows), bool)
    first = Edges(rows["a"], rows["b"], rows["affinity"], rows["area"], always, always)
    return joined(changed, first)


def active_edges(store: Store, supervoxels: Ids, at_ms: int) -> Edges:
    """The edges that were active at a time and whose `a` is one of the supervoxels (sorted)."""
    known = edges_at(store, supervoxels, origins(store, supervoxels), at_ms)
    return known.take(known.active)


def unknown(pairs: Ids) -> Edges:
    """Pairs (n, 2) that have never been edges."""
    n, no = len(pairs), np.zeros(len(pairs), bool)
    return Edges(pairs[:, 0], pairs[:, 1], np.full(n, np.nan, np.float32), np.full(n, NONE), no, no)


def are_pairs(edges: Edges, pairs: Ids) -> Mask:
    """Which of the edges are one of these pairs (n, 2)."""
    found = np.zeros(len(edges.a), bool)
    names = np.unique(pairs)
    near = np.flatnonzero(is_in(edges.a, names))
    near = near[is_in(edges.b[near], names)]
    ends = np.stack([edges.a[near], edges.b[near]], 1)
    keys, wanted = (np.searchsorted(names, p) @ [len(names), 1] for p in (ends, pairs))
    found[near] = np.isin(keys, wanted)
    return found


def joined(best: Edges, other: Edges) -> Edges:
    """Both, sorted, each edge once: the first of equal ones."""
    columns = zip(best.columns(), other.columns(), strict=True)
    every = Edges(*(np.concatenate(column) for column in columns))
    order = np.lexsort((every.b, every.a))  # stable
    a, b = every.a[order], every.b[order]
    first = np.ones(len(a), bool)
    first[1:] = (a[1:] != a[:-1]) | (b[1:] != b[:-1])
    return every.take(order[first])


def origins(store: Store, supervoxels: Ids) -> Ids:
    """The fragments, sorted, in which supervoxels began."""
    (start_ms,) = store.row("SELECT start_ms FROM {g}.meta")
    return np.setdiff1d(fragments_at(store, np.unique(supervoxels), start_ms), [0])


def _changed(store: Store, supervoxels: Ids, at_ms: int, *, few: bool) -> Edges:
    """Edges that have rows from before a time, those active at it first; `few` have."""
    a, b, affinity, area, to_ms = store.row(_FEW if few else _MANY, supervoxels, at_ms)
    active = to_ms > at_ms
    rows = Edges(a, b, affinity, area, active, np.zeros(len(a), bool))
    return rows.take(np.argsort(~active, kind="stable"))


# read as the planner likes best
_FEW: LiteralString = """
SELECT coalesce(array_agg(a), '{{}}'), coalesce(array_agg(b), '{{}}'),
  coalesce(array_agg(coalesce(affinity, 'NaN')), '{{}}'),
  coalesce(array_agg(coalesce(area, -1)), '{{}}'), coalesce(array_agg(to_ms), '{{}}')
FROM unnest(%s) AS s(id) CROSS JOIN LATERAL
  (SELECT * FROM {g}.edge WHERE a = s.id AND from_ms <= %s) AS e"""

# kept at the index, which an object's few of very many always repay
_MANY: LiteralString = _FEW.replace(") AS e", " OFFSET 0) AS e")
