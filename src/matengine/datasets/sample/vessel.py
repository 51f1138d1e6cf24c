"""The one thing in the sample that is no neuron."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matengine.datasets.sample.plan import Plan

Floats = NDArray[np.float64]


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
