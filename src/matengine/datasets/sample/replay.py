"""What each operation does to the objects, by brute force."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from matengine.datasets.sample.agglomeration import (
    AFFINITY_UNIT,
    UNCUTTABLE,
    Agglomeration,
    components,
)
from matengine.datasets.sample.operations import Operation

Ints = NDArray[np.int64]

# An added edge has no affinity of its own and counts one
_ADDED = AFFINITY_UNIT


@dataclass(frozen=True)
class Replayed:
    """retired, made int64 (k,): root ids that each operation retires and makes."""

    retired: Ints
    made: Ints


class Objects:
    """The objects at one moment, with the edges that hold them together."""

    def __init__(self, found: Agglomeration) -> None:
        self._found = found
        self._alive = found.start.copy()
        self._affinity = found.affinity.copy()
        start = np.flatnonzero(found.start)
        self._object = components(len(found.object_of), found.a[start], found.b[start])
        self._members = _grouped(self._object)
        self._edges = {
            key: start[rows] for key, rows in _grouped(self._object[found.a[start]]).items()
        }
        self._next = len(self._members)

    def apply(self, operation: Operation) -> tuple[int, int]:
        """Do one operation; how many objects it retired and made."""
        if operation.by_cut and not self._cut_is_sure(operation):
            operation.by_cut = False
        edges = operation.edges
        added = operation.kind == "merge"
        self._affinity[edges[added & ~self._alive[edges]]] = _ADDED
        self._alive[edges] = added
        ends = np.r_[self._found.a[edges], self._found.b[edges]]
        touched = np.unique(self._object[ends]).tolist()
        members = np.sort(np.concatenate([self._members.pop(key) for key in touched]))
        inner = np.unique(
            np.concatenate([edges, *(self._edges.pop(key, edges[:0]) for key in touched)])
        )
        inner = inner[self._alive[inner]]
        a, b = (np.searchsorted(members, side[inner]) for side in (self._found.a, self._found.b))
        label = components(len(members), a, b)
        for key, rows in _grouped(label).items():
            self._members[self._next + key] = members[rows]
        for key, rows in _grouped(label[a]).items():
            self._edges[self._next + key] = inner[rows]
        self._object[members] = label + self._next
        made = int(label.max()) + 1
        self._next += made
        return len(touched), made

    def _cut_is_sure(self, operation: Operation) -> bool:
        """Whether the only smallest cut between sources and sinks is the operation's edges."""
        found = self._found
        ends = [*operation.sources, *operation.sinks]
        key = int(self._object[ends[0]])
        if any(self._object[end] != key for end in ends):
            return False
        members, inner = np.sort(self._members[key]), self._edges[key]
        a, b = (np.searchsorted(members, side[inner]) for side in (found.a, found.b))
        sides = [np.searchsorted(members, side) for side in (operation.sources, operation.sinks)]
        cut = only_smallest_cut(len(members), a, b, self._affinity[inner], sides[0], sides[1])
        return cut is not None and set(inner[cut].tolist()) == set(operation.edges.tolist())


def replay(found: Agglomeration, operations: list[Operation]) -> Replayed:
    """Do all operations in order. Where a cut leaves doubt, `by_cut` is taken back."""
    objects = Objects(found)
    counts = np.array([objects.apply(operation) for operation in operations], np.int64)
    return Replayed(counts[:, 0], counts[:, 1])


def objects_at(found: Agglomeration, operations: list[Operation], ms: int) -> Ints:
    """The smallest supervoxel (index) in the object of each supervoxel at a time, from scratch."""
    alive = found.start.copy()
    for operation in operations:
        if operation.ms <= ms:
            alive[operation.edges] = operation.kind == "merge"
    label = components(len(found.object_of), found.a[alive], found.b[alive])
    _, first = np.unique(label, return_index=True)
    smallest: Ints = first[label].astype(np.int64)
    return smallest


def only_smallest_cut(
    count: int, a: Ints, b: Ints, weight: Ints, sources: Ints, sinks: Ints
) -> Ints | None:
    """The edges (rows) of the smallest cut between nodes, None where more than one is smallest.

    a, b (m,) nodes from 0 to count, weight int64 (m,), UNCUTTABLE = infinite. After the greatest
    flow, nodes that the sources still reach lie on their side of every smallest cut, nodes that
    still reach the sinks on the other; the cut is the only one where no node is left over.
    """
    infinite = int(weight.sum() + np.count_nonzero(weight == UNCUTTABLE)) + 1
    capacity = np.where(weight == UNCUTTABLE, infinite, weight)
    source, sink = count, count + 1
    rows = np.r_[a, b, np.full(len(sources), source), sinks]
    cols = np.r_[b, a, sources, np.full(len(sinks), sink)]
    ends = np.full(len(sources) + len(sinks), infinite)
    graph = csr_matrix(
        (np.r_[capacity, capacity, ends].astype(np.int32), (rows, cols)), (count + 2,) * 2
    )
    result = maximum_flow(graph, source, sink)
    if result.flow_value >= infinite:
        return None
    left = csr_matrix(graph - result.flow)
    left.data = np.maximum(left.data, 0)
    left.eliminate_zeros()
    ahead = _reached(left, source)
    behind = _reached(csr_matrix(left.T), sink)
    if not (ahead | behind).all():
        return None
    return np.flatnonzero(ahead[a] != ahead[b])


def _reached(graph: csr_matrix, node: int) -> NDArray[np.bool_]:
    reached = np.zeros(graph.shape[0], bool)
    reached[breadth_first_order(graph, node, return_predecessors=False)] = True
    return reached


def _grouped(label: Ints) -> dict[int, Ints]:
    """The rows of each label."""
    order = np.argsort(label, kind="stable")
    keys, starts = np.unique(label[order], return_index=True)
    parts = np.split(order, starts[1:]) if len(keys) else []
    return dict(zip(keys.tolist(), parts, strict=True))
