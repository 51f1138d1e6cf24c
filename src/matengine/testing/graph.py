"""A chunkedgraph of a few supervoxels in memory: the oracle of the embedded one.

Everything is done the obvious way: objects are flood fills over a set of edges, every root that
ever was is kept with its supervoxels, a question goes through all of them, a minimum cut tries
every subset. Slow, and right.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import combinations
from math import isinf

import numpy as np
from numpy.typing import NDArray

from matengine.errors import Invalid, NotFound
from matengine.segmentation.chunkedgraph.protocol import (
    DeltaRoots,
    Ids,
    IdsLike,
    Lineage,
    Node,
)
from matengine.times import from_ms, to_ms

Edge = tuple[int, int]

# root ids look like those of a graph of five layers
_FIRST_ROOT = (5 << 56) + 1


def as_edge(a: int, b: int) -> Edge:
    """An undirected edge: the smaller id first."""
    return (int(a), int(b)) if a < b else (int(b), int(a))


@dataclass
class Root:
    """One object for all of its life."""

    supervoxels: frozenset[int]
    created_ms: int
    created_by: int | None = None
    expired_ms: int | None = None
    retired_by: int | None = None
    formers: set[int] = field(default_factory=set)

    def alive(self, ms: int) -> bool:
        return self.created_ms <= ms and (self.expired_ms is None or ms < self.expired_ms)


@dataclass(frozen=True)
class Done:
    """What an operation did."""

    operation_id: int
    at: datetime
    former_roots: Ids
    new_roots: Ids
    edges: frozenset[Edge]
    was_merge: bool


class MemoryGraph:
    """Implements `ChunkedGraph`, and edits. Made for at most a dozen supervoxels an object."""

    settle = timedelta(0)

    def __init__(
        self,
        start: datetime,
        edges: Mapping[Edge, float | None] | Iterable[Edge] = (),
        supervoxels: Iterable[int] = (),
    ) -> None:
        """`edges` may carry affinities (None: none, infinity: never cut)."""
        given = dict(edges) if isinstance(edges, Mapping) else dict.fromkeys(edges)
        self.start_ms = self.last_ms = to_ms(start)
        self.affinity: dict[Edge, float | None] = {as_edge(*e): w for e, w in given.items()}
        self.edges: set[Edge] = set(self.affinity)
        self.lives: dict[int, Root] = {}
        self.operations: dict[int, Done] = {}
        self.last_change: dict[Edge, int] = {}  # the operation that added or removed it last
        known = {s for edge in self.edges for s in edge} | {int(s) for s in supervoxels}
        for piece in _pieces(known, self.edges):
            self._born(piece, self.start_ms, None)

    # reading

    def roots(self, supervoxels: IdsLike, at: datetime) -> Ids:
        found = [self._root_at(int(s), to_ms(at)) or 0 for s in supervoxels]
        return np.array(found, np.int64)

    def delta_roots(self, past: datetime, future: datetime) -> DeltaRoots:
        inside = [
            done
            for done in self.operations.values()
            if to_ms(past) < to_ms(done.at) <= to_ms(future)
        ]
        old = {int(root) for done in inside for root in done.former_roots}
        new = {int(root) for done in inside for root in done.new_roots}
        return DeltaRoots(_array(old), _array(new))

    def is_latest(self, roots: IdsLike, at: datetime) -> NDArray[np.bool_]:
        ms = to_ms(at)
        return np.array(
            [int(r) in self.lives and self.lives[int(r)].alive(ms) for r in roots], bool
        )

    def root_timestamps(self, roots: IdsLike) -> Ids:
        return np.array([self._life(int(r)).created_ms for r in roots], np.int64)

    def lineage(
        self, roots: IdsLike, past: datetime | None = None, future: datetime | None = None
    ) -> Lineage:
        links: set[tuple[int, int]] = set()
        known = {int(r) for r in roots}
        todo = list(known)
        while todo:
            root = todo.pop()
            if past is None or self._life(root).created_ms > to_ms(past):
                links |= {(former, root) for former in self._life(root).formers}
                todo += self._life(root).formers
        todo = list(known)
        while todo:
            root = todo.pop()
            if future is None or self._life(root).created_ms <= to_ms(future):
                links |= {(root, new) for new in self._successors(root)}
                todo += self._successors(root)
        known |= {root for link in links for root in link}
        nodes = {r: Node(self.lives[r].created_ms, self.lives[r].retired_by) for r in known}
        return Lineage(nodes, sorted(links))

    def past_ids(self, roots: IdsLike, past: datetime, future: datetime) -> dict[int, list[int]]:
        return {int(r): sorted(self._ancestors(int(r), to_ms(past))) for r in roots}

    def latest_ids(self, roots: IdsLike, at: datetime) -> dict[int, list[int]]:
        return {int(r): sorted(self._descendants(int(r), to_ms(at))) for r in roots}

    def leaves(self, root: int) -> Ids:
        return _array(self._life(int(root)).supervoxels)

    def oldest_timestamp(self) -> datetime:
        return from_ms(self.start_ms)

    # editing

    def merge(self, edges: Iterable[Edge], *, at: datetime, strict: bool = True) -> Done:
        """Add edges; a supervoxel that was not known has been an object of its own."""
        added = {as_edge(*e) for e in edges}
        self._check(added, {s for e in added for s in e}, at, strict)
        if strict:
            if any(self._object(a) == self._object(b) for a, b in added):
                raise Invalid("The supervoxels are of one object.")
            members = {s for e in added for end in e for s in self._object(end)}
            if len(_pieces(members, self.edges | added)) > 1:
                raise Invalid("Several objects remain.")
        fresh = added - self.edges
        self.edges |= added
        return self._record({s for e in added for s in e}, added, fresh, at, True)

    def split(
        self,
        edges: Iterable[Edge] = (),
        *,
        sources: Iterable[int] = (),
        sinks: Iterable[int] = (),
        at: datetime,
        strict: bool = True,
    ) -> Done:
        """Remove edges, or the minimum cut between sources and sinks."""
        removed = {as_edge(*e) for e in edges}
        near, far = set(sources), set(sinks)
        ends = {s for e in removed for s in e} if removed else near | far
        self._check(removed, ends, at, strict)
        if strict and len({self._object(s) for s in ends}) > 1:
            raise Invalid("The supervoxels are of several objects.")
        members = {s for end in ends for s in self._object(end)}
        if not removed:
            removed = self.minimum_cut(members, near, far)
        if strict and len(_pieces(members, self.edges - removed)) == 1:
            raise Invalid("Nothing is separated.")
        gone = removed & self.edges
        self.edges -= removed
        return self._record(ends, removed, gone, at, False)

    def undo(self, operation_id: int, *, at: datetime) -> Done:
        """Change back those edges that nothing has changed since."""
        edges = {e for e, last in self.last_change.items() if last == operation_id}
        if self.operations[operation_id].was_merge:
            return self.split(edges, at=at, strict=False)
        return self.merge(edges, at=at, strict=False)

    def minimum_cut(self, members: set[int], sources: set[int], sinks: set[int]) -> set[Edge]:
        """The lightest edges between any side that holds the sources and the rest.

        Of equal ones the smallest side; a rest that holds no sink goes back to the side.
        """
        inner = {e for e in self.edges if e[0] in members}
        if sources & sinks:
            raise Invalid("A supervoxel is both source and sink.")
        free = sorted(members - sources - sinks)
        best: tuple[Fraction, set[int]] | None = None
        for size in range(len(free) + 1):
            for chosen in combinations(free, size):
                side = sources | set(chosen)
                weight = self._weight(_crossing(inner, side))
                if weight is not None and (best is None or weight < best[0]):
                    best = weight, side
        if best is None:
            raise Invalid("Sources and sinks are pieces of one supervoxel.")
        side = set(best[1])
        for piece in _pieces(members - side, inner - _crossing(inner, side)):
            if not piece & sinks:
                side |= piece
        return _crossing(inner, side)

    # inside

    def _weight(self, edges: set[Edge]) -> Fraction | None:
        """The sum of affinities, None where one is infinite."""
        weights = [1.0 if self.affinity[e] is None else float(self.affinity[e] or 0) for e in edges]
        return None if any(map(isinf, weights)) else sum(map(Fraction, weights), Fraction(0))

    def _check(self, edges: set[Edge], ends: set[int], at: datetime, strict: bool) -> None:
        if to_ms(at) <= self.last_ms:
            raise Invalid("The time is not later than all before.")
        if not ends or any(a == b for a, b in edges):
            raise Invalid("These are no edges.")
        if strict and any(self._root_at(s, self.last_ms) is None for s in ends):
            raise Invalid("A supervoxel is not known.")

    def _record(
        self, ends: set[int], edges: set[Edge], changed: set[Edge], at: datetime, was_merge: bool
    ) -> Done:
        """Retire the objects of all ends and make those that there are now."""
        ms, operation_id = to_ms(at), len(self.operations) + 1
        for supervoxel in ends:
            if self._root_at(supervoxel, self.last_ms) is None:
                self._born(frozenset([supervoxel]), self.start_ms, None)
        for edge in edges:
            self.affinity.setdefault(edge, None)
        self.last_change.update(dict.fromkeys(changed, operation_id))
        touched = {root for s in ends if (root := self._root_at(s, self.last_ms)) is not None}
        for root in touched:
            self.lives[root].expired_ms, self.lives[root].retired_by = ms, operation_id
        members = {s for root in touched for s in self.lives[root].supervoxels}
        made = []
        for piece in _pieces(members, self.edges):
            new = self._born(piece, ms, operation_id)
            self.lives[new].formers = {r for r in touched if self.lives[r].supervoxels & piece}
            made.append(new)
        self.last_ms = ms
        done = Done(
            operation_id, from_ms(ms), _array(touched), _array(made), frozenset(edges), was_merge
        )
        self.operations[operation_id] = done
        return done

    def _born(self, supervoxels: frozenset[int], ms: int, operation_id: int | None) -> int:
        root = _FIRST_ROOT + len(self.lives)
        self.lives[root] = Root(supervoxels, ms, operation_id)
        return root

    def _object(self, supervoxel: int) -> frozenset[int]:
        """The object of a supervoxel now; its own where it is not known yet."""
        root = self._root_at(supervoxel, self.last_ms)
        return frozenset([supervoxel]) if root is None else self.lives[root].supervoxels

    def _root_at(self, supervoxel: int, ms: int) -> int | None:
        for root, life in self.lives.items():
            if supervoxel in life.supervoxels and life.alive(ms):
                return root
        return None

    def _life(self, root: int) -> Root:
        if root not in self.lives:
            raise NotFound(f"There is no root {root}.")
        return self.lives[root]

    def _successors(self, root: int) -> set[int]:
        return {new for new, life in self.lives.items() if root in life.formers}

    def _ancestors(self, root: int, ms: int) -> set[int]:
        life = self._life(root)
        if life.created_ms <= ms or not life.formers:
            return {root}
        return {old for former in life.formers for old in self._ancestors(former, ms)}

    def _descendants(self, root: int, ms: int) -> set[int]:
        if self._life(root).created_ms > ms:
            return set()
        if self._life(root).alive(ms):
            return {root}
        return {new for heir in self._successors(root) for new in self._descendants(heir, ms)}


def _pieces(supervoxels: Iterable[int], edges: Iterable[Edge]) -> list[frozenset[int]]:
    """Connected components by flood fill, by their smallest supervoxel."""
    neighbours: dict[int, set[int]] = {s: set() for s in supervoxels}
    for a, b in edges:
        if a in neighbours and b in neighbours:
            neighbours[a].add(b)
            neighbours[b].add(a)
    todo = sorted(neighbours)
    pieces = []
    seen: set[int] = set()
    for first in todo:
        if first in seen:
            continue
        piece, stack = {first}, [first]
        while stack:
            fresh = neighbours[stack.pop()] - piece
            piece |= fresh
            stack += fresh
        seen |= piece
        pieces.append(frozenset(piece))
    return pieces


def _crossing(edges: set[Edge], side: set[int]) -> set[Edge]:
    return {(a, b) for a, b in edges if (a in side) != (b in side)}


def _array(ids: Iterable[int]) -> Ids:
    return np.array(sorted(ids), np.int64)
