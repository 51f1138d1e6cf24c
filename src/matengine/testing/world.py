"""A whole small world in memory, the judge of versions: voxels, proofreading, annotations.

Rows, supervoxels and roots as of any time are found the obvious way. Root ids of the engine's
chunkedgraph and of this one differ; a `Names` object holds that they differ by renaming only.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import floor

import numpy as np
from numpy.typing import NDArray

from matengine.testing.graph import MemoryGraph

Point = tuple[float, float, float]


@dataclass
class Annotation:
    """One annotation: its life, its points (None: it has none there) and its other fields."""

    created: datetime
    deleted: datetime | None
    points: dict[str, Point | None]
    fields: dict[str, object] = field(default_factory=dict)

    def shows(self, at: datetime) -> bool:
        return self.created <= at and (self.deleted is None or at < self.deleted)


@dataclass(frozen=True)
class Shown:
    """What a version must say of an annotation; points by name."""

    supervoxels: dict[str, int]
    roots: dict[str, int]
    points: dict[str, Point | None]
    fields: Mapping[str, object]


class World:
    """`voxels` is indexed [x, y, z]; points are in voxels of `voxel_resolution_nm`."""

    def __init__(
        self,
        voxels: NDArray[np.uint64],
        graph: MemoryGraph,
        *,
        resolution_nm: Point = (1.0, 1.0, 1.0),
    ) -> None:
        self.voxels = voxels
        self.graph = graph
        self.resolution_nm = resolution_nm
        self.tables: dict[str, dict[int, Annotation]] = {}

    def supervoxel(self, point: Point | None, voxel_resolution_nm: Point) -> int:
        """The supervoxel under a point; 0 for background, outside, and no point."""
        if point is None:
            return 0
        at = [
            floor(p * r / s)
            for p, r, s in zip(point, voxel_resolution_nm, self.resolution_nm, strict=True)
        ]
        if any(not 0 <= a < n for a, n in zip(at, self.voxels.shape, strict=True)):
            return 0
        return int(self.voxels[at[0], at[1], at[2]])

    def version(
        self,
        table: str,
        at: datetime,
        voxel_resolution_nm: Point = (1.0, 1.0, 1.0),
        rooted_at: datetime | None = None,
    ) -> dict[int, Shown]:
        """The rows that a version at a time must have, by id; roots as of `rooted_at`, if given."""
        shown = {}
        known: dict[int, int] = {}  # roots by supervoxel
        for row_id, row in self.tables[table].items():
            if not row.shows(at):
                continue
            ids = {n: self.supervoxel(p, voxel_resolution_nm) for n, p in row.points.items()}
            for supervoxel in set(ids.values()) - known.keys():
                known[supervoxel] = self._root(supervoxel, rooted_at or at)
            roots = {n: known[s] for n, s in ids.items()}
            shown[row_id] = Shown(ids, roots, row.points, row.fields)
        return shown

    def _root(self, supervoxel: int, at: datetime) -> int:
        return int(self.graph.roots([supervoxel], at)[0])


class Names:
    """A renaming of root ids that must stay one to one for ever."""

    def __init__(self) -> None:
        self._theirs: dict[int, int] = {0: 0}
        self._ours: dict[int, int] = {0: 0}

    def agree(self, pairs: Iterable[tuple[int, int]]) -> bool:
        """Whether (engine's root, oracle's root) pairs fit all that came before; notes them."""
        return all(
            self._theirs.setdefault(engine, oracle) == oracle
            and self._ours.setdefault(oracle, engine) == engine
            for engine, oracle in pairs
        )
