"""Levels of detail: which annotations are in which cell of which grid.

Each annotation is in one level, by a hash of its id that is spread evenly: a level has those with
low <= hash < high. How much a level takes follows from its fullest cell, so that no cell holds more
than Neuroglancer is told; the last level has all that is left. A level's name says its grid and its
hashes, so that a cell can be answered without knowing how they were chosen.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from matengine.errors import NotFound

# annotations that a cell may have
LIMIT = 10_000
# cells are filled so far, as hashes are only even on the average
_FILL = 0.9
HASHES = 2**32
# grids double up to so many times
DEPTH = 8

Grid = tuple[int, int, int]
_NAME = re.compile(r"spatial_(\d{1,4})x(\d{1,4})x(\d{1,4})_(\d{1,10})_(\d{1,10})")


@dataclass(frozen=True)
class Level:
    """A grid over the bounds, the hashes that it has, and how many rows a cell has at most."""

    grid: Grid
    low: int
    high: int
    limit: int = LIMIT

    @property
    def name(self) -> str:
        return f"spatial_{'x'.join(map(str, self.grid))}_{self.low}_{self.high}"


def parse(name: str) -> Level:
    """The level of a name; raises NotFound where it is none."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise NotFound(f"There is no level '{name}'.", "The info file names those that there are.")
    x, y, z, low, high = map(int, found.groups())
    if not (min(x, y, z) > 0 and max(x, y, z) <= 2**DEPTH and low < high <= HASHES):
        raise NotFound(f"There is no level '{name}'.", "The info file names those that there are.")
    return Level((x, y, z), low, high)


def grids(size_nm: Sequence[float]) -> list[Grid]:
    """Grids over a box, coarse to fine, whose cells are about as long as wide."""
    found: list[Grid] = [(1, 1, 1)]
    for _ in range(DEPTH):
        last = found[-1]
        edges = [size / cells for size, cells in zip(size_nm, last, strict=True)]
        x, y, z = (
            cells * 2 if edge > max(edges) / 2 else cells
            for edge, cells in zip(edges, last, strict=True)
        )
        found.append((x, y, z))
    return found


def choose(cells: NDArray[np.int64], counts: NDArray[np.int64], over: list[Grid]) -> list[Level]:
    """Levels for a table that has `counts` (N,) rows in `cells` (N, 3) of the finest grid."""
    levels: list[Level] = []
    low = 0
    for grid in over:
        fullest = _fullest(cells, counts, np.array(over[-1], np.int64) // np.array(grid, np.int64))
        share = HASHES if fullest <= LIMIT else int(HASHES * _FILL * LIMIT / fullest)
        if grid == over[-1] or low + share >= HASHES:
            most = LIMIT if low + share >= HASHES else fullest
            return [*levels, Level(grid, low, HASHES, most)]
        levels.append(Level(grid, low, low + share, LIMIT))
        low += share
    raise AssertionError("there is a finest grid")


def _fullest(cells: NDArray[np.int64], counts: NDArray[np.int64], step: NDArray[np.int64]) -> int:
    """The rows in the fullest cell of a grid that is coarser by `step` (3,)."""
    if not len(cells):
        return 0
    _, places = np.unique(cells // step, axis=0, return_inverse=True)
    return int(np.bincount(places.ravel(), weights=counts).max())


def hashed(row: str) -> sql.Composed:
    """The hash of a row, a whole number from 0 up to HASHES."""
    return sql.SQL("(hashint8extended({}, 1) & 4294967295)").format(sql.Identifier(row, "id"))
