"""Supervoxels of many points, where parts of the volume may not be readable."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from matengine.errors import Unavailable

Lookup = Callable[[NDArray[np.float64]], NDArray[np.int64]]
"""Points (N, 3) in voxels of their table to supervoxel ids (N,); raises Unavailable."""

# A read that fails is repeated on halves, so that one bad chunk costs its own points only.
_SMALLEST = 64


@dataclass(frozen=True)
class Found:
    """Supervoxels of N points; `known` is False where reading failed, for the reason given."""

    ids: NDArray[np.int64]
    known: NDArray[np.bool_]
    reason: str | None = None


def supervoxels(lookup: Lookup, points: NDArray[np.float64]) -> Found:
    """Look up points (N, 3), in voxels of their table. Never raises Unavailable.

    NaN points (the row has none there) give 0. Points are taken in the order of z, y, x where
    parts fail, so that a part lies together in space.
    """
    ids = np.zeros(len(points), np.int64)
    known = np.ones(len(points), np.bool_)
    there = np.flatnonzero(~np.isnan(points).any(axis=1))
    reasons: list[str] = []

    def fill(rows: NDArray[np.intp]) -> None:
        try:
            ids[rows] = lookup(points[rows])
        except Unavailable as error:
            reasons.append(str(error))
            if len(rows) <= _SMALLEST:
                known[rows] = False
                return
            middle = len(rows) // 2
            ordered = rows[np.lexsort(points[rows].T)] if len(rows) == len(there) else rows
            fill(ordered[:middle])
            fill(ordered[middle:])

    if len(there):
        fill(there)
    return Found(ids, known, reasons[0] if reasons else None)
