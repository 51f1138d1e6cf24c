"""The objects that a batch of operations touches, in memory, and what the batch does to them.

Operations are played one after the other on arrays; every change of state is logged with its
time and written at once at the end (`write.py`). One edit is a batch of one.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from matengine.errors import Invalid
from matengine.segmentation.chunkedgraph.ids import root_ids
from matengine.segmentation.chunkedgraph.local.components import components
from matengine.segmentation.chunkedgraph.local.edges import NONE, Edges, Mask
from matengine.segmentation.chunkedgraph.local.mincut import minimum_cut
from matengine.segmentation.chunkedgraph.protocol import Ids

Kind = Literal["merge", "split", "relabel"]
Event = tuple[Ids, Ids, int]
"""Keys, their new values (NONE: nothing any more) and the time in ms."""


def no_ids() -> Ids:
    return np.empty(0, np.int64)


@dataclass(frozen=True)
class Change:
    """One operation as asked for.

    `edges`, shape (n, 2), each smaller id first: a merge adds them, a split removes them; a
    split without edges is a minimum cut between `sources` and `sinks`. For a relabelling
    `labels` are the groups of the supervoxels `sources`.
    """

    operation_id: int
    at_ms: int
    kind: Kind
    edges: Ids = field(default_factory=lambda: np.empty((0, 2), np.int64))
    sources: Ids = field(default_factory=no_ids)
    sinks: Ids = field(default_factory=no_ids)
    labels: Ids = field(default_factory=no_ids)
    user_id: int | None = None
    undo_of: int | None = None
    strict: bool = False

    @property
    def is_cut(self) -> bool:
        return self.kind == "split" and not len(self.edges)

    @property
    def ends(self) -> Ids:
        """All supervoxels that say which objects the operation touches."""
        if self.is_cut or self.kind == "relabel":
            return np.union1d(self.sources, self.sinks)
        return np.unique(self.edges)


@dataclass
class Log:
    """Everything that a batch changed, in order of time."""

    members: list[Event] = field(default_factory=list)  # supervoxel -> fragment
    fragments: list[Event] = field(default_factory=list)  # fragment -> root
    edges: list[Event] = field(default_factory=list)  # number of the edge -> 1 or NONE
    made: dict[int, tuple[int, int]] = field(default_factory=dict)  # root -> time, operation
    retired: dict[int, tuple[int, int]] = field(default_factory=dict)
    formers: list[tuple[int, int]] = field(default_factory=list)  # root, its former


@dataclass(frozen=True)
class Outcome:
    """What one operation did; `edges` are those given, or found by the minimum cut."""

    change: Change
    edges: Ids
    former_roots: Ids
    new_roots: Ids


@dataclass
class WorkingSet:
    """Objects and edges, by index: supervoxels are sorted, `a` and `b` are positions among them.

    For splits it holds all supervoxels and active edges of the touched objects; merges need
    only the ends of their edges, and every fragment of the objects.
    """

    supervoxels: Ids
    fragment: Ids  # of each supervoxel
    root_of: dict[int, int]  # fragment -> root
    fragments: dict[int, list[int]]  # root -> fragments
    edges: Edges
    n_layers: int
    next_segment: int
    next_fragment: int
    log: Log = field(default_factory=Log)

    def __post_init__(self) -> None:
        n = len(self.supervoxels)
        self.a = np.searchsorted(self.supervoxels, self.edges.a)
        self.b = np.searchsorted(self.supervoxels, self.edges.b)
        self.active = self.edges.active.copy()
        self._pairs = self.a * n + self.b  # rising, as edges are sorted
        self._first_edge = np.searchsorted(self.a, np.arange(n + 1))

    def apply(self, change: Change) -> Outcome:
        """Play one operation; raises Invalid (before changing anything) where it is refused."""
        ends = np.searchsorted(self.supervoxels, change.ends)
        touched = self._roots(ends)
        if change.kind == "merge":
            return self._merge(change, touched)
        if change.strict and len(touched) > 1:
            raise Invalid("A split needs supervoxels of one object; these are of several.")
        if change.kind == "relabel":
            return self._relabel(change, touched)
        return self._split(change, touched)

    def components(self, change: Change) -> list[Ids]:
        """The supervoxels of the pieces that a split would leave, without making it."""
        touched = self._roots(np.searchsorted(self.supervoxels, change.ends))
        members = self._members(touched)
        labels = self._labels(members, self._cut(change, members))
        return [self.supervoxels[members[labels == label]] for label in range(labels.max() + 1)]

    def _merge(self, change: Change, touched: Ids) -> Outcome:
        numbers = self._edge_numbers(change.edges)
        root_a, root_b = self._root_of_each(self.a[numbers]), self._root_of_each(self.b[numbers])
        if change.strict and np.any(root_a == root_b):
            raise Invalid("The supervoxels must belong to different objects.")
        a, b = np.searchsorted(touched, root_a), np.searchsorted(touched, root_b)
        group = components(len(touched), a, b)
        if change.strict and group.max() > 0:
            raise Invalid("The edges of a merge must join all their objects into one.")
        self._switch(numbers[~self.active[numbers]], True, change.at_ms)
        roots = self._new_roots(int(group.max()) + 1, change)
        for old, new in zip(touched.tolist(), roots[group].tolist(), strict=True):
            fragments = np.array(self.fragments.pop(old), np.int64)
            self._hand_over(fragments, np.full(len(fragments), new, np.int64), change.at_ms)
            self.log.formers.append((new, old))
        self._retire(touched, change)
        return Outcome(change, change.edges, touched, roots)

    def _split(self, change: Change, touched: Ids) -> Outcome:
        members = self._members(touched)
        cut = self._cut(change, members)
        labels = self._labels(members, cut)
        if change.strict and labels.max() + 1 == len(touched):
            raise Invalid("Removing these edges does not split the object.")
        edges = change.edges
        if change.is_cut:
            found = np.flatnonzero(cut)
            edges = np.stack([self.edges.a[found], self.edges.b[found]], 1)
        self._switch(np.flatnonzero(cut), False, change.at_ms)
        return Outcome(change, edges, touched, self._regroup(members, labels, touched, change))

    def _relabel(self, change: Change, touched: Ids) -> Outcome:
        members = self._members(touched)
        old = np.searchsorted(touched, self._root_of_each(members))
        named = np.searchsorted(self.supervoxels[members], change.sources)
        group = -1 - old  # what is not named stays together
        group[named] = np.unique(change.labels, return_inverse=True)[1]
        labels = np.unique(group, return_inverse=True)[1]
        return Outcome(
            change, change.edges, touched, self._regroup(members, labels, touched, change)
        )

    def _cut(self, change: Change, members: Ids) -> Mask:
        """Which active edges a split removes."""
        cut = np.zeros(len(self.a), bool)
        if not change.is_cut:
            cut[self._edge_numbers(change.edges)] = True
            return cut & self.active
        inner = self._inner_edges(members)
        affinity = self.edges.affinity[inner].astype(np.float64)
        weights = np.where(np.isnan(affinity), 1.0, affinity)
        place = self._places(members)
        ends = [np.searchsorted(self.supervoxels, side) for side in (change.sources, change.sinks)]
        cut[inner] = minimum_cut(
            len(members), place[self.a[inner]], place[self.b[inner]], weights,
            place[ends[0]], place[ends[1]],
        )  # fmt: skip
        return cut

    def _labels(self, members: Ids, cut: Mask) -> Ids:
        """The component of each of the members once the cut edges are gone."""
        inner = self._inner_edges(members)
        kept = inner[~cut[inner]]
        place = self._places(members)
        return components(len(members), place[self.a[kept]], place[self.b[kept]])

    def _regroup(self, members: Ids, labels: Ids, touched: Ids, change: Change) -> Ids:
        """Give each label's supervoxels a new root; the most of a fragment stay in it."""
        at = change.at_ms
        old = np.searchsorted(touched, self._root_of_each(members))
        count = int(labels.max()) + 1
        fragments, of = np.unique(self.fragment[members], return_inverse=True)
        # a piece is what one label has of one fragment
        piece = of * count + labels
        pieces, piece, size = np.unique(piece, return_inverse=True, return_counts=True)
        came_from, label = np.divmod(pieces, count)
        order = np.lexsort((-size, came_from))
        stays = order[np.unique(came_from[order], return_index=True)[1]]
        leaves = np.ones(len(pieces), bool)
        leaves[stays] = False
        fragment = fragments[came_from]
        fragment[leaves] = self.next_fragment + np.arange(leaves.sum())
        self.next_fragment += int(leaves.sum())
        moved = members[leaves[piece]]
        if len(moved):
            self.fragment[moved] = fragment[piece[leaves[piece]]]
            self.log.members.append((self.supervoxels[moved], self.fragment[moved], at))

        roots = self._new_roots(count, change)
        for root in touched.tolist():
            del self.fragments[root]
        self._hand_over(fragment, roots[label], at)
        new, former = np.divmod(np.unique(labels * len(touched) + old), len(touched))
        self.log.formers += zip(roots[new].tolist(), touched[former].tolist(), strict=True)
        self._retire(touched, change)
        return roots

    def _roots(self, numbers: Ids) -> Ids:
        return np.unique(self._root_of_each(numbers))

    def _root_of_each(self, numbers: Ids) -> Ids:
        """The root of each of the supervoxels (positions)."""
        fragments, each = np.unique(self.fragment[numbers], return_inverse=True)
        roots = [self.root_of[fragment] for fragment in fragments.tolist()]
        found: Ids = np.array(roots, np.int64)[each]
        return found

    def _members(self, roots: Ids) -> Ids:
        """Positions of all supervoxels of objects, rising."""
        fragments = [f for root in roots.tolist() for f in self.fragments[root]]
        return np.flatnonzero(np.isin(self.fragment, fragments))

    def _places(self, members: Ids) -> Ids:
        """Position among the members, by position among all; NONE elsewhere."""
        place = np.full(len(self.supervoxels), NONE, np.int64)
        place[members] = np.arange(len(members))
        return place

    def _inner_edges(self, members: Ids) -> Ids:
        """Numbers of the active edges of the members' objects."""
        first = self._first_edge[members]
        count = self._first_edge[members + 1] - first
        before = np.cumsum(count) - count
        numbers: Ids = np.repeat(first - before, count) + np.arange(count.sum())
        return numbers[self.active[numbers]]

    def _edge_numbers(self, edges: Ids) -> Ids:
        """Numbers of edges given by their supervoxels; the set holds all that operations name."""
        wanted = np.searchsorted(self.supervoxels, edges)
        found: Ids = np.searchsorted(
            self._pairs, wanted[:, 0] * len(self.supervoxels) + wanted[:, 1]
        )
        return found

    def _switch(self, numbers: Ids, on: bool, at_ms: int) -> None:
        self.active[numbers] = on
        if len(numbers):
            state = np.full(len(numbers), 1 if on else NONE, np.int64)
            self.log.edges.append((numbers, state, at_ms))

    def _new_roots(self, count: int, change: Change) -> Ids:
        roots = root_ids(self.next_segment, count, self.n_layers)
        self.next_segment += count
        self.log.made.update(dict.fromkeys(roots.tolist(), (change.at_ms, change.operation_id)))
        return roots

    def _hand_over(self, fragments: Ids, roots: Ids, at_ms: int) -> None:
        for fragment, root in zip(fragments.tolist(), roots.tolist(), strict=True):
            self.root_of[fragment] = root
            self.fragments.setdefault(root, []).append(fragment)
        self.log.fragments.append((fragments, roots, at_ms))

    def _retire(self, roots: Ids, change: Change) -> None:
        self.log.retired.update(dict.fromkeys(roots.tolist(), (change.at_ms, change.operation_id)))
