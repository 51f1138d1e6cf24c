"""Level-2 nodes: the connected parts of an object within one chunk, at any time.

Nothing of them is kept but the numbers of touches. A node is the component of the active edges
inside a chunk; it is made anew whenever an edit adds or removes an edge of one of its supervoxels,
also one to another chunk, as in PyChunkedGraph. So at any time it was made by the latest touch of
its supervoxels, and since then nothing of it has changed. Its id has the chunk of its supervoxels,
and as its number

- where no edit has touched it: the number of its smallest supervoxel,
- else: HALF of the numbers there are, plus the number of the touch that made it (of the
  smallest supervoxel where an edit touched several).
"""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order

from matengine.errors import Invalid, NotFound
from matengine.segmentation.chunkedgraph.ids import (
    DEFAULT_N_LAYERS,
    LAYER_SHIFT,
    SUPERVOXEL_LAYER,
    is_supervoxel,
    layer_of,
    spatial_bits,
)
from matengine.segmentation.chunkedgraph.local.components import components
from matengine.segmentation.chunkedgraph.local.edges import active_edges
from matengine.segmentation.chunkedgraph.local.store import Store
from matengine.segmentation.chunkedgraph.protocol import Ids
from matengine.times import to_ms

LAYER = 2
# from an id of layer 1 to the one of layer 2 with the same chunk and number
_UP = (LAYER - SUPERVOXEL_LAYER) << LAYER_SHIFT
_BELOW_LAYER = (1 << LAYER_SHIFT) - 1


@dataclass(frozen=True)
class Parts:
    """The level-2 node of each supervoxel, sorted by supervoxel, and the active edges (n, 2)."""

    supervoxels: Ids
    nodes: Ids
    edges: Ids

    def path(self, first: int, last: int) -> list[int]:
        """Nodes from one to another over the fewest neighbours; both are of one object."""
        names, ends = np.unique(self.node_edges(), return_inverse=True)
        if first == last:
            return [first]
        a, b = ends.reshape(-1, 2).T
        links = coo_array((np.ones(len(a), bool), (a, b)), shape=(len(names),) * 2)
        start, way = np.searchsorted(names, [first, last])
        came_from = breadth_first_order(links.tocsr(), start, directed=False)[1]
        path = [way]
        while path[-1] != start:
            path.append(came_from[path[-1]])
        return [int(names[step]) for step in reversed(path)]

    def node_edges(self) -> Ids:
        """Pairs of neighbouring nodes (n, 2), each once, the smaller id first."""
        ends = self.nodes[np.searchsorted(self.supervoxels, self.edges)]
        ends = np.sort(ends[ends[:, 0] != ends[:, 1]], axis=1)
        pairs: Ids = np.unique(ends, axis=0)
        return pairs


