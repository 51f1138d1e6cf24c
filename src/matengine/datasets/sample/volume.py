"""Voxels of one chunk: space goes to the nearest neurite, within reach."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from matengine.datasets.sample.plan import Plan, Triple
from matengine.datasets.sample.skeletons import MAX_RADIUS, Skeletons
from matengine.datasets.sample.vessel import Vessel

REACH = 9
"""Voxels from the body of a neurite to which it may swell; what is farther is background."""


class Space:
    """The filled volume, computed chunk by chunk; safe to use from several threads."""

    def __init__(self, plan: Plan, skeletons: Skeletons, vessel: Vessel) -> None:
        self.plan, self.skeletons, self.vessel = plan, skeletons, vessel
        chunk = skeletons.position.astype(np.int64) // np.array(plan.chunk)
        key = np.ravel_multi_index(tuple(chunk.T), plan.grid)
        self._order = np.argsort(key, kind="stable").astype(np.int64)
        self._starts = np.searchsorted(key[self._order], np.arange(np.prod(plan.grid) + 1))

    def box(self, chunk: Triple) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First voxel of a chunk and the one after its last."""
        edge = np.array(self.plan.chunk, np.int64)
        low = np.array(chunk, np.int64) * edge
        return low, np.minimum(low + edge, np.array(self.plan.size, np.int64))

    def fragments(self, chunk: Triple) -> NDArray[np.int32]:
        """Fragment + 1 of every voxel of a chunk, 0 = background."""
        low, high = self.box(chunk)
        begin, end = np.maximum(low - REACH, 0), np.minimum(high + REACH, self.plan.size)
        seeds = self._painted(self._nodes(chunk), begin, end)
        core = tuple(slice(a, b) for a, b in zip(low - begin, high - begin, strict=True))
        if not seeds.any():
            return np.zeros(high - low, np.int32)
        nearest = ndimage.distance_transform_edt(
            seeds == 0, return_distances=False, return_indices=True
        )[(slice(None), *core)]
        labels: NDArray[np.int32] = seeds[tuple(nearest)]
        grid = np.ogrid[core]
        square = sum((n - g) ** 2 for n, g in zip(nearest, grid, strict=True))
        labels[square > REACH**2] = 0
        x, y, z = np.ogrid[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        labels[self.vessel.distance(x, y, z) <= self.vessel.radius] = 0
        return labels

    def _nodes(self, chunk: Triple) -> NDArray[np.int64]:
        """Nodes of the chunk and those around it, in the order that they grew."""
        near = [
            range(max(c - 1, 0), min(c + 2, g)) for c, g in zip(chunk, self.plan.grid, strict=True)
        ]
        keys = [
            np.ravel_multi_index((x, y, z), self.plan.grid)
            for x in near[0]
            for y in near[1]
            for z in near[2]
        ]
        return np.sort(
            np.concatenate([self._order[self._starts[k] : self._starts[k + 1]] for k in keys])
        )

    def _painted(
        self, nodes: NDArray[np.int64], begin: NDArray[np.int64], end: NDArray[np.int64]
    ) -> NDArray[np.int32]:
        """Balls around the nodes of a box, thin ones over thick ones."""
        seeds = np.zeros(end - begin, np.int32)
        where = self.skeletons.position[nodes] - begin
        near = ((where >= -MAX_RADIUS) & (where < end - begin + MAX_RADIUS)).all(1)
        nodes, where = nodes[near], where[near]
        label = self.skeletons.fragment[nodes] + 1
        radius = self.skeletons.radius[nodes]
        # the middle line comes last, so that a neurite is never cut by another one's body
        for size in [*range(MAX_RADIUS, 0, -1), 0]:
            chosen = radius == size if size else radius > 0
            at = (where[chosen][:, None] + _ball(size)).reshape(-1, 3)
            value = np.repeat(label[chosen], len(_ball(size)))
            inside = ((at >= 0) & (at < end - begin)).all(1)
            seeds[tuple(at[inside].T)] = value[inside]
        return seeds


def _ball(radius: int) -> NDArray[np.int64]:
    """Voxel offsets of a ball (k, 3)."""
    offsets = np.indices((2 * radius + 1,) * 3).reshape(3, -1).T - radius
    ball: NDArray[np.int64] = offsets[(offsets**2).sum(1) <= radius * radius + radius * 0.5]
    return ball
