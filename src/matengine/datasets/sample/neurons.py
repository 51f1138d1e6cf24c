"""Neurons as skeletons: cells with soma, dendrites and axon, and axons that pass through."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matengine.datasets.sample.plan import Plan

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SOMA, DENDRITE, AXON = 0, 1, 2
COMPARTMENTS = ("soma", "dendrite", "axon")
STEP = 1.5
"""Voxels from one node of a skeleton to the next."""

MAX_RADIUS = 4
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


@dataclass(frozen=True)
class Skeletons:
    """Nodes of all neurons, and the watershed fragments that they seed.

    position (n, 3) int16 voxels, radius (n,) uint8 voxels, fragment (n,) int32.
    By fragment: neuron int32, part int32 (what the first agglomeration joins), kind int8.
    By cell: soma (c, 3) centre in voxels; the first c neurons are the cells.
    """

    position: NDArray[np.int16]
    radius: NDArray[np.uint8]
    fragment: NDArray[np.int32]
    neuron_of: NDArray[np.int32]
    part_of: NDArray[np.int32]
    kind_of: NDArray[np.int8]
    soma: Floats


@dataclass
class Vessel:
    """A blood vessel: a winding tube along z without segmentation."""

    centre: Floats
    swing: Floats
    phase: Floats
    radius: float
    length: int

    @classmethod
    def place(cls, plan: Plan, rng: np.random.Generator) -> "Vessel":
        size = np.array(plan.size[:2], float)
        return cls(
            centre=size * rng.uniform(0.3, 0.7, 2),
            swing=size * 0.08,
            phase=rng.uniform(0, 2 * np.pi, 2),
            radius=plan.vessel_radius,
            length=plan.size[2],
        )

    def middle(self, z: NDArray[Any]) -> tuple[Floats, Floats]:
        """x and y of the middle line at heights z."""
        turn = 2 * np.pi * z / self.length
        x, y = (self.centre[i] + self.swing[i] * np.sin(turn + self.phase[i]) for i in (0, 1))
        return x, y

    def distance(self, x: NDArray[Any], y: NDArray[Any], z: NDArray[Any]) -> Floats:
        """Voxels from the middle line, in the xy plane; arrays that broadcast."""
        middle_x, middle_y = self.middle(z)
        apart: Floats = np.hypot(x - middle_x, y - middle_y)
        return apart


@dataclass
class _Tips:
    """Growing ends, one a row."""

    position: Floats
    direction: Floats
    radius: Floats
    neuron: Ints
    kind: Ints
    part: Ints
    fragment: Ints
    left: Ints  # nodes until the next fragment
    steps: Ints  # nodes until the end

    def take(self, rows: NDArray[np.bool_] | Ints) -> "_Tips":
        return _Tips(*(value[rows] for value in vars(self).values()))

    def joined(self, other: "_Tips") -> "_Tips":
        both = zip(vars(self).values(), vars(other).values(), strict=True)
        return _Tips(*(np.concatenate(pair) for pair in both))


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
        soma = self._somata()
        self._run(self._cell_tips(soma))
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

    def _somata(self) -> Floats:
        """Centres of the somata, apart from each other, and their nodes."""
        radius = self.plan.soma_radius
        tried = self.rng.uniform(0, 1, (400 + 40 * self.plan.cells, 3)) * self.size
        tried = tried[self._free(tried, radius)]
        centres: list[Floats] = []
        for apart in (3.5, 2.5, 2.0):
            for centre in tried:
                far = all(np.linalg.norm(centre - c) > apart * radius for c in centres)
                if far and len(centres) < self.plan.cells:
                    centres.append(centre)
        somata = np.array(centres).reshape(-1, 3)
        self.neuron_count = len(somata)
        reach = np.arange(-radius, radius + 1, 2.0)
        ball = np.stack(np.meshgrid(reach, reach, reach, indexing="ij"), -1).reshape(-1, 3)
        ball = ball[(ball**2).sum(1) <= (radius - 2) ** 2]
        for neuron, centre in enumerate(somata):
            # a few random seeds cut the soma into fragments, as a watershed does
            seeds = ball[self.rng.integers(0, len(ball), max(2, len(ball) // 90))]
            nearest = ((ball[:, None] - seeds) ** 2).sum(2).argmin(1)
            first = self._fragments(
                np.full(len(seeds), neuron), self._parts(1).repeat(len(seeds)), SOMA
            )
            self._record(centre + ball, np.full(len(ball), 2.0), first[nearest])
        return somata

    def _cell_tips(self, somata: Floats) -> _Tips:
        """Dendrites and one axon from the surface of each soma."""
        each = self.rng.integers(5, 9, len(somata))
        neuron = np.repeat(np.arange(len(somata)), each)
        direction = _unit(self.rng.normal(size=(len(neuron), 3)))
        is_axon = np.r_[True, neuron[1:] != neuron[:-1]] if len(neuron) else neuron == 0
        kind = np.where(is_axon, AXON, DENDRITE)
        position = somata[neuron] + direction * (self.plan.soma_radius - 2)
        # the trunk begins in the soma, so it belongs to the soma's part
        parts = np.array([self._part_of_soma(n) for n in range(len(somata))], np.int64)
        return self._tips(
            position, direction, neuron, kind, parts[neuron] if len(neuron) else neuron
        )

    def _part_of_soma(self, neuron: int) -> int:
        return int(self.fragments[neuron][1][0])

    def _axon_tips(self) -> _Tips | None:
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
    ) -> _Tips:
        n = len(position)
        axon = kind == AXON
        longest = float(self.size.max())
        return _Tips(
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

    def _run(self, tips: _Tips) -> None:
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

    def _branched(self, tips: _Tips) -> _Tips:
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

    def _next_fragments(self, tips: _Tips) -> None:
        """Where a fragment is used up, begin another, now and then in a new part."""
        rows = np.flatnonzero(tips.left <= 0)
        cut = rows[self.rng.random(len(rows)) < self.cut_chance]
        tips.part[cut] = self._parts(len(cut))
        tips.fragment[rows] = self._fragments(tips.neuron[rows], tips.part[rows], tips.kind[rows])
        tips.left[rows] = self.rng.integers(*_FRAGMENT_NODES, len(rows))

    def _turned(self, tips: _Tips) -> tuple[Floats, NDArray[np.bool_]]:
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
