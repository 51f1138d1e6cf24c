"""A chunkedgraph's past by brute force: which supervoxels were one object, and since when.

Every operation retires the objects that its edges touch; those that flood fills find in their
place are new ones, also where they hold the same supervoxels.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from matengine.datasets.folder import open_dataset
from matengine.times import to_ms

Edges = Iterable[tuple[int, int]]


@dataclass(frozen=True)
class Object:
    """An object for all of its life: from when, and one of its supervoxels."""

    number: int
    created_ms: int
    member: int


class Replayed:
    """Objects are told apart for ever: `at` gives their numbers, 0 where there is none."""

    def __init__(self, supervoxels: Iterable[int], edges: Edges, start_ms: int) -> None:
        self.neighbours: dict[int, set[int]] = {int(s): set() for s in supervoxels}
        self.objects: dict[int, Object] = {}
        self._members: dict[int, set[int]] = {}
        self._lives: dict[int, tuple[list[int], list[int]]] = {s: ([], []) for s in self.neighbours}
        for a, b in edges:
            self.neighbours[a].add(b)
            self.neighbours[b].add(a)
        self._divide(set(self.neighbours), start_ms)

    @classmethod
    def of(cls, dataset: Path) -> "Replayed":
        """The past of a dataset folder, out of its files alone."""
        opened = open_dataset(dataset)
        edges = pq.read_table(dataset / "edges.parquet")
        edits = pq.read_table(dataset / "edits.parquet").to_pylist()
        pairs = [*zip(*(edges[f"supervoxel_{end}"].to_pylist() for end in "ab"), strict=True)]
        every = pq.read_table(dataset / "expected" / "roots_at.parquet")["supervoxel_id"]
        known = set(every.to_pylist())
        if opened.grid is None:  # without voxels nobody knows what no edge and no edit names
            lists = ("edges_a", "edges_b", "source_ids", "sink_ids")
            named = {s for pair in pairs for s in pair}
            known &= named | {s for done in edits for ends in lists for s in done[ends]}
        found = cls(known, pairs, to_ms(opened.segmentation.start_time))
        for done in edits:
            ends = zip(done["edges_a"], done["edges_b"], strict=True)
            found.apply(done["kind"], ends, to_ms(done["timestamp"]))
        return found

    def apply(self, kind: str, edges: Edges, ms: int) -> tuple[int, int]:
        """An operation; returns how many objects it retired, and made."""
        pairs = list(edges)
        retired = {self.at(s, ms) for pair in pairs for s in pair}
        for a, b in pairs:
            for one, other in ((a, b), (b, a)):
                if kind == "merge":
                    self.neighbours[one].add(other)
                else:
                    self.neighbours[one].discard(other)
        return len(retired), self._divide({s for n in retired for s in self._members.pop(n)}, ms)

    def at(self, supervoxel: int, ms: int) -> int:
        """The number of the object of a supervoxel at a time."""
        times, numbers = self._lives.get(supervoxel, ((), ()))
        place = bisect_right(times, ms)
        return numbers[place - 1] if place else 0

    def _divide(self, supervoxels: set[int], ms: int) -> int:
        """The objects of some supervoxels from a time on; returns how many they are."""
        left, count = set(supervoxels), 0
        while left:
            member = left.pop()
            piece, stack = {member}, [member]
            while stack:
                fresh = self.neighbours[stack.pop()] - piece
                piece |= fresh
                stack += fresh
            left -= piece
            count += 1
            number = len(self.objects) + 1
            self.objects[number] = Object(number, ms, member)
            self._members[number] = piece
            for supervoxel in piece:
                times, numbers = self._lives[supervoxel]
                times.append(ms)
                numbers.append(number)
        return count
