"""Growing neurons: cells with soma, dendrites and axon, and axons that pass through."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from matengine.datasets.sample.plan import Plan
from matengine.datasets.sample.skeletons import (
    AXON,
    DENDRITE,
    MAX_RADIUS,
    SOMA,
    Floats,
    Ints,
    Skeletons,
    Tips,
)
from matengine.datasets.sample.vessel import Vessel

STEP = 1.5
"""Voxels from one node of a skeleton to the next."""

_CELL = 10
"""Edge of the cells, voxels, in which crowding is counted: about one neurite each."""

_FULL = 8
"""Nodes in a cell that leave no space for another neurite."""

_LOOK = 8.0
"""How far ahead, in voxels, a growing tip looks for free space."""

_CANDIDATES = 4
_FRAGMENT_NODES = (8, 18)
_ROUNDS = 40
_MAX_STEPS = 1200


@dataclass
class Grower:
    """Grows all neurons of a plan into one volume."""

    plan: Plan
    rng: np.random.Generator
    vessel: Vessel
    nodes: list[tuple[Floats, Floats, Ints]] = field(default_factory=list)
    fragments: list[tuple[Ints, Ints, Ints]] = field(default_factory=list)
    fragment_count: int = 0
    part_count: int = 0
    neuron_count: int = 0

    def __post_init__(self) -> None:
        self.size = np.array(self.plan.size, float)
        self.crowd = np.zeros([int(s) // _CELL + 1 for s in self.plan.size], np.int32)
        self.cut_chance = self.plan.missing_merges / max(self.plan.fragments, 1)

    def grow(self) -> Skeletons:
        """Cells first, then passing axons where space is free."""
        soma = self._centres()
        self._run(self._cell_tips(soma, self._somata(soma)))
        for _ in range(_ROUNDS):
            tips = self._axon_tips()
            if tips is None:
                break
            self._run(tips)
        position, radius, fragment = (
            np.concatenate(part) for part in zip(*self.nodes, strict=True)
        )
        neuron, part, kind = (np.concatenate(each) for each in zip(*self.fragments, strict=True))
        return Skeletons(
            np.floor(position).astype(np.int16),
            np.clip(np.rint(radius), 1, MAX_RADIUS).astype(np.uint8),
            fragment.astype(np.int32),
            neuron.astype(np.int32),
            part.astype(np.int32),
            kind.astype(np.int8),
            soma,
        )

    def _free(self, position: Floats, margin: float = 0.0) -> NDArray[np.bool_]:
        """Inside the volume and outside the vessel, by at least `margin` voxels."""
        inside = ((position >= margin) & (position < self.size - margin)).all(1)
        free: NDArray[np.bool_] = inside & (
            self.vessel.distance(*position.T) > self.vessel.radius + margin
        )
        return free

    def _centres(self) -> Floats:
        """Centres of the somata (c, 3): inside, off the vessel, apart from each other."""
        radius = self.plan.soma_radius
        tried: Floats = self.rng.uniform(0, 1, (400 + 40 * self.plan.cells, 3)) * self.size
        tried = tried[self._free(tried, radius)]
        chosen = np.empty((self.plan.cells, 3))
        count = 0
        for apart in (3.5, 2.5, 2.0):
            for centre in tried:
                if count == len(chosen):
                    return chosen
                near = ((chosen[:count] - centre) ** 2).sum(1) <= (apart * radius) ** 2
                if not near.any():
                    chosen[count] = centre
                    count += 1
        return chosen[:count]

    def _somata(self, centres: Floats) -> Ints:
        """Nodes of the somata, which a few random seeds each cut into fragments; their parts."""
        radius = self.plan.soma_radius
        parts = self._parts(len(centres))
        self.neuron_count = len(centres)
        reach = np.arange(-radius, radius + 1, 2.0)
        ball = np.stack(np.meshgrid(reach, reach, reach, indexing="ij"), -1).reshape(-1, 3)
        ball = ball[(ball**2).sum(1) <= (radius - 2) ** 2]
        for neuron, centre in enumerate(centres):
            seeds = ball[self.rng.integers(0, len(ball), max(2, len(ball) // 90))]
            nearest = ((ball[:, None] - seeds) ** 2).sum(2).argmin(1)
            same = np.full(len(seeds), neuron)
            fragments = self._fragments(same, parts[same], SOMA)
            self._record(centre + ball, np.full(len(ball), 2.0), fragments[nearest])
        return parts

    def _cell_tips(self, centres: Floats, parts: Ints) -> Tips:
        """Dendrites and one axon from the surface of each soma, in the soma's part."""
        neuron = np.repeat(np.arange(len(centres)), self.rng.integers(5, 9, len(centres)))
        direction = _unit(self.rng.normal(size=(len(neuron), 3)))
        is_first = np.diff(neuron, prepend=-1) > 0
        kind = np.where(is_first, AXON, DENDRITE)
        position = centres[neuron] + direction * (self.plan.soma_radius - 2)
        return self._tips(position, direction, neuron, kind, parts[neuron])

    def _axon_tips(self) -> Tips | None:
        """Two opposite tips in each of some free places; None where little space is left."""
        cells = np.argwhere(self.crowd == 0)
        centres = (cells.astype(np.float64) + 0.5) * _CELL
        centres = centres[self._free(centres, 1.0)]
        if len(centres) < 0.01 * self.crowd.size + 1:
            return None
        start = centres[self.rng.permutation(len(centres))[: max(1, len(centres) // 24)]]
        neuron = self.neuron_count + np.arange(len(start))
        self.neuron_count += len(start)
        direction = _unit(self.rng.normal(size=start.shape))
        part = self._parts(len(start))
        kind = np.full(len(start), AXON)
        ahead = self._tips(start, direction, neuron, kind, part)
        return ahead.joined(self._tips(start, -direction, neuron, kind, part))

    def _tips(
        self, position: Floats, direction: Floats, neuron: Ints, kind: Ints, part: Ints
    ) -> Tips:
        n = len(position)
        axon = kind == AXON
        longest = float(self.size.max())
        return Tips(
            position.copy(),
            direction.copy(),
            np.where(axon, 1.4, 3.6),
            neuron.astype(np.int64),
            kind.astype(np.int64),
            part.astype(np.int64),
            self._fragments(neuron, part, kind),
            self.rng.integers(*_FRAGMENT_NODES, n),
            (self.rng.uniform(0.5, 1.2, n) * longest / STEP * np.where(axon, 1.5, 0.6)).astype(
                np.int64
            ),
        )

    def _run(self, tips: Tips) -> None:
        """Grow until every tip has ended."""
        for _ in range(_MAX_STEPS):
            if not len(tips.position):
                return
            self._record(tips.position, tips.radius, tips.fragment)
            tips = self._branched(tips)
            tips.direction, stuck = self._turned(tips)
            tips.position = tips.position + STEP * tips.direction
            slim = np.where(tips.kind == DENDRITE, 0.99, 1.0)
            tips.radius = np.maximum(tips.radius * slim, 1.0)
            tips.steps = tips.steps - 1
            tips.left = tips.left - 1
            tips = tips.take(self._free(tips.position) & (tips.steps > 0) & ~stuck)
            self._next_fragments(tips)

    def _branched(self, tips: Tips) -> Tips:
        """Some tips get a second one beside them, in a fragment of its own."""
        chance = np.where(tips.kind == DENDRITE, 0.02, 0.006)
        chosen = np.flatnonzero(self.rng.random(len(chance)) < chance)
        child = tips.take(chosen)
        child.direction = _unit(child.direction + self.rng.normal(size=child.direction.shape) * 0.8)
        child.radius = child.radius * 0.8
        child.steps = child.steps * 2 // 3
        child.left = np.zeros(len(chosen), np.int64)
        self._next_fragments(child)
        return tips.joined(child)

    def _next_fragments(self, tips: Tips) -> None:
        """Where a fragment is used up, begin another, now and then in a new part."""
        rows = np.flatnonzero(tips.left <= 0)
        cut = rows[self.rng.random(len(rows)) < self.cut_chance]
        tips.part[cut] = self._parts(len(cut))
        tips.fragment[rows] = self._fragments(tips.neuron[rows], tips.part[rows], tips.kind[rows])
        tips.left[rows] = self.rng.integers(*_FRAGMENT_NODES, len(rows))

    def _turned(self, tips: Tips) -> tuple[Floats, NDArray[np.bool_]]:
        """New directions: of a few random ones near the old, that into the freest space.

        Tips without space ahead are stuck, most of them end.
        """
        n = len(tips.position)
        noise = self.rng.normal(size=(_CANDIDATES, n, 3)) * 0.3
        tried = _unit(tips.direction + noise)
        ahead = tips.position + _LOOK * tried
        crowd = self._crowding(ahead.reshape(-1, 3)).reshape(_CANDIDATES, n)
        best = (crowd + self.rng.random((_CANDIDATES, n))).argmin(0)
        stuck = (crowd.min(0) >= _FULL) & (self.rng.random(n) < 0.3)
        return tried[best, np.arange(n)], stuck

    def _crowding(self, position: Floats) -> Floats:
        """Nodes in the cell around each position; near the vessel and outside much."""
        cell = np.clip(position // _CELL, 0, np.array(self.crowd.shape) - 1).astype(np.int64)
        crowd = self.crowd[tuple(cell.T)].astype(float)
        return np.where(self._free(position, 1.0), crowd, 30.0)

    def _record(self, position: Floats, radius: Floats, fragment: Ints) -> None:
        self.nodes.append((position.copy(), radius.copy(), fragment.copy()))
        cell = (position // _CELL).astype(np.int64)
        np.add.at(self.crowd, tuple(cell.T), 1)

    def _fragments(self, neuron: Ints, part: Ints, kind: Ints | int) -> Ints:
        n = len(neuron)
        self.fragments.append((neuron.copy(), part.copy(), np.broadcast_to(kind, n).copy()))
        self.fragment_count += n
        return np.arange(self.fragment_count - n, self.fragment_count)

    def _parts(self, n: int) -> Ints:
        self.part_count += n
        return np.arange(self.part_count - n, self.part_count)


def _unit(vectors: Floats) -> Floats:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: Floats = vectors / np.maximum(length, 1e-9)
    return unit
