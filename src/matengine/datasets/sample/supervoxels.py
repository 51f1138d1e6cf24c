"""Supervoxels of the whole volume and where they touch, found chunk by chunk."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from matengine.datasets.sample.pieces import Contacts, connected_pieces, contacts, grouped
from matengine.datasets.sample.plan import Plan, Triple
from matengine.datasets.sample.volume import Space
from matengine.progress import Progress

Ints = NDArray[np.int64]
Write = Callable[[Ints, NDArray[np.uint64]], None]

_WORKERS = 2
# Chunks that wait to be written: bounds the memory, whatever the volume's size
_AHEAD = 8
_INWARD = 2


@dataclass(frozen=True)
class Supervoxels:
    """All supervoxels, sorted by id: id int64 (n,), fragment int64 (n,)."""

    id: Ints
    fragment: Ints


@dataclass(frozen=True)
class Touching:
    """Pairs of touching supervoxels, as indices a < b (m,) into the supervoxels.

    area int64 (m,) voxel faces, at_a, at_b int32 (m, 3) a voxel of each near the contact,
    crosses bool (m,): whether a chunk's face lies between them.
    """

    a: Ints
    b: Ints
    area: Ints
    at_a: NDArray[np.int32]
    at_b: NDArray[np.int32]
    crosses: NDArray[np.bool_]


@dataclass(frozen=True)
class _Chunk:
    place: Triple
    low: Ints
    pieces: NDArray[np.int32]
    fragment: NDArray[np.int32]
    inside: Contacts


def scan(space: Space, write: Write, progress: Progress) -> tuple[Supervoxels, Touching]:
    """Compute every chunk once, hand it to `write` (first voxel, ids) and note what is in it."""
    plan = space.plan
    faces = _Faces(plan)
    ids: list[Ints] = []
    fragments: list[Ints] = []
    touching: list[Touching] = []
    places = [(x, y, z) for x, y, z in np.ndindex(*plan.grid)]
    count = 0
    for done, chunk in enumerate(_ahead(lambda place: _compute(space, place), places), 1):
        prefix = _prefix(chunk.place)
        write(
            chunk.low, np.where(chunk.pieces > 0, chunk.pieces + np.int64(prefix), 0).astype("<u8")
        )
        ids.append(prefix + np.arange(1, len(chunk.fragment) + 1))
        fragments.append(chunk.fragment.astype(np.int64))
        touching.append(_placed(chunk, count))
        touching += faces.meet(chunk, count)
        count += len(chunk.fragment)
        progress(done, len(places), "chunks")
    together = zip(*(vars(part).values() for part in touching), strict=True)
    return (
        Supervoxels(np.concatenate(ids), np.concatenate(fragments)),
        Touching(*(np.concatenate(part) for part in together)),
    )


def _prefix(chunk: Triple) -> int:
    """The id of segment 0 of a chunk: 8 bits layer 1, 3 x 10 bits chunk, 26 bits segment."""
    x, y, z = chunk
    return 1 << 56 | x << 46 | y << 36 | z << 26


def _compute(space: Space, place: Triple) -> _Chunk:
    pieces, label = connected_pieces(space.fragments(place))
    found = contacts(pieces)
    inside = Contacts(
        found.a,
        found.b,
        found.area,
        _inward(pieces, found.a, found.at_a, found.at_b),
        _inward(pieces, found.b, found.at_b, found.at_a),
    )
    return _Chunk(place, space.box(place)[0], pieces, label[1:] - 1, inside)


def _inward(pieces: NDArray[np.int32], piece: Ints, at: Ints, other: Ints) -> Ints:
    """Move each place away from the other side, as long as it stays in its piece."""
    moved = at.copy()
    step = at - other
    for _ in range(_INWARD):
        tried = moved + step
        inside = ((tried >= 0) & (tried < pieces.shape)).all(1)
        kept = np.flatnonzero(inside)
        kept = kept[pieces[tuple(tried[kept].T)] == piece[kept]]
        moved[kept] = tried[kept]
    return moved


def _placed(chunk: _Chunk, count: int) -> Touching:
    """A chunk's contacts by index into all supervoxels, of which `count` came before."""
    inside = chunk.inside
    return Touching(
        inside.a - 1 + count,
        inside.b - 1 + count,
        inside.area,
        (inside.at_a + chunk.low).astype(np.int32),
        (inside.at_b + chunk.low).astype(np.int32),
        np.zeros(len(inside.a), bool),
    )


class _Faces:
    """The upper faces of chunks whose neighbours are still to come."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._upper: dict[tuple[int, Triple], NDArray[np.int64]] = {}

    def meet(self, chunk: _Chunk, count: int) -> Iterator[Touching]:
        """Contacts of a chunk with those before it; its own upper faces are kept."""
        supervoxel = np.where(chunk.pieces > 0, chunk.pieces + np.int64(count - 1), -1)
        for axis in range(3):
            before = self._upper.pop((axis, chunk.place), None)
            if before is not None:
                yield self._across(axis, chunk.low, before, supervoxel.take(0, axis))
            after = list(chunk.place)
            after[axis] += 1
            if after[axis] < self._plan.grid[axis]:
                key = (axis, (after[0], after[1], after[2]))
                self._upper[key] = supervoxel.take(-1, axis)

    def _across(self, axis: int, low: Ints, before: Ints, after: Ints) -> Touching:
        meet = (before >= 0) & (after >= 0)
        place = np.insert(np.argwhere(meet), axis, 0, axis=1) + low
        step = np.eye(3, dtype=np.int64)[axis]
        size = self._plan.size
        after_at = np.ravel_multi_index(tuple(place.T), size)
        before_at = np.ravel_multi_index(tuple((place - step).T), size)
        found = grouped(before[meet], after[meet], before_at, after_at, size)
        return Touching(
            found.a,
            found.b,
            found.area,
            found.at_a.astype(np.int32),
            found.at_b.astype(np.int32),
            np.ones(len(found.a), bool),
        )


def _ahead(work: Callable[[Triple], _Chunk], items: Iterable[Triple]) -> Iterator[_Chunk]:
    """Results in order, computed by a few threads, only so far ahead of their use."""
    waiting: deque[Future[_Chunk]] = deque()
    with ThreadPoolExecutor(_WORKERS) as pool:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