class Level2:
    """Reads the level-2 nodes of one graph; raises Invalid where it has none."""

    def __init__(self, store: Store) -> None:
        meta = store.meta()
        if meta.by_edges is False:
            raise Invalid(
                f"The chunkedgraph '{store.name}' has no edges, so it has no level-2 nodes."
            )
        self._store = store
        self._start_ms = meta.start_ms
        room = LAYER_SHIFT - 3 * spatial_bits(LAYER, meta.n_layers or DEFAULT_N_LAYERS)
        self._number_mask = (1 << room) - 1
        self._half = 1 << (room - 1)

    def of_root(self, root: int, supervoxels: Ids) -> Parts:
        """The parts of a root, whose supervoxels (sorted) are given; raises NotFound."""
        row = self._store.run(
            "SELECT created_ms FROM {g}.root WHERE root_id = %s", int(root)
        ).fetchone()
        if row is None:
            raise NotFound(f"There is no root id {root}.")
        # every edit of an object makes a new root, so a root's edges stay as they were
        return self._parts(supervoxels, row[0])

    def of_supervoxels(self, supervoxels: Ids, at: datetime) -> Ids:
        """The node of each supervoxel at a time, 0 where there is none."""
        return self._of_supervoxels(supervoxels, to_ms(at))

    def alive(self, nodes: Ids, at: datetime) -> Ids:
        """A supervoxel of each node that is there at a time, 0 of each other id."""
        supervoxels, _ = self._origins(nodes)
        there = (nodes != 0) & (self._of_supervoxels(supervoxels, to_ms(at)) == nodes)
        return np.where(there, supervoxels, 0)

    def leaves(self, nodes: Ids, until: datetime | None = None) -> dict[int, Ids]:
        """The supervoxels, sorted, of those of the nodes that exist or, until a time, existed."""
        supervoxels, made_ms = self._origins(nodes)
        found: dict[int, Ids] = {}
        for at_ms in np.unique(made_ms[supervoxels != 0]).tolist():
            if until is not None and at_ms > to_ms(until):
                continue
            asked = made_ms == at_ms
            parts = self._parts(self._neighbours(supervoxels[asked], at_ms), at_ms)
            for node in np.intersect1d(nodes[asked], parts.nodes).tolist():
                found[node] = parts.supervoxels[parts.nodes == node]
        return found

    def _of_supervoxels(self, supervoxels: Ids, at_ms: int) -> Ids:
        parts = self._parts(self._neighbours(supervoxels, at_ms), at_ms)
        place = np.searchsorted(parts.supervoxels, supervoxels)
        place = np.minimum(place, max(len(parts.supervoxels) - 1, 0))
        if not len(parts.supervoxels):
            return np.zeros(len(supervoxels), np.int64)
        found = parts.supervoxels[place] == supervoxels
        return np.where(found, parts.nodes[place], 0)

    def _origins(self, nodes: Ids) -> tuple[Ids, Ids]:
        """A supervoxel that each node would have, and the time in ms when it was made.

        0 for what cannot be a node.
        """
        number = nodes & self._number_mask
        touched = number >= self._half
        supervoxels = np.where(touched, 0, nodes - _UP)
        made_ms = np.full(len(nodes), self._start_ms)
        known, of, at = self._store.row(
            "SELECT coalesce(array_agg(t.number), '{{}}'),"
            " coalesce(array_agg(t.supervoxel_id), '{{}}'), coalesce(array_agg(t.at_ms), '{{}}')"
            " FROM unnest(%s) AS s(number) JOIN {g}.touch t ON t.number = s.number",
            np.unique(number[touched] - self._half),
        )
        order = np.argsort(known)
        known, of, at = known[order], of[order], at[order]
        if len(known):
            place = np.minimum(np.searchsorted(known, number - self._half), len(known) - 1)
            hit = touched & (known[place] == number - self._half)
            supervoxels[hit] = of[place[hit]]
            made_ms[hit] = at[place[hit]]
        right = (layer_of(nodes) == LAYER) & (self._chunk(nodes) == self._chunk(supervoxels))
        return np.where(right, supervoxels, 0), made_ms

    def _neighbours(self, supervoxels: Ids, at_ms: int) -> Ids:
        """All supervoxels of the same objects in the same chunks at a time, sorted."""
        (every,) = self._store.row(
            "SELECT coalesce(array_agg(DISTINCT o.supervoxel_id), '{{}}') FROM"
            " (SELECT DISTINCT f.root_id FROM unnest(%s) AS s(id)"
            "  JOIN {g}.member m ON m.supervoxel_id = s.id AND m.from_ms <= %s AND m.to_ms > %s"
            "  JOIN {g}.fragment_root f ON f.fragment = m.fragment"
            "   AND f.from_ms <= %s AND f.to_ms > %s) AS r"
            " JOIN {g}.fragment_root f ON f.root_id = r.root_id"
            " JOIN {g}.member o ON o.fragment = f.fragment AND o.from_ms <= %s AND o.to_ms > %s",
            np.unique(supervoxels), at_ms, at_ms, at_ms, at_ms, at_ms, at_ms,
        )  # fmt: skip
        near: Ids = every[np.isin(self._chunk(every), self._chunk(supervoxels))]
        return np.sort(near)

    def _parts(self, supervoxels: Ids, at_ms: int) -> Parts:
        """The parts at a time of supervoxels (sorted): all that an object has in a chunk."""
        self._check(supervoxels)
        if not len(supervoxels):
            return Parts(supervoxels, supervoxels, supervoxels.reshape(0, 2))
        edges = active_edges(self._store, supervoxels, at_ms)
        a, b = edges.a, edges.b
        inside = self._chunk(a) == self._chunk(b)
        label = components(
            len(supervoxels),
            np.searchsorted(supervoxels, a[inside]),
            np.searchsorted(supervoxels, b[inside]),
        )
        _, first = np.unique(label, return_index=True)  # rising: the smallest supervoxel
        names = supervoxels[first] + _UP
        touched, number = self._last_touches(supervoxels, label, at_ms)
        names[touched] = (names[touched] & ~self._number_mask) + self._half + number
        kept = np.isin(b, supervoxels)
        return Parts(supervoxels, names[label], np.stack([a[kept], b[kept]], axis=1))

    def _last_touches(self, supervoxels: Ids, label: Ids, at_ms: int) -> tuple[Ids, Ids]:
        """The labels that edits have touched until a time, and the number of their last touch."""
        of, at, number = self._store.row(
            "SELECT coalesce(array_agg(t.supervoxel_id), '{{}}'),"
            " coalesce(array_agg(t.at_ms), '{{}}'), coalesce(array_agg(t.number), '{{}}')"
            " FROM unnest(%s) AS s(id) CROSS JOIN LATERAL"
            "  (SELECT * FROM {g}.touch WHERE supervoxel_id = s.id AND at_ms <= %s"
            "   ORDER BY at_ms DESC LIMIT 1) AS t",
            supervoxels, at_ms,
        )  # fmt: skip
        if number.max(initial=0) >= self._half:
            raise Invalid("This chunkedgraph has had more edits than level-2 ids can number.")
        touched = label[np.searchsorted(supervoxels, of)]
        order = np.lexsort((of, -at, touched))
        labels, last = np.unique(touched[order], return_index=True)
        return labels, number[order][last]

    def _check(self, supervoxels: Ids) -> None:
        if not is_supervoxel(supervoxels).all():
            raise Invalid(
                f"The supervoxels of the chunkedgraph '{self._store.name}' tell no chunks,"
                " so it has no level-2 nodes."
            )
        if np.any((supervoxels & self._number_mask) >= self._half):
            raise Invalid("The numbers of these supervoxels leave no room for level-2 ids.")

    def _chunk(self, ids: Ids) -> Ids:
        """The chunk of each id of layer 1 or 2, as one number."""
        chunk: Ids = (ids & _BELOW_LAYER) & ~self._number_mask
        return chunk
